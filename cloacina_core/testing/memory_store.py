"""Stores in memory, used again: a test that takes milliseconds doesn't wait for tables."""

import atexit
import os

from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.testing.clock import FrozenClock

_MOST_KEPT = 4
"""How many are kept for later: as many as one test may well use at a time."""

_empty: list[Database] = []


def open_store(clock: FrozenClock) -> Database:
    """Return an empty store, to be handed to `close_store` in the end."""
    try:
        database = _empty.pop()
    except IndexError:
        return Database(IN_MEMORY, clock)
    database.clock = clock
    return database


def close_store(database: Database) -> None:
    """Keep a store for whoever comes next, or close it."""
    if len(_empty) < _MOST_KEPT:
        database.empty()
        _empty.append(database)
    else:
        database.close()


@atexit.register
def _close_all() -> None:
    while _empty:
        _empty.pop().close()


if hasattr(os, "register_at_fork"):
    # SQLite's connections don't outlive a fork.
    os.register_at_fork(after_in_child=_empty.clear)
