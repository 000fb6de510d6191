"""The narrow view of the runtime that plugins are given."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloacina_core.errors import ConfigurationError
from cloacina_core.foundation.clock import Clock, SystemClock, from_micros
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.access import VIEW_VERBS, Principal, Rule, require
from cloacina_core.model.starts import EnabledStarts
from cloacina_core.plugin.interfaces import (
    BlobStore,
    RuntimeView,
    SecretKeyKind,
    SecretKeys,
    SecretProvider,
)
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.checked_blobs import CheckedBlobStore
from cloacina_core.runtime.limited_blobs import LimitedBlobStore
from cloacina_core.runtime.release_runs import StoredReleaseRuns
from cloacina_core.settings import Settings
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.database import Database
from cloacina_core.store.history import StoredHistory
from cloacina_core.store.opening import StoreOpener
from cloacina_core.store.watching import announce

if TYPE_CHECKING:
    from sqlalchemy import Connection


class StoreView:
    """Settings, clock, and the store, which is opened when it is first used."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        plugins: Plugins,
        acts_for: Principal | None = None,
        store: StoreOpener | None = None,
    ) -> None:
        """Prepare.

        Args:
            settings: in force.
            clock: to ask for the time.
            plugins: contribute tables and places for files.
            acts_for: whose acts are checked; None: nobody's, it is for the user of this process.
            store: lent by who closes it; None: it has its own.
        """
        self._acts_for = acts_for
        self.settings = settings
        self.clock = clock
        self._plugins = plugins
        self._is_lent = store is not None
        self._store = store or StoreOpener(settings.database_url, clock)
        self._database: Database | None = None
        self._lock = threading.Lock()

    @property
    def home(self) -> Path:
        """The folder for keys, trust and packages; it may not exist yet."""
        return self.settings.home

    @property
    def database(self) -> Database:
        """The store's database, open."""
        with self._lock:
            if self._database is None:
                self._database = self._store.opened(self._plugins.tables())
            return self._database

    @property
    def user(self) -> str:
        """Who uses this process, as `USER@HOST`, or for whose API key it works."""
        return who_asks() if self._acts_for is None else self._acts_for.name

    def require(self, verb: str, rule: Rule) -> None:
        """Refuse what whoever the view is for may not do.

        Raises:
            RoleTooLowError: they may not.
        """
        if self._acts_for is not None:
            require(self._acts_for, verb, rule)

    def _require(self, verb: str) -> None:
        self.require(verb, VIEW_VERBS[verb])

    @property
    def runs(self) -> StoredReleaseRuns:
        """The runs of releases."""
        return StoredReleaseRuns(
            lambda: self.database,
            self.clock,
            user=self.user,
            check=lambda: self._require("view.cancel_runs"),
        )

    @property
    def history(self) -> StoredHistory:
        """What became of runs."""
        return StoredHistory(self.database)

    def database_now(self, connection: "Connection") -> datetime:
        """Return the time on the database's clock."""
        return from_micros(self.database.now_micros(connection))

    def starts_on(self, package: str, channel: str) -> EnabledStarts:
        """Return what starts runs of what a channel points to."""
        from cloacina_core.store.starts import starts_on  # noqa: PLC0415 - for promotions alone

        return starts_on(self.database, package, channel)

    @contextmanager
    def begin(self) -> "Iterator[Connection]":
        """Open a write transaction on the store; engines may have to look at what it writes."""
        self._require("view.begin")
        with self.database.begin() as connection:
            yield connection
            announce(connection)

    def read(self) -> "AbstractContextManager[Connection]":
        """Open a read-only transaction on the store."""
        return self.database.read()

    def blob_store(self) -> BlobStore:
        """Return the store of files that the setting `blob_store` names."""
        name, _, rest = self.settings.blob_store.partition(":")
        kinds = {kind.name: kind for kind in self._plugins.blob_stores()}
        if name not in kinds:
            raise ConfigurationError(
                f"setting blob_store names {name!r}, which no plugin contributes; "
                f"there are: {', '.join(sorted(kinds)) or 'none'}",
                hint="see which plugin failed, and why, with: cloacina plugins list",
            )
        store = kinds[name].open(self, rest)
        is_in_database = name == "database"
        limited = LimitedBlobStore(store, lambda: self.database, is_in_database=is_in_database)
        return limited if self._acts_for is None else CheckedBlobStore(limited, self._require)

    def secret_keys(self) -> SecretKeys:
        """Return the master keys that the setting `secret_key` names."""
        name, _, rest = self.settings.secret_key.partition(":")
        own = [SecretKeyKind("file", _key_file), SecretKeyKind("env", _key_variable)]
        offered = self._plugins.secret_keys(taken=[kind.name for kind in own])
        kinds = {kind.name: kind for kind in [*own, *offered]}
        if name not in kinds:
            raise ConfigurationError(
                f"setting secret_key names {name!r}, which no plugin contributes; "
                f"there are: {', '.join(sorted(kinds))}",
                hint="see which plugin failed, and why, with: cloacina plugins list",
            )
        return kinds[name].open(self, rest)

    def secret_provider(self, place: str) -> SecretProvider:
        """Return what keeps secrets at a place, `KIND:REST`, that `secret_providers` names."""
        name, _, rest = place.partition(":")
        kinds = {kind.name: kind for kind in self._plugins.secret_providers()}
        if name not in kinds:
            raise ConfigurationError(
                f"setting secret_providers names {name!r}, which no plugin contributes; "
                f"there are: {', '.join(sorted(kinds)) or 'none'}",
                hint="see which plugin failed, and why, with: cloacina plugins list",
            )
        return kinds[name].open(self, rest)

    def blobs_in(self, table: Any) -> BlobStore:
        """Return a store of blobs in a table of the store."""
        store = DatabaseBlobStore(lambda: self.database, table=table)
        if self._acts_for is None:
            return store
        return CheckedBlobStore(store, lambda _verb: self._require("view.begin"))

    def close(self) -> None:
        """Close the store, if it was opened and isn't lent."""
        with self._lock:
            self._database = None
        if not self._is_lent:
            self._store.close()


def _key_file(view: RuntimeView, path: str) -> SecretKeys:
    from cloacina_core.services.secrets.key_files import (  # noqa: PLC0415 - few have secrets
        DEFAULT_FILE,
        KeyFile,
    )

    return KeyFile(Path(path) if path else view.home / DEFAULT_FILE)


def _key_variable(_view: RuntimeView, name: str) -> SecretKeys:
    from cloacina_core.services.secrets.key_files import KeyVariable  # noqa: PLC0415 - as above

    return KeyVariable(os.environ, name)


def open_view(
    settings: Settings,
    plugins: Plugins | None = None,
    *,
    acts_for: Principal | None = None,
    store: StoreOpener | None = None,
) -> StoreView:
    """Return a view for commands that need the store, but no engine.

    Args:
        settings: in force.
        plugins: None: those of the environment.
        acts_for: who may do no more through it than their role says; None: the user of this
            process, who may do everything.
        store: lent by who closes it; None: the view opens its own.
    """
    plugins = plugins or Plugins.of_environment(settings.blocked_plugins)
    return StoreView(settings, SystemClock(), plugins, acts_for, store)
