"""Schedules that would never start anything, and windows that are always open. Pure.

Two looks decide on it, and where neither does, it is taken for possible:

1. The next firings, one by one, if they are rare enough for that to be a year's.
2. The seconds of a week, as a clock on the wall shows one that isn't changed: a schedule whose
   firings they all cover, and a window that covers all of them, don't depend on the date.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from cloacina_core.errors import InputError
from cloacina_core.model.schedule.cron import WEEK_SECONDS
from cloacina_core.model.schedule.schedule import InWindow, Schedule
from cloacina_core.model.schedule.window import Window

_MOST_FIRINGS = 400
_FIRST_FIRINGS = 40
"""After so many it is seen whether the others come to a year."""
_RARE_ENOUGH = timedelta(days=30)
_LONG_ENOUGH = timedelta(days=366)
_LONGEST = timedelta(days=41 * 366)
"""In so many years each date falls on each day of the week, also where 2100 is among them."""
_MOST_OPENINGS = 40_000
"""A window that opens each minute has half as many in two weeks."""
_SECOND = timedelta(seconds=1)

_Times = Sequence[tuple[int, int]]
"""Seconds of a week, from the first to the one that isn't in it any more; in order and apart."""


class NeverStartsError(InputError):
    """A schedule would never start anything."""

    code = "never-starts"

    def __init__(self, name: str, field: str, message: str, *, hint: str) -> None:
        """Refuse a schedule.

        Args:
            name: of the schedule.
            field: what of it is to blame; `windows` for those that hold for all schedules.
            message: why nothing starts.
            hint: what to do about it.
        """
        super().__init__(f"schedule {name!r} would never start anything: {message}", hint=hint)
        self.field = field

    def facts(self) -> Mapping[str, str]:
        """Return the kind of the fault, as of a cron expression, and the field."""
        return {"kind": "never", "field": self.field}


def require_start(schedule: Schedule, after: datetime, common: Sequence[Window]) -> None:
    """Refuse a schedule that would never start anything.

    Args:
        schedule: the schedule.
        after: the moment behind which it counts; aware.
        common: the windows that hold for all schedules.

    Raises:
        NeverStartsError: it wouldn't.
    """
    if schedule.next_firing(after) is None:
        raise NeverStartsError(
            schedule.name,
            "ends_at",
            "it ends before the first of its moments that is still to come",
            hint="let it end later, or never",
        )
    require_free(schedule, after, common)


def require_free(schedule: Schedule, after: datetime, common: Sequence[Window]) -> None:
    """Refuse a schedule that maintenance windows keep from ever starting anything.

    Args:
        schedule: the schedule.
        after: the moment behind which it counts; aware.
        common: the windows that hold for all schedules.

    Raises:
        NeverStartsError: they do.
    """
    if is_kept(schedule, after, schedule.not_during):
        raise NeverStartsError(
            schedule.name,
            "not_during",
            "all of its firings are in its maintenance windows",
            hint="make the windows shorter, or choose other moments",
        )
    if is_kept(schedule, after, (*schedule.not_during, *common)):
        raise NeverStartsError(
            schedule.name,
            "windows",
            "all of its firings are in maintenance windows that hold for all schedules",
            hint="see: cloacina schedule window list",
        )


def is_kept(schedule: Schedule, after: datetime, windows: Sequence[Window]) -> bool:
    """Whether windows keep a schedule from starting anything, as far as can be seen."""
    if not windows:
        return False
    if schedule.in_window is InWindow.PUT_OFF:
        return is_always_open(windows)
    found = _are_firings_kept(schedule, after, windows)
    return _is_week_kept(schedule, windows) if found is None else found


def is_always_open(windows: Iterable[Window]) -> bool:
    """Whether one window or another is open at each moment of each week."""
    zones = itertools.groupby(
        sorted(windows, key=lambda one: str(one.timing.zone)), key=lambda one: one.timing.zone
    )
    return any(_times(group) == [(0, WEEK_SECONDS)] for _, group in zones)


def _are_firings_kept(
    schedule: Schedule, after: datetime, windows: Sequence[Window]
) -> bool | None:
    """Whether all of the next firings are in windows; None: more would have to be looked at."""
    firings = schedule.firings(after)
    first = next(firings, None)
    if first is None:
        return False
    others = itertools.takewhile(lambda one: one.utc - first.utc <= _LONGEST, firings)
    looks = [_Look(window) for window in windows]
    span, count = timedelta(0), 0
    for firing in itertools.islice(itertools.chain((first,), others), _MOST_FIRINGS):
        start = firing.utc + schedule.delay
        if not any(look.is_open_at(start) for look in looks):
            return False
        span, count = firing.utc - first.utc, count + 1
        if count == _FIRST_FIRINGS and span < _RARE_ENOUGH:
            return None
    if count < _MOST_FIRINGS:  # these are all there are
        return True
    return True if span >= _LONG_ENOUGH else None


class _Look:
    """Tells whether a window is open at moments that come in order.

    The opening that counted for one moment counts for the next as well, until the window is closed
    again: one that is rarely opened is looked for once in its year, and not for each firing.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._opening: datetime | None = None
        """The first of which it could still be open at the last moment asked for."""

    def is_open_at(self, moment: datetime) -> bool:
        """Whether it is open at a moment, which isn't before those asked for."""
        since = moment - self._window.length
        if self._opening is None or self._opening <= since:
            opening = next(self._window.timing.firings(since), None)
            self._opening = None if opening is None else opening.utc
        return self._opening is not None and self._opening <= moment


def _is_week_kept(schedule: Schedule, windows: Sequence[Window]) -> bool:
    """Whether windows on the schedule's clock cover all seconds of a week that it may fire at."""
    zone = schedule.timing.zone
    times = _times(window for window in windows if window.timing.zone == zone)
    late = int(schedule.delay / _SECOND)
    seconds, _ = schedule.timing.expression.seconds_of_week()
    return all(_has(times, (second + late) % WEEK_SECONDS) for second in seconds)


def _has(times: _Times, second: int) -> bool:
    place = bisect.bisect_right(times, second, key=lambda time: time[0]) - 1
    return place >= 0 and second < times[place][1]


def _times(windows: Iterable[Window]) -> _Times:
    """Return when any of some windows is open in each week, whatever the date.

    Of those that open too often for all of it to be kept, nothing is said.
    """
    every = itertools.chain.from_iterable(map(_openings, windows))
    openings = sorted(itertools.islice(every, _MOST_OPENINGS + 1))
    if len(openings) > _MOST_OPENINGS:
        return ()
    apart: list[tuple[int, int]] = []
    for begins, ends in openings:
        if apart and begins <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(apart[-1][1], ends)
        else:
            apart.append((begins, ends))
    within = ((max(0, begins), min(ends, WEEK_SECONDS)) for begins, ends in apart)
    return [(begins, ends) for begins, ends in within if begins < ends]


def _openings(window: Window) -> Iterator[tuple[int, int]]:
    """Yield when a window is open in a week; what began in the week before comes first."""
    seconds, is_each_week = window.timing.expression.seconds_of_week()
    length = min(int(window.length / _SECOND), WEEK_SECONDS)
    for second in seconds if is_each_week else ():
        yield second - WEEK_SECONDS, second - WEEK_SECONDS + length
        yield second, second + length
