"""The rights of tenants' roles on PostgreSQL: what running needs, and nothing that others have.

1. A role may connect, use its schema, and change rows there: it makes no tables, temporary ones
   neither, owns nothing, and is a member of nothing. (`make_role`, `grant`)
2. Quotas, suspension and schema version stand in tables that it can only read. (`grant`)
3. What it can do beyond that, because everybody can, is taken from everybody where we may do that;
   what is left is a reason to refuse. (`close_doors`, `refuse_open_doors`)
4. A password is sent to the server as its verifier, so that no log has it. (`verifier`)
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from cloacina_core.errors import ConfigurationError
from cloacina_core.store import schema
from cloacina_core.store.migrations.runner import version_table

CONNECTIONS = 60
"""How many connections all engines and commands of one tenant may have together."""

_LIMITS = {
    "statement_timeout": "'60s'",
    "lock_timeout": "'10s'",
    "idle_in_transaction_session_timeout": "'60s'",
}
_READ_ONLY = (schema.tenancy.name, version_table.name)


def make_role(connection: Connection, role: str, password: str, more: str) -> None:
    """Make a role that can log in, and little else.

    Args:
        connection: of an administrator.
        role: its name, which needs no quotes.
        password: in clear.
        more: further words of `CREATE ROLE`.
    """
    connection.exec_driver_sql(
        f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
        f"PASSWORD '{verifier(connection, role, password)}' {more}"
    )


def verifier(connection: Connection, role: str, password: str) -> str:
    """Return what the server needs to check a password (RFC 5803), but can't log in with."""
    driver: Any = connection.connection.driver_connection
    made = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return str(made.decode())


def limit(connection: Connection, role: str) -> None:
    """Give the sessions of a tenant's role their schema and their limits, as they begin."""
    for setting, value in {**_LIMITS, "search_path": role}.items():
        connection.exec_driver_sql(f"ALTER ROLE {role} SET {setting} = {value}")


def close_doors(connection: Connection) -> None:
    """Take from everybody what tenants must not have."""
    database = connection.exec_driver_sql("SELECT quote_ident(current_database())").scalar_one()
    connection.exec_driver_sql(f"REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC")
    if connection.exec_driver_sql("SELECT to_regnamespace('public')").scalar() is not None:
        connection.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")


def grant(connection: Connection, role: str) -> None:
    """Give a role what running needs, and no more."""
    database = connection.exec_driver_sql("SELECT quote_ident(current_database())").scalar_one()
    for grant in (
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"GRANT USAGE ON SCHEMA {role} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {role} TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {role} TO {role}",
        *(f"REVOKE INSERT, UPDATE, DELETE ON {role}.{name} FROM {role}" for name in _READ_ONLY),
    ):
        connection.exec_driver_sql(grant)


def refuse_open_doors(connection: Connection, role: str) -> None:
    """Refuse a database in which everybody can do what a tenant must not.

    Raises:
        ConfigurationError: tells what, and what to do.
    """
    rights = connection.exec_driver_sql(
        "SELECT has_database_privilege(%(role)s, current_database(), 'CREATE'), "
        "has_database_privilege(%(role)s, current_database(), 'TEMPORARY')",
        {"role": role},
    ).one()
    open_schemas = connection.exec_driver_sql(
        "SELECT nspname FROM pg_namespace WHERE nspname <> %(role)s "
        "AND nspname NOT IN ('pg_catalog', 'information_schema') "
        "AND has_schema_privilege(%(role)s, oid, 'USAGE, CREATE') ORDER BY nspname",
        {"role": role},
    ).scalars()
    doors = [f"schema {name}" for name in open_schemas]
    doors += [word for word, has in zip(("CREATE", "TEMPORARY"), rights, strict=True) if has]
    if doors:
        raise ConfigurationError(
            f"everybody who can connect to this database may use: {', '.join(doors)}",
            hint="let the owner of the database revoke that from PUBLIC, and try again",
        )


def other_databases(connection: Connection, role: str) -> tuple[str, ...]:
    """Return the databases that a role can connect to besides, as everybody can."""
    rows = connection.exec_driver_sql(
        "SELECT datname FROM pg_database WHERE datallowconn AND datname <> current_database() "
        "AND has_database_privilege(%(role)s, oid, 'CONNECT') ORDER BY datname",
        {"role": role},
    )
    return tuple(rows.scalars())


def end_sessions(connection: Connection, roles: Sequence[str]) -> None:
    """End what some roles do just now."""
    connection.exec_driver_sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE usename = ANY(%(roles)s)",
        {"roles": list(roles)},
    )


def drop_roles(connection: Connection, roles: Sequence[str]) -> None:
    """Drop roles with all they own and were granted in this database."""
    end_sessions(connection, roles)
    for role in roles:
        there = connection.exec_driver_sql(
            "SELECT 1 FROM pg_roles WHERE rolname = %(role)s", {"role": role}
        ).scalar()
        if there is not None:
            # Who made a role without being a superuser isn't a member of it before this.
            connection.exec_driver_sql(f"GRANT {role} TO CURRENT_USER")
            connection.exec_driver_sql(f"DROP OWNED BY {role} CASCADE")
            connection.exec_driver_sql(f"DROP ROLE {role}")
