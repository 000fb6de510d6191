"""What a stretch of days was like: means, totals and how much of it was observed."""

import calendar
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weather_report.observations import Observation

WET_DAY = 1.0
"""Millimetres that make a day wet, as the World Meteorological Organization counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Figures of a month or year. None: there was nothing to reckon it from."""

    days: int
    """Days in the calendar."""
    observed: int
    """Days with an observation."""
    temp_max: float | None
    """Mean of the daily maxima."""
    temp_min: float | None
    """Mean of the daily minima."""
    temp_mean: float | None
    """Mean of the midpoints of the days that have both."""
    precipitation: float | None
    """Total."""
    wet_days: int | None


def of_year(observations: Sequence[Observation], year: int) -> Summary:
    """Return the figures of a year; observations of other years must not be among these."""
    return _summary(observations, days=366 if calendar.isleap(year) else 365)


def of_months(observations: Sequence[Observation], year: int) -> list[Summary]:
    """Return the figures of the twelve months of a year, January first."""
    return [
        _summary(
            [observation for observation in observations if observation.day.month == month],
            days=calendar.monthrange(year, month)[1],
        )
        for month in range(1, 13)
    ]


def midpoint(observation: Observation) -> float | None:
    """Return the middle between a day's maximum and minimum, the usual daily mean."""
    if observation.temp_max is None or observation.temp_min is None:
        return None
    return (observation.temp_max + observation.temp_min) / 2


def _summary(observations: Sequence[Observation], *, days: int) -> Summary:
    falls = _known(observation.precipitation for observation in observations)
    return Summary(
        days=days,
        observed=len(observations),
        temp_max=_mean(observation.temp_max for observation in observations),
        temp_min=_mean(observation.temp_min for observation in observations),
        temp_mean=_mean(map(midpoint, observations)),
        precipitation=math.fsum(falls) if falls else None,
        wet_days=sum(fall >= WET_DAY for fall in falls) if falls else None,
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return statistics.fmean(known) if known else None
