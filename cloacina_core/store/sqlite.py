"""SQLite: which library is used, in which journal mode, and how transactions begin.

WAL mode of SQLite 3.7.0 to 3.51.2 can corrupt a database when a checkpoint meets a reset of the log
(sqlite.org/wal.html, "The WAL-reset bug"; mended in 3.51.3 and in the branches 3.50.7 and 3.44.6).
Python links whatever its host has, so a current library is brought along as `pysqlite3` where it
has wheels. With an affected library and no other, a rollback journal is used instead.
"""

import contextlib
import importlib
import os
import sqlite3
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, event

from cloacina_core.foundation.private_files import FILE_MODE

BUSY_TIMEOUT_SECONDS = 10
"""How long a write waits for another program's lock before the store counts as unavailable."""

IN_MEMORY_NAMES = (None, "", ":memory:")
"""What a URL names when the database isn't a file."""

SIDE_FILES = ("-journal", "-wal", "-shm")
"""What the names of files end in that SQLite keeps beside one that is open."""

_PAUSE_SECONDS = 0.01
"""Between tries to set the journal mode."""

_FIRST_SOUND = (3, 51, 3)
_SOUND_BRANCHES: dict[tuple[int, ...], int] = {(3, 50): 7, (3, 44): 6}


def is_wal_safe(version: tuple[int, ...]) -> bool:
    """Whether WAL mode of this version of SQLite is free of the WAL-reset bug."""
    branch_fix = _SOUND_BRANCHES.get(version[:2])
    return version >= _FIRST_SOUND or (branch_fix is not None and version[2] >= branch_fix)


@dataclass(frozen=True, slots=True)
class SqliteLibrary:
    """The SQLite that is used."""

    module: ModuleType
    """A DB-API module: `pysqlite3.dbapi2` or the standard library's `sqlite3`."""

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the library, as (3, 51, 3)."""
        info: tuple[int, ...] = self.module.sqlite_version_info
        return info

    @property
    def journal_mode(self) -> str:
        """`WAL`, or `DELETE` when WAL isn't safe in this version."""
        return "WAL" if is_wal_safe(self.version) else "DELETE"

    def __str__(self) -> str:
        return f"SQLite {'.'.join(map(str, self.version))} ({self.module.__name__})"


def choose_library() -> SqliteLibrary:
    """Return the newer of `pysqlite3` and the standard library's SQLite."""
    found = [SqliteLibrary(sqlite3)]
    with contextlib.suppress(ImportError):  # there are no wheels of it for some platforms
        found.append(SqliteLibrary(importlib.import_module("pysqlite3.dbapi2")))
    return max(found, key=lambda library: library.version)


def _set_journal_mode(cursor: Any, library: SqliteLibrary) -> None:
    """Set the journal mode; wait while others do the same, which SQLite itself doesn't."""
    end = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute(f"PRAGMA journal_mode = {library.journal_mode}")
        except library.module.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _make_private(path: str) -> None:
    # Who can't make it is told by SQLite, which tries to open it next.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))


def configure(engine: Engine, library: SqliteLibrary, synchronous: str) -> None:
    """Make each connection durable and each transaction begin where SQLAlchemy says.

    A file that isn't there is made for its owner alone, whatever the umask: it holds contexts, logs
    and hashes of API keys. What SQLite makes beside it gets the same mode.
    """

    @event.listens_for(engine, "do_connect")
    def on_do_connect(*_: object) -> None:
        if engine.url.database not in IN_MEMORY_NAMES:
            _make_private(str(engine.url.database))

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
        _set_journal_mode(cursor, library)
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        # IMMEDIATE: a transaction that will write takes the lock now, and waits for it now. One
        # that begins as a reader and then writes would fail at once when another wrote meanwhile.
        writes = connection.get_execution_options().get("writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
