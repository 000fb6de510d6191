"""A queue of writers: threads of one process write in the order in which they came."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

from cloacina_core.errors import StoreUnavailableError


class WriteQueue:
    """A lock that goes to whoever has waited longest.

    Who waits for a file of SQLite asks again and again, with pauses. A thread that writes without
    end has begun its next transaction in each of them, and so others of its process hardly ever
    come to write: an engine, for one. Here the lock is handed over.
    """

    def __init__(self, patience: float) -> None:
        """Begin with nobody's turn.

        Args:
            patience: for how many seconds to wait for a turn.
        """
        self._patience = patience
        self._guard = Lock()
        self._turn: _Writer | None = None
        """Whose turn it is."""
        self._queue: deque[_Writer] = deque()
        """All who had to wait, until they leave."""

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return sum(writer is not self._turn for writer in self._queue)

    @contextmanager
    def turn(self, *, is_urgent: bool = False) -> Iterator[None]:
        """Do a block when it is its turn.

        A signal may interrupt it anywhere, as Ctrl-C does: it keeps no turn, and no place.

        Args:
            is_urgent: whether it comes before all who wait.

        Raises:
            StoreUnavailableError: others kept the turn for too long.
        """
        writer = _Writer()
        try:
            self._wait(writer, is_urgent=is_urgent)
            yield
        finally:
            try:
                self._leave(writer)
            except BaseException:
                self._leave(writer)
                raise

    def _wait(self, writer: "_Writer", *, is_urgent: bool) -> None:
        with self._guard:
            if self._turn is None:
                self._turn = writer
                return
            if is_urgent:
                self._queue.appendleft(writer)
            else:
                self._queue.append(writer)
        writer.called.acquire(timeout=self._patience)
        if self._turn is not writer:
            raise StoreUnavailableError(
                f"other threads of this process write for more than {self._patience:g} s",
                hint="try again; nothing of this was stored",
            )

    def _leave(self, writer: "_Writer") -> None:
        """Hand the turn over, or leave the queue; again changes nothing."""
        with self._guard:
            if writer in self._queue:
                self._queue.remove(writer)
            if self._turn is writer:
                self._turn = self._queue[0] if self._queue else None
                if self._turn is not None:
                    self._turn.called.release()


class _Writer:
    """Who waits, and what they wait for."""

    def __init__(self) -> None:
        self.called = Lock()
        self.called.acquire()


PATIENCE_SECONDS = 60
"""How long to wait for other threads, each of which may store a large value."""

_queues: "WeakValueDictionary[Path, WriteQueue]" = WeakValueDictionary()
_guards = [Lock()]


def write_queue_of(file: Path) -> WriteQueue:
    """Return the queue of a database's file: one for all who write it in this process."""
    path = file.resolve()
    with _guards[0]:
        queue = _queues.get(path)
        if queue is None:
            queue = _queues[path] = WriteQueue(PATIENCE_SECONDS)
        return queue


def _begin_anew() -> None:
    """Forget those whose turn it was: in a process that was forked off, they aren't there."""
    _guards[0] = Lock()
    _queues.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
