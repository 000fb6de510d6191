"""From times on the wall to moments: what becomes of them when the clock is put forward or back.

A wall clock that is put forward skips times, and one that is put back shows some twice. PEP 495
tells both by two offsets of one wall time; from there, two policies decide. Their defaults are
cronie's (its `cron.c`, cron(8)): a job with fixed hours and minutes runs once on each such day, at
the end of a gap and in the first of two passes; one with a `*` there does what the wall shows. And
as there, a change of three hours and more is a correction of the clock, after which nothing is
made up for: Samoa had no 30 December 2011.
"""

import bisect
import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.model.schedule.cron import CronExpression

_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_LONGEST_CHANGE = 26
"""In hours: a zone that crosses the date line skips or repeats a day."""
FIRST_YEAR, LAST_YEAR = 1900, 9998
"""Of the moments at the end of the calendar, not each can be told in each time zone."""
_END = datetime(LAST_YEAR + 1, 1, 1)  # noqa: DTZ001 - of a wall clock
_CORRECTION = timedelta(hours=3)
"""From here on, a change of the clock isn't daylight saving."""


class GapPolicy(StrEnum):
    """What becomes of times that the wall clock skips."""

    SKIP = "skip"
    """Nothing."""
    FIRST_AFTER = "first-after"
    """They fire once, all together, when the clock has been put forward."""
    SHIFT = "shift"
    """Each fires as late as it would have without the change: 02:30 at 03:30."""


class FoldPolicy(StrEnum):
    """What becomes of times that the wall clock shows twice."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class Note(StrEnum):
    """What is unusual about a firing."""

    MOVED = "moved"
    """The wall clock skipped its time."""
    FIRST_PASS = "first-pass"  # noqa: S105 - no password
    """The wall clock shows its time again."""
    SECOND_PASS = "second-pass"  # noqa: S105 - no password
    """The wall clock showed its time before."""


@dataclass(frozen=True, slots=True, order=True)
class Firing:
    """One moment at which something is due."""

    utc: datetime
    """Aware, UTC; no other firing of the schedule has the same."""
    local: datetime
    """The same moment in the zone of the schedule."""
    note: Note | None = None
    wanted: datetime | None = None
    """The time on the wall that was skipped, without a zone; None unless it was moved."""

    def to_json(self) -> dict[str, str | None]:
        """Return the firing as a JSON object."""
        return {
            "utc": iso(self.utc),
            "local": self.local.isoformat(),
            "note": None if self.note is None else self.note.value,
            "wanted": None if self.wanted is None else self.wanted.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule is due."""

    expression: CronExpression
    zone: tzinfo
    gap: GapPolicy | None = None
    """None: `first-after` for fixed times, `skip` for others."""
    fold: FoldPolicy | None = None
    """None: `first` for fixed times, `both` for others."""

    def firings(self, after: datetime) -> Iterator[Firing]:
        """Yield all firings behind a moment, in order, up to the end of `LAST_YEAR`.

        Args:
            after: aware.

        Raises:
            InputError: no clock of today showed it, or will.
        """
        if not FIRST_YEAR <= after.year <= LAST_YEAR:
            years = f"{FIRST_YEAR} to {LAST_YEAR}"
            raise InputError(f"firings are known from {years}, not of {after.year}")
        latest = after.astimezone(UTC)
        for firing in self._in_order(self._first_wall_time(latest)):
            if firing.utc > latest:  # several times on the wall may lead to one moment
                latest = firing.utc
                yield firing

    def _in_order(self, start: datetime) -> Iterator[Firing]:
        """Yield the firings of all times on the wall from one on, by their moments."""
        waiting: list[tuple[datetime, int, Firing]] = []
        times = itertools.takewhile(lambda wall: wall < _END, self.expression.wall_times(start))
        for number, wall in enumerate(times):
            before, behind = self._offsets(wall)
            earliest = (wall - max(before, behind)).replace(tzinfo=UTC)
            while waiting and waiting[0][0] < earliest:  # nothing that comes can come before it
                yield heapq.heappop(waiting)[2]
            for firing in self._of_wall_time(wall, before, behind):
                heapq.heappush(waiting, (firing.utc, number, firing))
        yield from (firing for _, _, firing in sorted(waiting, key=lambda entry: entry[:2]))

    def _of_wall_time(
        self, wall: datetime, before: timedelta, behind: timedelta
    ) -> Iterator[Firing]:
        """Yield the moments that a time on the wall leads to.

        Args:
            wall: naive.
            before: the offset before the change of the clock in which the time is, if it is in one.
            behind: the offset behind it, otherwise the same.
        """
        if before == behind:
            yield self._firing(wall, before)
        elif before < behind:
            yield from self._of_gap(wall, before, behind)
        else:
            policy = self._fold_policy(before - behind)
            if policy is not FoldPolicy.SECOND:
                yield self._firing(wall, before, Note.FIRST_PASS)
            if policy is not FoldPolicy.FIRST:
                yield self._firing(wall, behind, Note.SECOND_PASS)

    def _of_gap(self, wall: datetime, before: timedelta, behind: timedelta) -> Iterator[Firing]:
        policy = self._gap_policy(behind - before)
        if policy is GapPolicy.SHIFT:
            yield self._firing(wall, before, Note.MOVED, wanted=wall)
        elif policy is GapPolicy.FIRST_AFTER:
            end = self._change_between(wall - behind, wall - before, behind)
            yield self._firing(end + behind, behind, Note.MOVED, wanted=wall)

    def _gap_policy(self, size: timedelta) -> GapPolicy:
        if self.gap is not None:
            return self.gap
        makes_up = self.expression.is_fixed and size < _CORRECTION
        return GapPolicy.FIRST_AFTER if makes_up else GapPolicy.SKIP

    def _fold_policy(self, size: timedelta) -> FoldPolicy:
        if self.fold is not None:
            return self.fold
        is_repeated = self.expression.is_fixed and size <= _CORRECTION
        return FoldPolicy.FIRST if is_repeated else FoldPolicy.BOTH

    def _firing(
        self,
        wall: datetime,
        offset: timedelta,
        note: Note | None = None,
        *,
        wanted: datetime | None = None,
    ) -> Firing:
        utc = (wall - offset).replace(tzinfo=UTC)
        return Firing(utc, utc.astimezone(self.zone), note, wanted)

    def _offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """Return the offsets of a time on the wall before and behind the change that it is in."""
        earlier, later = (wall.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        return _offset(earlier), _offset(later)

    def _change_between(self, start: datetime, end: datetime, behind: timedelta) -> datetime:
        """Return when the clock was put forward, to the second, naive in UTC.

        Args:
            start: before it, naive in UTC.
            end: not before it, naive in UTC.
            behind: the offset that holds from then on.
        """
        seconds = range(int((end - start) / _SECOND) + 1)

        def is_changed(passed: int) -> bool:
            return self._offset_at(start + passed * _SECOND) == behind

        return start + bisect.bisect_left(seconds, True, key=is_changed) * _SECOND

    def _first_wall_time(self, after: datetime) -> datetime:
        """Return a time on the wall, naive, before which none leads to a moment behind another."""
        utc = after.replace(tzinfo=None)
        around = range(-_LONGEST_CHANGE, _LONGEST_CHANGE + 1)
        return utc + min(self._offset_at(utc + hours * _HOUR) for hours in around)

    def _offset_at(self, utc: datetime) -> timedelta:
        return _offset(utc.replace(tzinfo=UTC).astimezone(self.zone))


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    if offset is None:
        raise AssertionError("a time zone has an offset at each moment")
    return offset
