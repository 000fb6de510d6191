"""Waits for the ends of runs that other processes work on: one look at the store for all."""

import math
import threading
import time

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.ids import RunId
from cloacina_core.store.database import Database
from cloacina_core.store.reading import RunReader
from cloacina_core.store.watching import POLL, Change, StoreWatcher

_SHORTEST_PAUSE = 0.02
"""Seconds between looks: many runs may end in one moment."""


class RunFollower:
    """Lets threads wait for runs; watches the store only while one does."""

    def __init__(self, database: Database, reader: RunReader) -> None:
        self._database = database
        self._reader = reader
        self._changed = threading.Condition()
        self._changes = 0
        self._waiting = 0
        self._watcher: StoreWatcher | None = None

    def wait(self, run_id: RunId, deadline: float | None) -> bool:
        """Wait until a run has ended; False when it hasn't by a moment of the monotonic clock.

        A store that can't be read is waited for, too.

        Raises:
            StoreUnavailableError: the store was closed in this process.
            UnknownRunError: there is no such run.
        """
        if self._has_ended(run_id):
            return True
        self._enter()
        try:
            seen = -1
            while not self._has_ended(run_id):
                left = math.inf if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(_SHORTEST_PAUSE, left))
                seen = self._wait_for_change(seen, min(left, POLL.total_seconds()))
            return True
        finally:
            self._leave()

    def close(self) -> None:
        """Wake all who wait; they find the store closed."""
        self._change()

    def _has_ended(self, run_id: RunId) -> bool:
        try:
            return self._reader.summary(run_id).status.is_final
        except StoreUnavailableError:
            if self._database.is_closed:
                raise
            return False

    def _wait_for_change(self, seen: int, seconds: float) -> int:
        """Wait for a change behind one that was seen; return the last one."""
        with self._changed:
            if seen >= 0:
                self._changed.wait_for(lambda: self._changes > seen, seconds)
            return self._changes

    def _change(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _enter(self) -> None:
        with self._changed:
            self._waiting += 1
            if self._watcher is None:
                self._watcher = StoreWatcher(self._database, self._change, Change.ENDS)
                self._watcher.start()

    def _leave(self) -> None:
        with self._changed:
            self._waiting -= 1
            watcher = None
            if not self._waiting:
                watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
