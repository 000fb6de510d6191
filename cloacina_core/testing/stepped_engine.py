"""One incarnation of an engine, worked by hand: one thread, no sleep, the same course each time."""

import heapq
import itertools
from datetime import timedelta

from cloacina_core.engine.call import Outcome
from cloacina_core.engine.engine import Engine
from cloacina_core.engine.executors.inline import InlineExecutor
from cloacina_core.engine.requests import Submission, TakeUp
from cloacina_core.engine.run_state import RunState
from cloacina_core.model.stored import StoredRun
from cloacina_core.testing.clock import FrozenClock
from cloacina_core.testing.disturbances import NOTHING, Disturbances
from cloacina_core.testing.signals import Mailbox


class SlowOutcomes:
    """Outcomes of attempts that take their time on the frozen clock, until that time is over.

    The functions were called when the attempts began, as they would have been: an attempt that is
    given up at its deadline has had its effects on the world.
    """

    def __init__(self, clock: FrozenClock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Outcome]] = []
        self._order = itertools.count()

    def add(self, outcome: Outcome, duration: timedelta) -> None:
        """Keep an outcome for a while."""
        due = self._clock.monotonic() + duration.total_seconds()
        heapq.heappush(self._heap, (due, next(self._order), outcome))

    def seconds_to_next(self) -> float | None:
        """Return after how long one will be due; None when there is none."""
        return self._heap[0][0] - self._clock.monotonic() if self._heap else None

    def take_due(self) -> list[Outcome]:
        """Return those whose time is over, and forget them."""
        due = []
        while self._heap and self._heap[0][0] <= self._clock.monotonic():
            due.append(heapq.heappop(self._heap)[2])
        return due


class SteppedEngine:
    """Steps an engine until a run has ended, and moves the clock where others would sleep."""

    def __init__(
        self,
        engine: Engine,
        executor: InlineExecutor,
        clock: FrozenClock,
        disturbances: Disturbances,
        mailbox: Mailbox,
    ) -> None:
        self.id = engine.id
        self._engine = engine
        self._executor = executor
        self._clock = clock
        self._disturbances = disturbances
        self._mailbox = mailbox
        self._slow = SlowOutcomes(clock)

    def submit(self, run: RunState) -> None:
        """Hand in a new run."""
        self._engine.post(Submission(run, request_digest=None))

    def take_up(self, stored: StoredRun) -> RunState:
        """Hand in a run that was claimed for this engine, and return it."""
        run = RunState.restore(self._engine.plan_of(stored.definition), stored)
        self._engine.post(TakeUp(run, stored.commands, stored.queued_at))
        return run

    def work_on(self, run: RunState) -> None:
        """Do all that a run needs until it has ended, or nothing is left that it could wait for.

        Raises:
            EngineKilledError: the engine reached a crash point.
        """
        self._executor.start(lambda outcome: self._receive(run, outcome))
        while not run.status.is_final and self._go_on(run):
            pass
        while self._executor.run_next():  # callbacks of attempts that ran out of time
            pass
        self._executor.stop()

    def _go_on(self, run: RunState) -> bool:
        """Do the next thing; False when there is none."""
        return self._engine.step(patience=0) or self._executor.run_next() or self._wait(run)

    def _receive(self, run: RunState, outcome: Outcome) -> None:
        """Take an outcome from the executor; the engine gets it when the attempt's time is over."""
        run_id, number, _ = outcome.key
        is_main = run_id == run.run_id  # and not of a run that a task asked for
        duration = self._disturbances.duration(run.name_of(number)) if is_main else NOTHING
        self._slow.add(outcome, duration)
        self._deliver()

    def _deliver(self) -> None:
        for outcome in self._slow.take_due():
            self._engine.report(outcome)

    def _wait(self, run: RunState) -> bool:
        """Move the clock to what happens next; False when nothing will."""
        if self._mailbox.send_due(run.run_id, self.id):
            self._engine.look()
            return True
        pauses = (
            self._engine.seconds_to_timer(),
            self._slow.seconds_to_next(),
            self._mailbox.seconds_to_next(),
        )
        known = [pause for pause in pauses if pause is not None]
        if not known:
            return False
        self._clock.wait(min(known))
        self._deliver()
        return True
