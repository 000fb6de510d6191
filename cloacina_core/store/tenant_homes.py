"""Tenants on SQLite: a home and a file each, below the home of the installation.

What keeps them apart is what the system does: folders and files that only their owner may read,
whatever the umask says. Give each folder to a user of its own where tenants mustn't trust each
other.

A record in each home tells the state of its tenant. A home appears whole, with its record; when it
is deleted, the record goes last, so that whoever comes back knows how far it was.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Table

from cloacina_core.errors import InputError, NotAllowedError, UnknownTenantError
from cloacina_core.foundation import private_files
from cloacina_core.foundation.clock import Clock, iso
from cloacina_core.model.tenant import (
    Quotas,
    Tenant,
    TenantCredentials,
    TenantState,
    TenantUsage,
    checked_tenant_name,
)
from cloacina_core.store import schema, tenancy
from cloacina_core.store.database import Database
from cloacina_core.store.dumping import dump
from cloacina_core.store.local_homes import FOLDER
from cloacina_core.store.migrations.runner import OURS
from cloacina_core.store.tenancy import Prepare, Random

_STORE, _RECORD = "cloacina.db", "tenant.json"


@dataclass(frozen=True, slots=True)
class _Record:
    """What the installation knows of a tenant."""

    state: TenantState
    made_at: str
    made_by: str


class SqliteTenants:
    """The tenants below a home, for its administrator."""

    def __init__(
        self,
        home: Path,
        clock: Clock,
        extra_tables: Sequence[Table] = (),
        *,
        random: Random = secrets.token_hex,
    ) -> None:
        """Look at the tenants below a home.

        Args:
            home: of the installation.
            clock: of this host.
            extra_tables: tables of plugins, which each tenant gets.
            random: makes names.

        Raises:
            NotAllowedError: it is the home of a tenant, with which all below it would go.
        """
        if (home / _RECORD).exists():
            raise NotAllowedError(
                f"{home} is the home of a tenant",
                hint="tenants are administered in the home of the installation",
            )
        self._folder = home / FOLDER
        self._clock = clock
        self._tables = tuple(extra_tables)
        self._random = random

    def create(self, name: str, quotas: Quotas, by: str, prepare: Prepare) -> TenantCredentials:
        """Make a tenant: a home with a store and what plugins need.

        Args:
            name: of the tenant.
            quotas: what it may use.
            by: who makes it.
            prepare: puts what plugins need into the home.

        Raises:
            InputError: the name or a quota can't be used.
            ConflictError: there is one of this name.
            NotAllowedError: the folder can't be written.
        """
        checked_tenant_name(name)
        quotas.checked()
        with _writing(self._folder):
            private_files.make_folder(self._folder, self._folder.parent)
            self._folder.chmod(private_files.FOLDER_MODE)
            draft = self._folder / f".{name}.{self._random(8)}"
            draft.mkdir(mode=private_files.FOLDER_MODE)
            try:
                self._fill(draft, quotas)
                prepare(draft)
                made_at = iso(self._clock.now())
                _write_record(draft / _RECORD, _Record(TenantState.ACTIVE, made_at, by))
                self._publish(draft, name)
            finally:
                private_files.remove_tree(draft)
        return self._credentials(name)

    def _publish(self, draft: Path, name: str) -> None:
        """Have a whole home take its place, unless there is one."""
        try:
            draft.rename(self._home(name))
        except OSError:
            if self._record_file(name).exists():
                tenancy.refuse_taken(name, self._record(name).state)
            raise

    def _fill(self, home: Path, quotas: Quotas) -> None:
        with self._opened(home / _STORE) as database, database.begin() as connection:
            tenancy.begin_tenancy(connection, f"c{self._random(16)}", quotas)

    def get(self, name: str) -> Tenant:
        """Return a tenant.

        Raises:
            UnknownTenantError: there is none of this name.
        """
        record, quotas = self._record(name), Quotas()
        if self._file(name).exists():
            with self._of(name) as database, database.read() as connection:
                quotas = tenancy.quotas_of(connection)
        return Tenant(
            name=name,
            place=str(self._home(name)),
            home=self._home(name),
            state=record.state,
            quotas=quotas,
            made_at=datetime.fromisoformat(record.made_at),
            made_by=record.made_by,
        )

    def usage(self, name: str) -> TenantUsage:
        """Return what a tenant uses now."""
        self._record(name)
        if not self._file(name).exists():
            return TenantUsage()
        with self._of(name) as database, database.read() as connection:
            return tenancy.usage_of(connection, database.now_micros(connection), is_sqlite=True)

    def list(self) -> Sequence[Tenant]:
        """Return all tenants, by name; also those that are being deleted."""
        return [
            self.get(file.parent.name) for file in sorted(self._folder.glob(f"[!.]*/{_RECORD}"))
        ]

    def set_quotas(self, name: str, quotas: Quotas) -> None:
        """Say what a tenant may use from now on."""
        quotas.checked()
        with self._of(name) as database, database.begin() as connection:
            tenancy.change_tenancy(connection, **dict(quotas.items()))

    def suspend(self, name: str, by: str) -> None:
        """Let nothing new of a tenant start; what runs may end."""
        self._set_state(name, TenantState.SUSPENDED)
        self._suspend(name, by)

    def resume(self, name: str) -> None:
        """Let a suspended tenant start runs again."""
        self._set_state(name, TenantState.ACTIVE)
        with self._of(name) as database, database.begin() as connection:
            tenancy.resume(connection)

    def _set_state(self, name: str, state: TenantState) -> None:
        """Give a tenant a state that there is a way back from."""
        record = self._record(name)
        tenancy.refuse_deleted(name, record.state)
        _write_record(self._record_file(name), replace(record, state=state))

    def _suspend(self, name: str, by: str) -> None:
        with self._of(name) as database, database.begin() as connection:
            tenancy.suspend(connection, database.now_micros(connection), by)

    def rotate_password(self, name: str) -> TenantCredentials:
        """Refuse: there is no password.

        Raises:
            InputError: always.
        """
        self._record(name)
        raise InputError(
            "tenants on SQLite have no password",
            hint="what keeps them apart are the modes and owners of their folders",
        )

    def lend_role(self, name: str) -> tuple[str, str]:
        """Return the folder and the URL with which an engine serves a tenant."""
        tenancy.refuse_deleted(name, self._record(name).state)
        return str(self._home(name)), _url(self._file(name))

    def take_role_back(self, lent: str) -> None:
        """Do nothing: nothing was made."""

    def sweep_lent_roles(self) -> None:
        """Do nothing: nothing was made."""

    def upgrade(self, name: str, *, plan: bool = False) -> Sequence[str]:
        """Give a tenant's store what this version has more; return what that is."""
        with self._of(name) as database:
            steps = [f"schema {one.version}" for one in database.missing_migrations()]
        if not plan:
            with self._opened(self._file(name)):
                pass
        return steps

    def begin_deletion(self, name: str, by: str) -> None:
        """Let nothing new of a tenant start; there is no way back from here."""
        record = self._record(name)
        if not record.state.is_being_deleted:
            _write_record(self._record_file(name), replace(record, state=TenantState.DRAINING))
        if self._file(name).exists():
            self._suspend(name, by)

    def at_work(self, name: str) -> int:
        """Return how many runs engines that are alive have of a tenant."""
        if not self._file(name).exists():
            return 0
        with self._of(name) as database, database.read() as connection:
            return tenancy.owned_runs(connection, database.now_micros(connection))

    def end_export(self, name: str) -> None:
        """Note that the file is whole, and that everything else may go."""
        record = self._record(name)
        _write_record(self._record_file(name), replace(record, state=TenantState.DROPPING))

    def lock_out(self, name: str) -> None:
        """Note that nobody is to use the store any more."""
        record = self._record(name)
        _write_record(self._record_file(name), replace(record, state=TenantState.EXPORTING))

    def export(self, name: str, path: Path) -> None:
        """Write all rows of a tenant into a file: see `dumping.dump`."""
        with self._of(name) as database, database.read() as connection:
            tables = (*schema.metadata.sorted_tables, *self._tables)
            dump(connection, tables, path, tenancy.head_of_export(connection, name, OURS.head))

    def drop(self, name: str) -> None:
        """Take away all that a tenant has, its record last."""
        with _writing(self._folder):
            for draft in self._folder.glob(f".{name}.*"):
                private_files.remove_tree(draft)
            for path in self._home(name).iterdir():
                if path.is_dir() and not path.is_symlink():
                    private_files.remove_tree(path)
                elif path.name != _RECORD:
                    path.unlink()
            self._record_file(name).unlink()
            self._home(name).rmdir()

    @contextlib.contextmanager
    def _of(self, name: str) -> Iterator[Database]:
        self._record(name)
        with self._opened(self._file(name), prepare=False) as database:
            yield database

    @contextlib.contextmanager
    def _opened(self, file: Path, *, prepare: bool = True) -> Iterator[Database]:
        database = Database(_url(file), self._clock, self._tables, prepare=prepare)
        try:
            yield database
        finally:
            database.close()

    def _credentials(self, name: str) -> TenantCredentials:
        home = self._home(name)
        environment = {"CLOACINA_HOME": str(home), "CLOACINA_DATABASE_URL": _url(self._file(name))}
        return TenantCredentials(name=name, environment=environment)

    def _home(self, name: str) -> Path:
        return self._folder / name

    def _file(self, name: str) -> Path:
        return self._home(name) / _STORE

    def _record_file(self, name: str) -> Path:
        return self._home(name) / _RECORD

    def _record(self, name: str) -> _Record:
        checked_tenant_name(name)
        try:
            found = json.loads(self._record_file(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UnknownTenantError(name) from None
        return _Record(TenantState(found["state"]), found["made_at"], found["made_by"])


def _write_record(file: Path, record: _Record) -> None:
    draft = file.with_name(f"{file.name}.draft")
    body = {"state": record.state, "made_at": record.made_at, "made_by": record.made_by}
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, private_files.FILE_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as written:
        json.dump(body, written)
        written.flush()
        os.fsync(written.fileno())
    draft.replace(file)


def _url(file: Path) -> str:
    return f"sqlite:///{file}"


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotAllowedError(
            f"the tenants in {folder} can't be changed: {error.strerror}",
            hint="give yourself the right, or choose another home with --home or CLOACINA_HOME",
        ) from error
