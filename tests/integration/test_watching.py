"""A change of the store is told at once, in this process and in others."""

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert
from support.postgresql import Server
from support.runs import PATIENCE

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.store import schema, sqlite
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.store.watching import Change, StoreWatcher, announce

CLOCK = SystemClock()
NEVER = timedelta(hours=1)
SPAWN = multiprocessing.get_context("spawn")


class Listener:
    """Counts how often it is told."""

    def __init__(self) -> None:
        self._told = threading.Condition()
        self._count = 0

    def __call__(self) -> None:
        with self._told:
            self._count += 1
            self._told.notify_all()

    def is_told(self, seconds: float = PATIENCE) -> bool:
        """Wait until it was told once more than when it was last asked."""
        with self._told:
            heard = self._told.wait_for(lambda: self._count > 0, seconds)
            self._count = 0
            return heard

    def settle(self) -> None:
        """Forget what is told at the beginning."""
        while self.is_told(0.15):
            pass


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, CLOCK)
    yield database
    database.close()


def write(database: Database, change: Change = Change.WORK) -> None:
    with database.begin() as connection:
        digest = str(time.monotonic_ns())
        connection.execute(insert(schema.definitions).values(digest=digest, body="{}"))
        announce(connection, change)


def write_from_another_process(url: str) -> None:
    database = Database(url, CLOCK)
    write(database)
    database.close()


def watching(database: Database, listener: Listener, **options: object) -> StoreWatcher:
    watcher = StoreWatcher(database, listener, poll=NEVER, **options)  # type: ignore[arg-type]
    watcher.start()
    listener.settle()
    return watcher


def test_another_process_is_heard(database: Database, store_url: str):
    listener = Listener()
    watcher = watching(database, listener)
    process = SPAWN.Process(target=write_from_another_process, args=(store_url,))

    process.start()

    assert listener.is_told()
    process.join(PATIENCE)
    watcher.stop()


def test_this_process_is_heard(database: Database):
    listener = Listener()
    watcher = watching(database, listener)

    write(database)

    assert listener.is_told()
    watcher.stop()


def test_a_store_in_memory_is_heard_too():
    listener = Listener()
    database = Database(IN_MEMORY, CLOCK)
    watcher = watching(database, listener)

    write(database)

    assert listener.is_told()
    watcher.stop()
    database.close()


def test_what_was_rolled_back_is_not_told():
    listener = Listener()
    database = Database(IN_MEMORY, CLOCK)
    watcher = watching(database, listener)

    with pytest.raises(ValueError, match="no"), database.begin() as connection:  # noqa: PT012
        announce(connection)
        raise ValueError("no")
    with database.begin():
        pass

    assert not listener.is_told(0.1)
    watcher.stop()
    database.close()


def test_nobody_is_told_after_the_end(database: Database):
    listener = Listener()
    watcher = watching(database, listener)

    watcher.stop()
    write(database)

    assert not listener.is_told(0.2)


def test_it_is_told_without_a_change_now_and_then(database: Database):
    listener = Listener()
    watcher = StoreWatcher(database, listener, poll=timedelta(milliseconds=200))
    watcher.start()

    assert all(listener.is_told() for _ in range(3))
    watcher.stop()


def test_a_rollback_journal_tells_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    affected = sqlite.SqliteLibrary(sqlite3)
    monkeypatch.setattr(sqlite, "choose_library", lambda: affected)
    monkeypatch.setattr(sqlite, "is_wal_safe", lambda _: False)
    url = f"sqlite:///{tmp_path / 'store.db'}"
    database, other = Database(url, CLOCK), Database(url, CLOCK)
    listener = Listener()
    watcher = watching(database, listener)

    write(other)

    assert listener.is_told()
    watcher.stop()
    database.close()
    other.close()


def test_others_are_not_woken_for_nothing(postgresql_url: str):
    database = Database(postgresql_url, CLOCK)
    listener = Listener()
    watcher = watching(database, listener)

    write(database, Change.ENDS)

    assert not listener.is_told(0.2)
    watcher.stop()
    database.close()


def test_a_lost_connection_is_made_again(postgresql_server: Server, postgresql_url: str):
    database = Database(postgresql_url, CLOCK)
    other = Database(postgresql_url, CLOCK)
    listener = Listener()
    watcher = watching(database, listener)
    name = database.url.database

    postgresql_server.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    listener.settle()
    deadline = time.monotonic() + PATIENCE
    while not listener.is_told(0.1):  # what is told while nobody listens is lost
        assert time.monotonic() < deadline
        write(other)

    watcher.stop()
    database.close()
    other.close()
