"""Observations for tests, one line each."""

from datetime import date

from weather_report.observations import Observation


def observe(
    day: str,
    *,
    rain: float | None = None,
    high: float | None = None,
    low: float | None = None,
    wind: float | None = None,
) -> Observation:
    """Return an observation: all values are None but those that are given."""
    return Observation(
        day=date.fromisoformat(day), precipitation=rain, temp_max=high, temp_min=low, wind=wind
    )
