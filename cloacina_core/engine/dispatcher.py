"""Starts tasks as slots and limits have room, and gives up attempts that take too long."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.engine.flushing import Flusher
from cloacina_core.engine.journal import Journal
from cloacina_core.engine.late import LateResults
from cloacina_core.engine.limiter import Limiter
from cloacina_core.engine.queued import Queued
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.slots import Slots
from cloacina_core.engine.timers import Timer, TimerKind, Timers
from cloacina_core.engine.views import MergeConflictError
from cloacina_core.errors import LostValueError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.run import AttemptResult, Failure
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus


class Dispatcher:
    """Hands tasks of one engine to its executor. Used by the engine's thread alone."""

    def __init__(  # noqa: PLR0913 - all that it works with, by name
        self,
        *,
        journal: Journal,
        flusher: Flusher,
        executor: Executor,
        slots: Slots,
        limiter: Limiter,
        timers: Timers,
        late: LateResults,
        clock: Clock,
        max_value_bytes: int,
        run_of: Callable[[RunId], RunState | None],
        trying: Callable[..., None],
        started: Callable[[RunState, int], None],
        ended: Callable[[RunState, int, Outcome], object],
        report: Callable[[Outcome], None],
        flush: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            journal: writes down what is started.
            flusher: acts once that is durable.
            executor: runs calls.
            slots: the queue of ready tasks.
            limiter: lets in tasks of which only so many may run.
            timers: of the engine.
            late: is told which attempts run.
            clock: tells the time.
            max_value_bytes: how many bytes a task's changes may have, encoded.
            run_of: returns a live run of the engine; None for others.
            trying: takes a step of a run, whose failure is the end of that run here.
            started: called when an attempt was started.
            ended: called with the outcome of an attempt that ended before its executor said so.
            report: takes outcomes for the next step, as an executor's.
            flush: writes what was decided.
        """
        self._journal = journal
        self._flusher = flusher
        self._executor = executor
        self._slots = slots
        self._limiter = limiter
        self._timers = timers
        self._late = late
        self._clock = clock
        self._max_value_bytes = max_value_bytes
        self._run_of = run_of
        self._trying = trying
        self._started = started
        self._ended = ended
        self._report = report
        self._flush = flush

    def queue(self, run: RunState, number: int) -> None:
        """Have a ready task start when its turn comes."""
        run.at_hand.add(number)
        limits = run.definition_of(number).limits
        self._slots.add(
            run.run_id,
            number,
            priority=run.summary.priority,
            limits=limits,
            is_suspect=run.is_suspect,
        )

    def fill(self) -> bool:
        """Start ready tasks, by priority and then in order, while slots are free."""
        started = False
        asked: dict[tuple[RunId, int], Queued] = {}
        while True:
            ready = self._slots.next(lost=self._executor.lost + len(asked))
            if ready is None and not asked:
                return started
            if ready is not None and not ready.limits:
                started = self._start_if_it_may(ready) or started
                continue
            if ready is not None:
                asked[ready.run_id, ready.task] = ready
            if ready is None or self._slots.is_suspect(ready.run_id):  # that is to begin alone
                self._start_limited(list(asked.values()))
                asked.clear()  # others may begin in place of those that there was no room for

    def _start_if_it_may(self, queued: Queued) -> bool:
        run = self._run_of(queued.run_id)
        if run is None or not _may_start(run, queued.task):
            return False
        self._trying(queued.run_id, self._start, run, queued.task)
        return True

    def _start_limited(self, asked: Sequence[Queued]) -> None:
        """Start those of some tasks whose limits have room."""
        self._flush()  # what has ended makes room, and others must know who has the runs
        live = [(one, self._run_of(one.run_id)) for one in asked]
        may = [(one, run) for one, run in live if run is not None and _may_start(run, one.task)]
        for queued in self._limiter.let_in(may) if may else ():
            self._start_if_it_may(queued)

    def _start(self, run: RunState, number: int) -> None:
        goes_on = run.tasks[number].has_open_attempt
        note = self._journal.task_resumed if goes_on else self._journal.attempt_started
        attempt = note(run, number)
        key: AttemptKey = (run.run_id, number, attempt.number)
        self._slots.take(key)
        self._started(run, number)
        try:
            call = self._call(run, number, attempt)
        except MergeConflictError as conflict:
            self._fail(key, Failure(type="merge-conflict", message=str(conflict)))
            return
        except LostValueError as error:  # the list that it is an instance for
            self._fail(key, Failure(type=error.code, message=str(error)))
            return
        if call.deadline is not None:
            timer = Timer(
                TimerKind.ATTEMPT_DEADLINE,
                run.run_id,
                run.life,
                task=number,
                attempt=attempt.number,
                sleeps=run.tasks[number].sleeps,
            )
            self._timers.add(call.deadline - self._clock.now(), timer)
        self._flusher.then(lambda: self._submit(call, run.name_of(number)), run)

    def _submit(self, call: TaskCall, name: str) -> None:
        self._late.begun(call.key, name)
        self._executor.submit(call)

    def _fail(self, key: AttemptKey, failure: Failure) -> None:
        """Have an attempt fail that can't be called; once it is known to have started."""
        self._report(Outcome(key=key, outcome=AttemptOutcome.FAILED, failure=failure))

    def _call(self, run: RunState, number: int, attempt: AttemptResult) -> TaskCall:
        """Return an attempt as data.

        Raises:
            MergeConflictError: the task's merge policy doesn't settle a conflict.
            LostValueError: the list that it is an instance for was spilled, and is lost.
        """
        task, state = run.definition_of(number), run.tasks[number]
        item, index = run.item_before(number)
        called_at = state.called_at or attempt.started_at
        return TaskCall(
            key=(run.run_id, number, attempt.number),
            workflow=run.summary.workflow,
            fingerprint=run.plan.definition.fingerprint,
            task=task.name,
            release=run.summary.release,
            params=run.params,
            context=run.values_before(number),
            item=item,
            index=index,
            deadline=None if task.timeout is None else called_at + task.timeout - state.ran,
            is_last=state.failed_attempts + 1 >= task.retry.max_attempts,
            max_value_bytes=self._max_value_bytes,
            waits=state.waits,
            secrets=run.plan.definition.secrets,
        )

    def time_out(self, run: RunState, number: int, attempt: int) -> None:
        """Give up an attempt that has reached its deadline."""
        is_current = attempt == len(run.tasks[number].attempts)
        if not is_current or not self.give_up(run, number):
            return  # it ended before its deadline
        key = (run.run_id, number, attempt)
        task = run.definition_of(number)
        failure = Failure(
            type="timeout",
            message=f"the attempt took longer than {task.timeout}",
        )
        may_retry = task.retry.wants(TimeoutError(failure.message))
        outcome = Outcome(
            key=key, outcome=AttemptOutcome.TIMED_OUT, failure=failure, may_retry=may_retry
        )
        call = replace(self._call(run, number, run.tasks[number].attempts[-1]), timed_out=failure)
        self._ended(run, number, outcome)
        if run.tasks[number].status is TaskStatus.FAILED:  # for its callback
            self._flusher.then(lambda: self._executor.submit(call), run)

    def ask_to_end(self, run: RunState, number: int) -> None:
        """Tell a task that runs that it is to end."""
        key = (run.run_id, number, len(run.tasks[number].attempts))
        self._flusher.then(lambda: self._executor.cancel(key), run)

    def give_up(self, run: RunState, number: int) -> bool:
        """Give up a task's attempt; False when it isn't running."""
        key = (run.run_id, number, len(run.tasks[number].attempts))
        if not self._slots.free(key):
            return False
        self._late.ended(key)  # what it still comes to is no surprise
        self._flusher.then(lambda: self._executor.abandon(key))
        return True


def _may_start(run: RunState, number: int) -> bool:
    is_ready = run.tasks[number].status is TaskStatus.READY
    return is_ready and run.status is RunStatus.RUNNING and run.cancel is None
