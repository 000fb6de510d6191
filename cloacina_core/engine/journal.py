"""Turns what happens to runs into rows, and gathers the rows of many runs for one flush."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from cloacina_core.engine.call import AttemptKey, LogEntry, Outcome
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.task_state import TaskState
from cloacina_core.foundation.clock import to_micros
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.ids import ID_LENGTH, EngineId
from cloacina_core.foundation.json_value import encode
from cloacina_core.model.child import told
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.event import EventType
from cloacina_core.model.run import AttemptResult, Failure, RunSummary
from cloacina_core.model.sending.sent_event import AwaitedEvent
from cloacina_core.model.spilled import Encoded, digests_in, reference_to_json
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitKind, WaitState
from cloacina_core.store.batch import Batch


class Journal:
    """Writes down the transitions of runs for one engine. Nothing is durable before the flush."""

    def __init__(self, engine: EngineId, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._read_clock = now
        self._numbers = itertools.count(1)
        self.batch = Batch(number=self.next_number())
        self._moment: tuple[datetime, int] | None = None

    def take(self) -> Batch:
        """Return what was gathered, and begin anew."""
        taken, self.batch = self.batch, Batch(number=self.next_number())
        self._moment = None
        return taken

    @property
    def now(self) -> datetime:
        """The moment at which all of the batch happened: when its first row was written down."""
        return self._now_and_micros[0]

    @property
    def _now_and_micros(self) -> tuple[datetime, int]:
        if self._moment is None:
            now = self._read_clock()
            self._moment = now, to_micros(now)
        return self._moment

    def next_number(self) -> int:
        """Return the number of one more transaction of this engine."""
        return next(self._numbers)

    def event(
        self,
        run: RunState,
        event_type: EventType,
        *,
        task: str | None = None,
        attempt: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Write the next event of a run's history."""
        run.seq += 1
        self.batch.events.append(
            {
                "run_id": run.run_id,
                "seq": run.seq,
                "at": self._now_and_micros[1],
                "type": event_type.value,
                "task": task,
                "attempt": attempt,
                "engine": self._engine,
                "reason": reason,
            }
        )

    def submitted(self, run: RunState, request_digest: str | None) -> None:
        """Write a new run, owned by this engine unless it is left queued."""
        summary, release, resolution = run.summary, run.summary.release, run.summary.resolution
        definition = run.plan.definition
        self.batch.definitions.append({"digest": definition.digest, "body": definition.body})
        self.batch.new_runs.append(
            {
                "id": summary.run_id,
                "status": summary.status.value,
                "workflow": summary.workflow,
                "definition": definition.digest,
                "reference": summary.reference,
                "source": release and release.source,
                "package": release and release.package,
                "version": release and release.version,
                "digest": release and release.digest,
                "signed_by": release and json.dumps(release.signed_by),
                "resolved_by": resolution and resolution.by.value,
                "channel": resolution and resolution.channel,
                "channel_revision": resolution and resolution.revision,
                "started_by": summary.started_by.kind.value,
                "starter": summary.started_by.name,
                "started_for": summary.started_by.what_for,
                "priority": summary.priority,
                "idempotency_key": summary.idempotency_key,
                "request_digest": request_digest,
                "engine": summary.engine,
                "created_at": to_micros(summary.created_at),
                "queued_at": to_micros(summary.created_at),
                "origin": summary.origin,
                "limited_as": None if definition.max_live_runs is None else _limited_as(summary),
                "max_live_runs": definition.max_live_runs,
                "concurrency_key": summary.concurrency_key,
                "max_live_per_key": summary.concurrency_key and definition.max_live_per_key,
                **_parent_columns(summary),
                "started_at": _micros(summary.started_at),
                "finished_at": None,
                "error": None,
            }
        )
        if run.params:
            self._params(run, run.params_text or encode(dict(run.params)))
        if run.initial:
            values = {key: entry.value or "null" for key, entry in run.initial.items()}
            self._values(run, "context", "", values)
        repeats = f", repeats run {summary.origin}" if summary.origin else ""
        means = f" is {release} ({resolution})" if resolution else ""
        reason = f"{summary.reference}{means}{repeats}, by {summary.started_by}"
        self.event(run, EventType.SUBMITTED, reason=reason)
        for number, edits in run.edits.items():
            self._values(run, "edits", run.name_of(number), edits)
        for number, task in enumerate(run.tasks):
            if task.status.is_final:  # taken over from the run that this one repeats
                self._taken_over(run, number)

    def _taken_over(self, run: RunState, number: int) -> None:
        name, changes = run.name_of(number), run.tasks[number].changes
        self._task(run, number)
        task = run.tasks[number]
        self.event(run, _TASK_EVENTS[task.status], task=name, reason=task.reason)
        if changes:
            self._values(run, "output", name, changes)

    def claimed(self, run: RunState, reason: str) -> None:
        """Write that this engine goes on with a run."""
        before = run.status
        run.change(
            status=RunStatus.RUNNING,
            engine=self._engine,
            started_at=run.summary.started_at or self.now,
        )
        self.event(run, EventType.CLAIMED, reason=reason)
        if before is not RunStatus.RUNNING:
            self._run_change(run, before)

    def attempt_started(self, run: RunState, number: int) -> AttemptResult:
        """Write the start of a task's next attempt, and return it."""
        task, name = run.tasks[number], run.name_of(number)
        attempt = AttemptResult(
            number=len(task.attempts) + 1, engine=self._engine, started_at=self.now
        )
        run.fix_what_is_seen(number)
        task.status = TaskStatus.RUNNING
        task.called_at, task.ran = attempt.started_at, timedelta(0)
        task.attempts.append(attempt)
        self._task(run, number)
        self.batch.new_attempts.append(
            {
                "run_id": run.run_id,
                "task": name,
                "number": attempt.number,
                "engine": self._engine,
                "started_at": to_micros(attempt.started_at),
            }
        )
        self.event(run, EventType.TASK_STARTED, task=name, attempt=attempt.number)
        return attempt

    def lines(self, run: RunState, key: AttemptKey, lines: Sequence[LogEntry]) -> None:
        """Write what a call printed and logged, at its end or while it goes on."""
        if not lines:
            return
        _, number, attempt = key
        run.log_parts += 1
        self.batch.logs.append(
            {
                "run_id": run.run_id,
                "seq": run.seq,
                "part": run.log_parts,
                "task": run.name_of(number),
                "attempt": attempt,
                "at": min(at for at, _, _ in lines),
                "body": json.dumps(lines, ensure_ascii=False),
            }
        )

    def call_deferred(self, run: RunState, outcome: Outcome) -> None:
        """Write what is left of a call that waits; that it does is written apart."""
        self.lines(run, outcome.key, outcome.logs)
        self._secrets_read(run, outcome)

    def task_deferred(self, run: RunState, number: int) -> None:
        """Write that a task waits, in the middle of its attempt."""
        task = run.tasks[number]
        if task.called_at is not None:
            task.ran += self.now - task.called_at
        task.reason = f"waits {task.waits[-1]}"
        self._give_back(run, number)
        self._task(run, number)
        if task.waits[-1].event is not None:
            self._awaits_event(run, number, task.waits[-1].event)
        self._attempt_event(run, number, EventType.TASK_DEFERRED, task.reason)

    def _awaits_event(self, run: RunState, number: int, event: AwaitedEvent) -> None:
        task = run.tasks[number]
        self.batch.event_waits.append(
            {
                "run_id": run.run_id,
                "task": run.name_of(number),
                "attempt": len(task.attempts),
                "number": len(task.waits),
                "name": event.name,
                "condition": event.where,
                "since": to_micros(event.since),
                "after": event.after,
                "looked": False,
            }
        )

    def signal_delivered(self, run: RunState, number: int, signal: Command) -> None:
        """Write that a task took a signal, or an event, that it waited for."""
        name = run.name_of(number)
        self._task(run, number)
        row = {"in_run": run.run_id, "command": signal.id, "taken_by": name}
        self.batch.taken.append(row)
        if signal.kind is CommandKind.EVENT:
            self._attempt_event(run, number, EventType.EVENT_TAKEN, f"event {signal.name!r}")
        else:
            self._attempt_event(run, number, EventType.SIGNAL_TAKEN, f"signal {signal.name!r}")

    def child_started(self, run: RunState, number: int, child: RunState) -> None:
        """Write that a task asked for a run, which is written apart; both or none are kept."""
        self.batch.parents[child.run_id] = run.run_id
        reason = f"run {child.run_id} of {child.summary.reference}"
        self._attempt_event(run, number, EventType.CHILD_STARTED, reason)

    def children_ended(self, run: RunState, number: int) -> None:
        """Write that the runs which a task waited for have ended."""
        for child in run.tasks[number].waits[-1].children:
            reason = f"run {child.run_id} of {child} {child.status}"
            self._attempt_event(run, number, EventType.CHILD_ENDED, reason)
        self._task(run, number)

    def ask_children(self, run: RunState, kind: CommandKind, reason: str) -> None:
        """Ask the runs that a run waits for the same as the run was asked."""
        self.batch.asked_children.append(
            {
                "in_run": run.run_id,
                # Of each run, and the same when the batch is written once more.
                "command": digest_of_text(f"{run.run_id}/{run.seq}/{kind}")[-ID_LENGTH:],
                "what": kind.value,
                "why": reason[:_REASON_LENGTH],
                "who": f"run {run.run_id}",
                "at": self._now_and_micros[1],
            }
        )

    def parent_called(self, run: RunState) -> None:
        """Tell the engine that has the parent of a run, which isn't this one, of the run's end."""
        self.batch.called_parents.append({"in_run": run.run_id})

    def task_resumed(self, run: RunState, number: int) -> AttemptResult:
        """Write that a task whose wait is over is called again, and return its attempt."""
        task = run.tasks[number]
        wait = task.waits[-1]
        task.status = TaskStatus.RUNNING
        task.called_at, task.reason = self.now, None
        self._task(run, number)
        self._attempt_event(run, number, EventType.TASK_RESUMED, _why_resumed(wait))
        return self._own_attempt(run, number)

    def _own_attempt(self, run: RunState, number: int) -> AttemptResult:
        """Make an open attempt this engine's, which another may have begun, and return it."""
        attempts, name = run.tasks[number].attempts, run.name_of(number)
        was_engine = attempts[-1].engine
        if was_engine != self._engine:
            attempts[-1] = replace(attempts[-1], engine=self._engine)
            self.batch.moved_attempts.append(
                {
                    "in_run": run.run_id,
                    "of_task": name,
                    "attempt": attempts[-1].number,
                    "was_engine": was_engine,
                    "engine": self._engine,
                }
            )
        return attempts[-1]

    def handled(self, command: Command) -> None:
        """Write that a command was obeyed."""
        row = {
            "in_run": command.run_id,
            "command": command.id,
            "handled_at": self._now_and_micros[1],
        }
        self.batch.handled.append(row)

    def changed(self, run: RunState, status: RunStatus, event: EventType, reason: str) -> None:
        """Write that a run was paused, or goes on."""
        before = run.status
        run.change(status=status)
        self._run_change(run, before)
        self.event(run, event, reason=reason)

    def rests(self, run: RunState) -> None:
        """Write that this engine lets go of a paused run."""
        self.event(run, EventType.RELEASED, reason="the run is paused, and nothing of it runs")
        run.change(engine=None)
        self._run_change(run, run.status)

    def attempt_ended(self, run: RunState, number: int, outcome: Outcome) -> None:
        """Write the end of a task's last attempt; what follows for the task is written apart."""
        task, name = run.tasks[number], run.name_of(number)
        attempt = task.attempts[-1].ended(
            self.now,
            outcome.outcome,
            outcome.failure,
            isolation=outcome.isolation,
            enforced=outcome.enforced,
        )
        task.attempts[-1] = attempt
        self._attempt_end(run, number, attempt, was_engine=self._engine)
        if run.engine_deaths:  # it gets on: engines that died at it before tell nothing any more
            run.engine_deaths = 0
            self._run_change(run, run.status)
        if outcome.changes:
            task.changes = outcome.changes
            self._values(run, "output", name, outcome.changes)
        self.lines(run, outcome.key, outcome.logs)
        self._secrets_read(run, outcome)
        if outcome.callback_error is not None:
            self._callback_failed(run, number, outcome.callback_error)

    def attempt_lost(
        self, run: RunState, number: int, outcome: AttemptOutcome, reason: str
    ) -> None:
        """Write that a task's last attempt has no outcome: its engine died or gave the run back."""
        task, name = run.tasks[number], run.name_of(number)
        error = Failure(type=outcome.value, message=reason)
        attempt = task.attempts[-1].ended(self.now, outcome, error)
        task.attempts[-1] = attempt
        self._attempt_end(run, number, attempt, was_engine=attempt.engine)
        lost = outcome is AttemptOutcome.LOST
        event_type = EventType.ATTEMPT_LOST if lost else EventType.RELEASED
        self.event(run, event_type, task=name, attempt=attempt.number, reason=reason)
        task.status = TaskStatus.READY
        self._task(run, number)

    def attempt_cancelled(self, run: RunState, number: int, reason: str) -> None:
        """Write the end of a task's open attempt, which comes to nothing."""
        task = run.tasks[number]
        error = Failure(type="cancelled", message=reason)
        attempt = task.attempts[-1].ended(self.now, AttemptOutcome.CANCELLED, error)
        task.attempts[-1] = attempt
        self._attempt_end(run, number, attempt, was_engine=attempt.engine)

    def task_sleeps(self, run: RunState, number: int) -> None:
        """Write that a task will be tried again."""
        task = run.tasks[number]
        error = task.attempts[-1].error
        self._task(run, number)
        self.event(
            run,
            EventType.ATTEMPT_FAILED,
            task=run.name_of(number),
            attempt=len(task.attempts),
            reason=str(error)[:_REASON_LENGTH],
        )

    def task_expanded(self, run: RunState, number: int) -> None:
        """Write that a mapped task became instances. They get rows of their own as they begin."""
        self._task(run, number)
        size = len(run.expansions[number].instances)
        reason = f"{size} instance" + ("" if size == 1 else "s")
        self.event(run, EventType.TASK_EXPANDED, task=run.name_of(number), reason=reason)

    def task_ended(self, run: RunState, number: int) -> None:
        """Write the end of a task."""
        task = run.tasks[number]
        self._task(run, number)
        error = task.attempts[-1].error if task.attempts else None
        reason = task.reason or (str(error)[:_REASON_LENGTH] if error else None)
        self.event(
            run,
            _TASK_EVENTS[task.status],
            task=run.name_of(number),
            attempt=len(task.attempts) or None,
            reason=reason,
        )

    def called_back(self, run: RunState, outcome: Outcome) -> None:
        """Write what is left of a callback that was called after its attempt was over."""
        self.lines(run, outcome.key, outcome.logs)
        self._secrets_read(run, outcome)
        if outcome.callback_error is not None:
            self._callback_failed(run, outcome.key[1], outcome.callback_error)

    def _secrets_read(self, run: RunState, outcome: Outcome) -> None:
        """Write which secrets a call asked for; almost none does."""
        if outcome.secrets:
            names = ", ".join(outcome.secrets)
            self._attempt_event(run, outcome.key[1], EventType.SECRETS_READ, names)

    def _callback_failed(self, run: RunState, number: int, reason: str) -> None:
        """Write that the author's callback failed, which changes nothing."""
        self._attempt_event(run, number, EventType.CALLBACK_FAILED, reason)

    def late_result(self, run: RunState, task: str, attempt: int, reason: str | None) -> None:
        """Write that a result came when nobody waited for it any more."""
        self.event(run, EventType.COMMIT_REJECTED, task=task, attempt=attempt, reason=reason)

    def finished(self, run: RunState, status: RunStatus, error: Failure | None) -> None:
        """Write the end of a run."""
        before = run.status
        run.change(status=status, finished_at=self.now, error=error)
        self._run_change(run, before)
        self.event(
            run, _RUN_EVENTS[status], reason=None if error is None else str(error)[:_REASON_LENGTH]
        )

    def _run_change(self, run: RunState, before: RunStatus) -> None:
        summary = run.summary
        self.batch.run_changes.append(
            {
                "run_id": run.run_id,
                "was_engine": self._engine,
                "was_status": before.value,
                "status": summary.status.value,
                "engine": summary.engine,
                "engine_deaths": run.engine_deaths,
                "started_at": _micros(summary.started_at),
                "finished_at": _micros(summary.finished_at),
                "error": summary.error and encode(summary.error.to_json()),
                "gives_way": run.is_limited and (summary.status.is_final or not summary.engine),
            }
        )

    def _attempt_event(
        self, run: RunState, number: int, event_type: EventType, reason: str | None
    ) -> None:
        name, attempts = run.name_of(number), run.tasks[number].attempts
        self.event(run, event_type, task=name, attempt=len(attempts), reason=reason)

    def _attempt_end(
        self, run: RunState, number: int, attempt: AttemptResult, *, was_engine: EngineId
    ) -> None:
        self._give_back(run, number)
        self.batch.attempt_ends.append(
            {
                "in_run": run.run_id,
                "of_task": run.name_of(number),
                "attempt": attempt.number,
                "was_engine": was_engine,
                "finished_at": _micros(attempt.finished_at),
                "outcome": attempt.outcome and attempt.outcome.value,
                "error": attempt.error and encode(attempt.error.to_json()),
                "isolation": attempt.isolation and attempt.isolation.value,
                "enforced": json.dumps(attempt.enforced) if attempt.enforced else None,
            }
        )

    def _give_back(self, run: RunState, number: int) -> None:
        """Write that an attempt takes no room of its limits any more."""
        for limit in run.definition_of(number).limits:
            self.batch.given_back.append(
                {
                    "in_run": run.run_id,
                    "of_task": run.name_of(number),
                    "of_attempt": len(run.tasks[number].attempts),
                    "of_limit": limit,
                }
            )

    def _task(self, run: RunState, number: int) -> None:
        """Write a task's row: a new one, or a change guarded by what the row said."""
        task, name = run.tasks[number], run.name_of(number)
        expansion = run.expansions.get(number)
        unseen = [run.plan.tasks[before].name for before in sorted(task.unseen)]
        row = {
            "status": task.status.value,
            "attempts": len(task.attempts),
            "wake_at": _micros(task.wake_at),
            "reason": task.reason,
            "unseen": json.dumps(unseen) if unseen else None,
            "waits": _waits(task),
            "instances": expansion and len(expansion.instances),
        }
        if task.stored is None:
            self.batch.new_tasks.append({"run_id": run.run_id, "name": name, **row})
        else:
            status, attempts = task.stored
            guards = {"was_status": status.value, "was_attempts": attempts}
            self.batch.task_changes.append({"in_run": run.run_id, "task": name, **guards, **row})
        task.stored = (task.status, len(task.attempts))

    def _params(self, run: RunState, text: Encoded) -> None:
        """Write a run's params: an object, or a list with the reference to it."""
        if isinstance(text, str):
            self._payload(run, "params", "", text)
            return
        self._payload(run, "params", "", json.dumps([text], default=reference_to_json))
        self._uses(run, "params", "", {"": text})

    def _values(
        self, run: RunState, kind: str, task: str, values: Mapping[str, Encoded | None]
    ) -> None:
        body = json.dumps(values, ensure_ascii=False, default=reference_to_json)
        self._payload(run, kind, task, body)
        self._uses(run, kind, task, values)

    def _uses(
        self, run: RunState, kind: str, task: str, values: Mapping[str, Encoded | None]
    ) -> None:
        """Write which blobs a payload refers to."""
        self.batch.blob_uses += [
            {"in_run": run.run_id, "of_kind": kind, "of_task": task, "blob": digest}
            for digest in sorted(digests_in(values))
        ]

    def _payload(self, run: RunState, kind: str, task: str, body: str) -> None:
        self.batch.payloads.append(
            {
                "run_id": run.run_id,
                "kind": kind,
                "task": task,
                "body": body,
                "digest": digest_of_text(body),
            }
        )


_REASON_LENGTH = 500

_TASK_EVENTS: Mapping[TaskStatus, EventType] = {
    TaskStatus.SUCCEEDED: EventType.TASK_SUCCEEDED,
    TaskStatus.FAILED: EventType.TASK_FAILED,
    TaskStatus.SKIPPED: EventType.TASK_SKIPPED,
    TaskStatus.CANCELLED: EventType.TASK_CANCELLED,
}
_RUN_EVENTS: Mapping[RunStatus, EventType] = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}


def _waits(task: TaskState) -> str | None:
    """Return the waits of a task's open attempt as text."""
    if not task.waits or task.status.is_final:
        return None
    ran = task.ran // timedelta(microseconds=1)
    return json.dumps({"waits": [wait.to_json() for wait in task.waits], "ran": ran})


def _limited_as(summary: RunSummary) -> str:
    """Return what runs of one workflow share, whatever the version of their package."""
    package = summary.release and summary.release.package
    return f"{package}/{summary.workflow}" if package else summary.workflow


def _why_resumed(wait: Wait) -> str:
    """Return how a wait ended."""
    if wait.kind is WaitKind.CHILDREN:
        if any(child.run_id is None for child in wait.children):
            return "what it asked for can't begin"
        how = "begun" if wait.is_detached else "ended"
        return f"{told(wait.children)} {'has' if len(wait.children) == 1 else 'have'} {how}"
    what = f"signal {wait.signal!r}" if wait.kind is WaitKind.SIGNAL else "its time"
    if wait.event is not None:
        what = f"event {wait.event.name!r}"
    return f"{what} didn't come" if wait.state is WaitState.TIMED_OUT else f"{what} came"


def _parent_columns(summary: RunSummary) -> dict[str, Any]:
    parent = summary.parent
    return {
        "parent": parent and parent.run_id,
        "parent_task": parent and parent.task,
        "parent_waits": parent and parent.waits,
        "depth": summary.depth,
    }


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
