"""Writes the transitions of runs: everything in a flush, or nothing of it."""

from collections.abc import Sequence

from sqlalchemy import Connection, Select, Table, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.store import schema
from cloacina_core.store.batch import Batch, GuardError, KnownKey, Row, StaleEngineError
from cloacina_core.store.database import Database

_runs, _tasks, _attempts = schema.runs, schema.tasks, schema.attempts

_CHANGE_RUN = (
    update(_runs)
    .where(
        _runs.c.id == bindparam("run_id"),
        _runs.c.engine == bindparam("was_engine"),
        _runs.c.status == bindparam("was_status"),
    )
    .values({name: bindparam(name) for name in ("status", "started_at", "finished_at", "error")})
)
_CHANGE_TASK = (
    update(_tasks)
    .where(
        _tasks.c.run_id == bindparam("in_run"),
        _tasks.c.name == bindparam("task"),
        _tasks.c.status == bindparam("was_status"),
        _tasks.c.attempts == bindparam("was_attempts"),
    )
    .values({name: bindparam(name) for name in ("status", "attempts", "wake_at", "reason")})
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


class RunWriter:
    """Writes batches for one engine, guarded by owner, attempt and status."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        self._add_definition = dialect.insert(schema.definitions).on_conflict_do_nothing()

    def write(self, batch: Batch, engine: EngineId) -> None:
        """Write a batch in one transaction; it is durable when this returns.

        Raises:
            StaleEngineError: another engine declared this one dead.
            GuardError: a row to change isn't as it was thought to be. Nothing was written.
            KeyTakenError: an idempotency key is in use. Nothing was written.
            StoreUnavailableError: the database can't be written now.
        """
        with self._database.begin() as connection:
            self._check_engine(connection, engine)
            if batch.definitions:
                connection.execute(self._add_definition, batch.definitions)
            if batch.new_runs:
                self._insert_runs(connection, batch.new_runs)
            _insert(connection, schema.payloads, batch.payloads)
            _insert(connection, schema.tasks, batch.new_tasks)
            _insert(connection, schema.attempts, batch.new_attempts)
            _insert(connection, schema.logs, batch.logs)
            _insert(connection, schema.events, batch.events)
            _change(connection, _END_ATTEMPT, batch.attempt_ends)
            _change(connection, _CHANGE_TASK, batch.task_changes)
            _change(connection, _CHANGE_RUN, batch.run_changes)

    def keys_in_use(self, keys: Sequence[str]) -> dict[str, KnownKey]:
        """Return the runs that idempotency keys belong to."""
        query = select(_runs.c.idempotency_key, _runs.c.id, _runs.c.request_digest)
        with self._database.read() as connection:
            rows = connection.execute(query.where(_runs.c.idempotency_key.in_(keys)))
            return {key: KnownKey(RunId(run_id), digest) for key, run_id, digest in rows}

    def _check_engine(self, connection: Connection, engine: EngineId) -> None:
        """Refuse a stale engine. The lock keeps others from declaring it dead meanwhile."""
        query: Select[tuple[str]] = (
            select(schema.engines.c.id)
            .where(schema.engines.c.id == engine, schema.engines.c.stopped_at.is_(None))
            .with_for_update(read=True)  # without effect on SQLite, which has one writer
        )
        if connection.execute(query).scalar() is None:
            raise StaleEngineError(engine)

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
