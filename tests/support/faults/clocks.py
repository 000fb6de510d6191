"""Clocks that are off. In a module that an engine's process can import."""

from datetime import datetime, timedelta

from cloacina_core.foundation.clock import SystemClock


def shift_clock(by: timedelta) -> None:
    """Set the clock of this process; what it measures spans with goes on as it did."""
    right = SystemClock.now

    def now(self: SystemClock) -> datetime:
        return right(self) + by

    SystemClock.now = now  # type: ignore[method-assign]
