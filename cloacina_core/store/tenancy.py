"""What the store of a tenant says of itself: whether it is suspended, and what it may use.

Stores that aren't a tenant's have no such row, and nothing of this is asked of them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import (
    ClauseElement,
    Connection,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.sql.dml import UpdateBase

from cloacina_core.errors import (
    CloacinaError,
    ConflictError,
    OverQuotaError,
    TenantSuspendedError,
)
from cloacina_core.model.tenant import Quotas, TenantState
from cloacina_core.store import postgresql, schema
from cloacina_core.store.batch import Row
from cloacina_core.store.database import CHANNEL, Database, insert_unless_there
from cloacina_core.store.direct import DirectConnection
from cloacina_core.store.watching import announce

Random: TypeAlias = Callable[[int], str]
"""Returns so many random bytes as hexadecimal letters."""

Prepare: TypeAlias = Callable[[Path], object]
"""Puts into a new home what plugins need."""

_tenancy, _runs, _admissions = schema.tenancy, schema.runs, schema.admissions

_SECONDS = 60
_MICROS = 1_000_000

_QUOTA_COLUMNS = tuple(_tenancy.c[name] for name, _ in Quotas().items())
_LIVE = select(func.count()).select_from(_runs).where(schema.LIVE)

_BYTES_SQLITE = text(
    "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
)

_WAIT = "wait until runs end, or ask the administrator for more"
_SLOWER = "submit fewer in a minute, or ask the administrator for more"
_DELETE = "delete what isn't needed any more, or ask the administrator for more"


def begin_tenancy(connection: Connection, channel: str, quotas: Quotas) -> None:
    """Make a store a tenant's."""
    row = {"channel": channel, "suspended": False, **dict(quotas.items())}
    connection.execute(insert(_tenancy).values(row))


def change_tenancy(connection: Connection, **values: Any) -> None:
    """Change quotas, or `suspended`."""
    connection.execute(update(_tenancy).values(values))


def quotas_of(connection: Connection) -> Quotas:
    """Return the quotas of the tenant whose store it is; none for other stores."""
    row = connection.execute(select(*_QUOTA_COLUMNS)).first()
    return Quotas() if row is None else Quotas(**row._mapping)  # noqa: SLF001 - its public name


def is_suspended(connection: Connection) -> bool:
    """Whether nothing new may start."""
    return bool(connection.execute(select(_tenancy.c.suspended)).scalar())


def is_on_hold(database: Database, connection: Connection) -> bool:
    """Whether a store is that of a suspended tenant; others aren't asked."""
    return database.is_tenant and is_suspended(connection)


def wake_engines(connection: Connection) -> None:
    """Tell the engines of a tenant, once this transaction is committed, that there may be work."""
    channel = connection.execute(select(_tenancy.c.channel)).scalar()
    connection.info[CHANNEL] = channel
    try:
        announce(connection)
    finally:
        del connection.info[CHANNEL]


def owned_runs(connection: Connection, now: int) -> int:
    """Return how many runs an engine has that is alive.

    Args:
        connection: to the tenant's store.
        now: of the database's clock, in microseconds.
    """
    leases = schema.leases
    query = select(func.count()).select_from(_runs).join(leases, leases.c.engine == _runs.c.engine)
    return int(connection.execute(query.where(schema.LIVE, leases.c.until > now)).scalar_one())


def live_runs(connection: Connection) -> int:
    """Return how many runs haven't ended."""
    return int(connection.execute(_LIVE).scalar_one())


def head_of_export(connection: Connection, name: str, version: str) -> Mapping[str, Any]:
    """Return what the file of a deleted tenant tells before its rows."""
    return {"tenant": name, "schema": version, "unfinished_runs": live_runs(connection)}


def refuse_deleted(name: str, state: TenantState) -> None:
    """Refuse to change a tenant that is being deleted.

    Raises:
        ConflictError: it is.
    """
    if state.is_being_deleted:
        raise ConflictError(
            f"tenant {name!r} is being deleted",
            hint=f"end that with: cloacina tenant delete {name} --yes-delete {name}",
        )


def refuse_taken(name: str, state: TenantState) -> None:
    """Refuse to make a tenant whose name is taken.

    Raises:
        ConflictError: always.
    """
    raise ConflictError(
        f"there is a tenant {name!r} already, and it is {state}",
        hint=f"look at it with: cloacina tenant show {name}",
    )


def slots_of(database: Database, slots: int) -> int:
    """Return how many slots an engine gets that would have some number of them."""
    if not database.is_tenant:
        return slots
    with database.read() as connection:
        most = quotas_of(connection).slots
    return slots if most is None else min(slots, most)


def refusal_of(database: Database) -> Callable[[int], CloacinaError | None]:
    """Return what tells why so many more runs can't be asked for by a task of a store."""
    return Admission(database).refusal if database.is_tenant else lambda _count: None


def require_storage(database: Database, size: int, elsewhere: Callable[[], int]) -> None:
    """Refuse to store so many bytes more when they are over the tenant's quota.

    Args:
        database: the tenant's store.
        size: how many bytes come.
        elsewhere: returns how many of its bytes lie outside of the database.

    Raises:
        OverQuotaError: they are.
    """
    if not database.is_tenant:
        return
    with database.read() as connection:
        most = quotas_of(connection).storage_bytes
        if most is None:
            return
        used = int(connection.execute(_used_bytes(database.is_sqlite)).scalar_one())
    used += elsewhere()
    if used + size > most:
        raise OverQuotaError("storage_bytes", most, used, hint=_DELETE)


def _used_bytes(is_sqlite: bool) -> Any:
    return _BYTES_SQLITE if is_sqlite else text(postgresql.STORE_BYTES)


class Admission:
    """Lets runs into the store of a tenant, in the transaction that writes them.

    Who comes in the same moment waits for that transaction, so two can't be more than a quota
    together. A run that a task asks for counts, but it was let in with the task that asked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tenancy = _text(select(_tenancy.c.suspended, *_QUOTA_COLUMNS), database)
        self._live = _text(_LIVE, database)
        self._bytes = str(_used_bytes(database.is_sqlite))

    def admit(self, connection: DirectConnection, runs: list[Row]) -> None:
        """Let in runs that are to be written by a transaction.

        Raises:
            TenantSuspendedError: nothing new may start.
            OverQuotaError: they are more than a quota has room for.
        """
        asking = sum(row["parent"] is None for row in runs)
        suspended, *values = connection.first_row(self._tenancy)
        quotas = Quotas(*values)
        if asking and suspended:
            raise TenantSuspendedError
        if quotas.live_runs is None and quotas.runs_per_minute is None:
            self._check_bytes(connection, quotas, asking)
            return
        if not self._database.is_sqlite:  # whose transactions that write have a lock already
            connection.exec_driver_sql("LOCK TABLE admissions IN SHARE ROW EXCLUSIVE MODE")
        self._check_bytes(connection, quotas, asking)
        if asking and quotas.live_runs is not None:
            (live,) = connection.first_row(self._live)
            if live + asking > quotas.live_runs:
                raise OverQuotaError("live_runs", quotas.live_runs, live, hint=_WAIT)
        if quotas.runs_per_minute is not None:
            self._count(connection, quotas.runs_per_minute, len(runs), asking)

    def refusal(self, children: int) -> CloacinaError | None:
        """Return why a task can't have so many runs now; None when it can.

        It is asked before they are made, as what a task waits for must be known by then. Tasks that
        ask in the same moment may be a few more than the quota together.
        """
        with self._database.read() as connection:
            quotas = quotas_of(connection)
            if quotas.live_runs is None:
                return None
            live = live_runs(connection)
        if live + children <= quotas.live_runs:
            return None
        return OverQuotaError("live_runs", quotas.live_runs, live, hint=_WAIT)

    def _check_bytes(self, connection: DirectConnection, quotas: Quotas, asking: int) -> None:
        if asking and quotas.storage_bytes is not None:
            (used,) = connection.first_row(self._bytes)
            if used > quotas.storage_bytes:
                raise OverQuotaError("storage_bytes", quotas.storage_bytes, int(used), hint=_DELETE)

    def _count(self, connection: DirectConnection, most: int, coming: int, asking: int) -> None:
        """Count runs that come among those of the last minute, by the database's clock."""
        second = self._second(connection)
        recent = select(func.coalesce(func.sum(_admissions.c.runs), 0)).where(
            _admissions.c.second > second - _SECONDS
        )
        (used,) = connection.first_row(_text(recent, self._database))
        if asking and used + coming > most:
            raise OverQuotaError("runs_per_minute", most, int(used), hint=_SLOWER)
        self._execute(
            connection, delete(_admissions).where(_admissions.c.second <= second - _SECONDS)
        )
        add = insert_unless_there(self._database, _admissions).values(second=second, runs=coming)
        total = {"runs": _admissions.c.runs + add.excluded.runs}
        self._execute(connection, add.on_conflict_do_update(index_elements=["second"], set_=total))

    def _second(self, connection: DirectConnection) -> int:
        if self._database.is_sqlite:
            return self._database.local_micros() // _MICROS
        (micros,) = connection.first_row(postgresql.NOW_MICROS)
        return int(micros) // _MICROS

    def _execute(self, connection: DirectConnection, statement: UpdateBase) -> None:
        connection.exec_driver_sql(_text(statement, self._database))


def _text(statement: ClauseElement, database: Database) -> str:
    """Return a statement with its values, which are numbers of ours, as the database is sent it."""
    return str(statement.compile(dialect=database.dialect, compile_kwargs={"literal_binds": True}))
