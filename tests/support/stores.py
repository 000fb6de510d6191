"""What other processes do to a store in tests. They are spawned, so they import this by name."""

import multiprocessing
from pathlib import Path

from cloacina_core.store.database import Database
from cloacina_core.store.migrations.runner import Migrations
from cloacina_core.testing import FrozenClock

SPAWN = multiprocessing.get_context("spawn")


def url(file: Path) -> str:
    return f"sqlite:///{file}"


def open_and_close(file: Path) -> None:
    Database(url(file), FrozenClock()).close()


def open_and_upgrade(store_url: str, migrations: Migrations) -> None:
    Database(store_url, FrozenClock(), migrations=migrations).close()
