"""Waits for what other processes do to runs: one watch of the store for all who wait."""

import math
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.run import LogLine
from cloacina_core.store.database import Database
from cloacina_core.store.reading import LOG_START, RunReader
from cloacina_core.store.watching import POLL, Change, StoreWatcher

_SHORTEST_PAUSE = 0.02
"""Seconds between looks: many runs may end in one moment."""


class _Watch:
    """Lets threads wait for changes; watches the store only while one does."""

    def __init__(self, database: Database, *changes: Change) -> None:
        self._database = database
        self._wanted = changes
        self._changed = threading.Condition()
        self._changes = 0
        self._waiting = 0
        self._watcher: StoreWatcher | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch in this block."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def wait(self, seen: int, seconds: float) -> int:
        """Wait for a change behind one that was seen; return the last one.

        Args:
            seen: what this returned the last time; -1 at first, which waits for nothing.
            seconds: how long at most.
        """
        time.sleep(min(_SHORTEST_PAUSE, seconds))
        with self._changed:
            if seen >= 0:
                longest = min(seconds, POLL.total_seconds())
                self._changed.wait_for(lambda: self._changes > seen, longest)
            return self._changes

    def wake(self) -> None:
        """Have all who wait look."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _enter(self) -> None:
        with self._changed:
            self._waiting += 1
            if self._watcher is None:
                self._watcher = StoreWatcher(self._database, self.wake, *self._wanted)
                self._watcher.start()

    def _leave(self) -> None:
        with self._changed:
            self._waiting -= 1
            watcher = None
            if not self._waiting:
                watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()


class RunFollower:
    """Follows runs to their ends, whoever works on them."""

    def __init__(self, database: Database, reader: RunReader) -> None:
        self._database = database
        self._reader = reader
        self._ends = _Watch(database, Change.ENDS)
        self._logs = _Watch(database, Change.ENDS, Change.LOGS)

    def wait(self, run_id: RunId, deadline: float | None) -> bool:
        """Wait until a run has ended; False when it hasn't by a moment of the monotonic clock.

        A store that can't be read is waited for, too.

        Raises:
            StoreUnavailableError: the store was closed in this process.
            UnknownRunError: there is no such run.
        """
        if self._has_ended(run_id):
            return True
        with self._ends.watching():
            seen = -1
            while not self._has_ended(run_id):
                left = math.inf if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return False
                seen = self._ends.wait(seen, left)
            return True

    def logs(self, run_id: RunId, *, task: str | None = None) -> Generator[LogLine, None, None]:
        """Yield what the tasks of a run printed and logged, and will, until the run has ended.

        What was stored together comes in order of time.

        Args:
            run_id: of which run.
            task: only of this task and its instances, or of one instance.

        Raises:
            UnknownRunError: there is no such run.
            StoreError: the store can't be read.
        """
        last = LOG_START
        with self._logs.watching():
            seen = -1
            while True:
                has_ended = self._reader.summary(
                    run_id
                ).status.is_final  # before its last lines are read
                parts = self._reader.log_parts(run_id, task=task, after=last)
                yield from self._reader.lines_of(run_id, parts)
                if parts:
                    last = parts[-1].position
                if has_ended:
                    return
                seen = self._logs.wait(seen, math.inf)

    def close(self) -> None:
        """Wake all who wait; they find the store closed."""
        self._ends.wake()
        self._logs.wake()

    def _has_ended(self, run_id: RunId) -> bool:
        try:
            return self._reader.summary(run_id).status.is_final
        except StoreUnavailableError:
            if self._database.is_closed:
                raise
            return False
