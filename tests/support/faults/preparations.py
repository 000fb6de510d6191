"""What is done to an engine's process before its engine begins: it must be able to import this."""

from datetime import datetime, timedelta

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.store import sqlite


def shift_clock(by: timedelta) -> None:
    """Set the clock of this process; what it measures spans with goes on as it did."""
    right = SystemClock.now

    def now(self: SystemClock) -> datetime:
        return right(self) + by

    SystemClock.now = now  # type: ignore[method-assign]


def be_impatient(seconds: float) -> None:
    """Wait for SQLite's lock for a short while only."""
    sqlite.BUSY_TIMEOUT_SECONDS = seconds  # type: ignore[assignment]
