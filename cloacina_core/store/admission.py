"""Lets runs into the store of a tenant as far as its quotas have room, also when many come at once.

Whoever adds a run, or has an ended one go on, asks in the transaction that does it. Those who come
in the same moment wait for that transaction, so two can't be more than a quota together.

Runs that a task asks for can't be refused by then: the task has ended its call, and waits. So their
places are kept in a transaction of its own before that, until the runs are written. Places that
were kept for nothing are given back when the attempt turns out to have been given up meanwhile, or
its engine ends or is found dead; whatever else may happen, they are free after a minute.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy import ClauseElement, Connection, delete, func, insert, select
from sqlalchemy.sql.dml import UpdateBase

from cloacina_core.errors import CloacinaError, OverQuotaError, StoreError, TenantSuspendedError
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.tenant import Quotas
from cloacina_core.store import postgresql, schema
from cloacina_core.store.batch import Row
from cloacina_core.store.database import Database, insert_unless_there
from cloacina_core.store.tenancy import (
    DELETE_MORE,
    LIVE_RUNS,
    MICROS,
    MINUTE,
    QUOTA_COLUMNS,
    used_bytes,
)

Reserve: TypeAlias = Callable[[EngineId, Sequence[RunId]], CloacinaError | None]
"""Keeps places for runs that an engine is to write, or returns why there are none."""

GiveBack: TypeAlias = Callable[[Sequence[RunId]], None]
"""Gives back places of runs that won't be written."""

_log = logging.getLogger(__name__)

_tenancy, _admissions, _kept = schema.tenancy, schema.admissions, schema.kept_places

_KEPT_SECONDS = 60
"""For how long a place is kept."""

_WAIT = "wait until runs end, or ask the administrator for more"
_SLOWER = "submit fewer in a minute, or ask the administrator for more"


class Connected(Protocol):
    """A connection in a transaction."""

    def exec_driver_sql(self, text: str, /) -> object:
        """Execute a statement without parameters."""
        ...

    def first_row(self, text: str, /) -> Any:
        """Return the first row that a query without parameters finds, None without any."""
        ...


class _Plain:
    """A connection of SQLAlchemy's."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def exec_driver_sql(self, text: str) -> None:
        self._connection.exec_driver_sql(text)

    def first_row(self, text: str) -> Any:
        return self._connection.exec_driver_sql(text).first()


def places_in(database: Database) -> tuple[Reserve, GiveBack]:
    """Return what keeps places for the runs that tasks of a store ask for, and gives them back."""
    if not database.is_tenant:
        return (lambda _engine, _runs: None), (lambda _runs: None)
    admission = Admission(database)
    return admission.reserve, admission.give_back


def give_back_all(connection: Connection, engine: EngineId) -> None:
    """Give back the places that were kept for runs that an engine won't write any more."""
    connection.execute(delete(_kept).where(_kept.c.engine == engine))


class Admission:
    """Asks the quotas of one tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tenancy = _text(select(_tenancy.c.suspended, *QUOTA_COLUMNS), database)
        self._live = _text(LIVE_RUNS, database)
        self._bytes = str(used_bytes(database.is_sqlite))

    def admit(self, connection: Connected, runs: list[Row]) -> None:
        """Let in runs that are to be written by a transaction.

        Raises:
            TenantSuspendedError: nothing new may start.
            OverQuotaError: they are more than a quota has room for.
        """
        children = [str(row["id"]) for row in runs if row["parent"] is not None]
        suspended, *values = connection.first_row(self._tenancy)
        self._admit(connection, Quotas(*values), children, len(runs) - len(children), suspended)

    def admit_again(self, connection: Connection) -> None:
        """Let in a run that has ended, and is to go on; asked before anything else is looked at.

        Raises:
            TenantSuspendedError: nothing new may start.
            OverQuotaError: a quota has no room for it.
        """
        plain = _Plain(connection)
        suspended, *values = plain.first_row(self._tenancy)
        self._admit(plain, Quotas(*values), [], 1, suspended)

    def _admit(
        self,
        connection: Connected,
        quotas: Quotas,
        children: Sequence[str],
        asking: int,
        suspended: bool,
    ) -> None:
        if asking and suspended:
            raise TenantSuspendedError
        if quotas.live_runs is None and quotas.runs_per_minute is None:
            self._check_bytes(connection, quotas, asking)
            return
        self._await_others(connection)
        self._check_bytes(connection, quotas, asking)
        coming = len(children) + asking
        if quotas.live_runs is not None:
            if children:
                self._execute(connection, delete(_kept).where(_kept.c.run_id.in_(children)))
            if asking:
                self._check_live(connection, quotas.live_runs, coming)
        if quotas.runs_per_minute is not None:
            self._count(connection, quotas.runs_per_minute, coming, asking)

    def reserve(self, engine: EngineId, runs: Sequence[RunId]) -> CloacinaError | None:
        """Keep places for runs that a task asks for; return why it can't have them, if it can't.

        Args:
            engine: which is to write them.
            runs: their ids.

        Raises:
            StoreError: the store can't be asked.
        """
        with self._database.begin() as found:
            connection = _Plain(found)
            _, *values = connection.first_row(self._tenancy)
            most = Quotas(*values).live_runs
            if most is None:
                return None
            self._await_others(connection)
            second = self._second(connection)
            self._execute(connection, delete(_kept).where(_kept.c.until <= second))
            try:
                self._check_live(connection, most, len(runs))
            except OverQuotaError as error:
                return error
            until = second + _KEPT_SECONDS
            found.execute(
                insert(_kept), [{"run_id": one, "until": until, "engine": engine} for one in runs]
            )
        return None

    def give_back(self, runs: Sequence[RunId]) -> None:
        """Free the places of runs that won't be written, if the store can be asked."""
        try:
            with self._database.begin() as connection:
                connection.execute(delete(_kept).where(_kept.c.run_id.in_(runs)))
        except StoreError as error:
            _log.warning("places for %d runs stay taken for a while: %s", len(runs), error)

    def _await_others(self, connection: Connected) -> None:
        """Let none decide beside us; transactions that write have a lock already on SQLite."""
        if not self._database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE admissions IN SHARE ROW EXCLUSIVE MODE")

    def _check_live(self, connection: Connected, most: int, coming: int) -> None:
        (live,) = connection.first_row(self._live)
        kept = select(func.count()).select_from(_kept)
        is_kept = _kept.c.until > self._second(connection)
        (places,) = connection.first_row(_text(kept.where(is_kept), self._database))
        if live + places + coming > most:
            raise OverQuotaError("live_runs", most, live + places, hint=_WAIT)

    def _check_bytes(self, connection: Connected, quotas: Quotas, asking: int) -> None:
        if asking and quotas.storage_bytes is not None:
            (used,) = connection.first_row(self._bytes)
            if used > quotas.storage_bytes:
                most = quotas.storage_bytes
                raise OverQuotaError("storage_bytes", most, int(used), hint=DELETE_MORE)

    def _count(self, connection: Connected, most: int, coming: int, asking: int) -> None:
        """Count runs that come among those of the last minute, by the database's clock."""
        second = self._second(connection)
        recent = select(func.coalesce(func.sum(_admissions.c.runs), 0)).where(
            _admissions.c.second > second - MINUTE
        )
        (used,) = connection.first_row(_text(recent, self._database))
        if asking and used + coming > most:
            raise OverQuotaError("runs_per_minute", most, int(used), hint=_SLOWER)
        self._execute(
            connection, delete(_admissions).where(_admissions.c.second <= second - MINUTE)
        )
        add = insert_unless_there(self._database, _admissions).values(second=second, runs=coming)
        total = {"runs": _admissions.c.runs + add.excluded.runs}
        self._execute(connection, add.on_conflict_do_update(index_elements=["second"], set_=total))

    def _second(self, connection: Connected) -> int:
        if self._database.is_sqlite:
            return self._database.local_micros() // MICROS
        (micros,) = connection.first_row(postgresql.NOW_MICROS)
        return int(micros) // MICROS

    def _execute(self, connection: Connected, statement: UpdateBase) -> None:
        connection.exec_driver_sql(_text(statement, self._database))


def _text(statement: ClauseElement, database: Database) -> str:
    """Return a statement with its values, numbers and ids of ours, as the database is sent it."""
    return str(statement.compile(dialect=database.dialect, compile_kwargs={"literal_binds": True}))
