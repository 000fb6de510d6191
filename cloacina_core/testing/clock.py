"""A clock that moves only when it is told to."""

from datetime import UTC, datetime, timedelta

from cloacina_core.errors import InputError

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class FrozenClock:
    """Stands still until `advance` moves it: a test says what time it is.

    The harness moves its clock by itself when a run has nothing left to do but wait. Hand the same
    clock to the code under test when both should tell the same time.
    """

    def __init__(self, start: datetime = NEW_YEAR) -> None:
        """Set the clock.

        Raises:
            InputError: `start` has no time zone.
        """
        if start.tzinfo is None:
            raise InputError(
                f"a clock can't start at {start}: it has no time zone",
                hint="give it one, as datetime(2026, 1, 1, tzinfo=UTC)",
            )
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._monotonic

    def advance(self, length: timedelta) -> None:
        """Let some time go by.

        Raises:
            InputError: the length is negative: setting a clock back is no passing of time.
        """
        if length < timedelta(0):
            raise InputError(f"a clock can't advance by {length}: time doesn't go back")
        self._now += length
        self._monotonic += length.total_seconds()

    def wait(self, seconds: float) -> None:
        """Let a wait go by whose length was measured with `monotonic`.

        Such a length isn't always a whole number of microseconds: `now` moves to the microsecond
        nearest to it. Should rounding leave `monotonic` a hair before the moment that was waited
        for, waiting for the rest gets there, and moves `now` by nothing.
        """
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
