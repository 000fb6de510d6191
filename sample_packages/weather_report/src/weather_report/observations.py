"""Daily observations: CSV text in, sound observations and rejected rows out."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

COLUMNS = ("date", "precipitation", "temp_max", "temp_min", "wind")

POSSIBLE = {
    "precipitation": (0.0, 2000.0),
    "temp_max": (-95.0, 65.0),
    "temp_min": (-95.0, 65.0),
    "wind": (0.0, 120.0),
}
"""Just beyond the records that the World Meteorological Organization keeps (mm, °C, °C, m/s)."""

_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", re.ASCII)


class ObservationsError(ValueError):
    """The file as a whole can't be used; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was measured on one day. None: nothing was."""

    day: date
    precipitation: float | None
    """Millimetres of water."""
    temp_max: float | None
    """Degrees Celsius, as `temp_min`."""
    temp_min: float | None
    wind: float | None
    """Mean speed in metres per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    """A row that was left out."""

    line: int
    """Its line in the file, counted from 1."""
    reason: str
    """The sort of fault: the rejected rows are counted by it."""
    detail: str
    """What stands there."""


class Checked(NamedTuple):
    """The rows of a file, sorted into good ones, by day, and bad ones, by line."""

    observations: list[Observation]
    rejected: list[RejectedRow]


class _FaultError(Exception):
    """A row is bad; collected into rejected rows, never seen outside."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def check(text: str) -> Checked:
    """Return the sound observations and the rejected rows of CSV text.

    Columns may stand in any order, and others beside them. A date is YYYY-MM-DD or YYYY/MM/DD. A
    value may be empty, a whole row of values may not. Of two sound rows for one day the first
    counts.

    Raises:
        ObservationsError: a column is missing, or there are no rows.
    """
    good: dict[date, Observation] = {}
    rejected: list[RejectedRow] = []
    for line, row in _rows(text):
        try:
            observation = _observation(row)
            _refuse_second(observation.day, good)
        except _FaultError as fault:
            rejected.append(RejectedRow(line=line, reason=fault.reason, detail=fault.detail))
        else:
            good[observation.day] = observation
    if not good and not rejected:
        raise ObservationsError("the file has a header but no rows")
    return Checked([good[day] for day in sorted(good)], rejected)


def reasons(rejected: Sequence[RejectedRow]) -> dict[str, int]:
    """Return how many rows were rejected for each reason, the most frequent first."""
    return dict(Counter(row.reason for row in rejected).most_common())


def refuse_if_too_many(checked: Checked, max_bad_share: float) -> None:
    """Refuse a file of which too much was rejected.

    Raises:
        ObservationsError: more than `max_bad_share` of the rows are bad, or all of them.
    """
    bad, rows = len(checked.rejected), len(checked.rejected) + len(checked.observations)
    if checked.observations and bad <= max_bad_share * rows:
        return
    counts = "; ".join(f"{reason}: {count}" for reason, count in reasons(checked.rejected).items())
    first = checked.rejected[0]
    raise ObservationsError(
        f"{bad} of {rows} rows are bad, more than the share of {max_bad_share:g} that max_bad_share"
        f" allows ({counts}); the first is line {first.line}: {first.detail}"
    )


def choose_year(observations: Sequence[Observation], wanted: int | None) -> int:
    """Return the year to report on: the wanted one, else the latest.

    Raises:
        ObservationsError: nothing was observed in the wanted year.
    """
    years = sorted({observation.day.year for observation in observations})
    if wanted is None:
        return years[-1]
    if wanted not in years:
        there = ", ".join(map(str, years))
        raise ObservationsError(f"nothing was observed in {wanted}; years there are: {there}")
    return wanted


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise ObservationsError(
                f"the first line must name the columns; missing: {', '.join(missing)}"
                f" (wanted: {', '.join(COLUMNS)}; found: {_shown(', '.join(header)) or 'none'})"
            )
        for cells in reader:
            if cells:
                # Short rows read as empty values: spreadsheets drop commas at the end of a line.
                yield reader.line_num, dict(zip(header, _padded(cells, len(header)), strict=False))
    except csv.Error as error:
        raise ObservationsError(f"line {reader.line_num} is not CSV: {error}") from None


def _padded(cells: list[str], length: int) -> list[str]:
    return [cell.strip() for cell in cells] + [""] * (length - len(cells))


def _observation(row: dict[str, str]) -> Observation:
    day = _day(row["date"])
    values = {column: _value(column, row[column]) for column in POSSIBLE}
    if all(value is None for value in values.values()):
        raise _FaultError("no values", f"nothing was written for {day}")
    high, low = values["temp_max"], values["temp_min"]
    if high is not None and low is not None and low > high:
        raise _FaultError(
            "minimum above maximum", f"temp_min {low:g} is above temp_max {high:g} on {day}"
        )
    return Observation(day=day, **values)


def _refuse_second(day: date, good: Mapping[date, Observation]) -> None:
    if day in good:
        raise _FaultError("day stands twice", f"{day} was observed in an earlier row")


def _day(text: str) -> date:
    match = _DATE.fullmatch(text)
    if match is None:
        raise _FaultError("not a date", f"date {_shown(text)!r} is not YYYY-MM-DD or YYYY/MM/DD")
    try:
        return date(*map(int, match.groups()))
    except ValueError:
        raise _FaultError("not a date", f"the calendar has no {text}") from None


def _value(column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise _FaultError("not a number", f"{column} is {_shown(text)!r}") from None
    lowest, highest = POSSIBLE[column]
    if not (math.isfinite(value) and lowest <= value <= highest):
        raise _FaultError(
            "impossible value", f"{column} {_shown(text)} is not in {lowest:g} to {highest:g}"
        )
    return value


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - one line of a terminal
