"""An engine by hand, on a store in memory, under a clock that stands still."""

from collections.abc import Iterator

import pytest
from support.runs import EngineBench

from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.testing import FrozenClock


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def database(clock: FrozenClock) -> Iterator[Database]:
    database = Database(IN_MEMORY, clock)
    yield database
    database.close()


@pytest.fixture
def bench(database: Database, clock: FrozenClock) -> EngineBench:
    return EngineBench(database, clock)
