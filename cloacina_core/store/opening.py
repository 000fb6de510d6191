"""The store of a program, opened by whoever needs it first, and once for all of them."""

import threading
from collections.abc import Iterable

from sqlalchemy import Table

from cloacina_core.foundation.clock import Clock
from cloacina_core.store.database import Database


class StoreOpener:
    """Opens a store once, and closes it in the end. Safe to use from any thread.

    Who is lent one asks it for the database, and leaves closing it to its owner.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        """Prepare; nothing is opened.

        Args:
            url: as `Database` takes it.
            clock: of this host.
        """
        self._url = url
        self._clock = clock
        self._database: Database | None = None
        self._lock = threading.Lock()

    def opened(self, extra_tables: Iterable[Table] = (), *, prepare: bool = True) -> Database:
        """Return the database, which others may have opened before.

        Args:
            extra_tables: tables of plugins, made when they aren't there.
            prepare: whether the schema is made or upgraded, if it wasn't yet; otherwise nothing is
                touched.

        Raises:
            StoreError: it can't be opened or prepared; see `Database`.
        """
        with self._lock:
            if self._database is None:
                tables = extra_tables
                self._database = Database(self._url, self._clock, tables, prepare=prepare)
            elif prepare:
                self._database.prepare(extra_tables)
            return self._database

    def close(self) -> None:
        """Close the database, if it was opened; who asks again has it opened anew."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None
