"""Keeps what people ask of runs until the engine that has the run obeys.

A run that nobody works on is changed here, in the store, where that is all there is to do: a paused
one is queued again, and one that has ended goes on.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, update

from cloacina_core.errors import IllegalTransitionError, UnknownRunError
from cloacina_core.foundation.clock import to_micros
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.ids import ID_LENGTH, EngineId, RunId
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.event import EventType
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.store import schema
from cloacina_core.store.admission import Admission
from cloacina_core.store.children import ASK_CHILDREN
from cloacina_core.store.database import Database
from cloacina_core.store.watching import announce

_commands, _runs, _tasks, _events = schema.commands, schema.runs, schema.tasks, schema.events
_REPEATABLE = (RunStatus.FAILED, RunStatus.CANCELLED)


class CommandStore:
    """Where people ask, and engines look."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._admission = Admission(database) if database.is_tenant else None

    def ask(self, command: Command) -> None:
        """Keep a command for the engine that has the run, now or later. It is durable.

        Asking twice, with one id, is asking once.

        Raises:
            UnknownRunError: there is no such run.
            IllegalTransitionError: the run has ended.
        """
        with self._database.begin() as connection:
            run = _locked(connection, command.run_id)
            if _is_known(connection, command):
                return
            if RunStatus(run.status).is_final:
                raise IllegalTransitionError(
                    f"run {command.run_id} has ended: it {run.status}",
                    hint=f"look at it with: cloacina runs show {command.run_id}",
                )
            now = self._database.now_micros(connection)
            is_done = run.engine is None and _obeyed_here(connection, run, command, now)
            if is_done:
                _ask_children(connection, command, now)
            self._keep(connection, command, now, is_done=is_done)

    def _keep(self, connection: Connection, command: Command, now: int, *, is_done: bool) -> None:
        announce(connection)
        connection.execute(
            insert(_commands).values(
                id=command.id,
                run_id=command.run_id,
                kind=command.kind.value,
                name=command.name,
                payload=command.payload,
                reason=command.reason,
                asked_by=command.asked_by,
                asked_at=now,
                handled_at=now if is_done else None,
            )
        )

    def tell_late(
        self, run_id: RunId, task: str, attempt: int, outcome: AttemptOutcome, *, engine: EngineId
    ) -> None:
        """Have a run's history tell of a result that isn't used. Telling it twice is telling once.

        Nothing is told when the result was stored: an engine that loses its lease in the middle of
        a commit doesn't know.

        Args:
            run_id: which run; one that isn't there any more is passed over.
            task: whose attempt it was.
            attempt: its number.
            outcome: what it came to.
            engine: who tells it.
        """
        reason = f"the attempt {outcome.value} after its engine had lost the run"
        command = Command(
            id=digest_of_text(f"{run_id} {task} {attempt}").rpartition(":")[2][:ID_LENGTH],
            run_id=run_id,
            kind=CommandKind.LATE,
            payload=json.dumps({"task": task, "attempt": attempt}),
            reason=reason,
            asked_by=engine,
        )
        with suppress(UnknownRunError), self._database.begin() as connection:
            run = _locked(connection, run_id)
            if _is_known(connection, command) or _may_be_stored(
                connection, run_id, task, attempt, outcome
            ):
                return
            now = self._database.now_micros(connection)
            is_done = run.engine is None or RunStatus(run.status).is_final
            if is_done:
                rejected = EventType.COMMIT_REJECTED
                _tell(connection, run_id, rejected, now, reason, task=task, attempt=attempt)
            self._keep(connection, command, now, is_done=is_done)

    def pending(self, engine: EngineId) -> list[Command]:
        """Return what the runs of an engine were asked and haven't obeyed, the oldest first."""
        query = (
            select(_commands)
            .join(_runs, _runs.c.id == _commands.c.run_id)
            .where(_commands.c.handled_at.is_(None), _runs.c.engine == engine, _is_live())
            .order_by(_commands.c.asked_at, _commands.c.id)
        )
        with self._database.read() as connection:
            return [_command(row) for row in connection.execute(query)]

    def retry(
        self,
        run_id: RunId,
        tasks: Iterable[str],
        expanded: Mapping[str, Sequence[str]],
        *,
        ended_at: datetime,
        reason: str,
    ) -> None:
        """Let a run that has ended wait for an engine again, and some of its tasks wait with it.

        Args:
            run_id: which run.
            tasks: those that are tried again, and instances.
            expanded: mapped tasks that go on with the instances they have, and what they don't see.
            ended_at: when it ended: somebody else may have been faster, and it may have ended
                again.
            reason: who asks, and why.

        Raises:
            UnknownRunError: there is no such run.
            IllegalTransitionError: it hasn't failed, and wasn't cancelled; or not any more.
            OverQuotaError: a quota of the tenant has no room for one more run.
            TenantSuspendedError: nothing new may start.
        """
        with self._database.begin() as connection:
            if self._admission is not None:
                self._admission.admit_again(connection)
            run = _locked(connection, run_id)
            if RunStatus(run.status) not in _REPEATABLE or run.finished_at != to_micros(ended_at):
                raise IllegalTransitionError(
                    f"run {run_id} is {run.status}: only one that failed or was cancelled can be "
                    "tried again",
                    hint="start the same as a new run with: cloacina runs rerun",
                )
            now = self._database.now_micros(connection)
            announce(connection)
            _queue(connection, run_id, now, started_at=None, finished_at=None, error=None)
            rows = [{"in_run": run_id, "task": name} for name in tasks]
            if rows:
                connection.execute(_WAIT_AGAIN, rows)
            for name, unseen in expanded.items():
                again = {"in_run": run_id, "task": name, "unseen": json.dumps(unseen)}
                connection.execute(_GO_ON, again)
            unhandled = (_commands.c.run_id == run_id, _commands.c.handled_at.is_(None))
            connection.execute(update(_commands).where(*unhandled).values(handled_at=now))
            _tell(connection, run_id, EventType.RETRIED, now, reason)
            for row in rows:
                _tell(connection, run_id, EventType.TASK_RESET, now, task=row["task"])


def open_commands(connection: Connection, run_id: RunId) -> list[tuple[Command, bool]]:
    """Return what a run was asked and hasn't obeyed, and its signals that no task took.

    With each, whether an engine has handled it. The oldest comes first.
    """
    is_kept = _commands.c.taken_by.is_(None) & (_commands.c.kind == CommandKind.SIGNAL.value)
    query = (
        select(_commands)
        .where(_commands.c.run_id == run_id, or_(_commands.c.handled_at.is_(None), is_kept))
        .order_by(_commands.c.asked_at, _commands.c.id)
    )
    return [(_command(row), row.handled_at is not None) for row in connection.execute(query)]


def _command(row: Row[Any]) -> Command:
    return Command(
        id=row.id,
        run_id=RunId(row.run_id),
        kind=CommandKind(row.kind),
        name=row.name,
        payload=row.payload,
        reason=row.reason,
        asked_by=row.asked_by,
    )


def _is_live() -> Any:
    return _runs.c.status.in_([status.value for status in RunStatus if not status.is_final])


def _is_known(connection: Connection, command: Command) -> bool:
    query = select(_commands.c.id).where(
        _commands.c.run_id == command.run_id, _commands.c.id == command.id
    )
    return connection.execute(query).scalar() is not None


def _may_be_stored(
    connection: Connection, run_id: RunId, task: str, attempt: int, outcome: AttemptOutcome
) -> bool:
    """Whether the store has what an attempt came to; of one that still waits, it may."""
    attempts = schema.attempts
    query = select(attempts.c.outcome).where(
        attempts.c.run_id == run_id, attempts.c.task == task, attempts.c.number == attempt
    )
    stored = connection.execute(query).scalar()
    if stored is None:
        return outcome is AttemptOutcome.DEFERRED
    return AttemptOutcome(stored) not in (AttemptOutcome.LOST, AttemptOutcome.RELEASED)


def _locked(connection: Connection, run_id: RunId) -> Row[Any]:
    """Return a run's row, which nobody else changes before the end of the transaction."""
    query = select(_runs).where(_runs.c.id == run_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownRunError(run_id)
    return row


def _obeyed_here(connection: Connection, run: Row[Any], command: Command, now: int) -> bool:
    """Pause a run that no engine has, or let it go on; False for what needs an engine."""
    if command.kind is CommandKind.RESUME and run.status == RunStatus.PAUSED:
        _queue(connection, command.run_id, now)
        _tell(connection, command.run_id, EventType.QUEUED, now, str(command))
        return True
    if command.kind is CommandKind.PAUSE and run.status != RunStatus.PAUSED:
        paused = update(_runs).where(_runs.c.id == command.run_id)
        connection.execute(paused.values(status=RunStatus.PAUSED.value))
        _tell(connection, command.run_id, EventType.PAUSED, now, str(command))
        return True
    return False


def _ask_children(connection: Connection, command: Command, now: int) -> None:
    """Ask the same of the runs that a run waits for."""
    connection.execute(
        ASK_CHILDREN,
        {
            "in_run": command.run_id,
            "command": command.id,
            "what": command.kind.value,
            "why": command.reason,
            "who": f"run {command.run_id}",
            "at": now,
        },
    )


def _queue(connection: Connection, run_id: RunId, now: int, **more: None) -> None:
    """Let a run wait for an engine."""
    queued = {"status": RunStatus.QUEUED.value, "engine": None, "engine_deaths": 0}
    connection.execute(
        update(_runs).where(_runs.c.id == run_id).values(**queued, queued_at=now, **more)
    )


_WAIT_AGAIN = (
    update(_tasks)
    .where(_tasks.c.run_id == bindparam("in_run"), _tasks.c.name == bindparam("task"))
    .values(status=TaskStatus.WAITING.value, wake_at=None, reason=None, unseen=None, waits=None)
)


_GO_ON = (
    update(_tasks)
    .where(_tasks.c.run_id == bindparam("in_run"), _tasks.c.name == bindparam("task"))
    .values(status=TaskStatus.RUNNING.value, reason=None, unseen=bindparam("unseen"))
)


def _tell(
    connection: Connection,
    run_id: RunId,
    event_type: EventType,
    now: int,
    reason: str | None = None,
    *,
    task: str | None = None,
    attempt: int | None = None,
) -> None:
    """Write the next event of a run that no engine has, or that has ended."""
    last = connection.execute(
        select(func.max(_events.c.seq)).where(_events.c.run_id == run_id)
    ).scalar()
    connection.execute(
        insert(_events).values(
            run_id=run_id,
            seq=(last or 0) + 1,
            at=now,
            type=event_type.value,
            task=task,
            attempt=attempt,
            reason=reason,
        )
    )
