"""A queue of writers: threads of one process write in the order in which they came."""

from collections import deque
from pathlib import Path
from threading import Lock
from typing import Self
from weakref import WeakValueDictionary

from cloacina_core.errors import StoreUnavailableError

_queues: "WeakValueDictionary[Path, WriteQueue]" = WeakValueDictionary()
_queues_guard = Lock()


def write_queue_of(file: Path, patience: float) -> "WriteQueue":
    """Return the queue of a file: one for all who write it in this process.

    Args:
        file: of a database.
        patience: for how many seconds to wait for a turn, when the queue is made.
    """
    path = file.resolve()
    with _queues_guard:
        queue = _queues.get(path)
        if queue is None:
            queue = _queues[path] = WriteQueue(patience)
        return queue


class WriteQueue:
    """A lock that goes to whoever has waited longest. Use it as a context manager.

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
        self._is_taken = False
        self._queue: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._queue)

    def __enter__(self) -> Self:
        """Wait for the turn.

        Raises:
            StoreUnavailableError: another thread kept it for too long.
        """
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return self
            called = Lock()
            called.acquire()
            self._queue.append(called)
        is_ours = False
        try:
            is_ours = called.acquire(timeout=self._patience)
        finally:
            if not is_ours:
                self._give_up(called)
        if not is_ours:
            raise StoreUnavailableError(
                f"another thread of this process writes for more than {self._patience:g} s",
                hint="try again; nothing of this was stored",
            )
        return self

    def _give_up(self, called: Lock) -> None:
        """Leave the queue; who is called in the same moment calls the next one."""
        with self._guard:
            if called in self._queue:
                self._queue.remove(called)
                return
        self.__exit__()

    def __exit__(self, *_: object) -> None:
        """Hand the turn over."""
        with self._guard:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._is_taken = False
