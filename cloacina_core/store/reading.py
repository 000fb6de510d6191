"""Reads runs: whole ones, listings, histories, logs."""

import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, func, or_, select, tuple_

from cloacina_core.errors import InputError, StoreError, UnknownRunError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.ids import ID_LENGTH, EngineId, RunId, first_id_of, is_id_prefix
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.model.isolation import Isolation
from cloacina_core.model.release import Release, Resolution, ResolvedBy
from cloacina_core.model.run import AttemptResult, Failure, LogLine, Parent, RunSummary
from cloacina_core.model.spilled import Encoded, Load, encoded_of_json, text_of
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.stored import StoredRun, StoredTask
from cloacina_core.model.wait import Wait
from cloacina_core.store import schema
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.commands import open_commands
from cloacina_core.store.database import Database

_runs, _payloads = schema.runs, schema.payloads
_LAST_LETTER = "z"  # of an id
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list; None means any."""

    status: RunStatus | None = None
    package: str | None = None
    workflow: str | None = None
    since: datetime | None = None
    """Accepted at this moment or later, to the millisecond."""
    until: datetime | None = None
    """Accepted before this moment, to the millisecond."""
    parent: RunId | None = None
    """Asked for by a task of this run."""
    started_by: Collection[StarterKind] = ()
    """Started by something of one of these kinds; nothing: of any."""
    starter: str | None = None
    """Started by what has this name; `started_by` is to be given, too."""


LogPosition: TypeAlias = tuple[int, int]
"""The place of a part among the logs of its run: the later it was written, the greater."""

LOG_START: LogPosition = (0, 0)
"""Before the first part."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """Lines of one attempt that were written together."""

    position: LogPosition
    task: str
    attempt: int
    at: datetime
    """The moment of its first line."""


class RunReader:
    """Reads what engines wrote."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blobs = DatabaseBlobStore(lambda: database)

    def find(self, prefix: str) -> RunId:
        """Return the id of the run that an id, or the unique beginning of one, names.

        Raises:
            UnknownRunError: there is none.
            InputError: there are several.
        """
        prefix = prefix.strip().lower()
        if not is_id_prefix(prefix):
            raise UnknownRunError(prefix)
        query = select(_runs.c.id).where(_runs.c.id >= prefix).order_by(_runs.c.id).limit(2)
        query = query.where(_runs.c.id <= prefix.ljust(ID_LENGTH, _LAST_LETTER))
        with self._database.read() as connection:
            found = connection.execute(query).scalars().all()
        if not found:
            raise UnknownRunError(prefix)
        if len(found) > 1:
            raise InputError(
                f"more than one run begins with {prefix!r}", hint="give more of its id"
            )
        return RunId(found[0])

    def summary(self, run_id: RunId) -> RunSummary:
        """Return one run as listings show it.

        Raises:
            UnknownRunError: there is none with this id.
        """
        with self._database.read() as connection:
            return summary_of(_run_row(connection, run_id))

    def summaries(
        self, wanted: RunFilter, *, before: RunId | None = None, limit: int = 50
    ) -> list[RunSummary]:
        """Return runs, newest first.

        Args:
            wanted: which runs.
            before: give only older runs than this one: the last of the page before.
            limit: how many at most.
        """
        query = _filtered(select(_runs), wanted).order_by(_runs.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(_runs.c.id < before)
        with self._database.read() as connection:
            return [summary_of(row) for row in connection.execute(query)]

    def ended(self, runs: Collection[RunId]) -> list[RunSummary]:
        """Return those of some runs that have ended."""
        wanted = list(runs)
        with self._database.read() as connection:
            return [
                summary_of(row)
                for start in range(0, len(wanted), _PAGE)
                for row in connection.execute(
                    select(_runs).where(
                        _runs.c.id.in_(wanted[start : start + _PAGE]),
                        _runs.c.finished_at.is_not(None),
                    )
                )
            ]

    def load(self, run_id: RunId) -> StoredRun:
        """Return everything about a run.

        Raises:
            UnknownRunError: there is none with this id.
            StoreError: a stored payload isn't what was written.
            LostValueError: large params are lost. Other large values are fetched when asked for.
        """
        with self._database.read() as connection:
            row = _run_row(connection, run_id)
            body = connection.execute(
                select(schema.definitions.c.body).where(
                    schema.definitions.c.digest == row.definition
                )
            ).scalar_one()
            payloads = _Payloads(run_id, _payload_texts(connection, run_id), self._blobs.get)
            asked = open_commands(connection, run_id)
            return StoredRun(
                summary=summary_of(row),
                definition=WorkflowDefinition.from_json(json.loads(body)),
                params=payloads.params(),
                context=payloads.context(),
                outputs=payloads.by_task("output"),
                edits=payloads.by_task("edits"),
                tasks=_tasks(connection, run_id),
                last_seq=_last_seq(connection, run_id),
                engine_deaths=row.engine_deaths,
                queued_at=from_micros(row.queued_at),
                commands=tuple(command for command, is_handled in asked if not is_handled),
                signals=tuple(command for command, is_handled in asked if is_handled),
            )

    def events(
        self, run_id: RunId, *, task: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[RunEvent]:
        """Return the history of a run, oldest first.

        Args:
            run_id: of which run.
            task: give only events of this task and its instances, or of one instance.
            after: give only events behind this number.
            limit: how many at most.
        """
        table = schema.events
        query = select(table).where(table.c.run_id == run_id, table.c.seq > after)
        if task is not None:
            query = query.where(_is_of(table.c.task, task))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.seq).limit(limit)).mappings()
            return [event_of(row) for row in rows]

    def history(
        self, run_id: RunId, *, task: str | None = None, after: int = 0
    ) -> Iterator[list[RunEvent]]:
        """Yield the history of a run in pages, oldest first: it may be longer than memory."""
        while page := self.events(run_id, task=task, after=after, limit=_PAGE):
            yield page
            after = page[-1].seq

    def logs(self, run_id: RunId, *, task: str | None = None) -> Iterator[LogLine]:
        """Yield what the tasks of a run printed and logged, in order of time.

        Each part is read when the lines have come to its first one, so no more is in memory than
        was said side by side.
        """
        yield from self.lines_of(run_id, self.log_parts(run_id, task=task))

    def log_parts(
        self, run_id: RunId, *, task: str | None = None, after: LogPosition = LOG_START
    ) -> list[LogPart]:
        """Return what was written of the logs of a run, part by part as it was written.

        Args:
            run_id: of which run.
            task: only of this task and its instances, or of one instance.
            after: only what was written behind this.
        """
        logs = schema.logs
        query = (
            select(logs.c.seq, logs.c.part, logs.c.task, logs.c.attempt, logs.c.at)
            .where(logs.c.run_id == run_id, tuple_(logs.c.seq, logs.c.part) > tuple_(*after))
            .order_by(logs.c.seq, logs.c.part)
        )
        if task is not None:
            query = query.where(_is_of(logs.c.task, task))
        with self._database.read() as connection:
            return [
                LogPart((seq, part), name, attempt, from_micros(at))
                for seq, part, name, attempt, at in connection.execute(query)
            ]

    def lines_of(self, run_id: RunId, parts: Iterable[LogPart]) -> Iterator[LogLine]:
        """Yield the lines of some parts of the logs of a run, in order of time."""
        pending: list[tuple[datetime, int, Iterator[LogLine], LogLine]] = []
        for number, part in enumerate(sorted(parts, key=lambda part: part.at)):
            while pending and pending[0][0] < part.at:
                yield _take_line(pending)
            lines = iter(self._lines(run_id, part))
            if (first := next(lines, None)) is not None:
                heapq.heappush(pending, (first.at, number, lines, first))
        while pending:
            yield _take_line(pending)

    def _lines(self, run_id: RunId, part: LogPart) -> list[LogLine]:
        logs, (seq, number) = schema.logs, part.position
        query = select(logs.c.body).where(
            logs.c.run_id == run_id, logs.c.seq == seq, logs.c.part == number
        )
        with self._database.read() as connection:
            body = connection.execute(query).scalar()
        lines = [
            LogLine(
                task=part.task, attempt=part.attempt, at=from_micros(at), stream=stream, text=text
            )
            for at, stream, text in json.loads(body or "[]")
        ]
        return sorted(lines, key=lambda line: line.at)


def event_of(row: Mapping[Any, Any]) -> RunEvent:
    """Return the event that a row of the table `events` holds."""
    return RunEvent(
        run_id=RunId(row["run_id"]),
        seq=row["seq"],
        at=from_micros(row["at"]),
        type=EventType(row["type"]),
        task=row["task"],
        attempt=row["attempt"],
        engine=row["engine"],
        reason=row["reason"],
    )


def _take_line(pending: list[tuple[datetime, int, Iterator[LogLine], LogLine]]) -> LogLine:
    """Take the earliest line of all attempts, and put the next one of its attempt in its place."""
    _, number, lines, line = pending[0]
    following = next(lines, None)
    if following is None:
        heapq.heappop(pending)
    else:
        heapq.heapreplace(pending, (following.at, number, lines, following))
    return line


def _is_of(column: Column[Any], task: str) -> ColumnElement[bool]:
    """Return the condition that a name means a task or an instance of it.

    Not by LIKE, for which `_` means any letter, and `A` on one of the databases `a`.
    """
    instance = f"{task}["
    return or_(column == task, func.substr(column, 1, len(instance)) == instance)


def _filtered(query: Select[Any], wanted: RunFilter) -> Select[Any]:
    if wanted.status is not None:
        query = query.where(_runs.c.status == wanted.status.value)
    if wanted.package is not None:
        query = query.where(_runs.c.package == wanted.package)
    if wanted.workflow is not None:
        query = query.where(_runs.c.workflow == wanted.workflow)
    if wanted.parent is not None:
        query = query.where(_runs.c.parent == wanted.parent)
    if wanted.started_by:
        query = query.where(_runs.c.started_by.in_(wanted.started_by))
    if wanted.starter is not None:
        query = query.where(_runs.c.starter == wanted.starter)
        if all(kind.is_rule for kind in wanted.started_by):  # which have an index
            query = query.where(schema.BY_RULE)
    if wanted.since is not None:
        query = query.where(_runs.c.id >= first_id_of(wanted.since))
    if wanted.until is not None:
        query = query.where(_runs.c.id < first_id_of(wanted.until))
    return query


def _run_row(connection: Connection, run_id: RunId) -> Row[Any]:
    row = connection.execute(select(_runs).where(_runs.c.id == run_id)).one_or_none()
    if row is None:
        raise UnknownRunError(run_id)
    return row


def summary_of(row: Row[Any]) -> RunSummary:
    """Return the run that a row of the table `runs` holds, as listings show it."""
    return RunSummary(
        run_id=RunId(row.id),
        status=RunStatus(row.status),
        workflow=row.workflow,
        reference=row.reference,
        release=_release(row),
        resolution=_resolution(row),
        started_by=_started_by(row),
        priority=row.priority,
        idempotency_key=row.idempotency_key,
        concurrency_key=row.concurrency_key,
        origin=row.origin,
        parent=_parent(row),
        depth=row.depth,
        engine=row.engine,
        created_at=from_micros(row.created_at),
        started_at=_moment(row.started_at),
        finished_at=_moment(row.finished_at),
        error=_failure(row.error),
    )


def _started_by(row: Row[Any]) -> StartedBy:
    kind, what = StarterKind(row.started_by), row.started_for
    match kind:
        case StarterKind.SCHEDULE | StarterKind.BACKFILL:
            return StartedBy(kind=kind, name=row.starter, at=datetime.fromisoformat(what))
        case StarterKind.SUBSCRIPTION:
            return StartedBy(kind=kind, name=row.starter, event=what)
        case StarterKind.TRIGGER:
            return StartedBy(kind=kind, name=row.starter, key=what)
        case StarterKind.TASK:
            return StartedBy(kind=kind, name=row.starter, run_id=row.parent)
        case StarterKind.PRINCIPAL:
            return StartedBy(kind=kind, name=row.starter)


def _parent(row: Row[Any]) -> Parent | None:
    if row.parent is None:
        return None
    return Parent(run_id=RunId(row.parent), task=row.parent_task, waits=bool(row.parent_waits))


def _release(row: Row[Any]) -> Release | None:
    if row.package is None:
        return None
    return Release(
        source=row.source,
        package=row.package,
        version=row.version,
        digest=Digest(row.digest),
        workflows=(row.workflow,),
        signed_by=tuple(json.loads(row.signed_by)),
    )


def _resolution(row: Row[Any]) -> Resolution | None:
    if row.resolved_by is None:
        return None
    return Resolution(ResolvedBy(row.resolved_by), row.channel, row.channel_revision)


def _payload_texts(connection: Connection, run_id: RunId) -> dict[tuple[str, str], str]:
    texts = {}
    for row in connection.execute(select(_payloads).where(_payloads.c.run_id == run_id)):
        if digest_of_text(row.body) != row.digest:
            raise StoreError(
                f"the {row.kind} of run {run_id} {row.task} was changed in the database",
                hint="restore the database from a backup",
            )
        texts[row.kind, row.task] = row.body
    return texts


class _Payloads:
    """The payloads of one run, with what they refer to."""

    def __init__(self, run_id: RunId, texts: dict[tuple[str, str], str], load: Load) -> None:
        self._run_id = run_id
        self._texts = texts
        self._load = load

    def params(self) -> dict[str, JsonValue]:
        found = json.loads(self._texts.get(("params", ""), "{}"))
        if isinstance(found, list):  # a reference to them
            where = f"the params of run {self._run_id}"
            found = json.loads(text_of(encoded_of_json(found[0], where, self._load)))
        params: dict[str, JsonValue] = found
        return params

    def context(self) -> dict[str, Encoded]:
        text = self._texts.get(("context", ""), "{}")
        values = self._values(text, "the submitted context")
        return {key: value for key, value in values.items() if value is not None}

    def by_task(self, kind: str) -> dict[str, dict[str, Encoded | None]]:
        return {
            task: self._values(text, f"task {task}")
            for (one, task), text in self._texts.items()
            if one == kind
        }

    def _values(self, text: str, of: str) -> dict[str, Encoded | None]:
        values: dict[str, Any] = json.loads(text)
        for key, found in values.items():
            if isinstance(found, dict):
                where = f"key {key!r} of {of} of run {self._run_id}"
                values[key] = encoded_of_json(found, where, self._load)
        return values


def _tasks(connection: Connection, run_id: RunId) -> dict[str, StoredTask]:
    attempts: dict[str, list[AttemptResult]] = {}
    table = schema.attempts
    query = select(table).where(table.c.run_id == run_id).order_by(table.c.number)
    for row in connection.execute(query):
        attempts.setdefault(row.task, []).append(
            AttemptResult(
                number=row.number,
                engine=EngineId(row.engine),
                started_at=from_micros(row.started_at),
                finished_at=_moment(row.finished_at),
                outcome=row.outcome and AttemptOutcome(row.outcome),
                error=_failure(row.error),
                isolation=row.isolation and Isolation(row.isolation),
                enforced=tuple(json.loads(row.enforced)) if row.enforced else (),
            )
        )
    rows: Sequence[Row[Any]] = connection.execute(
        select(schema.tasks).where(schema.tasks.c.run_id == run_id)
    ).all()
    return {
        row.name: StoredTask(
            name=row.name,
            status=TaskStatus(row.status),
            attempts=tuple(attempts.get(row.name, ())),
            wake_at=_moment(row.wake_at),
            reason=row.reason,
            unseen=tuple(json.loads(row.unseen or "[]")),
            instances=row.instances,
            **_waits(row.waits),
        )
        for row in rows
    }


def _waits(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    kept = json.loads(text)
    return {
        "waits": tuple(Wait.from_json(wait) for wait in kept["waits"]),
        "ran": timedelta(microseconds=kept["ran"]),
    }


def _last_seq(connection: Connection, run_id: RunId) -> int:
    table = schema.events
    query = select(table.c.seq).where(table.c.run_id == run_id)
    return connection.execute(query.order_by(table.c.seq.desc()).limit(1)).scalar() or 0


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _failure(text: str | None) -> Failure | None:
    return None if text is None else Failure(**json.loads(text))
