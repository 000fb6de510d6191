"""What is done to a store in tests. Other processes are spawned, so they import this by name."""

import multiprocessing
import time
from pathlib import Path

from sqlalchemy import insert

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.plugin.manager import Plugins
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.migrations.runner import Migrations
from cloacina_core.store.watching import Change, announce
from cloacina_core.testing import FrozenClock

SPAWN = multiprocessing.get_context("spawn")


def url(file: Path) -> str:
    return f"sqlite:///{file}"


def make_tables(store_url: str) -> None:
    """Open a store as a runtime does, so that it has its tables and those of plugins."""
    Database(store_url, SystemClock(), Plugins.of_environment().tables()).close()


def open_and_close(file: Path) -> None:
    Database(url(file), FrozenClock()).close()


def write(database: Database, change: Change = Change.WORK) -> None:
    """Write something, and announce it."""
    with database.begin() as connection:
        digest = str(time.monotonic_ns())
        connection.execute(insert(schema.definitions).values(digest=digest, body="{}"))
        announce(connection, change)


def open_and_write(store_url: str) -> None:
    database = Database(store_url, FrozenClock())
    write(database)
    database.close()


def open_and_upgrade(store_url: str, migrations: Migrations) -> None:
    Database(store_url, FrozenClock(), migrations=migrations).close()
