"""Tells when something changed in the store that an engine or a waiting handle should look at.

A change is only a hint: who is told looks at the store, and looks now and then without being told.
PostgreSQL carries the hint between processes with NOTIFY. SQLite has no such thing, but counts its
transactions, and to ask for that count costs a few microseconds.
"""

import logging
import random
import selectors
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from cloacina_core.errors import StoreError
from cloacina_core.store.database import ANNOUNCED, CHANNEL, Database
from cloacina_core.store.direct import DirectConnection

_log = logging.getLogger(__name__)

POLL = timedelta(seconds=5)
"""How often to look without having been told: a notification can get lost."""

_GLANCE_SECONDS = 0.1
"""How often SQLite is asked whether anything was written."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
"""Seconds before a lost connection is made again."""


class Change(StrEnum):
    """What may have changed; each is a channel of its own, so that few are woken for nothing."""

    WORK = "cloacina_work"
    """There may be something for an engine to do: a run to take up, a command to follow."""
    ENDS = "cloacina_ends"
    """A run has ended."""
    LOGS = "cloacina_logs"
    """Tasks said something, and no run has ended with it."""


def announce(connection: Connection | DirectConnection, change: Change = Change.WORK) -> None:
    """Tell all who watch, in every process, once this write transaction is committed."""
    connection.info.setdefault(ANNOUNCED, set()).add(change)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {_channel(change, connection.info.get(CHANNEL))}")


def _channel(change: Change, prefix: str | None) -> str:
    """Return a channel's name: of a tenant one that others can't know, as channels are shared."""
    return change.value if prefix is None else f"{prefix}_{change.value}"


class StoreWatcher:
    """Calls a function when the store may have changed, and every few seconds in any case.

    The function is called from any thread, also when nothing changed or by a change of its own
    process; it must return at once.
    """

    def __init__(
        self,
        database: Database,
        on_change: Callable[[], object],
        *changes: Change,
        poll: timedelta = POLL,
        on_poll: Callable[[], object] | None = None,
    ) -> None:
        """Prepare.

        Args:
            database: the store.
            on_change: called when something may have changed.
            *changes: what; by default, what is work for engines.
            poll: how long it takes, without a change, until it is called all the same.
            on_poll: called then, in place of the other.
        """
        self._database = database
        self._on_change = on_change
        self._on_poll = on_poll or on_change
        self._changes = frozenset(changes or {Change.WORK})
        self._poll = poll.total_seconds()
        self._chance = random.Random()  # noqa: S311 - not the common one, which tasks may seed
        self._stopping = threading.Event()
        watch = self._glance if database.is_sqlite else self._listen
        self._thread = threading.Thread(
            target=self._run, args=(watch,), name="cloacina-watcher", daemon=True
        )

    def start(self) -> None:
        """Begin to watch."""
        self._waker, self._sleeper = socket.socketpair()
        self._database.tell(self._hear)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; the function isn't called any more when this returns."""
        self._stopping.set()
        self._database.tell_no_more(self._hear)
        self._waker.send(b".")
        self._thread.join()
        self._waker.close()
        self._sleeper.close()

    def _hear(self, announced: set[Change]) -> None:
        """Take what this process announced itself; it is quicker than the way round."""
        if not self._changes.isdisjoint(announced) and not self._stopping.is_set():
            self._tell()

    def _tell(self, *, is_poll: bool = False) -> None:
        try:
            (self._on_poll if is_poll else self._on_change)()
        except Exception:  # noqa: BLE001 - the next change may do better
            _log.exception("a change of the store couldn't be followed")

    def _run(self, watch: Callable[[Any], None]) -> None:
        pause = _SHORTEST_PAUSE
        while not self._is_over():
            is_quiet = True
            try:
                if self._database.is_shared:  # in memory: nobody else can write it
                    self._wait_for(self._poll)
                else:
                    with self._database.dedicated() as connection:
                        watch(connection)
                pause = _SHORTEST_PAUSE
            except StoreError as error:
                if self._is_over():
                    return
                _log.warning("can't watch the store; trying again: %s", error)
                # Many engines that lost one server must not come back in step.
                self._wait_for(pause * self._chance.uniform(0.5, 1.5))
                pause = min(pause * 2, _LONGEST_PAUSE)
                is_quiet = False
            if not self._is_over():
                self._tell(is_poll=is_quiet)

    def _is_over(self) -> bool:
        return self._stopping.is_set() or self._database.is_closed

    def _wait_for(self, seconds: float, *others: Any) -> bool:
        """Wait for the end of the watch or for others; return whether it is one of the others."""
        with selectors.DefaultSelector() as selector:
            for one in (self._sleeper, *others):
                selector.register(one, selectors.EVENT_READ)
            ready = selector.select(seconds)
        return any(key.fileobj is not self._sleeper for key, _ in ready)

    def _glance(self, connection: Any) -> None:
        """Look at SQLite's count of transactions; return after a while without any."""
        last, quiet = _data_version(connection), 0.0
        while quiet < self._poll:
            self._wait_for(_GLANCE_SECONDS)
            if self._is_over():
                return
            quiet += _GLANCE_SECONDS
            if (version := _data_version(connection)) != last:
                last, quiet = version, 0.0
                self._tell()

    def _listen(self, connection: Any) -> None:
        """Listen to PostgreSQL until the connection is lost."""
        connection.autocommit = True
        for change in sorted(self._changes):
            connection.execute(f"LISTEN {_channel(change, self._database.channel)}")
        is_told = True  # what was told before, nobody heard
        while not self._is_over():
            self._tell(is_poll=not is_told)
            is_told = self._wait_for(self._poll, connection)
            if not is_told:
                connection.execute("SELECT 1")  # a silent network is found out by asking
            list(connection.notifies(timeout=0))


def _data_version(connection: Any) -> int:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)
