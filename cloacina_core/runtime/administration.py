"""Tenants, as their administrator sees them: made, limited, suspended, deleted.

Each change is told in the audit: of commands, by the gate that they pass; of programs, here. Where
the home of an installation on SQLite isn't there yet, there is nowhere to tell it.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from cloacina_core.errors import InputError, NotAllowedError
from cloacina_core.foundation import private_files
from cloacina_core.foundation.clock import Clock, SystemClock, iso
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.access import COMMAND_VERBS, Principal, Role
from cloacina_core.model.tenant import (
    Quotas,
    Tenant,
    TenantCredentials,
    TenantExport,
    TenantState,
    TenantUsage,
)
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.gate import Gate, Request
from cloacina_core.runtime.guarded import told as told_name
from cloacina_core.runtime.view import open_view
from cloacina_core.settings import Settings, default_database_url, read_settings
from cloacina_core.store.administration import audit_of_commands
from cloacina_core.store.audit import Audit
from cloacina_core.store.dumping import digest_of_file, head_of
from cloacina_core.store.local_homes import LocalHomes
from cloacina_core.store.opening import StoreOpener
from cloacina_core.store.tenancy import Prepare
from cloacina_core.store.tenant_homes import SqliteTenants
from cloacina_core.store.tenants import PostgresqlTenants

EXPORTS = "exports"
"""Where files of deleted tenants go, below the home, unless something else is said."""

PYTHON = "python"
"""From where programs ask, as the audit tells it."""

_LOOK_SECONDS = 0.1

T = TypeVar("T")


class _Tenants(Protocol):
    """The tenants of one kind of database; see there."""

    def create(
        self, name: str, quotas: Quotas, by: str, prepare: Prepare, /
    ) -> TenantCredentials: ...
    def get(self, name: str, /) -> Tenant: ...
    def usage(self, name: str, /) -> TenantUsage: ...
    def list(self) -> Sequence[Tenant]: ...
    def set_quotas(self, name: str, quotas: Quotas, /) -> None: ...
    def suspend(self, name: str, by: str, /) -> None: ...
    def resume(self, name: str, /) -> None: ...
    def rotate_password(self, name: str, /) -> TenantCredentials: ...
    def lend_role(self, name: str, /) -> tuple[str, str]: ...
    def take_role_back(self, lent: str, /) -> None: ...
    def sweep_lent_roles(self) -> None: ...
    def upgrade(self, name: str, /, *, plan: bool = False) -> Sequence[str]: ...
    def begin_deletion(self, name: str, by: str, /) -> None: ...
    def at_work(self, name: str, /) -> int: ...
    def lock_out(self, name: str, /) -> None: ...
    def export(self, name: str, path: Path, /) -> None: ...
    def end_export(self, name: str, /) -> None: ...
    def drop(self, name: str, /) -> None: ...


class DatabaseAdmin:
    """Administers the tenants of a PostgreSQL database, or those below a home on SQLite.

    Use it as a context manager. Nothing of it is for tenants: it takes the administrator's URL.
    Each change is told in the audit.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        store: StoreOpener | None = None,
        *,
        is_told: bool = False,
    ) -> None:
        """Connect; see `open` for the usual way.

        Args:
            settings: in force.
            plugins: contribute tables.
            store: lent by who closes it; None: it has its own.
            is_told: whether who calls tells the audit of each change, as a command does.
        """
        clock = SystemClock()
        self._is_told = is_told
        self._ids = IdFactory(clock)
        self._gate = Gate(_user_of_python, self._audit)
        self._settings = settings
        self._plugins = plugins
        self._is_lent = store is not None
        self._store = store or StoreOpener(settings.database_url, clock)
        self._tenants = self._open_tenants(clock)

    def _open_tenants(self, clock: Clock) -> _Tenants:
        tables = self._plugins.tables()
        if self._settings.database_url.startswith("sqlite"):
            return SqliteTenants(self._settings.home, clock, tables)
        try:
            homes = LocalHomes(self._settings.home)
            return PostgresqlTenants(self._store.opened(prepare=False), homes, tables)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, url: str | None = None, home: str | Path | None = None) -> "DatabaseAdmin":
        """Connect as an administrator.

        Args:
            url: `postgresql+psycopg://...` of a superuser, or of the owner of the database who may
                make roles; `sqlite:///...` for tenants below the home. None: as configured.
            home: the folder of the installation. None: as configured.

        Raises:
            ConfigurationError: a setting is wrong.
            NotAllowedError: these are a tenant's credentials.
            StoreError: the database can't be used.
        """
        flags = {"database_url": url, "home": home}
        settings = read_settings(os.environ, Path.cwd(), flags).settings
        return cls(settings, Plugins.of_environment(settings.blocked_plugins))

    def close(self) -> None:
        """Close all connections, unless they are lent."""
        if not self._is_lent:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()

    def _audit(self) -> Audit:
        is_sqlite = self._settings.database_url.startswith("sqlite")
        kept = self._settings.retention_audit.length
        return audit_of_commands(self._store.opened(prepare=is_sqlite), self._ids, kept)

    def _change(self, verb: str, target: str | None, act: Callable[[], T], **facts: JsonValue) -> T:
        """Change something, and tell of it."""
        if self._is_told or self._settings.is_new:
            return act()
        verb = f"tenants.{verb}"
        request = Request(verb, COMMAND_VERBS[verb], told_name(target), facts)
        return self._gate.perform(request, act)

    def create_tenant(self, name: str, quotas: Quotas | None = None) -> TenantCredentials:
        """Make a tenant, and return what its people need. It is told once: a password isn't kept.

        Args:
            name: 1 to 48 lower-case letters, digits and hyphens.
            quotas: what it may use; None: as much as it likes.

        Raises:
            InputError: the name or a quota can't be used.
            ConflictError: there is a tenant of this name.
            ConfigurationError: everybody who can connect may do too much for there to be tenants.
            StoreError: it couldn't be made, and wasn't.
        """
        return self._change(
            "create",
            name,
            lambda: self._tenants.create(name, quotas or Quotas(), who_asks(), self._prepare),
        )

    def _prepare(self, home: Path) -> None:
        url = default_database_url(home)
        settings = replace(self._settings, home=home, database_url=url)
        view = open_view(settings, self._plugins)
        try:
            self._plugins.prepare_home(view, None)
        finally:
            view.close()

    def tenant(self, name: str) -> Tenant:
        """Return a tenant.

        Raises:
            UnknownTenantError: there is none of this name.
        """
        return self._tenants.get(name)

    def usage(self, name: str) -> TenantUsage:
        """Return what a tenant uses now of what its quotas limit.

        Raises:
            UnknownTenantError: there is none of this name.
        """
        return self._tenants.usage(name)

    def tenants(self) -> Sequence[Tenant]:
        """Return all tenants, by name; also those that are being deleted."""
        return self._tenants.list()

    def set_quotas(self, name: str, changes: Mapping[str, int | None]) -> Tenant:
        """Change some quotas of a tenant, from now on.

        That of slots counts for engines that start, and for those that share slots with others.

        Args:
            name: of the tenant.
            changes: by the names of `Quotas`; None takes a quota away.

        Raises:
            UnknownTenantError: there is none of this name.
            InputError: a quota can't be used.
        """
        unknown = changes.keys() - dict(Quotas().items())
        if unknown:
            raise InputError(f"there is no quota {', '.join(sorted(unknown))}")

        def set_them() -> Tenant:
            self._tenants.set_quotas(name, self._tenants.get(name).quotas.changed(changes))
            return self._tenants.get(name)

        return self._change("quota", name, set_them, options=sorted(changes))

    def suspend_tenant(self, name: str) -> Tenant:
        """Let nothing new of a tenant start; what runs may end.

        Raises:
            UnknownTenantError: there is none of this name.
            ConflictError: it is being deleted.
        """
        self._change("suspend", name, lambda: self._tenants.suspend(name, who_asks()))
        return self._tenants.get(name)

    def resume_tenant(self, name: str) -> Tenant:
        """Let a suspended tenant start runs again; errors as `suspend_tenant`."""
        self._change("resume", name, lambda: self._tenants.resume(name))
        return self._tenants.get(name)

    def rotate_password(self, name: str) -> TenantCredentials:
        """Give a tenant another password; connections that are open stay.

        Raises:
            UnknownTenantError: there is none of this name.
            ConflictError: it is being deleted.
            InputError: tenants of this database have no passwords.
        """
        return self._change("rotate_password", name, lambda: self._tenants.rotate_password(name))

    def upgrade_tenant(self, name: str, *, plan: bool = False) -> Sequence[str]:
        """Give a tenant's schema what this version has more; return what that is.

        Args:
            name: of the tenant.
            plan: only look.

        Raises:
            UnknownTenantError: there is none of this name.
        """
        if plan:
            return self._tenants.upgrade(name, plan=True)
        return self._change("upgrade", name, lambda: self._tenants.upgrade(name))

    def delete_tenant(
        self,
        name: str,
        *,
        export_to: Path | None = None,
        drain_seconds: float = 30,
        told: Callable[[str], object] = lambda _stage: None,
    ) -> TenantExport:
        """Delete a tenant in stages: suspend, drain, export, drop. Call it again to go on with one.

        Args:
            name: of the tenant.
            export_to: the folder for the file of its rows. None: `exports` in the home.
            drain_seconds: how long what runs may take to end.
            told: told of each stage as it begins.

        Raises:
            UnknownTenantError: there is none of this name.
            NotAllowedError: the file can't be written; the tenant is there still.
            StoreError: the database failed; call it again.
        """
        folder = export_to or self._settings.home / EXPORTS
        return self._change("delete", name, lambda: self._delete(name, folder, drain_seconds, told))

    def _delete(
        self, name: str, folder: Path, drain_seconds: float, told: Callable[[str], object]
    ) -> TenantExport:
        tenant = self._tenants.get(name)
        file = self._export_file(tenant, folder)
        if tenant.state is not TenantState.DROPPING:
            told("suspend: nothing new starts")
            self._tenants.begin_deletion(name, who_asks())
            told(f"drain: what runs has {drain_seconds:g} s to end")
            self._drain(name, drain_seconds)
            told(f"export: into {file}")
            self._tenants.lock_out(name)
            self._tenants.export(name, file)
            self._tenants.end_export(name)
        elif not file.exists():
            raise InputError(
                f"the rows of tenant {name!r} were exported, but not into {file}",
                hint="name the folder that they are in with: --export-to",
            )
        export = TenantExport(
            name=name,
            path=str(file),
            digest=digest_of_file(file),
            given_up=int(head_of(file)["unfinished_runs"]),
        )
        told("drop: everything else goes")
        self._tenants.drop(name)
        return export

    def _drain(self, name: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._tenants.at_work(name) and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def _export_file(self, tenant: Tenant, folder: Path) -> Path:
        made = iso(tenant.made_at).replace("-", "").replace(":", "").partition(".")[0].rstrip("Z")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NotAllowedError(
                f"folder {folder} can't be made: {error.strerror}",
                hint="name another one with: --export-to",
            ) from error
        return folder / f"{tenant.name}-{made}.jsonl.gz"

    def made_home(self, name: str) -> Path:
        """Return the home that a tenant has on this host, made if it isn't there.

        Ask for it after `lend_role`: credentials of a tenant that is gone since do no harm there.

        Raises:
            UnknownTenantError: there is none of this name.
            NotAllowedError: it can't be made.
        """
        home = self._tenants.get(name).home
        try:
            private_files.make_folder(home, self._settings.home)
        except OSError as error:
            raise NotAllowedError(
                f"home {home} can't be made: {error.strerror}",
                hint="give yourself the right, or choose another home with --home or CLOACINA_HOME",
            ) from error
        return home

    def lend_role(self, name: str) -> tuple[str, str]:
        """Return the credentials of an engine that serves a tenant: what to give back, and a URL.

        Raises:
            UnknownTenantError: there is none of this name.
            ConflictError: it is being deleted.
        """
        return self._change("lend_role", name, lambda: self._tenants.lend_role(name))

    def take_role_back(self, lent: str) -> None:
        """Take the credentials of an engine away, and end what it still does."""
        self._change("take_role_back", None, lambda: self._tenants.take_role_back(lent))

    def sweep_lent_roles(self) -> None:
        """Take credentials away that engines left behind which couldn't give them back."""
        self._change("sweep_lent_roles", None, self._tenants.sweep_lent_roles)


def _user_of_python() -> Principal:
    """Return the user of this process, who has the credentials of an administrator."""
    return Principal(name=who_asks(), role=Role.ADMIN, origin=PYTHON)
