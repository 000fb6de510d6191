"""Write the observations that the package ships: four years at a station that doesn't exist.

    python tools/generate_observations.py > src/weather_report/data/observations.csv

The same bytes each time: the generator is seeded, and uses only `Random.random`, whose sequence
Python promises to keep. The faults are planted on purpose, for the workflow to find.
"""

import math
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

HEADER = "date,precipitation,temp_max,temp_min,wind"
FIRST_DAY = date(2012, 1, 1)
LAST_DAY = date(2015, 12, 31)
SEED = 2012

ABSENT = {date(2013, 11, 20), date(2013, 11, 21), date(2013, 11, 22)}
"""Days on which nobody wrote anything."""

WITHOUT_WIND = {date(2015, 9, day) for day in range(8, 13)}
"""Days on which the anemometer was away for repair."""

FAULTS = {
    date(2012, 3, 14): ["2012-03-14,0.4,n/a,5.1,3.0"],
    date(2013, 7, 2): ["2013-07-02,0.0,12.8,24.4,2.2"],
    date(2014, 1, 19): ["2014-01-19,1.8,8.3,3.1,4.4", "2014-01-19,1.8,8.3,3.1,4.4"],
    date(2014, 8, 8): ["2014-08-08,,,,"],
    date(2015, 2, 11): ["2015-02-11,-0.3,9.4,4.4,3.6"],
    date(2015, 6, 30): ["2015-06-31,0.0,25.2,14.6,2.1"],
    date(2015, 10, 5): ["2015-10-05,0.0,999.9,9.8,2.4"],
}


def lines() -> Iterator[str]:
    """Yield the lines of the file."""
    yield HEADER
    random = Random(SEED)  # noqa: S311 - weather, not secrets
    anomaly, was_wet = 0.0, False
    for number in range((LAST_DAY - FIRST_DAY).days + 1):
        day = FIRST_DAY + timedelta(days=number)
        anomaly = 0.75 * anomaly + 1.6 * _bell(random)
        was_wet = random.random() < _chance_of_rain(day, was_wet=was_wet)
        line = _line(random, day, anomaly, is_wet=was_wet)
        if day not in ABSENT:
            yield from FAULTS.get(day, [line])


def _line(random: Random, day: date, anomaly: float, *, is_wet: bool) -> str:
    mean = 11.5 - 7.5 * _winter(day) + anomaly
    swing = (3.0 if is_wet else 5.5) - 1.5 * _winter(day) + 0.4 * _bell(random)
    half = max(swing, 1.0)
    rain = 0.2 - (5.5 + 2.5 * _winter(day)) * math.log(1 - random.random()) if is_wet else 0.0
    wind = max(2.9 + 0.5 * _winter(day) + 1.1 * _bell(random) + (0.8 if is_wet else 0), 0.3)
    wind_text = "" if day in WITHOUT_WIND else f"{wind:.1f}"
    return f"{day},{rain:.1f},{mean + half:.1f},{mean - half:.1f},{wind_text}"


def _winter(day: date) -> float:
    """Return 1 in the middle of January, -1 in the middle of July."""
    return math.cos(2 * math.pi * (day.timetuple().tm_yday - 15) / 365.25)


def _chance_of_rain(day: date, *, was_wet: bool) -> float:
    return (0.62 if was_wet else 0.24) + 0.14 * _winter(day)


def _bell(random: Random) -> float:
    """Return a number about 0 with a spread of 1: the sum of twelve, as Irwin and Hall have it."""
    return sum(random.random() for _ in range(12)) - 6


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines())
