"""PostgreSQL: how long a silent server or network is waited for, and what transactions ask for.

Who connects with the role of a tenant gets the schema of that name, and nothing else:

1. The tenant is the role that the server says it is, never what a URL or a setting says.
2. Every new connection sets its search path to that schema alone, whatever the role's or the
   database's default is, and asks the server whether that took effect.
3. A schema that is gone or may not be used is an error, not a reason to look into another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection

from cloacina_core.errors import TenantSchemaError

READ_OPTIONS: Mapping[str, Any] = {
    # All statements of a transaction see one state, as they do on SQLite.
    "isolation_level": "REPEATABLE READ",
    "postgresql_readonly": True,
}

# A network that swallows everything would otherwise be waited for without end.
_CLIENT_LIMITS: Mapping[str, Any] = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds that sent data may be unacknowledged
}
_SERVER_LIMITS: Mapping[str, Any] = {
    "statement_timeout": 60_000,  # milliseconds
    "lock_timeout": 10_000,
    # The snapshot of a process that was stopped within a transaction must not last.
    "idle_in_transaction_session_timeout": 60_000,
    # A plan that was made while a table was small isn't kept for when it is large.
    "plan_cache_mode": "force_custom_plan",
}

NOW_MICROS = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint"
"""Asks for the time on the server's clock, in microseconds since 1970."""

STORE_BYTES = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class "
    "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
)
"""Asks for what the tables of a store take on the disk, with their indexes and large values."""

LET_GO_SOON = "idle_in_transaction_session_timeout = 10000"
"""What transactions that write set: their locks must not last as long as a lease does when their
process is stopped, or nobody could take up its runs."""

_SCHEMA_LOCK = 0x636C6F6163696E61
"""A number that nothing else locks: the letters of "cloacina"."""

TENANT_PREFIX = "cloacina_t_"
"""What the names of tenants' schemas and roles begin with; random letters follow, as all who use
the server can read such names."""


@dataclass(frozen=True, slots=True)
class TenantSchema:
    """The schema that a connection with a tenant's credentials uses."""

    name: str
    channel: str
    """What the names of its channels begin with."""


def enter_tenant_schema(connection: Any, before: TenantSchema | None = None) -> TenantSchema | None:
    """Confine a new connection of the driver to the schema of its role; None for other roles.

    Args:
        connection: on which nothing was done yet.
        before: the schema of the connections before it.

    Raises:
        TenantSchemaError: there is no such schema, or it isn't one of ours, or another one.
    """
    (role,) = connection.execute("SELECT current_user").fetchone()
    if before is not None and role != before.name:
        raise TenantSchemaError("the credentials became those of another role")
    if not role.startswith(TENANT_PREFIX):
        connection.rollback()
        return None
    usable = connection.execute(
        "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = current_user"
    ).fetchone()
    if usable is None:
        raise TenantSchemaError("it isn't there")
    if not usable[0]:
        raise TenantSchemaError("it may not be used")
    path = "SELECT set_config('search_path', quote_ident(current_user) || ', pg_temp', false)"
    connection.execute(path)
    entered, is_ours = connection.execute(
        "SELECT current_schema(), to_regclass(quote_ident(current_user) || '.tenancy') IS NOT NULL"
    ).fetchone()
    if entered != role:
        raise TenantSchemaError("the search path can't be set to it")
    if not is_ours:
        raise TenantSchemaError("it isn't the store of a tenant")
    found = connection.execute("SELECT channel FROM tenancy").fetchall()
    if len(found) != 1:
        raise TenantSchemaError("it doesn't say whose it is")
    connection.commit()
    return TenantSchema(role, found[0][0])


def has_tenants(connection: Connection) -> bool:
    """Whether a database has the schema of a tenant, which everybody can see."""
    found = connection.exec_driver_sql(
        "SELECT 1 FROM pg_namespace WHERE starts_with(nspname, %(prefix)s) LIMIT 1",
        {"prefix": TENANT_PREFIX},
    )
    return found.first() is not None


def connect_args(url: URL) -> dict[str, Any]:
    """Return the options of a connection; those that a URL names are left to it."""
    wanted = {name: value for name, value in _CLIENT_LIMITS.items() if name not in url.query}
    if "options" not in url.query:
        wanted["options"] = " ".join(f"-c {name}={value}" for name, value in _SERVER_LIMITS.items())
    return wanted


def lock_schema(connection: Connection) -> None:
    """Let only one transaction at a time make or change tables; until its end."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")


def lock_turns(connection: Connection) -> None:
    """Let only one transaction at a time choose among runs whose number is limited.

    It locks a table of the store: advisory locks are the database's, and shown to all.
    """
    connection.exec_driver_sql("LOCK TABLE turns IN EXCLUSIVE MODE")


def lock_secrets(connection: Connection) -> None:
    """Let only one transaction at a time change secrets, or which keys they are sealed with."""
    connection.exec_driver_sql("LOCK TABLE secrets IN SHARE ROW EXCLUSIVE MODE")
