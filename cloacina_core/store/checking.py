"""Looks for damage in a store: what can't be what an engine wrote.

The store is read in pages of runs, each page in one state of the database. The rows of a page come
as streams side by side, so that neither many runs nor a run with a long history fill the memory.
"""

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, Label, Result, Row, Select, Table, exists, func, select

from cloacina_core.errors import StoreDamagedError
from cloacina_core.foundation.digest import digest_of, digest_of_text
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import split_instance
from cloacina_core.model.event import EventType
from cloacina_core.model.history import OUTCOMES, FoldedRun
from cloacina_core.model.spilled import digests_in_json
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, awaited
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.retention import YOUNG

RUNS_IN_PAGE = 200
UNUSED_MICROS = 2 * int(YOUNG.total_seconds() * 1_000_000)
"""How old a blob without a use must be to be told: until then a sweep may still come."""
_ROWS_IN_MEMORY = 1000
_DEFINITIONS_IN_MEMORY = 100
_MOST_OF_SQLITE = 100
"""How many faults SQLite is asked for: a damaged file has them without end."""

Progress: TypeAlias = Callable[[int, int], object]
"""Told how many runs were looked at, and of how many."""

_RESTORE = "restore the store from a backup"
_REPORT = "report it with the run's events; it is a fault of Cloacina unless the store was edited"
_MEND: Mapping[str, str] = {
    "damaged-file": _RESTORE,
    "changed-definition": _RESTORE,
    "changed-payload": "restore the store from a backup, or run the workflow again",
    "missing-definition": _RESTORE,
    "damaged-blob": "restore the store from a backup, or run the workflow again",
    "missing-blob": "restore the store from a backup, or run the workflow again",
    "missing-use": _RESTORE,
    "unused-blob": "nothing: the next engine that sweeps deletes it; else use: cloacina db prune",
    "orphan": "delete the rows: nothing reads them; if the run should be there, restore a backup",
    "unknown-task": "delete the row, or restore the store from a backup",
    "unknown-value": "restore the store from a backup; a newer version may have written it",
    "gap-in-history": _RESTORE,
    "history-disagrees": _REPORT,
    "attempts-disagree": _REPORT,
    "unfinished": _REPORT,
    "missing-child": _RESTORE,
}
KINDS = frozenset(_MEND)
"""What can be found."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing in a store that can't be what an engine wrote."""

    kind: str
    """One of `KINDS`: stable, for scripts."""
    message: str
    run_id: str | None = None

    @property
    def mend(self) -> str:
        """What to do about it."""
        return _MEND[self.kind]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the finding as a JSON object."""
        return {
            "kind": self.kind,
            "run_id": self.run_id,
            "message": self.message,
            "mend": self.mend,
        }


def check(database: Database, progress: Progress | None = None) -> Generator[Damage, None, None]:
    """Yield all damage that is found in a store; nothing is changed.

    A file that is too damaged to be read on is the last finding.

    Raises:
        StoreError: the database itself can't be read.
    """
    try:
        yield from _all(database, progress)
    except StoreDamagedError as error:
        yield Damage("damaged-file", error.message)


def _all(database: Database, progress: Progress | None) -> Iterator[Damage]:
    if database.is_sqlite:
        yield from _file(database)
    yield from _definitions(database)
    yield from _blobs(database)
    with database.read() as connection:
        count = select(func.count()).select_from(schema.runs)
        total = connection.execute(count).scalar_one()
    definitions = _Definitions()
    done, last = 0, ""
    while True:
        with database.read() as connection:
            runs = connection.execute(_next_runs(last)).all()
            end = runs[-1].id if len(runs) == RUNS_IN_PAGE else None
            yield from _page(connection, runs, definitions, last)
        done += len(runs)
        if progress is not None:
            progress(done, max(done, total))
        if end is None:
            return
        last = end


def _file(database: Database) -> Iterator[Damage]:
    with database.read() as connection:
        told = connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST_OF_SQLITE})").scalars()
        for line in told:
            if line != "ok":
                yield Damage("damaged-file", f"SQLite: {line}")


def _definitions(database: Database) -> Iterator[Damage]:
    with (
        database.read() as connection,
        _streamed(connection, select(schema.definitions)) as rows,
    ):
        for row in rows:
            if digest_of_text(row.body) != row.digest:
                yield Damage("changed-definition", f"definition {row.digest} was changed")


def _blobs(database: Database) -> Iterator[Damage]:
    """Yield what is wrong with blobs. They are read one by one: each may be large."""
    blobs, uses = schema.blobs, schema.blob_uses
    user = select(func.min(uses.c.run_id)).where(uses.c.digest == blobs.c.digest).scalar_subquery()
    known = select(blobs.c.digest, blobs.c.put_at, user.label("user")).order_by(blobs.c.digest)
    with database.read() as connection:
        young = database.now_micros(connection) - UNUSED_MICROS
        found = connection.execute(known).all()
    for blob in found:
        with database.read() as connection:
            query = select(blobs.c.body).where(blobs.c.digest == blob.digest)
            body = connection.execute(query).scalar()
        if body is not None and digest_of(body) != blob.digest:
            yield Damage("damaged-blob", f"the bytes under {blob.digest} were changed", blob.user)
        if blob.user is None and blob.put_at < young:
            yield Damage("unused-blob", f"no payload refers to the bytes under {blob.digest}")


def _next_runs(last: str) -> Select[Any]:
    runs = schema.runs
    known = exists().where(schema.definitions.c.digest == runs.c.definition)
    query = select(runs, known.label("is_defined")).where(runs.c.id > last)
    return query.order_by(runs.c.id).limit(RUNS_IN_PAGE)


def _streamed(connection: Connection, query: Select[Any]) -> Result[Any]:
    return connection.execution_options(yield_per=_ROWS_IN_MEMORY).execute(query)


def _payload(row: Row[Any]) -> str:
    return f"{row.kind} of task {row.task}" if row.task else str(row.kind)


class _RunCheck:
    """One run: what its history says, held against its rows."""

    def __init__(self, row: Row[Any], task_names: frozenset[str] | None) -> None:
        self.id = RunId(row.id)
        self.missing_definition: str | None = None if row.is_defined else row.definition
        self.status: str = row.status
        self.has_finish = row.finished_at is not None
        self.task_names = task_names
        self.folded = FoldedRun()
        self.uses: set[tuple[str, str, str]] = set()
        self.attempts: Counter[str] = Counter()
        self.last_outcome: dict[str, str | None] = {}
        self.has_gap = False
        self.unknown: set[str] = set()
        self.awaited: dict[str, str] = {}
        """Runs that its tasks wait for, and which task does."""

    def begin(self) -> Iterator[Damage]:
        """Say what the run's own row shows."""
        if self.missing_definition is not None:
            message = f"its definition {self.missing_definition} isn't there"
            yield self._damage("missing-definition", message)

    def foreign(self, table: Table, row: Row[Any]) -> Iterator[Damage]:
        """Say that a row is of a task that the run's workflow doesn't have."""
        task, _ = split_instance((row.name if table is schema.tasks else row.task) or "")
        if not task or self.task_names is None or task in self.task_names | self.unknown:
            return
        self.unknown.add(task)
        yield self._damage("unknown-task", f"{table.name} of task {task!r}, which it hasn't")

    def use(self, row: Row[Any]) -> Iterator[Damage]:
        """Look at a use of a blob."""
        self.uses.add((row.kind, row.task, row.digest))
        if not row.is_there:
            message = f"the {_payload(row)} refers to {row.digest}, which isn't there"
            yield self._damage("missing-blob", message)

    def payload(self, row: Row[Any]) -> Iterator[Damage]:
        """Look at a payload."""
        if digest_of_text(row.body) != row.digest:
            yield self._damage("changed-payload", f"the {_payload(row)} was changed")
            return
        found = json.loads(row.body)
        if row.kind == "params" and isinstance(found, dict):
            return  # the params themselves
        for digest in digests_in_json(found):
            if (row.kind, row.task, digest) not in self.uses:
                message = f"nothing keeps {digest} for the {_payload(row)}"
                yield self._damage("missing-use", message)

    def log(self, row: Row[Any]) -> Iterator[Damage]:
        """Look at what an attempt said."""
        try:
            json.loads(row.body)
        except ValueError:
            message = f"the log of attempt {row.attempt} at {row.task} can't be read"
            yield self._damage("unknown-value", message)

    def event(self, row: Row[Any]) -> Iterator[Damage]:
        """Look at an event, and take it into what the history says."""
        if row.seq != self.folded.seq + 1 and not self.has_gap:
            self.has_gap = True
            yield self._damage("gap-in-history", f"event {self.folded.seq + 1} is missing")
        try:
            event_type = EventType(row.type)
        except ValueError:
            self.folded.seq = row.seq
            yield self._damage("unknown-value", f"event {row.seq} is {row.type!r}")
            return
        self.folded.add(row.seq, event_type, row.task, row.attempt)

    def attempt(self, row: Row[Any]) -> Iterator[Damage]:
        """Look at an attempt; they come in the order of their numbers."""
        self.attempts[row.task] += 1
        if row.number != self.attempts[row.task]:
            message = f"attempt {self.attempts[row.task]} at {row.task} is missing"
            self.attempts[row.task] = row.number
            yield self._damage("attempts-disagree", message)
        before = self.last_outcome.get(row.task, AttemptOutcome.FAILED.value)
        if before in (None, AttemptOutcome.SUCCEEDED.value):
            how = "succeeded" if before else "has not ended"
            message = f"attempt {row.number} at {row.task} came after one that {how}"
            yield self._damage("attempts-disagree", message)
        self.last_outcome[row.task] = row.outcome
        if (row.outcome is None) != (row.finished_at is None):
            yield self._damage("unfinished", f"attempt {row.number} at {row.task} has half an end")

    def task(self, row: Row[Any]) -> Iterator[Damage]:
        """Hold a task against its events and attempts."""
        folded = self.folded.tasks.pop(row.name, None)
        count = self.attempts.get(row.name, 0)
        if folded is None:
            message = f"task {row.name} is {row.status}, and no event says so"
            yield self._damage("history-disagrees", message)
        elif (folded.status.value, folded.attempts) != (row.status, row.attempts):
            message = f"task {row.name} is {row.status} after {row.attempts} attempts; "
            message += f"its events say {folded.status.value} after {folded.attempts}"
            yield self._damage("history-disagrees", message)
        if count != row.attempts:
            message = f"task {row.name} counts {row.attempts} attempts, and {count} are there"
            yield self._damage("attempts-disagree", message)
        elif count and not self._fits(row.name, row.status):
            outcome = self.last_outcome[row.name] or "not over"
            message = f"task {row.name} is {row.status}, and its last attempt is {outcome}"
            yield self._damage("attempts-disagree", message)

        if row.status == TaskStatus.SLEEPING and row.waits:
            waits = [Wait.from_json(wait) for wait in json.loads(row.waits)["waits"]]
            self.awaited |= {child.run_id or "": row.name for child in awaited(waits)}

    def links(self, connection: Connection) -> Iterator[Damage]:
        """Say which runs aren't there that it waits for. A parent may be gone, a child may not."""
        if not self.awaited:
            return
        runs = schema.runs
        found = connection.execute(select(runs.c.id).where(runs.c.id.in_(self.awaited))).scalars()
        for missing in sorted(self.awaited.keys() - set(found)):
            message = f"task {self.awaited[missing]} waits for run {missing}, which isn't there"
            yield self._damage("missing-child", message)

    def end(self) -> Iterator[Damage]:
        """Say what only shows when all rows were seen."""
        if self.folded.seq == 0:
            yield self._damage("gap-in-history", "it has no events")
        elif self.folded.status is None or self.folded.status.value != self.status:
            told = self.folded.status.value if self.folded.status else "nothing"
            yield self._damage("history-disagrees", f"it is {self.status}; its events say {told}")
        for name, task in self.folded.tasks.items():  # those without a row
            message = f"the events say that task {name} is {task.status.value}; it has no row"
            yield self._damage("history-disagrees", message)
        is_final = RunStatus(self.status).is_final
        if is_final != self.has_finish:
            told = "has no time of its end" if is_final else "has a time of its end"
            yield self._damage("unfinished", f"it is {self.status}, and {told}")

    def _fits(self, task: str, status: str) -> bool:
        allowed = OUTCOMES.get(TaskStatus(status))
        return allowed is None or self.last_outcome[task] in allowed

    def _damage(self, kind: str, message: str) -> Damage:
        return Damage(kind, message, self.id)


_LOOKS: Sequence[tuple[Table, Callable[[_RunCheck, Row[Any]], Iterator[Damage]]]] = (
    (schema.blob_uses, _RunCheck.use),
    (schema.payloads, _RunCheck.payload),
    (schema.logs, _RunCheck.log),
    (schema.events, _RunCheck.event),
    (schema.attempts, _RunCheck.attempt),
    (schema.tasks, _RunCheck.task),
)
"""Each table and what looks at its rows; a look may use what those before it saw."""


_MORE: Mapping[Table, Sequence[Label[bool]]] = {
    schema.blob_uses: [
        exists().where(schema.blobs.c.digest == schema.blob_uses.c.digest).label("is_there")
    ],
}
"""What is asked about the rows of a table beside themselves."""


class _Rows:
    """The rows of one table, in the order of their runs."""

    def __init__(self, connection: Connection, table: Table, after: str, end: str | None) -> None:
        query = select(table, *_MORE.get(table, ())).where(table.c.run_id > after)
        if end is not None:
            query = query.where(table.c.run_id <= end)
        self._connection = connection
        self._table = table
        self._rows = _streamed(connection, query.order_by(*table.primary_key.columns))
        self._next = next(self._rows, None)

    def close(self) -> None:
        """Read no more."""
        self._rows.close()

    def of(self, run_id: str) -> Iterator[Row[Any]]:
        """Yield the rows of a run; those of runs before it were taken already."""
        while self._next is not None and self._next.run_id == run_id:
            yield self._next
            self._next = next(self._rows, None)

    def orphans(self, before: str | None) -> Iterator[Damage]:
        """Pass over the rows that come before those of a run: nobody owns them."""
        while self._next is not None and (before is None or self._next.run_id < before):
            run_id = self._next.run_id
            count = sum(1 for _ in self.of(run_id))
            if self._is_discarded(run_id):
                continue
            message = f"{count} rows in {self._table.name} of a run that isn't there"
            yield Damage("orphan", message, run_id)

    def _is_discarded(self, run_id: str) -> bool:
        discarded = schema.discarded_runs.c.run_id
        query = select(discarded).where(discarded == run_id)
        return self._connection.execute(query).scalar() is not None


class _Definitions:
    """Which tasks the workflows of runs have."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str] | None] = {}

    def names(self, connection: Connection, digest: str) -> frozenset[str] | None:
        """Return the names of a definition's tasks; None when it can't be read."""
        if digest not in self._names:
            if len(self._names) >= _DEFINITIONS_IN_MEMORY:
                self._names.clear()
            self._names[digest] = self._read(connection, digest)
        return self._names[digest]

    @staticmethod
    def _read(connection: Connection, digest: str) -> frozenset[str] | None:
        table = schema.definitions
        body = connection.execute(select(table.c.body).where(table.c.digest == digest)).scalar()
        try:
            return frozenset(task["name"] for task in json.loads(body or "")["tasks"])
        except (ValueError, LookupError, TypeError):
            return None  # told where definitions are looked at


def _page(
    connection: Connection, runs: Sequence[Row[Any]], definitions: _Definitions, after: str
) -> Iterator[Damage]:
    """Yield what is wrong with some runs, and which rows around them are nobody's."""
    end = runs[-1].id if len(runs) == RUNS_IN_PAGE else None
    with ExitStack() as stack:
        tables = [
            (stack.enter_context(closing(_Rows(connection, table, after, end))), table, look)
            for table, look in _LOOKS
        ]
        for row in runs:
            names = definitions.names(connection, row.definition) if row.is_defined else None
            run = _RunCheck(row, names)
            yield from run.begin()
            for rows, table, look in tables:
                yield from rows.orphans(before=row.id)
                for found in rows.of(row.id):
                    yield from run.foreign(table, found)
                    yield from look(run, found)
            yield from run.end()
            yield from run.links(connection)
        for rows, _, _ in tables:
            yield from rows.orphans(before=None)
