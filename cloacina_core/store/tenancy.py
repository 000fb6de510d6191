"""What the store of a tenant says of itself: whether it is suspended, and what it may use.

Stores that aren't a tenant's have no such row, and nothing of this is asked of them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import (
    Connection,
    func,
    insert,
    select,
    text,
    update,
)

from cloacina_core.errors import (
    ConflictError,
    OverQuotaError,
)
from cloacina_core.foundation.clock import from_micros
from cloacina_core.model.tenant import Quotas, Suspension, TenantState, TenantUsage
from cloacina_core.store import postgresql, schema
from cloacina_core.store.database import CHANNEL, Database
from cloacina_core.store.watching import announce

Random: TypeAlias = Callable[[int], str]
"""Returns so many random bytes as hexadecimal letters."""

Prepare: TypeAlias = Callable[[Path], object]
"""Puts into a new home what plugins need."""

_tenancy, _runs = schema.tenancy, schema.runs

QUOTA_COLUMNS = tuple(_tenancy.c[name] for name, _ in Quotas().items())
LIVE_RUNS = select(func.count()).select_from(_runs).where(schema.LIVE)
"""Counts runs that haven't ended."""

MINUTE = 60
"""For how many seconds a run counts as accepted within a minute."""

MICROS = 1_000_000
"""Microseconds in a second."""

_BYTES_SQLITE = text(
    "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
)

DELETE_MORE = "delete what isn't needed any more, or ask the administrator for more"


def begin_tenancy(connection: Connection, channel: str, quotas: Quotas) -> None:
    """Make a store a tenant's."""
    row = {"channel": channel, "suspended": False, **dict(quotas.items())}
    connection.execute(insert(_tenancy).values(row))


def change_tenancy(connection: Connection, **values: Any) -> None:
    """Change quotas."""
    connection.execute(update(_tenancy).values(values))


def suspend(connection: Connection, now: int, by: str) -> None:
    """Let nothing new start; of one that is suspended already, nothing changes.

    Args:
        connection: to the tenant's store.
        now: of the database's clock, in microseconds.
        by: who decided it.
    """
    suspended = {"suspended": True, "suspended_at": now, "suspended_by": by}
    connection.execute(update(_tenancy).where(~_tenancy.c.suspended).values(suspended))


def resume(connection: Connection) -> None:
    """Let runs start again."""
    active = {"suspended": False, "suspended_at": None, "suspended_by": None}
    connection.execute(update(_tenancy).values(active))


def quotas_of(connection: Connection) -> Quotas:
    """Return the quotas of the tenant whose store it is; none for other stores."""
    row = connection.execute(select(*QUOTA_COLUMNS)).first()
    return Quotas() if row is None else Quotas(**row._mapping)  # noqa: SLF001 - its public name


def is_suspended(connection: Connection) -> bool:
    """Whether nothing new may start."""
    return bool(connection.execute(select(_tenancy.c.suspended)).scalar())


def suspension_of(connection: Connection) -> Suspension | None:
    """Return since when nothing new may start, and by whom; None: it may, or it is no tenant's."""
    columns = (_tenancy.c.suspended_at, _tenancy.c.suspended_by)
    row = connection.execute(select(*columns).where(_tenancy.c.suspended)).first()
    return row and Suspension(since=from_micros(row.suspended_at), by=row.suspended_by)


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


def usage_of(connection: Connection, now: int, *, is_sqlite: bool) -> TenantUsage:
    """Return what a tenant uses now.

    Args:
        connection: to the tenant's store.
        now: of the database's clock, in microseconds.
        is_sqlite: whether it is a file.
    """
    second = now // MICROS
    leases, engines, admissions = schema.leases, schema.engines, schema.admissions
    used, at_work = connection.execute(
        select(func.coalesce(func.sum(leases.c.slots_used), 0), func.count())
        .join_from(leases, engines, engines.c.id == leases.c.engine)
        .where(leases.c.until > now, engines.c.stopped_at.is_(None))
    ).one()
    recent = select(func.coalesce(func.sum(admissions.c.runs), 0)).where(
        admissions.c.second > second - MINUTE
    )
    counts = quotas_of(connection).runs_per_minute is not None
    return TenantUsage(
        live_runs=live_runs(connection),
        runs_per_minute=int(connection.execute(recent).scalar_one()) if counts else None,
        storage_bytes=int(connection.execute(used_bytes(is_sqlite)).scalar_one()),
        slots=int(used),
        engines=int(at_work),
    )


def live_runs(connection: Connection) -> int:
    """Return how many runs haven't ended."""
    return int(connection.execute(LIVE_RUNS).scalar_one())


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
        used = int(connection.execute(used_bytes(database.is_sqlite)).scalar_one())
    used += elsewhere()
    if used + size > most:
        raise OverQuotaError("storage_bytes", most, used, hint=DELETE_MORE)


def used_bytes(is_sqlite: bool) -> Any:
    """Return what asks how many bytes the store of a tenant takes."""
    return _BYTES_SQLITE if is_sqlite else text(postgresql.STORE_BYTES)
