"""The stores that are measured: each gives new, empty databases."""

import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # the tests' support
from support.postgresql import Server, running_server

SQLITE_FULL, SQLITE_NORMAL, POSTGRESQL = "SQLite FULL", "SQLite NORMAL", "PostgreSQL"
NAMES = (SQLITE_FULL, SQLITE_NORMAL, POSTGRESQL)


@dataclass(frozen=True, slots=True)
class Store:
    """A kind of database, at one durability."""

    name: str
    new: Callable[[], str]
    """Makes an empty database, and returns its URL."""


@contextmanager
def opened(names: list[str]) -> Iterator[tuple[list[Store], list[str]]]:
    """Yield the stores of these names, and why others are missing; all is removed at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-store-")))
        stores, missing = [], []
        for name in names:
            if name != POSTGRESQL:
                stores.append(_sqlite(name, folder))
                continue
            try:
                server = stack.enter_context(running_server())
            except pytest.skip.Exception as skipped:
                missing.append(f"{name}: {skipped}")
            else:
                stores.append(_postgresql(server, stack))
        yield stores, missing


def _sqlite(name: str, folder: Path) -> Store:
    synchronous = name.rpartition(" ")[2]
    numbers = itertools.count()

    def new() -> str:
        file = folder / f"{synchronous}-{next(numbers)}.db"
        return f"sqlite:///{file}?synchronous={synchronous}"

    return Store(name, new)


def _postgresql(server: Server, stack: ExitStack) -> Store:
    return Store(POSTGRESQL, lambda: stack.enter_context(server.database()))


def machine() -> dict[str, str]:
    """Return what tells this machine from others, in numbers' eyes."""
    return {
        "processors": str(os.cpu_count()),
        "python": sys.version.partition(" ")[0],
        "load": "/".join(f"{load:.1f}" for load in os.getloadavg()),
    }
