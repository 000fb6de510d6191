"""The days that stand out: hottest, coldest, wettest, windiest, and the widest range."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from weather_report.observations import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The value that stands out, and the first day that had it."""

    day: date
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """The records of a year. None: the value was never measured."""

    hottest: Record | None
    coldest: Record | None
    wettest: Record | None
    """None also when no rain fell at all."""
    windiest: Record | None
    widest_range: Record | None
    """The largest difference between a day's maximum and minimum."""


def find(observations: Sequence[Observation]) -> Extremes:
    """Return the records of observations that are in order of their days."""
    wettest = _highest(observations, lambda observation: observation.precipitation)
    return Extremes(
        hottest=_highest(observations, lambda observation: observation.temp_max),
        coldest=_lowest(observations, lambda observation: observation.temp_min),
        wettest=wettest if wettest and wettest.value > 0 else None,
        windiest=_highest(observations, lambda observation: observation.wind),
        widest_range=_highest(observations, _range),
    )


_Measure = Callable[[Observation], float | None]


def _records(observations: Sequence[Observation], measure: _Measure) -> list[Record]:
    measured = ((observation.day, measure(observation)) for observation in observations)
    return [Record(day=day, value=value) for day, value in measured if value is not None]


def _highest(observations: Sequence[Observation], measure: _Measure) -> Record | None:
    # max and min keep the first of equals, which is the earliest day.
    return max(_records(observations, measure), key=lambda record: record.value, default=None)


def _lowest(observations: Sequence[Observation], measure: _Measure) -> Record | None:
    return min(_records(observations, measure), key=lambda record: record.value, default=None)


def _range(observation: Observation) -> float | None:
    if observation.temp_max is None or observation.temp_min is None:
        return None
    return observation.temp_max - observation.temp_min
