"""A thing that happens once, and threads that wait for it."""

import threading


class Latch:
    """As `threading.Event`, but never cleared, and made in a tenth of the time.

    Each run needs two: one for its submission, one for its end.
    """

    __slots__ = ("_lock", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let all who wait go on. For one thread at a time."""
        if not self.is_set:
            self.is_set = True
            self._lock.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has happened; False when the time, None for ever, was not enough."""
        if self.is_set:
            return True
        if not self._lock.acquire(timeout=-1 if seconds is None else max(0.0, seconds)):
            return self.is_set
        self._lock.release()  # for the next one who waits
        return True
