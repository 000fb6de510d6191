"""What was measured on a day of the year, in past years."""

import csv
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from statistics import mean


def read_measurements() -> Mapping[date, Mapping[str, float]]:
    """Return what the package's data say of each day."""
    text = files("cron_reports").joinpath("data/seattle-weather.csv").read_text("utf-8")
    return {
        date(*map(int, row["date"].split("/"))): {
            name: float(row[name]) for name in ("precipitation", "temp_max", "temp_min")
        }
        for row in csv.DictReader(text.splitlines())
    }


def same_day(
    measured: Mapping[date, Mapping[str, float]], day: date
) -> Sequence[Mapping[str, float]]:
    """Return the measurements of a day of the year, in all years that have it, oldest first."""
    return [
        values
        for other, values in sorted(measured.items())
        if (other.month, other.day) == (day.month, day.day)
    ]


def summary(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means of some measurements, in degrees Celsius, and how many were rainy.

    The means are to a tenth, as the measurements are.
    """
    return {
        "years": len(found),
        "rainy": sum(values["precipitation"] > 0 for values in found),
        "temp_max": round(mean(values["temp_max"] for values in found), 1),
        "temp_min": round(mean(values["temp_min"] for values in found), 1),
    }
