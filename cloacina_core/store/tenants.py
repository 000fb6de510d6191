"""Tenants on PostgreSQL: a schema and a role each, made and taken away by an administrator.

What keeps tenants apart, and where it is done:

1. Schema and role have one random name: catalogs are shown to all who use the server, and tell
   nobody the names of tenants. (`create`)
2. The role has the least rights, and where everybody has more there are no tenants. (`rights`)
3. Passwords are returned once, and kept nowhere. (`create`, `rotate_password`)
4. The list of tenants lies in a schema that nobody was granted. (`administration`)
5. An engine that an administrator starts for a tenant gets a role of its own, whose only right is
   to act as the tenant's; its sessions begin as that. It goes with the engine. (`lend_role`)
6. What a tenant has on this host besides is kept under that random name too, and goes with it.
   (`local_homes`, `drop`)
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Table,
    delete,
    insert,
    inspect,
    select,
    update,
)

from cloacina_core.errors import (
    NotAllowedError,
    UnknownTenantError,
)
from cloacina_core.foundation.clock import from_micros
from cloacina_core.model.tenant import (
    Quotas,
    Tenant,
    TenantCredentials,
    TenantState,
    TenantUsage,
    checked_tenant_name,
)
from cloacina_core.store import administration, rights, schema, tenancy
from cloacina_core.store.database import Database
from cloacina_core.store.dumping import dump
from cloacina_core.store.local_homes import LocalHomes
from cloacina_core.store.migrations.runner import OURS, version_table
from cloacina_core.store.postgresql import TENANT_PREFIX
from cloacina_core.store.tenancy import Prepare, Random

LENT_PREFIX = "cloacina_e_"
"""What the names of the roles of engines begin with that serve several tenants."""

_SETTLED_SECONDS = 600
"""For how long an engine with a role of its own may take to connect for the first time."""

_MICROS = 1_000_000
_KEPT_OPTIONS = frozenset(
    {"host", "hostaddr", "port", "sslmode", "sslrootcert", "target_session_attrs"}
)
"""What a tenant's URL has of the administrator's; the rest may be what he proves himself with."""


_tenants = administration.tenants


class PostgresqlTenants:
    """The tenants of a PostgreSQL database, for its administrator."""

    def __init__(
        self,
        database: Database,
        homes: LocalHomes,
        extra_tables: Sequence[Table] = (),
        *,
        random: Random = secrets.token_hex,
    ) -> None:
        """Look whose the credentials are.

        Args:
            database: opened as a superuser, or as a role that may make roles and owns it; it
                needn't be prepared.
            homes: of tenants, on this host.
            extra_tables: tables of plugins, which each tenant gets.
            random: makes names and passwords.

        Raises:
            NotAllowedError: these are a tenant's credentials.
            StoreError: the database can't be used.
        """
        self._tables = tuple(extra_tables)
        self._random = random
        self._database = database
        self._homes = homes
        self._refuse_tenants()

    def _refuse_tenants(self) -> None:
        with self._database.read():
            if self._database.schema is not None:
                raise NotAllowedError(
                    "these are the credentials of a tenant",
                    hint="tenants are administered with the URL of the database's administrator",
                )

    def create(
        self,
        name: str,
        quotas: Quotas,
        by: str,
        prepare: Prepare,  # noqa: ARG002 - keys and trust are its people's, where they work
    ) -> TenantCredentials:
        """Make a tenant, whole or not at all.

        Args:
            name: of the tenant.
            quotas: what it may use.
            by: who makes it.
            prepare: not used: what belongs into a home is made where the tenant's people work.

        Raises:
            InputError: the name or a quota can't be used.
            ConflictError: there is one of this name.
            ConfigurationError: what everybody may do in this database is too much.
        """
        checked_tenant_name(name)
        quotas.checked()
        role = f"{TENANT_PREFIX}{self._random(16)}"
        password = self._random(32)
        with self._database.begin() as connection:
            administration.ensure(connection)
            connection.exec_driver_sql(
                f"LOCK TABLE {administration.SCHEMA}.tenants IN EXCLUSIVE MODE"
            )
            self._refuse_taken(connection, name)
            rights.close_doors(connection)
            more = f"NOINHERIT CONNECTION LIMIT {rights.CONNECTIONS}"
            rights.make_role(connection, role, password, more)
            rights.limit(connection, role)
            connection.exec_driver_sql(f"CREATE SCHEMA {role}")
            _enter(connection, role)
            self._make_tables(connection, quotas)
            rights.grant(connection, role)
            rights.refuse_open_doors(connection, role)
            row = {"name": name, "role": role, "state": TenantState.ACTIVE.value, "made_by": by}
            now = self._database.now_micros(connection)
            connection.execute(insert(_tenants).values(**row, made_at=now))
            reaches = rights.other_databases(connection, role)
        return self._credentials(name, role, password, reaches)

    def get(self, name: str) -> Tenant:
        """Return a tenant.

        Raises:
            UnknownTenantError: there is none of this name.
        """
        with self._database.read() as connection:
            return self._tenant(connection, self._row(connection, name))

    def usage(self, name: str) -> TenantUsage:
        """Return what a tenant uses now."""
        with self._database.read() as connection:
            _enter(connection, self._row(connection, name).role)
            now = self._database.now_micros(connection)
            return tenancy.usage_of(connection, now, is_sqlite=False)

    def list(self) -> Sequence[Tenant]:
        """Return all tenants, by name; also those that are being deleted."""
        with self._database.read() as connection:
            if not administration.is_there(connection):
                return []
            rows = connection.execute(select(_tenants).order_by(_tenants.c.name)).all()
            return [self._tenant(connection, row) for row in rows]

    def set_quotas(self, name: str, quotas: Quotas) -> None:
        """Say what a tenant may use from now on."""
        quotas.checked()
        with self._of(name) as (connection, _):
            tenancy.change_tenancy(connection, **dict(quotas.items()))

    def suspend(self, name: str, by: str) -> None:
        """Let nothing new of a tenant start; what runs may end."""
        with self._resumable(name, TenantState.SUSPENDED) as connection:
            tenancy.suspend(connection, self._database.now_micros(connection), by)

    def resume(self, name: str) -> None:
        """Let a suspended tenant start runs again."""
        with self._resumable(name, TenantState.ACTIVE) as connection:
            tenancy.resume(connection)

    @contextmanager
    def _resumable(self, name: str, state: TenantState) -> Iterator[Connection]:
        """Have a transaction in a tenant's schema that gives it a state with a way back."""
        with self._of(name) as (connection, row):
            tenancy.refuse_deleted(row.name, TenantState(row.state))
            yield connection
            self._set_state(connection, name, state)
            tenancy.wake_engines(connection)

    def rotate_password(self, name: str) -> TenantCredentials:
        """Give a tenant another password; connections that are open stay.

        Raises:
            ConflictError: it is being deleted.
        """
        password = self._random(32)
        with self._of(name) as (connection, row):
            tenancy.refuse_deleted(row.name, TenantState(row.state))
            verifier = rights.verifier(connection, row.role, password)
            connection.exec_driver_sql(f"ALTER ROLE {row.role} PASSWORD '{verifier}'")
            reaches = rights.other_databases(connection, row.role)
        return self._credentials(name, row.role, password, reaches)

    def lend_role(self, name: str) -> tuple[str, str]:
        """Make a role for an engine that serves a tenant, and return its name and its URL.

        Raises:
            ConflictError: the tenant is being deleted.
        """
        password = self._random(32)
        with self._of(name) as (connection, row):
            tenancy.refuse_deleted(row.name, TenantState(row.state))
            second = self._database.now_micros(connection) // _MICROS
            lent = f"{LENT_PREFIX}{second:x}_{self._random(16)}"
            rights.make_role(
                connection,
                lent,
                password,
                f"INHERIT CONNECTION LIMIT {rights.CONNECTIONS} IN ROLE {row.role}",
            )
            connection.exec_driver_sql(f"ALTER ROLE {lent} SET role = {row.role}")
        return lent, self._url(lent, password)

    def take_role_back(self, lent: str) -> None:
        """Remove the role of an engine, and end what it still does."""
        with self._database.begin() as connection:
            rights.drop_roles(connection, [lent])

    def sweep_lent_roles(self) -> None:
        """Remove roles of engines that were never taken back, and that nobody uses."""
        with self._database.begin() as connection:
            if not administration.is_there(connection):
                return
            settled = self._database.now_micros(connection) // _MICROS - _SETTLED_SECONDS
            roles = connection.execute(select(_tenants.c.role)).scalars().all()
            lent = [one for role in roles for one in _lent_roles(connection, role)]
            unused = connection.exec_driver_sql(
                "SELECT name FROM unnest(%(lent)s::text[]) AS name WHERE NOT EXISTS "
                "(SELECT 1 FROM pg_stat_activity WHERE usename = name)",
                {"lent": [one for one in lent if _made_at(one) < settled]},
            ).scalars()
            rights.drop_roles(connection, list(unused))

    def upgrade(self, name: str, *, plan: bool = False) -> Sequence[str]:
        """Give a tenant's schema what this version has more; return what that is.

        Args:
            name: of the tenant.
            plan: only look.
        """
        with self._of(name) as (connection, row):
            version = connection.execute(select(version_table.c.version_num)).scalar()
            steps = [one.version for one in OURS.plan(self._database.dialect, version)]
            found = inspect(connection).get_table_names(schema=row.role)
            missing = [table for table in self._tables if table.name not in found]
            if not plan and (steps or missing):
                if steps:
                    OURS.upgrade(connection)
                for table in missing:
                    table.create(connection, checkfirst=False)
                rights.grant(connection, row.role)
        return [*(f"schema {step}" for step in steps), *(f"table {one.name}" for one in missing)]

    def begin_deletion(self, name: str, by: str) -> None:
        """Let nothing new of a tenant start; there is no way back from here."""
        with self._of(name) as (connection, row):
            tenancy.suspend(connection, self._database.now_micros(connection), by)
            if not TenantState(row.state).is_being_deleted:
                self._set_state(connection, name, TenantState.DRAINING)

    def at_work(self, name: str) -> int:
        """Return how many runs engines that are alive have of a tenant."""
        with self._of(name) as (connection, _):
            return tenancy.owned_runs(connection, self._database.now_micros(connection))

    def lock_out(self, name: str) -> None:
        """Let nobody connect as a tenant any more, and end all that is connected."""
        with self._of(name) as (connection, row):
            roles = [row.role, *_lent_roles(connection, row.role)]
            for role in roles:
                connection.exec_driver_sql(f"ALTER ROLE {role} NOLOGIN")
            self._set_state(connection, name, TenantState.EXPORTING)
        with self._database.begin() as connection:
            rights.end_sessions(connection, roles)

    def export(self, name: str, path: Path) -> None:
        """Write all rows of a tenant into a file: see `dumping.dump`."""
        with self._database.read() as connection:
            row = self._row(connection, name)
            _enter(connection, row.role)
            there = inspect(connection).get_table_names(schema=row.role)
            tables = [
                table
                for table in (*schema.metadata.sorted_tables, *self._tables)
                if table.name in there
            ]
            dump(connection, tables, path, tenancy.head_of_export(connection, name, OURS.head))

    def end_export(self, name: str) -> None:
        """Note that the file is whole, and that everything else may go."""
        with self._of(name) as (connection, _):
            self._set_state(connection, name, TenantState.DROPPING)

    def drop(self, name: str) -> None:
        """Take away all that a tenant has: its home on this host, then schema, roles and name.

        Raises:
            NotAllowedError: the home can't be removed; the tenant is there still.
        """
        with self._database.read() as connection:
            row = self._row(connection, name)
        try:
            self._homes.remove(name, row.role)
        except OSError as error:
            raise NotAllowedError(
                f"the home of tenant {name!r} can't be removed: {error}",
                hint="give yourself the right, and give the command again",
            ) from error
        with self._database.begin() as connection:
            row = self._row(connection, name, lock=True)
            roles = [*_lent_roles(connection, row.role), row.role]
            rights.end_sessions(connection, roles)
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {row.role} CASCADE")
            rights.drop_roles(connection, roles)
            connection.execute(delete(_tenants).where(_tenants.c.name == name))

    @contextmanager
    def _of(self, name: str) -> Iterator[tuple[Connection, Any]]:
        """Have a transaction in a tenant's schema, and its row, which nobody else changes."""
        with self._database.begin() as connection:
            row = self._row(connection, name, lock=True)
            _enter(connection, row.role)
            yield connection, row

    def _row(self, connection: Connection, name: str, *, lock: bool = False) -> Any:
        checked_tenant_name(name)
        if not administration.is_there(connection):
            raise UnknownTenantError(name)
        query = select(_tenants).where(_tenants.c.name == name)
        row = connection.execute(query.with_for_update() if lock else query).first()
        if row is None:
            raise UnknownTenantError(name)
        return row

    def _tenant(self, connection: Connection, row: Any) -> Tenant:
        _enter(connection, row.role)
        return Tenant(
            name=row.name,
            place=row.role,
            home=self._homes.of(row.name, row.role),
            state=TenantState(row.state),
            quotas=tenancy.quotas_of(connection),
            made_at=from_micros(row.made_at),
            made_by=row.made_by,
        )

    def _refuse_taken(self, connection: Connection, name: str) -> None:
        query = select(_tenants.c.state).where(_tenants.c.name == name)
        if (state := connection.execute(query).scalar()) is not None:
            tenancy.refuse_taken(name, TenantState(state))

    def _make_tables(self, connection: Connection, quotas: Quotas) -> None:
        schema.metadata.create_all(connection, checkfirst=False)
        version_table.create(connection, checkfirst=False)
        connection.execute(version_table.insert().values(version_num=OURS.head))
        for table in self._tables:
            table.create(connection, checkfirst=False)
        tenancy.begin_tenancy(connection, f"c{self._random(16)}", quotas)

    def _set_state(self, connection: Connection, name: str, state: TenantState) -> None:
        of_name = _tenants.c.name == name
        connection.execute(update(_tenants).where(of_name).values(state=state.value))

    def _credentials(
        self, name: str, role: str, password: str, reaches: tuple[str, ...]
    ) -> TenantCredentials:
        environment = {"CLOACINA_DATABASE_URL": self._url(role, password)}
        return TenantCredentials(name=name, environment=environment, reaches=reaches)

    def _url(self, role: str, password: str) -> str:
        ours = self._database.url
        query = {key: value for key, value in ours.query.items() if key in _KEPT_OPTIONS}
        url = URL.create(
            ours.drivername, role, password, ours.host, ours.port, ours.database, query
        )
        return url.render_as_string(hide_password=False)


def _enter(connection: Connection, role: str) -> None:
    """Have the rest of a transaction see the tables of a tenant."""
    connection.exec_driver_sql(f"SET LOCAL search_path = {role}, pg_temp")


def _made_at(lent: str) -> int:
    """Return when a role was made for an engine, in seconds: its name tells."""
    return int(lent.removeprefix(LENT_PREFIX).partition("_")[0], 16)


def _lent_roles(connection: Connection, role: str) -> list[str]:
    """Return the roles of engines that act as a tenant's."""
    members = connection.exec_driver_sql(
        "SELECT m.rolname FROM pg_auth_members g JOIN pg_roles m ON m.oid = g.member "
        "JOIN pg_roles r ON r.oid = g.roleid WHERE r.rolname = %(role)s ORDER BY 1",
        {"role": role},
    ).scalars()
    return [member for member in members if member.startswith(LENT_PREFIX)]
