"""Wakes a thread that waits for file descriptors."""

import os
import threading
from contextlib import suppress


class Waker:
    """A descriptor that can be read after `wake` was called. Used by any thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._lock = threading.Lock()
        self._is_closed = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._read

    def wake(self) -> None:
        """Make it readable; nothing happens after `close`."""
        with self._lock, suppress(BlockingIOError):  # full: it is readable
            if not self._is_closed:
                os.write(self._write, b".")

    def clear(self) -> None:
        """Make it unreadable again."""
        with suppress(BlockingIOError):
            while os.read(self._read, 1024):
                pass

    def close(self) -> None:
        """Let go of the descriptor."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._read)
                os.close(self._write)
