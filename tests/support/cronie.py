"""What cronie would do, minute by minute: its main loop, told anew from cron(8) and `cron.c`.

Slow, and independent of the product: it knows no transitions, it only looks at the clock.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of a wall clock
A_FEW, MANY = 5, 180
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


class Job:
    """One line of a crontab: five fields of numbers, lists, ranges and steps."""

    def __init__(self, text: str) -> None:
        fields = text.split()
        self._minutes, self._hours, self._days, self._months, self._weekdays = (
            values_of(field, *bounds) for field, bounds in zip(fields, FIELDS, strict=True)
        )
        self.is_wild = any(field.startswith("*") for field in fields[:2])
        self._needs_both_days = any(fields[index].startswith("*") for index in (2, 4))

    def fits(self, wall: datetime) -> bool:
        if wall.minute not in self._minutes or wall.hour not in self._hours:
            return False
        is_day = (wall.day in self._days, wall.isoweekday() % 7 in self._weekdays)
        fits = all(is_day) if self._needs_both_days else any(is_day)
        return fits and wall.month in self._months


def values_of(field: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin, end = (low, high) if span == "*" else (int(first), int(last or first))
        values |= set(range(begin, end + 1, int(step or 1)))
    return {0 if high == 7 and value == 7 else value for value in values}


def runs(job: Job, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the moments (UTC) between two at which cronie starts a job, each once."""

    def clock(utc: datetime) -> int:
        return int((utc.astimezone(zone).replace(tzinfo=None) - EPOCH) / MINUTE)

    def fits(minute: int) -> bool:
        return job.fits(EPOCH + minute * MINUTE)

    now = start.astimezone(UTC)
    virtual = clock(now)
    while (now := now + MINUTE) <= end:
        shown = clock(now)
        passed = shown - virtual
        if passed == 1:
            virtual = shown
            is_run = fits(shown)
        elif 0 < passed <= MANY:  # put forward, or a virtual clock that lags: never here
            missed = range(virtual + 1, shown + 1)
            is_run = fits(shown) if job.is_wild else any(map(fits, missed))
            virtual = shown
        elif -MANY < passed <= 0:  # put back: fixed jobs wait until the clock has caught up
            is_run = job.is_wild and fits(shown)
        else:  # set anew
            virtual = shown
            is_run = fits(shown)
        if is_run:
            yield now
