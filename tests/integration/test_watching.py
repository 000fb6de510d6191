"""A change of the store is told at once, in this process and in others."""

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.postgresql import Server
from support.runs import PATIENCE
from support.stores import SPAWN, open_and_write, write

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.store import sqlite
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.store.watching import Change, StoreWatcher, announce

CLOCK = SystemClock()
NEVER = timedelta(hours=1)


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


def watching(database: Database, listener: Listener, **options: object) -> StoreWatcher:
    watcher = StoreWatcher(database, listener, poll=NEVER, **options)
    watcher.start()
    listener.settle()
    return watcher


def test_another_process_is_heard(database: Database, store_url: str):
    listener = Listener()
    watcher = watching(database, listener)
    process = SPAWN.Process(target=open_and_write, args=(store_url,))

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


def test_who_listens_for_several_things_hears_of_each(database: Database, store_url: str):
    listener = Listener()
    watcher = StoreWatcher(database, listener, Change.ENDS, Change.LOGS, poll=NEVER)
    watcher.start()
    listener.settle()
    other = Database(store_url, CLOCK)

    for change in (Change.ENDS, Change.LOGS):
        with other.begin() as connection:
            connection.exec_driver_sql("DELETE FROM discarded_runs WHERE run_id = 'nobody'")
            connection.exec_driver_sql("INSERT INTO discarded_runs VALUES ('nobody')")
            announce(connection, change)
        assert listener.is_told()
        listener.settle()

    watcher.stop()
    other.close()


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


def test_a_poll_is_told_apart_from_a_change(database: Database):
    listener, polls = Listener(), Listener()
    watcher = StoreWatcher(database, listener, poll=timedelta(milliseconds=200), on_poll=polls)
    watcher.start()
    if not database.is_sqlite:
        assert listener.is_told(), "as soon as it listens"

    assert all(polls.is_told() for _ in range(3))
    assert not listener.is_told(0)
    write(database)

    assert listener.is_told()
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


def test_a_watch_ends_with_its_store(store_url: str, caplog: pytest.LogCaptureFixture):
    database = Database(store_url, CLOCK)
    watcher = StoreWatcher(database, Listener(), poll=timedelta(seconds=0.1))
    watcher.start()
    database.close()

    watcher._thread.join(PATIENCE)

    assert not watcher._thread.is_alive()
    assert not caplog.records
    watcher.stop()


def test_the_randomness_of_tasks_is_left_alone(database: Database):
    before = random.getstate()
    watcher = watching(database, Listener())
    watcher._database.close()
    watcher.stop()

    assert random.getstate() == before
