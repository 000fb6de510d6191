"""Writes the transitions of runs: everything in a flush, or nothing of it."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.store import schema
from cloacina_core.store.batch import Batch, GuardError, KnownKey, Row, StaleEngineError
from cloacina_core.store.database import Database

_engines, _runs, _tasks, _attempts = schema.engines, schema.runs, schema.tasks, schema.attempts

_CHANGE_RUN = (
    update(_runs)
    .where(
        _runs.c.id == bindparam("run_id"),
        _runs.c.engine == bindparam("was_engine"),
        _runs.c.status == bindparam("was_status"),
    )
    .values(
        {
            name: bindparam(name)
            for name in ("status", "engine_deaths", "started_at", "finished_at", "error")
        }
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
        {name: bindparam(name) for name in ("status", "attempts", "wake_at", "reason", "unseen")}
    )
)
_END_ATTEMPT = (
    update(_attempts)
    .where(
        _attempts.c.run_id == bindparam("in_run"),
        _attempts.c.task == bindparam("of_task"),
        _attempts.c.number == bindparam("attempt"),
        _attempts.c.engine == bindparam("was_engine"),
        _attempts.c.finished_at.is_(None),
    )
    .values({name: bindparam(name) for name in ("finished_at", "outcome", "error")})
)
_TAKE_TURN = (
    update(_engines)
    .where(
        _engines.c.id == bindparam("of_engine"),
        _engines.c.stopped_at.is_(None),
        _engines.c.writes < bindparam("number"),
    )
    .values(writes=bindparam("number"))
)
_IS_ALIVE = select(_engines.c.id).where(
    _engines.c.id == bindparam("of_engine"), _engines.c.stopped_at.is_(None)
)


def _dialect_insert(database: Database) -> Any:
    """Return the `insert` that knows conflicts. Each dialect is slow to import: only one is."""
    if database.is_sqlite:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # noqa: PLC0415

    return postgresql_insert


class RunWriter:
    """Writes batches for one engine, guarded by owner, attempt and status."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert_unless_there = _dialect_insert(database)(schema.definitions)
        self._add_definition = insert_unless_there.on_conflict_do_nothing()

    def write(self, batch: Batch, engine: EngineId) -> None:
        """Write a batch in one transaction; it is durable when this returns.

        Writing a batch again, because it isn't known whether it was written, does nothing when it
        was.

        Raises:
            StaleEngineError: another engine declared this one dead.
            GuardError: a row to change isn't as it was thought to be. Nothing was written.
            KeyTakenError: an idempotency key is in use. Nothing was written.
            StoreUnavailableError: the database can't be written now.
            StoreError: the database doesn't accept a row.
        """
        with self._database.begin() as connection:
            if not self._is_next(connection, batch, engine):
                return
            if batch.definitions:
                # In one order for all engines: they wait for each other's rows.
                rows = sorted(batch.definitions, key=itemgetter("digest"))
                connection.execute(self._add_definition, rows)
            if batch.new_runs:
                self._insert_runs(connection, batch.new_runs)
            _insert(connection, schema.tasks, batch.new_tasks)
            _insert(connection, schema.attempts, batch.new_attempts)
            _change(connection, _END_ATTEMPT, batch.attempt_ends)
            _change(connection, _CHANGE_TASK, batch.task_changes)
            _change(connection, _CHANGE_RUN, batch.run_changes)
            _insert(connection, schema.payloads, batch.payloads)
            _insert(connection, schema.logs, batch.logs)
            _insert(connection, schema.events, batch.events)

    def keys_in_use(self, keys: Sequence[str]) -> dict[str, KnownKey]:
        """Return the runs that idempotency keys belong to."""
        query = select(_runs.c.idempotency_key, _runs.c.id, _runs.c.request_digest)
        with self._database.read() as connection:
            rows = connection.execute(query.where(_runs.c.idempotency_key.in_(keys)))
            return {key: KnownKey(RunId(run_id), digest) for key, run_id, digest in rows}

    def _is_next(self, connection: Connection, batch: Batch, engine: EngineId) -> bool:
        """Take the batch's turn, or tell that it was written already; refuse a stale engine.

        The change of its row keeps others from declaring the engine dead before the commit.
        """
        row = {"of_engine": engine, "number": batch.number}
        if connection.execute(_TAKE_TURN, row).rowcount == 1:
            return True
        if connection.execute(_IS_ALIVE, row).scalar() is None:
            raise StaleEngineError(engine)
        return False

    def _insert_runs(self, connection: Connection, rows: list[Row]) -> None:
        try:
            connection.execute(insert(_runs), rows)
        except IntegrityError as error:
            if any(row["idempotency_key"] for row in rows):
                raise KeyTakenError from error
            raise


class KeyTakenError(Exception):
    """An idempotency key of the batch was used by another engine meanwhile."""


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _change(connection: Connection, statement: object, rows: list[Row]) -> None:
    if not rows:
        return
    result = connection.execute(statement, rows)  # type: ignore[call-overload]
    if result.rowcount != len(rows):
        raise GuardError
