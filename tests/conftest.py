"""Both databases, and how values are drawn. A test that takes `store_url` runs on each of them."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.postgresql import Server, running_server
from support.stores import make_tables

# The same values each time: what fails, fails for whoever looks into it. `tox -e explore` tries
# others, and finds what these don't.
settings.register_profile("suite", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", max_examples=500, deadline=None)
settings.load_profile("suite")

# Who is started in the background of a shell ignores Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def empty_postgresql_url(postgresql_server: Server) -> Iterator[str]:
    """Yield a database that nobody has opened yet."""
    with postgresql_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def prepared_postgresql(postgresql_server: Server) -> Iterator[str]:
    """Yield the URL of a database that was opened once, to make copies of."""
    with postgresql_server.database() as url:
        make_tables(url)
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: Server, prepared_postgresql: str) -> Iterator[str]:
    """Yield a store without content: its tables are copied, as to make them takes longer."""
    with postgresql_server.database(copy_of=prepared_postgresql) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Return the kind of database."""
    kind: str = request.param
    return kind


@pytest.fixture
def empty_store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the place of a store that nobody has opened yet."""
    if backend == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgresql_url")
    return url


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that was opened once, to make copies of."""
    file = tmp_path_factory.mktemp("prepared") / "store.db"
    make_tables(f"sqlite:///{file}")
    return file


@pytest.fixture
def store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a store without content: its tables are copied, as to make them takes longer."""
    if backend == "sqlite":
        prepared: Path = request.getfixturevalue("prepared_sqlite")
        return f"sqlite:///{shutil.copyfile(prepared, tmp_path / 'store.db')}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
