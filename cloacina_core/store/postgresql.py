"""PostgreSQL: how long a silent server or network is waited for, and what transactions ask for."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection

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

LET_GO_SOON = "idle_in_transaction_session_timeout = 10000"
"""What transactions that write set: their locks must not last as long as a lease does when their
process is stopped, or nobody could take up its runs."""

_SCHEMA_LOCK = 0x636C6F6163696E61
"""A number that nothing else locks: the letters of "cloacina"."""

_TURNS_LOCK = _SCHEMA_LOCK + 1
_SECRETS_LOCK = _SCHEMA_LOCK + 0x5EC


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
    """Let only one transaction at a time choose among runs whose number is limited."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURNS_LOCK})")


def lock_secrets(connection: Connection) -> None:
    """Let only one transaction at a time change secrets, or which keys they are sealed with."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SECRETS_LOCK})")
