"""Which firings start a run, and why others don't."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloacina_core.model.schedule.decisions import Earlier, decide
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.schedule.window import Window

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def decisions(
    now: datetime,
    *,
    since: datetime,
    started: int = 0,
    live: bool = False,
    waiting: bool = False,
    cron: str = "@hourly",
    **options: Any,
) -> list[str]:
    schedule = Schedule.checked("job", "acme-etl", cron=cron, **options)
    earlier = Earlier(decided_until=since, started=started, live=live, waiting=waiting)
    return [
        f"{one.firing.utc:%d %H:%M} {one.state}{f': {one.reason}' if one.reason else ''}"
        for one in decide(schedule, earlier, now).decisions
    ]


def test_what_is_due_starts_once() -> None:
    assert decisions(NOON, since=NOON - MINUTE) == ["15 12:00 due"]
    assert decisions(NOON + MINUTE, since=NOON) == []


def test_what_was_missed_is_skipped_if_so_wished() -> None:
    found = decisions(NOON, since=NOON - 3 * HOUR, catch_up="skip")

    assert found == [
        "15 10:00 skipped: missed: no engine was there",
        "15 11:00 skipped: missed: no engine was there",
        "15 12:00 due",
    ]


def test_the_latest_that_was_missed_starts_when_nothing_newer_is_due() -> None:
    assert decisions(NOON + 30 * MINUTE, since=NOON - 2 * HOUR) == [
        "15 11:00 skipped: missed: no engine was there",
        "15 12:00 due",
    ]
    assert decisions(NOON, since=NOON - 2 * HOUR) == [
        "15 11:00 skipped: missed: no engine was there",
        "15 12:00 due",
    ]


def test_all_that_was_missed_starts_up_to_a_limit() -> None:
    found = decisions(NOON + 30 * MINUTE, since=NOON - 4 * HOUR, catch_up="all", catch_up_limit=3)

    assert found == [
        "15 09:00 skipped: missed: no engine was there",
        "15 10:00 due",
        "15 11:00 due",
        "15 12:00 due",
    ]


def test_what_is_older_than_the_window_is_told_in_one() -> None:
    found = decisions(
        NOON, since=NOON - timedelta(days=300), catch_up="all", catch_up_window=2 * HOUR
    )

    assert found == [
        "21 13:00 skipped: missed, with all that followed up to 2h before it was noticed",
        "15 11:00 due",
        "15 12:00 due",
    ]


def test_a_year_of_seconds_is_decided_in_no_time() -> None:
    found = decisions(
        NOON,
        since=NOON - timedelta(days=365),
        cron="* * * * * *",
        catch_up_window=timedelta(minutes=2),
    )

    assert len(found) == 121


def test_a_delay_holds_firings_back() -> None:
    schedule = Schedule.checked("job", "acme-etl", cron="@hourly", jitter=HOUR)
    assert schedule.delay > MINUTE

    early = decisions(NOON + MINUTE, since=NOON - MINUTE, jitter=HOUR)
    assert early == []
    assert decisions(NOON + schedule.delay, since=NOON - MINUTE, jitter=HOUR) == ["15 12:00 due"]


def test_no_more_runs_than_it_may_start() -> None:
    found = decisions(
        NOON + 30 * MINUTE, since=NOON - 3 * HOUR, catch_up="all", max_runs=5, started=3
    )

    assert found == ["15 10:00 due", "15 11:00 due"]


@pytest.mark.parametrize(
    ("overlap", "live", "waiting", "expected"),
    [
        ("allow", True, False, ["15 11:00 due", "15 12:00 due"]),
        (
            "skip",
            False,
            False,
            ["15 11:00 due", "15 12:00 skipped: an earlier run is live"],
        ),
        (
            "skip",
            True,
            False,
            [
                "15 11:00 skipped: an earlier run is live",
                "15 12:00 skipped: an earlier run is live",
            ],
        ),
        (
            "queue",
            True,
            False,
            [
                "15 11:00 waiting: an earlier run is live",
                "15 12:00 skipped: another firing waits already",
            ],
        ),
        (
            "queue",
            True,
            True,
            [
                "15 11:00 skipped: another firing waits already",
                "15 12:00 skipped: another firing waits already",
            ],
        ),
        (
            "queue",
            False,
            True,
            [
                "15 11:00 skipped: another firing waits already",
                "15 12:00 skipped: another firing waits already",
            ],
        ),
        ("queue", False, False, ["15 11:00 due", "15 12:00 waiting: an earlier run is live"]),
        (
            "cancel-previous",
            True,
            False,
            ["15 11:00 skipped: a newer firing was due with it", "15 12:00 due"],
        ),
    ],
)
def test_firings_that_overlap(overlap: str, live: bool, waiting: bool, expected: list[str]) -> None:
    found = decisions(
        NOON, since=NOON - 2 * HOUR, catch_up="all", overlap=overlap, live=live, waiting=waiting
    )

    assert found == expected


AT_NOON = "30 11 * * * for 1h"
IN_WINDOW = f"maintenance window {AT_NOON}"


def test_while_a_window_is_open_nothing_is_decided() -> None:
    schedule = Schedule.checked("job", "acme-etl", cron="@hourly", not_during=[AT_NOON])
    earlier = Earlier(decided_until=NOON - HOUR, started=0, live=False, waiting=False)

    decided = decide(schedule, earlier, NOON + MINUTE)

    assert decided.decisions == ()
    assert decided.until == NOON - HOUR
    assert decided.resting_until == NOON + 30 * MINUTE


def test_what_was_due_in_a_window_is_skipped_when_it_is_closed() -> None:
    found = decisions(NOON + 30 * MINUTE, since=NOON - 30 * MINUTE, not_during=[AT_NOON])

    assert found == [f"15 12:00 skipped: {IN_WINDOW}"]


def test_the_last_that_was_due_in_a_window_is_put_off_to_its_end() -> None:
    put_off = {"not_during": [AT_NOON], "in_window": "put-off", "cron": "*/20 * * * *"}

    in_time = decisions(NOON + 30 * MINUTE, since=NOON - 30 * MINUTE, **put_off)
    too_late = decisions(NOON + 35 * MINUTE, since=NOON - 30 * MINUTE, catch_up="skip", **put_off)

    skipped = [
        f"15 {clock} skipped: {IN_WINDOW}: a later firing was put off to its end"
        for clock in ("11:40", "12:00")
    ]
    assert in_time == [*skipped, "15 12:20 due"]
    assert too_late == [*skipped, "15 12:20 skipped: missed: no engine was there"]


def test_a_window_that_is_longer_than_what_is_caught_up_loses_nothing() -> None:
    found = decisions(
        NOON + 30 * MINUTE,
        since=NOON - 90 * MINUTE,
        cron="0 11 * * *",
        not_during=["30 10 * * * for 2h"],
        in_window="put-off",
        catch_up_window=timedelta(minutes=10),
    )

    assert found == ["15 11:00 due"]


def test_jitter_into_a_window_counts_as_within_it() -> None:
    schedule = Schedule.checked("job", "acme-etl", cron="@hourly", jitter=HOUR)
    delay = schedule.delay
    assert timedelta(0) < delay < HOUR
    windows = [Window.parse("0 12 * * * for 1h", UTC, "noon")]
    earlier = Earlier(decided_until=NOON - MINUTE, started=0, live=False, waiting=False)

    decided = decide(schedule, earlier, NOON + HOUR + delay, windows)

    assert [(one.firing.utc, one.reason) for one in decided.decisions] == [
        (NOON, "maintenance window noon"),
        (NOON + HOUR, None),
    ]
