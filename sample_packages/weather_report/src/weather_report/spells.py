"""Wet and dry spells: the longest rows of days with and without rain."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from weather_report.observations import Observation
from weather_report.summary import WET_DAY

_NEXT_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """Days in a row that were all wet, or all dry."""

    wet: bool
    first: date
    last: date
    days: int
    precipitation: float
    """Total; a dry spell may have a little on each day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestSpells:
    """The longest spells; of equally long ones the earliest. None: there was no such day."""

    wet: Spell | None
    dry: Spell | None


def find_longest(observations: Sequence[Observation]) -> LongestSpells:
    """Return the longest spells of observations that are in order of their days.

    A day on which precipitation wasn't measured ends a spell: it may have been of either kind.
    """
    spells = list(_spells(observations))
    return LongestSpells(
        wet=max((s for s in spells if s.wet), key=lambda s: s.days, default=None),
        dry=max((s for s in spells if not s.wet), key=lambda s: s.days, default=None),
    )


def _spells(observations: Sequence[Observation]) -> Iterator[Spell]:
    row: list[tuple[date, float]] = []
    for observation in observations:
        day, fall = observation.day, observation.precipitation
        if row and (fall is None or not _continues(row[-1], day, fall)):
            yield _spell(row)
            row = []
        if fall is not None:
            row.append((day, fall))
    if row:
        yield _spell(row)


def _continues(before: tuple[date, float], day: date, fall: float) -> bool:
    last_day, last_fall = before
    return day == last_day + _NEXT_DAY and (fall >= WET_DAY) == (last_fall >= WET_DAY)


def _spell(row: list[tuple[date, float]]) -> Spell:
    return Spell(
        wet=row[0][1] >= WET_DAY,
        first=row[0][0],
        last=row[-1][0],
        days=len(row),
        precipitation=math.fsum(fall for _, fall in row),
    )
