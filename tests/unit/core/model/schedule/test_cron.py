"""Cron expressions: what is understood, and what is refused with which words."""

# ruff: noqa: DTZ001 - a wall clock knows no zone
import itertools
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cronie import Job

from cloacina_core.model.schedule.cron import MAX_LENGTH, CronExpression, CronExpressionError

NEW_YEAR = datetime(2026, 1, 1)


def first_times(text: str, count: int = 3, start: datetime = NEW_YEAR) -> list[str]:
    times = CronExpression.parse(text).wall_times(start)
    return [f"{time:%a %d %b %Y %H:%M:%S}" for time in itertools.islice(times, count)]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("0 0 * JAN-mar Mon", "0 0 * 1-3 1"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * FRI-SUN", "0 0 * * 5-7"),
        ("1-1 0 * JAN-JAN *", "1 0 * 1 *"),
        ("*/20 0-23/12 * * *", "0,20,40 0,12 * * *"),
        ("05 00 * * *", "5 0 * * *"),
        ("  0\t0  1 * *  ", "0 0 1 * *"),
        ("0 5 0 * * *", "5 0 * * *"),
    ],
)
def test_two_ways_to_write_the_same(text: str, same: str) -> None:
    assert first_times(text, 50) == first_times(same, 50)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("*/30 0 0 * * *", ["Thu 01 Jan 2026 00:00:00", "Thu 01 Jan 2026 00:00:30"]),
        ("0 12 L * *", ["Sat 31 Jan 2026 12:00:00", "Sat 28 Feb 2026 12:00:00"]),
        ("0 12 15W * *", ["Thu 15 Jan 2026 12:00:00", "Mon 16 Feb 2026 12:00:00"]),
        ("0 12 * * 5L", ["Fri 30 Jan 2026 12:00:00", "Fri 27 Feb 2026 12:00:00"]),
        ("0 12 * * friL", ["Fri 30 Jan 2026 12:00:00", "Fri 27 Feb 2026 12:00:00"]),
        ("0 12 * * TUE#2", ["Tue 13 Jan 2026 12:00:00", "Tue 10 Feb 2026 12:00:00"]),
        ("0 12 * * 1#1,5#1", ["Fri 02 Jan 2026 12:00:00", "Mon 05 Jan 2026 12:00:00"]),
        ("0 0 29 2 *", ["Tue 29 Feb 2028 00:00:00", "Sun 29 Feb 2032 00:00:00"]),
    ],
)
def test_words_of_calendars(text: str, times: list[str]) -> None:
    assert first_times(text, 2) == times


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 13 * 5", ["Fri 02 Jan", "Fri 09 Jan", "Tue 13 Jan"]),  # either
        ("0 0 1-31 * 5", ["Thu 01 Jan", "Fri 02 Jan", "Sat 03 Jan"]),  # either, and one is always
        ("0 0 */2 * 5", ["Fri 09 Jan", "Fri 23 Jan", "Fri 13 Feb"]),  # both
        ("0 0 13 * */5", ["Fri 13 Feb", "Fri 13 Mar", "Sun 13 Sep"]),  # both
        ("0 0 * * 5", ["Fri 02 Jan", "Fri 09 Jan", "Fri 16 Jan"]),
        ("0 0 2 * *", ["Fri 02 Jan", "Mon 02 Feb", "Mon 02 Mar"]),
    ],
)
def test_two_fields_for_the_day(text: str, days: list[str]) -> None:
    assert [time[:10] for time in first_times(text)] == days


@pytest.mark.parametrize(
    ("text", "kind", "field"),
    [
        ("", "syntax", "expression"),
        ("* * * *", "syntax", "expression"),
        ("* * * * * * *", "syntax", "expression"),
        ("@reboot", "unsupported", "expression"),
        ("@Daily", "syntax", "expression"),
        ("1" * (MAX_LENGTH + 1), "syntax", "expression"),
        ("60 * * * *", "range", "minute"),
        ("* 24 * * *", "range", "hour"),
        ("* * 0 * *", "range", "day-of-month"),
        ("* * * 13 *", "range", "month"),
        ("* * * * 8", "range", "day-of-week"),
        ("60 0 0 * * *", "range", "second"),
        ("10-5 * * * *", "range", "minute"),
        ("* 22-2 * * *", "range", "hour"),
        ("* * * * FRI-MON", "range", "day-of-week"),
        ("1-2-3 * * * *", "syntax", "minute"),
        ("5/15 * * * *", "ambiguous", "minute"),
        ("*/61 * * * *", "step", "minute"),
        ("*/0 * * * *", "step", "minute"),
        ("*/x * * * *", "step", "minute"),
        ("* 1-3/4 * * *", "step", "hour"),
        ("*5 * * * *", "syntax", "minute"),
        ("1,,2 * * * *", "syntax", "minute"),
        ("1, * * * *", "syntax", "minute"),
        ("001 * * * *", "syntax", "minute"),
        ("-1 * * * *", "syntax", "minute"),
        ("٣ * * * *", "syntax", "minute"),
        ("0\n0 * * * *", "syntax", "minute"),
        ("0 0 ? * *", "unsupported", "day-of-month"),
        ("H H * * *", "syntax", "minute"),
        ("0 0 * * R", "syntax", "day-of-week"),
        ("0 0 * foo *", "syntax", "month"),
        ("0 0 L,15 * *", "unsupported", "day-of-month"),
        ("0 0 1W,15 * *", "unsupported", "day-of-month"),
        ("0 0 32W * *", "range", "day-of-month"),
        ("0 0 * * 1,5#2", "unsupported", "day-of-week"),
        ("0 0 * * 5#6", "range", "day-of-week"),
        ("0 0 30 2 *", "never", "day-of-month"),
        ("0 0 31 4,6,9,11 *", "never", "day-of-month"),
    ],
)
def test_what_is_refused_names_the_field(text: str, kind: str, field: str) -> None:
    with pytest.raises(CronExpressionError) as refusal:
        CronExpression.parse(text)

    assert (refusal.value.kind, refusal.value.field) == (kind, field)
    assert len(refusal.value.message) < 200


def test_an_impossible_date_may_still_be_one_of_two_days() -> None:
    assert first_times("0 0 30 2 MON", 1) == ["Mon 02 Feb 2026 00:00:00"]


def test_the_calendar_ends() -> None:
    times = CronExpression.parse("@yearly").wall_times(datetime(9998, 6, 1))

    assert [time.year for time in itertools.islice(times, 3)] == [9999]


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    """A field of numbers, ranges and steps."""

    def number() -> int:
        return draw(st.integers(low, high))

    def part() -> str:
        match draw(st.sampled_from(["number", "range", "stepped", "every"])):
            case "number":
                return str(number())
            case "every":
                return f"*/{draw(st.integers(1, high - low + 1))}"
            case kind:
                first, last = sorted((number(), number()))
                step = f"/{draw(st.integers(1, last - first + 1))}" if kind == "stepped" else ""
                return f"{first}-{last}{step}"

    if draw(st.booleans()):
        return "*"
    return ",".join(part() for _ in range(draw(st.integers(1, 2))))


EXPRESSIONS = st.builds(
    lambda *parts: " ".join(parts),
    fields(0, 59),
    fields(0, 23),
    fields(1, 28),
    fields(1, 12),
    fields(0, 6),
)


@given(EXPRESSIONS, st.datetimes(datetime(1995, 1, 1), datetime(2050, 1, 1)))
def test_days_are_those_of_an_independent_reading(text: str, start: datetime) -> None:
    expression, job = CronExpression.parse(text), Job(text)
    found = list(itertools.islice(expression.wall_times(start), 20))

    assert all(job.fits(time) for time in found)
    assert found == sorted(set(found))
    assert all(time >= start.replace(second=0, microsecond=0) for time in found)
    minute = start.replace(second=0, microsecond=0) + timedelta(minutes=1)
    between = (minute + timedelta(minutes=n) for n in range(24 * 60))
    expected = next((time for time in between if job.fits(time)), None)
    if expected is not None:
        assert next(time for time in found if time >= minute) == expected


@given(st.text(max_size=300) | st.text("0123456789*/,-#LW @ABCDEFJ", max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with suppress(CronExpressionError):
        assert next(CronExpression.parse(text).wall_times(NEW_YEAR)) >= NEW_YEAR
