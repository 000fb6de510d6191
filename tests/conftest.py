"""Both databases, and how values are drawn. A test that takes `store_url` runs on each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.postgresql import Server, running_server

# The same values each time: what fails, fails for whoever looks into it. `tox -e explore` tries
# others, and finds what these don't.
settings.register_profile("suite", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", max_examples=500, deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: Server) -> Iterator[str]:
    with postgresql_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
