"""Days of a calendar somewhere, which aren't all as long as 24 hours."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


def days_before(moment: datetime, count: int) -> list[date]:
    """Return the last whole days before a moment, oldest first, on the moment's own clock.

    Args:
        moment: aware; the day that it is in hasn't ended.
        count: how many days.
    """
    return [moment.date() - _DAY * back for back in range(count, 0, -1)]


def hours_in(day: date, zone: ZoneInfo) -> float:
    """Return how many hours a day has: 23 or 25 when the clock is set, and 24 on all others."""
    begins, ends = (
        datetime.combine(midnight, time.min, zone).astimezone(UTC) for midnight in (day, day + _DAY)
    )
    return (ends - begins) / timedelta(hours=1)
