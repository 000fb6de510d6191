"""Schedules that windows keep from ever starting anything."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloacina_core.model.schedule.cron import CronExpression
from cloacina_core.model.schedule.never import (
    NeverStartsError,
    is_always_open,
    is_kept,
    require_free,
    require_start,
)
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.schedule.window import Window
from cloacina_core.model.schedule.zone import find_zone

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def schedule(cron: str, **fields: Any) -> Schedule:
    return Schedule.checked("job", "acme-etl", cron=cron, **fields)


def windows(*texts: str, timezone: str = "UTC") -> list[Window]:
    return [Window.parse(text, find_zone(timezone)) for text in texts]


@pytest.mark.parametrize(
    ("cron", "closed"),
    [
        ("30 3 * * *", ["0 3 * * * for 1h"]),
        ("0 3 * * *", ["0 3 * * * for 1s"]),
        ("0 2 * * SUN", ["0 22 * * SAT for 6h"]),
        ("0 0 1 1 *", ["0 0 1 1 * for 1d"]),
        ("0 0 13 * *", ["0 0 * * MON-SAT for 1d", "0 0 * * SUN for 1d"]),
        ("* * * * *", ["* * * * * for 1m"]),
        ("* * * * * *", ["0 0 * * * for 12h", "0 12 * * * for 12h"]),
        ("*/5 * * * SAT", ["0 0 * * SAT for 1d"]),
        ("* * 1-7 * *", ["0 0 * * * for 1d"]),
        ("0 3 * * *", ["0 0 1 * * for 31d"]),
    ],
)
def test_firings_that_are_all_in_windows_start_nothing(cron: str, closed: list[str]) -> None:
    assert is_kept(schedule(cron), NOW, windows(*closed))


@pytest.mark.parametrize(
    ("cron", "closed"),
    [
        ("30 3 * * *", []),
        ("0 4 * * *", ["0 3 * * * for 1h"]),
        ("0 2 * * SUN", ["0 22 * * SAT for 4h"]),
        ("0 0 1 1 *", ["0 0 * * MON-FRI for 1d"]),
        ("59 * * * * *", ["* * * * * for 59s", "0 0 * * * for 23h"]),
        ("* * * * * *", ["0 0 * * * for 12h", "0 12 * * * for 43199s"]),
        ("*/5 * * * *", ["0 0 * 1-11 * for 1d"]),
        ("*/5 * 13 * SAT", ["0 0 * * SAT for 1d"]),
        ("*/5 * * * *", ["0 0 1-30 * * for 1d"]),
    ],
)
def test_a_firing_that_is_free_or_may_be_is_enough(cron: str, closed: list[str]) -> None:
    assert not is_kept(schedule(cron), NOW, windows(*closed))


def test_jitter_and_the_end_count() -> None:
    closed = windows("0 3 * * * for 1m")
    late = schedule("0 3 * * *", jitter=timedelta(hours=1))
    ends = schedule("0 3 1,2 6 *", ends_at=NOW + timedelta(days=2))

    assert late.delay > timedelta(minutes=1)
    assert not is_kept(late, NOW, closed)
    assert is_kept(ends, NOW, windows("0 3 1,2 6 * for 1m"))


@pytest.mark.parametrize(
    ("cron", "closed"),
    [("*/5 * * * *", "0 0 24 12 * for 10d"), ("* * * * *", "0 0 * * * for 8h")],
)
@pytest.mark.parametrize("starts_at", [NOW, datetime(2028, 1, 1, tzinfo=UTC)])
def test_how_long_it_is_until_the_first_firing_doesnt_count(
    cron: str, closed: str, starts_at: datetime
) -> None:
    assert not is_kept(schedule(cron, starts_at=starts_at), NOW, windows(closed))


def test_a_schedule_may_start_in_the_last_year_of_all() -> None:
    late = schedule("0 3 31 12 *", starts_at=datetime(9998, 1, 1, tzinfo=UTC))

    assert is_kept(late, NOW, windows("0 3 * * * for 1h"))
    assert not is_kept(late, NOW, windows("0 4 * * * for 1h"))


def test_what_is_put_off_starts_unless_a_window_never_closes() -> None:
    put_off = schedule("30 3 * * *", in_window="put-off")

    assert not is_kept(put_off, NOW, windows("0 3 * * * for 1h"))
    assert is_kept(put_off, NOW, windows("0 0 * * * for 1d"))


@pytest.mark.parametrize(
    ("closed", "is_open"),
    [
        (["0 0 * * * for 1d"], True),
        (["0 0 * * SUN for 7d"], True),
        (["0 0 * * SUN for 31d"], True),
        (["0 0 * * SUN for 6d"], False),
        (["0 * * * * for 59m"], False),
        (["0 0 * * MON-FRI for 1d", "0 0 * * SAT,SUN for 1d"], True),
        (["0 0 * 1-12 * for 1d"], True),
        (["0 0 1 * * for 31d"], False),
        (["0 0 * * SUN#1 for 31d"], False),
        (["* * * * * for 1m"], True),
        (["0-30 * * * * * for 30s"], False),  # it is open, and opens too often to tell
    ],
)
def test_what_is_open_in_all_of_a_week_is_always_open(closed: list[str], is_open: bool) -> None:
    assert is_always_open(windows(*closed)) is is_open


def test_windows_on_different_clocks_arent_taken_for_one() -> None:
    halves = windows("0 0 * * * for 12h") + windows("0 12 * * * for 12h", timezone="Asia/Tokyo")

    assert not is_always_open(halves)
    assert is_always_open([*halves, *windows("0 12 * * * for 12h")])


def test_a_window_on_another_clock_keeps_firings_that_are_rare() -> None:
    tokyo = windows("0 12 * * * for 1h", timezone="Asia/Tokyo")

    assert is_kept(schedule("30 3 * * *"), NOW, tokyo)
    assert not is_kept(schedule("30 12 * * *"), NOW, tokyo)


def test_the_field_that_is_to_blame_is_told() -> None:
    own = schedule("30 3 * * *", not_during=["0 3 * * * for 1h"])
    over = schedule("30 3 * * *", ends_at=NOW)

    for action, field in (
        (lambda: require_free(own, NOW, ()), "not_during"),
        (lambda: require_free(schedule("@daily"), NOW, windows("@daily for 1h")), "windows"),
        (lambda: require_start(over, NOW, ()), "ends_at"),
    ):
        with pytest.raises(NeverStartsError, match="would never start anything") as told:
            action()
        assert told.value.facts() == {"kind": "never", "field": field}


def test_the_seconds_of_a_week_may_be_those_of_some_weeks_only() -> None:
    def seconds(cron: str) -> tuple[int, int, bool]:
        found, is_each_week = CronExpression.parse(cron).seconds_of_week()
        return found[0], len(found), is_each_week

    assert seconds("0 1 * * MON") == (25 * 3600, 1, True)
    assert seconds("0 1 * * 1#2") == (3600, 7, False)
    assert seconds("0 1 13 * FRI") == (3600, 7, False)
    assert seconds("30 0 1 * 3 *") == (3630, 7, False)
