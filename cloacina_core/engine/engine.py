"""The engine: takes what happens, plans, writes one transaction for all of it, and then acts.

One thread owns the state of all live runs. Everything that happens to them, a submission, an
outcome, a timer, comes to it through one queue. What came while it wrote is handled together next
time, so under load many transitions share one commit, and a lone run is written at once.
Nothing is acted on (a task started, a caller answered, an observer told) before it is durable.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from cloacina_core.engine import planner
from cloacina_core.engine.call import AttemptKey, LogEntry, Outcome
from cloacina_core.engine.children import AwaitedRuns, ChildStarter
from cloacina_core.engine.control import Control
from cloacina_core.engine.dispatcher import Dispatcher
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.engine.flushing import Flushed, Flusher
from cloacina_core.engine.journal import Journal
from cloacina_core.engine.late import LateResults
from cloacina_core.engine.library import WorkflowLibrary
from cloacina_core.engine.limiter import Limiter
from cloacina_core.engine.live_logs import LiveLogs
from cloacina_core.engine.notifier import Notifier
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.requests import (
    Births,
    Completion,
    Drain,
    EngineStoppedError,
    Look,
    LookForEnds,
    Resize,
    RunEnded,
    Stimulus,
    Stop,
    Submission,
    TakeUp,
    Told,
)
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.slots import Slots
from cloacina_core.engine.timers import Timer, TimerKind, Timers
from cloacina_core.errors import RunOwnedElsewhereError, StoreError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.command import CommandKind
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.event import EventType
from cloacina_core.model.run import Failure, Parent, RunSummary
from cloacina_core.model.slot_ledger import Demand
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.stored import StoredRun
from cloacina_core.model.wait import awaited
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.ownership import Load, Ownership
from cloacina_core.store.permits import Permits
from cloacina_core.store.writing import RunWriter

_log = logging.getLogger(__name__)

WAITING_PER_SLOT = 16
"""How many tasks may wait for each slot before an engine has enough, and leaves runs to others."""

HELD_PER_BUSY = 10
"""How many runs an engine has at most, those that only wait among them, for each busy one that it
may have."""

MAX_STIMULI = 500
"""How many things that happened are handled in one flush: bounds its length, not its rate."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How much an engine takes on."""

    slots: int
    """How many tasks run at a time, unless it is told another number."""
    max_value_bytes: int
    """How many bytes one task's changes to the context may have, encoded."""
    max_live_runs: int = 1000
    """How many runs it works on before it takes no more of those that are queued; one whose tasks
    all wait isn't counted."""
    cancel_grace: timedelta = timedelta(seconds=10)
    """How long what runs may take to end when its run is cancelled."""


class Engine:
    """One incarnation of an engine. Owned by the runtime that starts and stops it."""

    def __init__(  # noqa: PLR0913 - all that it works with; all but the first by name
        self,
        engine_id: EngineId,
        *,
        writer: RunWriter,
        commands: CommandStore,
        ownership: Ownership,
        permits: Permits,
        executor: Executor,
        notifier: Notifier,
        clock: Clock,
        chance: Callable[[], float],
        limits: EngineLimits,
        children: ChildStarter | None = None,
        late: LateResults | None = None,
        library: WorkflowLibrary | None = None,
        live: LiveLogs | None = None,
        on_demand: Callable[[Demand], object] | None = None,
    ) -> None:
        self.id = engine_id
        self._commands = commands
        self._ownership = ownership
        self._executor = executor
        self._clock = clock
        self._chance = chance
        self._limits = limits
        self._late = late or LateResults()
        self._library = library or WorkflowLibrary(())
        self._live = live
        self._on_demand = on_demand
        """Told after each step what the slots are needed for, where they are shared with others."""
        self._unwritten: list[tuple[Outcome, str | None]] = []
        """The outcomes of the batch that isn't written yet, with the names of their tasks."""
        self._inbox: SimpleQueue[Stimulus] = SimpleQueue()
        self._journal = Journal(engine_id, clock.now)
        self._runs: dict[RunId, Completion] = {}
        self._plans: dict[str, Plan] = {}
        self._slots = Slots(limits.slots, clock.monotonic)
        self._timers = Timers(clock, self._is_current)
        self._lives = itertools.count(1)
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._draining = threading.Event()
        self._fenced = threading.Event()
        self._idle = threading.Event()
        """Set once no attempt runs, while the engine drains."""
        self._flusher = Flusher(
            engine_id,
            writer=writer,
            journal=self._journal,
            notifier=notifier,
            forget=self._forget,
            free=self._free,
            stopping=self._stopping,
            fenced=self._fenced,
        )
        self._dispatcher = Dispatcher(
            journal=self._journal,
            flusher=self._flusher,
            executor=executor,
            slots=self._slots,
            limiter=Limiter(permits, engine_id, self._slots, self._timers),
            timers=self._timers,
            late=self._late,
            clock=clock,
            max_value_bytes=limits.max_value_bytes,
            run_of=self._run_of,
            trying=self._trying,
            started=lambda run, number: self._decide(run, planner.attempt_started(run, number)),
            ended=self._end_attempt,
            report=self.post,
            flush=self._flush,
        )
        self._control = Control(
            journal=self._journal,
            timers=self._timers,
            grace=limits.cancel_grace,
            decide=self._decide,
            ask_to_end=self._dispatcher.ask_to_end,
            give_up=self._dispatcher.give_up,
            sleep=self._sleep,
            ask_children=self._ask_children,
        )
        self._is_to_look = False
        self._children = children
        self._awaited = AwaitedRuns()
        self._is_to_look_for_ends = False

    # What other threads may call.

    def plan_of(self, definition: WorkflowDefinition) -> Plan:
        """Return the plan of a definition; runs of one definition share it."""
        plan = self._plans.get(definition.digest)
        if plan is None:
            plan = self._plans[definition.digest] = Plan(definition)
        return plan

    def submit(self, submission: Submission) -> Completion | None:
        """Accept a run; it is durable when this returns.

        Returns None when the idempotency key belongs to a run already, see `reply.existing`.

        Raises:
            IdempotencyConflictError: the key was used for something else.
            StoreError: the run couldn't be stored, and wasn't.
        """
        self.post(submission)
        return self.accepted(submission)

    def accepted(self, submission: Submission) -> Completion | None:
        """Wait until a submission that was handed in is answered; see `submit`."""
        submission.reply.wait(self.is_alive)
        return None if submission.reply.existing else submission.completion

    def take_up(self, stored: StoredRun) -> Completion:
        """Go on with a run that was claimed for this engine.

        Raises:
            StoreError: the engine stopped, or can't go on with the run.
        """
        request = self.begin_to_take_up(stored)
        request.reply.wait(self.is_alive)
        return request.completion

    def begin_to_take_up(self, stored: StoredRun) -> TakeUp:
        """Do what `take_up` does, but for waiting for the reply."""
        run = RunState.restore(self.plan_of(stored.definition), stored)
        request = TakeUp(run, stored.commands, stored.queued_at)
        self.post(request)
        return request

    def look(self) -> None:
        """Look in the store for what this engine's runs are asked."""
        self.post(Look())

    def look_for_ends(self) -> None:
        """Look in the store whether runs have ended that tasks here wait for."""
        self.post(LookForEnds())

    def completion(self, run_id: RunId) -> Completion | None:
        """Return what to wait on for a live run of this engine; None for others."""
        return self._runs.get(run_id)

    def post(self, stimulus: Stimulus) -> None:
        """Hand in what happened, without waiting for an answer; the next `step` handles it."""
        self._inbox.put(stimulus)

    def report(self, outcome: Outcome) -> None:
        """Take the outcome of a call: what executors are given to report to."""
        if not self.is_alive():
            self._late.add(outcome, self._late.ended(outcome.key))
            return
        starter, completion = self._children, self._runs.get(outcome.key[0])
        if awaited(outcome.waits) and starter is not None and completion is not None:
            run = completion.run
            starter.elsewhere(lambda: self.post(self._births(starter, run, outcome)))
        else:
            self.post(outcome)

    def tell(self, key: AttemptKey, lines: Sequence[LogEntry]) -> None:
        """Take what a call said while it runs; the lines come with no outcome any more."""
        if self.is_alive():
            self.post(Told(key, lines))

    def _births(self, starter: ChildStarter, run: RunState, outcome: Outcome) -> Births:
        """Make the runs that a call asks for: it may take its time."""
        asker = Parent(
            run_id=run.run_id,
            task=run.name_of(outcome.key[1]),
            waits=not outcome.waits[-1].is_detached,
        )
        return starter.births(outcome, asker, run.summary, engine=self.id, plan_of=self.plan_of)

    def request_stop(self) -> Stop:
        """Ask the engine to give all its runs back and stop."""
        self._stopping.set()
        request = Stop()
        self.post(request)
        return request

    def fence(self, reason: str) -> None:
        """Stop at once and write nothing more: the lease is lost, or will be."""
        _log.error("engine %s stops: %s", self.id, reason)
        self._fenced.set()
        self._stopping.set()
        for key in self._slots.running:
            self._executor.abandon(key)
        self.post(Stop())

    def drain(self, seconds: float) -> bool:
        """Start no attempts any more, and wait for those that run; False when some still do."""
        self._draining.set()
        self.post(Drain())
        return self._idle.wait(seconds)

    def room(self) -> int:
        """Return how many more runs the engine can do with now."""
        # One without slots takes some, too: so it is seen that it needs any, and may be given them.
        enough = WAITING_PER_SLOT * max(1, self._slots.size) - self._slots.waiting
        live, most = list(self._runs.values()), self._limits.max_live_runs
        busy = sum(1 for completion in live if completion.run.at_hand)
        return min(most - busy, HELD_PER_BUSY * most - len(live), enough)

    def load(self) -> Load:
        """Return how busy the engine is."""
        return Load(self._slots.size, len(self._slots.running), self._executor.lost)

    def live_runs(self) -> list[RunId]:
        """Return the runs that the engine has; once it has stopped, those that it had."""
        return list(self._runs)

    def is_alive(self) -> bool:
        """Whether the engine may still answer."""
        return not self._stopped.is_set()

    # What only the engine's thread calls.

    def run_forever(self) -> None:
        """Step until the engine is stopped."""
        try:
            self._executor.start(self.report)
            if self._live is not None:
                self._live.tell_to(self.tell)
            self._tell_late()
            while not self._stopped.is_set():
                self.step(self.seconds_to_timer())
        except Exception:  # noqa: BLE001 - told to all who ask it for something
            _log.exception("engine %s stopped by a fault of its own", self.id)
        finally:
            self._let_go()

    def seconds_to_timer(self) -> float | None:
        """Return how long nothing will be due; None without timers."""
        pauses = (self._timers.seconds_to_next(), self._slots.seconds_held())
        return min((pause for pause in pauses if pause is not None), default=None)

    def step(self, patience: float | None) -> bool:
        """Handle what happened, write it, act on it; return whether anything happened.

        Args:
            patience: how many seconds to wait for something to happen; None for ever.
        """
        stimuli = self._gather(patience)
        self._flusher.expect_keys(key for one in stimuli if (key := _key_of(one)) is not None)
        for stimulus in stimuli:
            try:
                self._handle(stimulus)
            except Exception as error:  # noqa: BLE001 - one run's fault must not be another's
                self._refuse(stimulus, error)
        self._tell_late()
        fired = self._fire_timers()
        if self._is_to_look:
            self._look()
        if self._is_to_look_for_ends:
            self._look_for_ends()
        if self._journal.batch.given_back:
            self._slots.reopen()
        is_to_start = not (self._stopping.is_set() or self._draining.is_set())
        started = is_to_start and self._dispatcher.fill()
        self._flush()
        if self._on_demand is not None:
            lost = self._executor.lost
            self._on_demand(self._slots.demand(lost=lost, may_start=is_to_start))
        if self._draining.is_set() and not self._slots.running:
            self._idle.set()
        return bool(stimuli) or fired or started

    def _trying(self, run_id: RunId, step: Callable[..., None], *arguments: object) -> None:
        """Take a step of a run; one that fails is the end of this run here, and of no other."""
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - see above
            self._flusher.give_up(run_id, error)

    def _gather(self, patience: float | None) -> list[Stimulus]:
        stimuli: list[Stimulus] = []
        try:
            stimuli.append(self._inbox.get(timeout=patience))
            while len(stimuli) < MAX_STIMULI:
                stimuli.append(self._inbox.get_nowait())
        except Empty:
            pass
        return stimuli

    def _handle(self, stimulus: Stimulus) -> None:
        match stimulus:
            case Outcome():
                self._on_outcome(stimulus)
            case Births():
                self._on_births(stimulus)
            case Told(key, lines):
                self._on_told(key, lines)
            case RunEnded(run):
                self._on_end(run)
            case LookForEnds():
                self._is_to_look_for_ends = True
            case Submission():
                self._on_submission(stimulus)
            case TakeUp():
                self._on_take_up(stimulus)
            case Look():
                self._is_to_look = True
                self._slots.reopen()
            case Stop():
                self._on_stop(stimulus)
            case Resize(slots):
                self._slots.size = slots
            case Drain():
                pass  # what it is for is done at the end of the step

    def _refuse(self, stimulus: Stimulus, error: Exception) -> None:
        """Answer what the engine failed at, and let go of its run."""
        match stimulus:
            case Submission() | TakeUp():
                stimulus.reply.refuse(error)
                self._flusher.give_up(stimulus.run.run_id, error)
            case Outcome(key=key) | Births(outcome=Outcome(key=key)) | Told(key=key):
                self._flusher.give_up(key[0], error)
            case Look() | LookForEnds() | RunEnded() | Stop() | Drain() | Resize():
                raise error

    def _free(self, run_id: RunId) -> None:
        """Free a run that was dropped, for an engine that begins with what is stored."""
        try:
            self._ownership.give_up(run_id, self.id)
        except StoreError as error:
            _log.warning("run %s stays with this engine until it stops: %s", run_id, error)

    def _on_submission(self, submission: Submission) -> None:
        run, key = submission.run, submission.run.summary.idempotency_key
        if self._stopping.is_set() or self._draining.is_set():
            submission.reply.refuse(EngineStoppedError("the engine is stopping"))
            return
        if key is not None and self._flusher.is_known(submission, key):
            return
        self._flusher.expect(submission)
        self._journal.submitted(run, submission.request_digest)
        self._flusher.then(submission.reply.accept, run)
        if run.status is RunStatus.QUEUED:
            self._flusher.then(lambda: submission.completion.complete(has_ended=False), run)
            return
        self._begin(submission.completion)

    def _begin(self, completion: Completion, *, paused_by: RunState | None = None) -> None:
        """Begin a new run."""
        run = completion.run
        self._keep(completion)
        self._journal.event(run, EventType.CLAIMED, reason="submitted here")
        self._start_run_timer(run)
        if paused_by is not None:
            reason = f"by run {paused_by.run_id}: it is paused"
            self._journal.changed(run, RunStatus.PAUSED, EventType.PAUSED, reason)
        self._decide(run, planner.begin(run))

    def _on_take_up(self, request: TakeUp) -> None:
        run = request.run
        if self._stopping.is_set():
            request.reply.refuse(EngineStoppedError("the engine is stopping"))
            return
        if run.run_id in self._runs:
            request.reply.refuse(RunOwnedElsewhereError(run.run_id, self.id))
            return
        self._flusher.expect(request)
        self._keep(request.completion)
        self._flusher.then(request.reply.accept, run)
        was = run.status
        self._journal.claimed(run, reason=f"taken up after {run.engine_deaths} engine deaths")
        for number in run.at_work():
            self._journal.attempt_lost(
                run, number, AttemptOutcome.LOST, "its engine ended during the attempt"
            )
        for number, task in enumerate(run.tasks):
            if task.status is TaskStatus.SLEEPING:
                self._sleep(run, number)
                self._is_to_look_for_ends |= bool(awaited(task.waits))
        self._start_run_timer(run)
        if was is RunStatus.QUEUED:
            self._check_queue_time(run, request.queued_at)
        for command in request.commands:
            if not run.status.is_final:
                self._control.obey(run, command)
        if run.status is RunStatus.RUNNING and run.cancel is None:
            self._decide(run, planner.take_up(run))
        self._flusher.then(self.look, run)  # for what it was asked since it was read

    def _check_queue_time(self, run: RunState, queued_at: datetime | None) -> None:
        """End a run that waited too long for an engine."""
        limit = run.plan.definition.queue_timeout
        if limit is not None and queued_at is not None and self._clock.now() - queued_at > limit:
            message = f"the run waited longer than {limit} for an engine"
            error = Failure(type="queue-timeout", message=message)
            self._end_early(run, RunStatus.FAILED, error, message)

    def _look(self) -> None:
        """Obey what this engine's runs are asked."""
        self._is_to_look = False
        if not self._runs:
            return
        try:
            commands = self._commands.pending(self.id)
        except StoreError as error:
            _log.warning("can't look for commands: %s", error)
            return
        for command in commands:
            completion = self._runs.get(command.run_id)
            if self._flusher.expects(command.run_id):
                continue  # it was obeyed with the run's take-up, or there is another look
            if completion is not None and self._has(completion.run):
                self._trying(command.run_id, self._control.obey, completion.run, command)

    def _look_for_ends(self) -> None:
        """Wake tasks whose runs have ended, wherever they did."""
        self._is_to_look_for_ends = False
        waiting = [run_id for run_id in self._awaited.open() if run_id not in self._runs]
        if self._children is None or not waiting:
            return
        try:
            ended = self._children.ended(waiting)
        except StoreError as error:
            _log.warning("can't look for runs that ended: %s", error)
            return
        for run in ended:
            self._on_end(run)

    def _on_end(self, ended: RunSummary) -> None:
        """Take the end of a run that a task may wait for."""
        waiting = self._awaited.ended(ended)
        if waiting is not None and waiting[0] in self._runs:
            run_id, number = waiting
            self._trying(run_id, self._end_wait_for_runs, self._runs[run_id].run, number)

    def _end_wait_for_runs(self, run: RunState, number: int) -> None:
        children = self._awaited.settled(run, number)
        if children and self._has(run):
            self._decide(run, planner.children_ended(run, number, children))

    def _ask_children(self, run: RunState, kind: CommandKind, reason: str) -> None:
        """Ask the same of the runs that a run waits for."""
        if run.awaits_runs():
            self._journal.ask_children(run, kind, reason)
            self._flusher.then(self.look, run)

    def _run_of(self, run_id: RunId) -> RunState | None:
        completion = self._runs.get(run_id)
        return None if completion is None else completion.run

    def _has(self, run: RunState) -> bool:
        """Whether a run is this engine's to change: it hasn't ended, and doesn't rest."""
        return not run.status.is_final and run.summary.engine == self.id

    def _on_stop(self, request: Stop) -> None:
        if self._fenced.is_set():
            self._forget_everything()
            return
        for completion in self._runs.values():
            run = completion.run
            for number in run.at_work():
                self._dispatcher.give_up(run, number)
                self._journal.attempt_lost(
                    run, number, AttemptOutcome.RELEASED, "the engine stopped"
                )
        self._slots.forget_ready()
        self._flusher.then(self._let_go)
        self._flusher.then(request.reply.accept)

    def _let_go(self) -> None:
        """Stop, and wake all who wait for runs that this engine won't finish."""
        self._stopped.set()
        for stimulus in self._gather(0):
            if isinstance(stimulus, Outcome):
                self._late.add(stimulus, self._late.ended(stimulus.key))
        for key in self._slots.running:
            self._executor.abandon(key)
        for run_id, completion in self._runs.items():
            self._library.run_ended(run_id, completion.run.summary.release)
            completion.complete(has_ended=False)

    def _on_outcome(self, outcome: Outcome, children: Sequence[RunState] = ()) -> bool:
        """Take the outcome of a call; return whether the runs begin that it asks for."""
        run_id, number, attempt = outcome.key
        name = self._late.ended(outcome.key)
        completion = self._runs.get(run_id)
        if completion is None:  # the run ended, or went to another engine
            self._late.add(outcome, name)
        elif outcome.of_callback:
            if self._has(completion.run):
                self._journal.called_back(completion.run, outcome)
        elif self._slots.free(outcome.key):
            self._unwritten.append((outcome, name))
            return self._end_attempt(completion.run, number, outcome, children)
        else:
            run = completion.run
            reason = f"the attempt {outcome.outcome.value} after it was given up"
            self._journal.late_result(run, run.name_of(number), attempt, reason)
        return False

    def _on_births(self, births: Births) -> None:
        if not self._on_outcome(births.outcome, births.runs) and self._children is not None:
            self._children.dropped(births)

    def _on_told(self, key: AttemptKey, lines: Sequence[LogEntry]) -> None:
        """Write what an attempt said, unless it was given up meanwhile."""
        completion = self._runs.get(key[0])
        if completion is not None and key in self._slots.running:
            self._journal.lines(completion.run, key, lines)

    def _tell_late(self) -> None:
        """Have it told what came too late: by us, or by whoever has the run now."""
        for run_id, task, attempt, outcome in self._late.take():
            self._is_to_look = True  # for what it is asked to tell, if it has the run again
            try:
                self._commands.tell_late(run_id, task, attempt, outcome, engine=self.id)
            except StoreError as error:
                _log.warning("task %s of run %s %s too late: %s", task, run_id, outcome, error)

    def _end_attempt(
        self, run: RunState, number: int, outcome: Outcome, children: Sequence[RunState] = ()
    ) -> bool:
        """End an attempt; return whether the runs begin that it asks for."""
        if run.cancel is not None and outcome.outcome is not AttemptOutcome.SUCCEEDED:
            failure = outcome.failure or Failure(type="cancelled", message=str(run.cancel))
            outcome = replace(outcome, outcome=AttemptOutcome.CANCELLED, failure=failure)
        if outcome.outcome is AttemptOutcome.DEFERRED:
            self._journal.call_deferred(run, outcome)
            for child in children:
                self._begin_child(run, number, child)
            self._decide(run, planner.attempt_deferred(run, number, outcome.waits))
            return True
        self._journal.attempt_ended(run, number, outcome)
        self._slots.clear(run.run_id)
        if outcome.outcome is AttemptOutcome.SUCCEEDED:
            decisions = planner.attempt_succeeded(run, number)
        else:
            decisions = planner.attempt_failed(
                run,
                number,
                may_retry=outcome.may_retry,
                now=self._clock.now(),
                chance=self._chance(),
            )
        self._decide(run, decisions)
        return False

    def _begin_child(self, run: RunState, number: int, child: RunState) -> None:
        """Begin a run that a task asked for, in the transaction that makes the task wait."""
        self._journal.child_started(run, number, child)
        self._journal.submitted(child, None)
        is_paused = run.status is RunStatus.PAUSED and child.is_awaited
        if child.status is not RunStatus.QUEUED:
            self._begin(Completion(child), paused_by=run if is_paused else None)
        elif is_paused:  # whoever takes it when its turn comes obeys
            self._journal.ask_children(run, CommandKind.PAUSE, "it is paused")

    def _decide(self, run: RunState, decisions: list[planner.Decision]) -> None:
        """Write decisions down, and prepare to act on them."""
        for decision in decisions:
            match decision:
                case planner.Ready(number):
                    self._dispatcher.queue(run, number)
                case planner.Sleep(number):
                    run.at_hand.discard(number)
                    self._journal.task_sleeps(run, number)
                    self._sleep(run, number)
                case planner.Defer(number):
                    run.at_hand.discard(number)
                    self._journal.task_deferred(run, number)
                    self._sleep(run, number)
                case planner.Deliver(number, signal):
                    self._journal.signal_delivered(run, number, signal)
                    self._dispatcher.queue(run, number)
                case planner.GoOn(number):
                    self._journal.children_ended(run, number)
                    self._dispatcher.queue(run, number)
                case planner.Expand(number):
                    self._journal.task_expanded(run, number)
                case planner.End(number, _, reason):
                    run.at_hand.discard(number)
                    if run.tasks[number].has_open_attempt:
                        self._journal.attempt_cancelled(run, number, reason or "cancelled")
                    self._journal.task_ended(run, number)
                case planner.Finish(status, error):
                    self._finish(run, status, error)
        if run.status is RunStatus.PAUSED and run.cancel is None:
            self._let_rest(run)

    def _finish(self, run: RunState, status: RunStatus, error: Failure | None) -> None:
        if run.cancel is not None:
            self._journal.handled(run.cancel)
        elif status is not RunStatus.SUCCEEDED:
            self._ask_children(run, CommandKind.CANCEL, f"it {status}")
        self._journal.finished(run, status, error)
        self._flusher.then(lambda: self._release(run, has_ended=True), run)
        if run.is_awaited:
            self._call_parent(run)

    def _call_parent(self, run: RunState) -> None:
        """Tell the engine that has a run's parent, here or elsewhere, of the run's end."""
        parent = run.summary.parent
        if parent is not None and parent.run_id in self._runs:
            self._flusher.then(lambda: self.post(RunEnded(run.summary)), run)
        else:
            self._journal.parent_called(run)

    def _let_rest(self, run: RunState) -> None:
        """Let go of a paused run once nothing of it runs."""
        if self._has(run) and not run.at_work():
            self._journal.rests(run)
            self._flusher.then(lambda: self._release(run, has_ended=False), run)

    def _keep(self, completion: Completion) -> None:
        run = completion.run
        run.life = next(self._lives)
        self._runs[run.run_id] = completion
        run_id, release = run.run_id, run.summary.release
        self._library.run_began(run_id, release)
        if release is not None:
            self._flusher.then(lambda: self._library.run_stored(run_id, release), run)

    def _release(self, run: RunState, *, has_ended: bool) -> None:
        completion = self._runs.pop(run.run_id, None)
        self._library.run_ended(run.run_id, run.summary.release)
        self._awaited.forget(run)
        self._slots.clear(run.run_id)
        if completion is not None:
            completion.complete(has_ended=has_ended)

    def _end_early(
        self, run: RunState, status: RunStatus, error: Failure | None, reason: str
    ) -> None:
        for number in run.at_work():
            self._dispatcher.give_up(run, number)
        self._decide(run, planner.end_early(run, status, error, reason))

    # Timers.

    def _fire_timers(self) -> bool:
        fired = False
        for timer in self._timers.due():
            fired = True
            if timer.kind is TimerKind.ROOM:
                self._slots.reopen()
            elif timer.run_id is not None:
                self._trying(timer.run_id, self._fire, timer, self._runs[timer.run_id].run)
        return fired

    def _is_current(self, timer: Timer) -> bool:
        """Whether a timer still means the life of a run, and the sleep or call, it was set for."""
        if timer.run_id is None:
            return True
        run = self._run_of(timer.run_id)
        if run is None or run.life != timer.life:
            return False
        is_of_task = timer.kind in (TimerKind.WAKE, TimerKind.ATTEMPT_DEADLINE)
        return not is_of_task or timer.sleeps == run.tasks[timer.task].sleeps

    def _fire(self, timer: Timer, run: RunState) -> None:
        if not self._has(run):
            return
        if timer.kind is TimerKind.WAKE:
            if run.status is RunStatus.RUNNING:
                self._decide(run, planner.wake(run, timer.task))
        elif timer.kind is TimerKind.CANCEL_GRACE:
            self._control.end_grace(run)
        elif timer.kind is TimerKind.ATTEMPT_DEADLINE:
            self._dispatcher.time_out(run, timer.task, timer.attempt)
        elif timer.kind is TimerKind.RUN_DEADLINE:
            message = f"the run took longer than {run.plan.definition.timeout}"
            error = Failure(type="timeout", message=message)
            self._end_early(run, RunStatus.FAILED, error, message)

    def _sleep(self, run: RunState, number: int) -> None:
        """Set the timer of a task that sleeps, unless something else wakes it."""
        task = run.tasks[number]
        task.sleeps += 1
        self._awaited.expect(run, number)
        if task.status is TaskStatus.SLEEPING and task.wake_at is not None:
            timer = Timer(TimerKind.WAKE, run.run_id, run.life, task=number, sleeps=task.sleeps)
            self._timers.add(task.wake_at - self._clock.now(), timer)

    def _start_run_timer(self, run: RunState) -> None:
        timeout = run.plan.definition.timeout
        if timeout is not None:
            began = run.summary.started_at or self._clock.now()
            timer = Timer(TimerKind.RUN_DEADLINE, run.run_id, run.life)
            self._timers.add(began + timeout - self._clock.now(), timer)

    # Writing.

    def _flush(self) -> None:
        """Write what was decided, and act on it."""
        flushed = self._flusher.flush()
        if flushed is Flushed.DONE:
            self._unwritten.clear()
        elif flushed is Flushed.STALE:
            _log.error("engine %s lost its lease; what it did since is refused", self.id)
            self._forget_everything()
        elif flushed is Flushed.STOPPED:
            self._let_go()

    def _forget(self, runs: Collection[RunId]) -> None:
        """Forget runs whose writes aren't accepted."""
        for key in self._slots.free_all_of(runs):
            self._executor.abandon(key)
        for run_id in [run_id for run_id in self._runs if run_id in runs]:
            completion = self._runs.pop(run_id)
            self._library.run_ended(run_id, completion.run.summary.release)
            self._awaited.forget(completion.run)
            completion.complete(has_ended=False)

    def _forget_everything(self) -> None:
        """Stop without a trace: the lease is lost, and nothing of ours counts any more."""
        for outcome, name in self._unwritten:
            self._late.add(outcome, name)
        self._flusher.refuse_all()
        self._let_go()


def _key_of(stimulus: Stimulus) -> str | None:
    return stimulus.run.summary.idempotency_key if isinstance(stimulus, Submission) else None
