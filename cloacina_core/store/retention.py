"""Deletes finished runs that were kept long enough, a little at a time.

A run goes in two steps. First its own row is deleted, if the run is finished still, and its id is
noted, in one transaction: from then on nobody sees the run. Then its other rows are deleted, some
hundreds in a transaction, so that a run with a long history keeps no writer waiting; whoever sweeps
next goes on where one stopped or died.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Table,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
)

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.clock import to_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.status import RunStatus
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.trigger_keys import forget

_runs, _discarded, _blobs = schema.runs, schema.discarded_runs, schema.blobs
_events, _deliveries, _firings = schema.sent_events, schema.deliveries, schema.firings
_MICROS = 1_000_000

_parents = _runs.alias("parents")
_HAS_LIVE_PARENT = exists().where(_parents.c.id == _runs.c.parent, _parents.c.finished_at.is_(None))
"""A task that waits may look at the runs that it asked for once more."""

RUNS_IN_TRANSACTION = 100
BLOBS_IN_TRANSACTION = 20
YOUNG = timedelta(hours=24)
"""How long a blob that nobody uses is kept: somebody who stored it may be about to use it.

This only saves work. Who uses a blob that is gone is refused, and stores it anew with another try.
"""
ROWS_IN_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class Expiry:
    """Which finished runs may go: those in a state that ended before a moment."""

    status: RunStatus
    before: datetime | None = None
    """On the database's clock."""
    older_than: timedelta | None = None
    """In place of a moment: how long ago."""

    def __post_init__(self) -> None:
        if not self.status.is_final:
            raise ValueError(f"a run that is {self.status.value} is never deleted")


class Retention:
    """Deletes from one store. Several may work at the same time; they share the work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, expiry: Expiry) -> int:
        """Return how many runs would be deleted now."""
        with self._database.read() as connection:
            query = select(func.count()).select_from(_runs).where(*self._due(connection, expiry))
            return connection.execute(query).scalar_one()

    def discard(self, expiry: Expiry) -> int:
        """Take some runs away, the first that ended first; return how many.

        Their other rows are left for `clear`.
        """
        with self._database.read() as connection:  # as good as always there is nothing to do
            due = self._due(connection, expiry)
            if connection.execute(select(_runs.c.id).where(*due).limit(1)).scalar() is None:
                return 0
        with self._database.begin() as connection:
            due = self._due(connection, expiry)
            found = connection.execute(
                select(_runs.c.id)
                .where(*due)
                .order_by(_runs.c.finished_at)
                .limit(RUNS_IN_TRANSACTION)
                .with_for_update(skip_locked=True)
            ).scalars()
            # A run that somebody makes live again meanwhile isn't finished, and stays.
            gone = connection.execute(
                delete(_runs).where(_runs.c.id.in_(found.all()), *due).returning(_runs.c.id)
            ).scalars()
            return _note(connection, [RunId(run_id) for run_id in gone])

    def clear(self) -> int:
        """Delete some rows of runs that were taken away; return how many rows, 0 when all are."""
        with self._database.read() as connection:
            if connection.execute(select(_discarded.c.run_id).limit(1)).scalar() is None:
                return 0
        with self._database.begin() as connection:
            runs = connection.execute(
                select(_discarded.c.run_id)
                .order_by(_discarded.c.run_id)
                .limit(RUNS_IN_TRANSACTION)
                .with_for_update(skip_locked=True)
            ).scalars()
            return _clear(connection, runs.all())

    def forget_definitions(self) -> int:
        """Delete definitions that no run has any more; return how many.

        An engine may be about to use one. On PostgreSQL the table is locked for a moment, which
        waits for transactions that bring runs; when that takes too long, another time will do.
        """
        used = exists().where(_runs.c.definition == schema.definitions.c.digest)
        unused = select(schema.definitions.c.digest).where(~used)
        with self._database.read() as connection:
            self._look_up_each(connection)
            if connection.execute(unused.limit(1)).scalar() is None:
                return 0
        try:
            with self._database.begin() as connection:
                self._look_up_each(connection)
                if not self._database.is_sqlite:
                    connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
                    connection.exec_driver_sql("LOCK TABLE definitions IN SHARE MODE")
                return connection.execute(delete(schema.definitions).where(~used)).rowcount
        except StoreUnavailableError:
            return 0

    def forget_events(self, expiry: Expiry) -> int:
        """Delete some sent events that were kept long enough; return how many.

        One for which a run is still to be started is kept, and so are deliveries that have runs.
        """
        with self._database.read() as connection:
            due = self._old_events(connection, expiry)
            if connection.execute(select(_events.c.id).where(*due).limit(1)).scalar() is None:
                return 0
        with self._database.begin() as connection:
            due = self._old_events(connection, expiry)
            query = select(_events.c.id).where(*due).limit(ROWS_IN_TRANSACTION)
            found = connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
            of_them = _deliveries.c.event_id.in_(found), _deliveries.c.run_id.is_(None)
            connection.execute(delete(_deliveries).where(*of_them))
            return connection.execute(delete(_events).where(_events.c.id.in_(found))).rowcount

    def forget_firings(self, expiry: Expiry) -> int:
        """Delete some firings without a run that were kept long enough; return how many.

        Those that have a run go with it.
        """
        key = tuple_(_firings.c.schedule, _firings.c.at)
        with self._database.read() as connection:
            due = schema.IDLE_FIRING, _firings.c.at < self._limit(connection, expiry)
            query = select(_firings.c.schedule, _firings.c.at).where(*due)
            if connection.execute(query.limit(1)).first() is None:
                return 0
        with self._database.begin() as connection:
            some = query.limit(ROWS_IN_TRANSACTION)
            return connection.execute(delete(_firings).where(key.in_(some), *due)).rowcount

    def forget_keys(self, expiry: Expiry) -> int:
        """Delete some keys that triggers named no more for so long; return how many."""
        return 0 if expiry.older_than is None else forget(self._database, expiry.older_than)

    def _old_events(
        self, connection: Connection, expiry: Expiry
    ) -> tuple[ColumnElement[bool], ...]:
        is_due = exists().where(_deliveries.c.event_id == _events.c.id, schema.DUE)
        return _events.c.sent_at < self._limit(connection, expiry), ~is_due

    def forget_blobs(self) -> int:
        """Delete some blobs that no payload refers to and that aren't young; return how many."""
        used = exists().where(schema.blob_uses.c.digest == _blobs.c.digest)
        with self._database.read() as connection:
            before = self._database.now_micros(connection) - int(YOUNG.total_seconds() * _MICROS)
            unused = (~used, _blobs.c.put_at < before)
            query = select(_blobs.c.digest).where(*unused).limit(BLOBS_IN_TRANSACTION)
            found = connection.execute(query).scalars().all()
        if not found:
            return 0
        with self._database.begin() as connection:
            # Locked first, and looked at again with a statement that begins afterwards: it sees
            # the uses of those who were faster.
            among = _blobs.c.digest.in_(found)
            locked = select(_blobs.c.digest).where(among).order_by(_blobs.c.digest)
            held = connection.execute(locked.with_for_update(skip_locked=True)).scalars().all()
            forget = delete(_blobs).where(_blobs.c.digest.in_(held), *unused)
            return connection.execute(forget).rowcount

    def _look_up_each(self, connection: Connection) -> None:
        """Let PostgreSQL use the index for each definition.

        It expects to meet a run with it soon, and for one that nobody uses it reads all runs.
        """
        if not self._database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")

    def _due(self, connection: Connection, expiry: Expiry) -> tuple[ColumnElement[bool], ...]:
        return (
            _runs.c.status == expiry.status.value,
            _runs.c.finished_at < self._limit(connection, expiry),
            or_(_runs.c.parent.is_(None), ~_HAS_LIVE_PARENT),
        )

    def _limit(self, connection: Connection, expiry: Expiry) -> int:
        """Return the moment from which on everything is kept, in microseconds since 1970."""
        if expiry.older_than is None:
            return to_micros(expiry.before) if expiry.before else 0
        length = int(expiry.older_than.total_seconds() * _MICROS)
        return self._database.now_micros(connection) - length


def _note(connection: Connection, runs: Sequence[RunId]) -> int:
    if runs:
        connection.execute(insert(_discarded), [{"run_id": run_id} for run_id in runs])
    return len(runs)


def _clear(connection: Connection, runs: Sequence[str]) -> int:
    """Delete rows of these runs, and their notes when no row is left."""
    count = 0
    for table in _tables_of_runs():
        count += connection.execute(_some_rows(table, runs, ROWS_IN_TRANSACTION - count)).rowcount
        if count >= ROWS_IN_TRANSACTION:
            return count
    return (
        count + connection.execute(delete(_discarded).where(_discarded.c.run_id.in_(runs))).rowcount
    )


def _tables_of_runs() -> Iterable[Table]:
    # Permits count for the rate of a limit as long as its period is; they go when they are of no
    # use to that, see `permits`.
    kept = (_discarded, schema.permits)
    return (
        table
        for table in schema.metadata.sorted_tables
        if "run_id" in table.c and table not in kept
    )


def _some_rows(table: Table, runs: Sequence[str], limit: int) -> Delete:
    key = tuple_(*table.primary_key.columns)
    rows = select(*table.primary_key.columns).where(table.c.run_id.in_(runs)).limit(limit)
    return delete(table).where(key.in_(rows))
