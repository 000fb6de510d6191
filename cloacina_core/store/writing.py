"""Writes the transitions of runs: everything in a flush, or nothing of it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, String, Table, bindparam, insert, null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import UpdateBase

from cloacina_core.errors import OutcomeUnknownError, StoreUnavailableError
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.store import schema
from cloacina_core.store.admission import Admission
from cloacina_core.store.batch import Batch, GuardError, KnownKey, Row, StaleEngineError
from cloacina_core.store.children import ASK_CHILDREN
from cloacina_core.store.database import Database, insert_unless_there
from cloacina_core.store.direct import DirectStatement, Executed
from cloacina_core.store.watching import Change, announce

_engines, _runs, _tasks, _attempts = schema.engines, schema.runs, schema.tasks, schema.attempts
_commands, _permits = schema.commands, schema.permits


def _new(table: Table, *columns: str) -> dict[str, BindParameter[Any]]:
    """Return the values of columns that a statement is given by their names."""
    return {name: bindparam(name, type_=table.c[name].type) for name in columns}


_CHANGE_RUN = (
    update(_runs)
    .where(
        _runs.c.id == bindparam("run_id"),
        _runs.c.engine == bindparam("was_engine"),
        _runs.c.status == bindparam("was_status"),
    )
    .values(
        _new(_runs, "status", "engine", "engine_deaths", "started_at", "finished_at", "error"),
    )
)
_CHANGE_TASK = (
    update(_tasks)
    .where(
        _tasks.c.run_id == bindparam("in_run"),
        _tasks.c.name == bindparam("task"),
        _tasks.c.status == bindparam("was_status"),
        _tasks.c.attempts == bindparam("was_attempts"),
    )
    .values(
        _new(_tasks, "status", "attempts", "wake_at", "reason", "unseen", "waits", "instances"),
    )
)
_THE_OPEN_ATTEMPT = (
    _attempts.c.run_id == bindparam("in_run"),
    _attempts.c.task == bindparam("of_task"),
    _attempts.c.number == bindparam("attempt"),
    _attempts.c.engine == bindparam("was_engine"),
    _attempts.c.finished_at.is_(None),
)
_MOVE_ATTEMPT = update(_attempts).where(*_THE_OPEN_ATTEMPT).values(_new(_attempts, "engine"))
_END_ATTEMPT = (
    update(_attempts)
    .where(*_THE_OPEN_ATTEMPT)
    .values(_new(_attempts, "finished_at", "outcome", "error", "isolation", "enforced"))
)
_THE_COMMAND = (
    _commands.c.run_id == bindparam("in_run"),
    _commands.c.id == bindparam("command"),
)
_HANDLE_COMMAND = (
    update(_commands)
    .where(*_THE_COMMAND, _commands.c.handled_at.is_(None))
    .values(_new(_commands, "handled_at"))
)
_TAKE_SIGNAL = (
    update(_commands)
    .where(*_THE_COMMAND, _commands.c.handled_at.is_not(None), _commands.c.taken_by.is_(None))
    .values(_new(_commands, "taken_by"))
)
_GIVE_BACK = (
    update(_permits)
    .where(
        _permits.c.limit_name == bindparam("of_limit"),
        _permits.c.run_id == bindparam("in_run"),
        _permits.c.task == bindparam("of_task"),
        _permits.c.attempt == bindparam("of_attempt"),
    )
    .values(engine=null())
)
_TAKE_TURN = (
    update(_engines)
    .where(
        _engines.c.id == bindparam("of_engine"),
        _engines.c.stopped_at.is_(None),
        _engines.c.writes < bindparam("number"),
    )
    .values(writes=bindparam("number", type_=_engines.c.writes.type))
)
# A use counts only if its blob is there, and keeps it there: retention waits for the commit, and so
# sees the use.
_USED_BLOB = select(
    *(bindparam(name, type_=String) for name in ("in_run", "of_kind", "of_task")),
    schema.blobs.c.digest,
).where(schema.blobs.c.digest == bindparam("blob"))
_USE_BLOB = insert(schema.blob_uses).from_select(
    ["run_id", "kind", "task", "digest"],
    _USED_BLOB.with_for_update(read=True, key_share=True, of=schema.blobs),
)
_INSERTS = {
    table: insert(table)
    for table in (
        schema.runs,
        schema.tasks,
        schema.attempts,
        schema.payloads,
        schema.logs,
        schema.events,
        schema.event_waits,
    )
}


_ADDING_DEFINITIONS: dict[str, UpdateBase] = {}


def _adding_definitions(database: Database) -> UpdateBase:
    """Return one statement for each dialect: another one would be compiled again."""
    dialect = database.dialect.name
    if dialect not in _ADDING_DEFINITIONS:
        adding = insert_unless_there(database, schema.definitions)
        _ADDING_DEFINITIONS[dialect] = adding.on_conflict_do_nothing()
    return _ADDING_DEFINITIONS[dialect]


class RunWriter:
    """Writes batches for one engine, guarded by owner, attempt and status."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.direct_connection()
        self._admission = Admission(database) if database.is_tenant else None
        self._compiled = database.statements
        self._add_definition = _adding_definitions(database)

    def write(self, batch: Batch, engine: EngineId) -> None:
        """Write a batch in one transaction; it is durable when this returns.

        Writing a batch again, because it isn't known whether it was written, does nothing when it
        was.

        Raises:
            StaleEngineError: another engine declared this one dead.
            GuardError: a row to change isn't as it was thought to be. Nothing was written.
            KeyTakenError: an idempotency key is in use. Nothing was written.
            OverQuotaError: a quota of the tenant has no room for its new runs. Nothing was written.
            TenantSuspendedError: nothing new may start. Nothing was written.
            StoreUnavailableError: the database can't be written now.
            StoreError: the database doesn't accept a row.
        """
        try:
            self._write(batch, engine)
        except OutcomeUnknownError:
            raise
        except StoreUnavailableError:
            if self._connection.is_open:
                raise
            # It broke while it wasn't used, as when the server was started anew: nobody should be
            # refused for that.
            self._write(batch, engine)

    def _write(self, batch: Batch, engine: EngineId) -> None:
        try:
            with self._database.begin_directly(self._connection):
                self._execute(batch, engine)
        except _NotNextError:
            if not self._is_alive(engine):
                raise StaleEngineError(engine) from None

    def keys_in_use(self, keys: Sequence[str]) -> dict[str, KnownKey]:
        """Return the runs that idempotency keys belong to."""
        query = select(_runs.c.idempotency_key, _runs.c.id, _runs.c.request_digest)
        with self._database.read() as connection:
            rows = connection.execute(query.where(_runs.c.idempotency_key.in_(keys)))
            return {key: KnownKey(RunId(run_id), digest) for key, run_id, digest in rows}

    def _is_alive(self, engine: EngineId) -> bool:
        query = select(_engines.c.id).where(
            _engines.c.id == engine, _engines.c.stopped_at.is_(None)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar() is not None

    def _execute(self, batch: Batch, engine: EngineId) -> None:
        """Execute a batch's statements, if it is the next one of its engine.

        The change of the engine's row keeps others from declaring it dead before the commit. Where
        there is a server, whether that succeeded is known only at the end of all statements.
        """
        taken: list[tuple[Executed, int]] = []
        changed: list[tuple[Executed, int]] = []
        turn = {"of_engine": engine, "number": batch.number}
        must_ask = self._admission is not None and bool(batch.new_runs)
        if must_ask:
            self._admit(batch, turn)
        try:
            with self._connection.gathered():
                if not must_ask:
                    taken.append((self._change(_TAKE_TURN, [turn]), 1))
                self._execute_changes(batch, changed)
        except IntegrityError as error:
            # What is there already, is there because the batch was written, or because another
            # engine went on.
            _check(taken, _NotNextError)
            if _runs.c.idempotency_key.name in str(error.orig):  # both databases name it
                raise KeyTakenError from error
            _check(changed, GuardError)
            raise
        _check(taken, _NotNextError)
        _check(changed, GuardError)

    def _admit(self, batch: Batch, turn: Row) -> None:
        """Ask the tenant's quotas for new runs, unless the batch was written already."""
        _check([(self._change(_TAKE_TURN, [turn]), 1)], _NotNextError)
        if self._admission is not None:
            self._admission.admit(self._connection, batch.new_runs)

    def _execute_changes(self, batch: Batch, changed: list[tuple[Executed, int]]) -> None:
        """Execute what a batch changes, and note the changes that must have met every row."""
        self._add_definitions(batch.definitions)
        self._insert(schema.runs, batch.new_runs)
        self._insert(schema.tasks, batch.new_tasks)
        self._insert(schema.attempts, batch.new_attempts)
        for statement, rows in (
            (_MOVE_ATTEMPT, batch.moved_attempts),
            (_END_ATTEMPT, batch.attempt_ends),
            (_CHANGE_TASK, _once(batch.task_changes, "in_run", "task")),
            (_CHANGE_RUN, _once(batch.run_changes, "run_id")),
            (_HANDLE_COMMAND, batch.handled),
            (_TAKE_SIGNAL, batch.taken),
            (_USE_BLOB, batch.blob_uses),
        ):
            if rows:
                changed.append((self._change(statement, rows), len(rows)))
        if batch.given_back:
            self._change(_GIVE_BACK, batch.given_back)
        if batch.asked_children:
            self._change(ASK_CHILDREN, batch.asked_children)
        self._insert(schema.payloads, batch.payloads)
        self._insert(schema.logs, batch.logs)
        self._insert(schema.events, batch.events)
        self._insert(schema.event_waits, batch.event_waits)
        self._announce(batch)

    def _announce(self, batch: Batch) -> None:
        """Tell engines of runs that wait and of room, and those who wait of runs that ended."""
        has_room = batch.given_back or any(row["gives_way"] for row in batch.run_changes)
        is_work = has_room or batch.asked_children or batch.called_parents
        if is_work or batch.event_waits or any(row["engine"] is None for row in batch.new_runs):
            announce(self._connection, Change.WORK)
        if any(row["finished_at"] is not None for row in batch.run_changes):
            announce(self._connection, Change.ENDS)
        elif batch.logs:
            announce(self._connection, Change.LOGS)

    def _add_definitions(self, rows: list[Row]) -> None:
        if rows:
            # Each once, and in one order for all engines: they wait for each other's rows.
            by_digest = {row["digest"]: row for row in rows}
            self._change(self._add_definition, [by_digest[key] for key in sorted(by_digest)])

    def _insert(self, table: Table, rows: list[Row]) -> None:
        if rows:
            self._change(_INSERTS[table], rows)

    def _change(self, statement: UpdateBase, rows: list[Row]) -> Executed:
        compiled = self._compiled.get(statement)
        if compiled is None:
            dialect = self._connection.dialect
            compiled = DirectStatement(statement, dialect, columns=list(rows[0]))
            self._compiled[statement] = compiled
        return self._connection.execute(compiled, rows)


class KeyTakenError(Exception):
    """An idempotency key of the batch was used by another engine meanwhile."""


class _NotNextError(Exception):
    """The batch was written already, or its engine was declared dead."""


def _check(changed: list[tuple[Executed, int]], otherwise: type[Exception]) -> None:
    """Refuse a batch of which a change met a row that wasn't as it was thought to be."""
    if any(executed.rowcount != expected for executed, expected in changed):
        raise otherwise


def _once(changes: list[Row], *key: str) -> list[Row]:
    """Return one change for each row: from what it was before the first to what the last makes."""
    merged: dict[object, Row] = {}
    for change in changes:
        place = tuple([change[name] for name in key])
        if (first := merged.get(place)) is None:
            merged[place] = change
        else:
            guards = {name: first[name] for name in first if name.startswith("was_")}
            merged[place] = change | guards
    return list(merged.values())
