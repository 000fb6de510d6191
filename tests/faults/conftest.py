"""Fault tests: real processes, real databases, a schedule of faults that a seed decides.

A failure tells its seed; with it, the same faults come in the same order again.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

# Before they are imported, so that what didn't hold is told.
pytest.register_assert_rewrite("support.faults.invariants")

from support.faults.engines import EngineProcess, Orders, Place, engines  # noqa: E402
from support.postgresql import Server  # noqa: E402

TESTS = Path(__file__).parents[1]
_TABLE = pytest.StashKey[Counter[tuple[str, str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make a long set of faults possible; these options are there when this folder is named."""
    group = parser.getgroup("faults")
    group.addoption("--seed", type=int, help="decides the schedule of faults")
    group.addoption("--kills", type=int, help="how many kills must hit a live attempt, at least")
    group.addoption("--rounds", type=int, help="how often each other series of faults is repeated")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = Counter()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell what was hit."""
    table = config.stash[_TABLE]
    if not table:
        return
    terminalreporter.section("faults")
    columns = sorted({column for _, _, column in table})
    terminalreporter.write_line(f"{'':24}" + "".join(f"{column:>16}" for column in columns))
    for row in sorted({(store, what) for store, what, _ in table}):
        counts = "".join(f"{table[(*row, column)]:>16}" for column in columns)
        terminalreporter.write_line(f"{' '.join(row):24}{counts}")


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Count what happened, for the table in the end."""

    def count(store: str, what: str, column: str, number: int = 1) -> None:
        request.config.stash[_TABLE][store, what, column] += number

    return count


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = request.config.getoption("seed", None)
    return int(os.environ.get("CLOACINA_TEST_SEED", "20260101")) if given is None else int(given)


@pytest.fixture
def chance(request: pytest.FixtureRequest, seed: int) -> Random:
    """What decides: the same for the same seed and test."""
    return Random(f"{seed} {request.node.name}")


@pytest.fixture
def wanted_kills(request: pytest.FixtureRequest) -> int | None:
    """How many kills must hit a live attempt; None for one round of them."""
    found: int | None = request.config.getoption("kills", None)
    return found


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("rounds", None) or 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Place]]:
    """Make stores, on each database."""
    numbers = itertools.count()
    with ExitStack() as stack:

        def make() -> Place:
            home = tmp_path / str(next(numbers))
            home.mkdir()
            if request.param == "sqlite":
                return Place(home, f"sqlite:///{home / 'store.db'}")
            server: Server = request.getfixturevalue("postgresql_server")
            return Place(home, stack.enter_context(server.database()))

        yield make


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes find what tests share."""
    search = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, search)))


@pytest.fixture
def start(forks: None) -> Iterator[Callable[[Orders], EngineProcess]]:
    """Start engines, each in a process of its own."""
    with engines() as start:
        yield start
