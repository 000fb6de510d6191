"""Keeps an engine's lease, and tells in time when it can't be kept.

The renewals have a thread of their own: nothing that the engine does, however long it takes, costs
it the lease. Another thread watches: a renewal that the network swallowed never comes back, and the
engine must have stopped before others may take its runs.
"""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from cloacina_core.errors import StoreError
from cloacina_core.foundation.clock import Clock

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE = 0.1
"""Seconds before a renewal that failed is tried again."""


class LeaseKeeper:
    """Renews one engine's lease three times in its length, measured on the monotonic clock."""

    def __init__(
        self,
        renew: Callable[[], bool],
        *,
        lease: timedelta,
        clock: Clock,
        on_lost: Callable[[str], object],
    ) -> None:
        """Prepare to keep a lease that begins now.

        Args:
            renew: begins the lease anew; False when the engine was declared dead.
            lease: how long it is.
            clock: measures it.
            on_lost: told once, and why, when the lease is lost or is going to be.
        """
        self._renew = renew
        self._lease = lease.total_seconds()
        self._clock = clock
        self._on_lost = on_lost
        self._ends = clock.monotonic() + self._lease
        self._stopping = threading.Event()
        self._lost = threading.Lock()
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=name, daemon=True)
            for step, name in ((self.renew, "cloacina-lease"), (self.watch, "cloacina-watchdog"))
        ]

    def start(self) -> None:
        """Begin to renew and to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the lease go; doesn't wait for a renewal that nobody answers."""
        self._stopping.set()

    def renew(self) -> float | None:
        """Renew the lease; return the seconds until it is time again, None when it is lost."""
        asked = self._clock.monotonic()
        try:
            is_ours = self._renew()
        except StoreError as error:
            _log.warning("the engine's lease can't be renewed: %s", error)
            return _SHORTEST_PAUSE
        if not is_ours:
            self._lose("another engine declared it dead")
            return None
        self._ends = asked + self._lease  # it began after it was asked for: this is never too late
        return self._lease / 3

    def watch(self) -> float | None:
        """Give the lease up if it ends soon; return when to look again, None when it is lost."""
        left = self._ends - self._lease / 4 - self._clock.monotonic()
        if left > 0:
            return left
        self._lose("its lease couldn't be renewed in time")
        return None

    def _lose(self, reason: str) -> None:
        if self._lost.acquire(blocking=False) and not self._stopping.is_set():
            self._stopping.set()
            self._on_lost(reason)

    def _repeat(self, step: Callable[[], float | None]) -> None:
        pause: float | None = 0
        while pause is not None and not self._stopping.wait(pause):
            pause = step()
