"""What "now" is. Everything that needs the time is handed a clock."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the time. Implementations are safe to call from any thread."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring lengths of time."""
        ...


class SystemClock:
    """The clock of this host."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring lengths of time."""
        return time.monotonic()


def to_micros(moment: datetime) -> int:
    """Return whole microseconds since 1970 (UTC): how moments are stored and compared."""
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC moment that `to_micros` gave."""
    return EPOCH + timedelta(microseconds=micros)


def iso(moment: datetime) -> str:
    """Return a moment as RFC 3339 text in UTC, always with microseconds, so that it sorts."""
    utc = EPOCH + (moment - EPOCH)  # unlike astimezone, it refuses a moment that isn't aware
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
