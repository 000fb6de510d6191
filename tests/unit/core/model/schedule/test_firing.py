"""Moments of schedules where the clock on the wall jumps."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cronie import Job, runs

from cloacina_core.errors import InputError
from cloacina_core.model.schedule.cron import CronExpression
from cloacina_core.model.schedule.firing import Firing, FoldPolicy, GapPolicy, Note, Timing
from cloacina_core.model.schedule.zone import UnknownTimeZoneError, find_zone

BERLIN = "Europe/Berlin"
LORD_HOWE = "Australia/Lord_Howe"
SPRING, AUTUMN = "2026-03-29T00:00+01:00", "2026-10-25T00:00+02:00"


def firings(
    text: str,
    zone: str,
    after: str,
    count: int = 4,
    *,
    gap: GapPolicy | None = None,
    fold: FoldPolicy | None = None,
) -> Sequence[Firing]:
    timing = Timing(CronExpression.parse(text), find_zone(zone), gap, fold)
    return list(itertools.islice(timing.firings(datetime.fromisoformat(after)), count))


def local(found: Sequence[Firing]) -> list[str]:
    return [f"{one.local:%d %H:%M %z}{f' {one.note}' if one.note else ''}" for one in found]


def test_fixed_times_run_once_at_the_end_of_a_gap() -> None:
    found = firings("10,30 2 * * *", BERLIN, SPRING, 2)

    assert local(found) == ["29 03:00 +0200 moved", "30 02:10 +0200"]
    assert str(found[0].wanted) == "2026-03-29 02:10:00"


def test_times_in_a_gap_can_be_left_out() -> None:
    assert local(firings("30 2 * * *", BERLIN, SPRING, 1, gap=GapPolicy.SKIP)) == ["30 02:30 +0200"]


def test_times_in_a_gap_can_be_shifted_among_others() -> None:
    found = firings("0,30 1,2,3 * * *", BERLIN, SPRING, 5, gap=GapPolicy.SHIFT)

    assert local(found) == [
        "29 01:00 +0100",
        "29 01:30 +0100",
        "29 03:00 +0200 moved",  # 02:00 and 03:00 are the same moment
        "29 03:30 +0200 moved",
        "30 01:00 +0200",
    ]


def test_what_follows_the_wall_skips_a_gap() -> None:
    assert local(firings("*/30 2,3 * * *", BERLIN, SPRING, 2)) == [
        "29 03:00 +0200",
        "29 03:30 +0200",
    ]
    assert local(firings("30 */2 * * *", BERLIN, SPRING, 2)) == ["29 00:30 +0100", "29 04:30 +0200"]


def test_fixed_times_run_in_the_first_of_two_passes() -> None:
    assert local(firings("30 2 * * *", BERLIN, AUTUMN, 2)) == [
        "25 02:30 +0200 first-pass",
        "26 02:30 +0100",
    ]


@pytest.mark.parametrize(
    ("fold", "times"),
    [
        (FoldPolicy.FIRST, ["25 02:30 +0200 first-pass"]),
        (FoldPolicy.SECOND, ["25 02:30 +0100 second-pass"]),
        (FoldPolicy.BOTH, ["25 02:30 +0200 first-pass", "25 02:30 +0100 second-pass"]),
    ],
)
def test_the_pass_can_be_chosen(fold: FoldPolicy, times: list[str]) -> None:
    found = firings("30 2 * * *", BERLIN, AUTUMN, 3, fold=fold)

    assert local(found)[: len(times)] == times
    assert local(found)[len(times)] == "26 02:30 +0100"


def test_what_follows_the_wall_runs_in_both_passes_in_order() -> None:
    assert local(firings("*/30 2 * * *", BERLIN, AUTUMN, 5)) == [
        "25 02:00 +0200 first-pass",
        "25 02:30 +0200 first-pass",
        "25 02:00 +0100 second-pass",
        "25 02:30 +0100 second-pass",
        "26 02:00 +0100",
    ]


def test_between_two_passes_the_second_is_still_to_come() -> None:
    between = "2026-10-25T02:45+02:00"

    assert local(firings("30 2 * * *", BERLIN, between, 1)) == ["26 02:30 +0100"]
    assert local(firings("*/30 2 * * *", BERLIN, between, 1)) == ["25 02:00 +0100 second-pass"]


def test_half_an_hour_can_be_missing_too() -> None:
    assert local(firings("15 2 * * *", LORD_HOWE, "2026-10-04T00:00+10:30", 1)) == [
        "04 02:30 +1100 moved"
    ]
    assert local(firings("45 1 * * *", LORD_HOWE, "2026-04-05T00:00+11:00", 2)) == [
        "05 01:45 +1100 first-pass",
        "06 01:45 +1030",
    ]


def test_a_day_that_was_skipped_had_no_jobs() -> None:
    found = firings("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00-10:00", 2)

    assert local(found) == ["29 12:00 -1000", "31 12:00 +1400"]


def test_midnight_may_be_missing() -> None:  # Lebanon puts its clock forward at midnight
    found = firings("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00+02:00", 1)

    assert local(found) == ["29 01:00 +0300 moved"]


@pytest.mark.parametrize("zone", [BERLIN, LORD_HOWE, "America/St_Johns", "Africa/Casablanca"])
def test_a_fixed_time_runs_once_each_day(zone: str) -> None:
    found = firings("30 2 * * *", zone, "2025-01-01T12:00+00:00", 730)

    days = [one.local.date() for one in found]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]


def test_firings_come_strictly_behind_a_moment_and_in_order() -> None:
    found = firings("30 1,2 * * *", BERLIN, AUTUMN, 50)

    for before, after in itertools.pairwise(found):
        assert before.utc < after.utc
        assert firings("30 1,2 * * *", BERLIN, before.utc.isoformat(), 1) == [after]


def test_a_firing_as_json() -> None:
    (found,) = firings("30 2 * * *", BERLIN, SPRING, 1)

    assert found.to_json() == {
        "utc": "2026-03-29T01:00:00.000000Z",
        "local": "2026-03-29T03:00:00+02:00",
        "note": "moved",
        "wanted": "2026-03-29T02:30:00",
    }
    assert Note.MOVED == "moved"


@pytest.mark.parametrize("year", [1, 1899, 9999])
def test_moments_of_no_clock_are_refused(year: int) -> None:
    timing = Timing(CronExpression.parse("@yearly"), UTC)

    with pytest.raises(InputError, match=str(year)):
        next(timing.firings(datetime(year, 6, 1, tzinfo=UTC)))


def test_the_calendar_ends() -> None:
    timing = Timing(CronExpression.parse("@yearly"), UTC)

    assert [one.utc.year for one in timing.firings(datetime(9990, 6, 1, tzinfo=UTC))] == list(
        range(9991, 9999)
    )
    assert list(timing.firings(datetime(9998, 12, 31, 23, tzinfo=UTC))) == []


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../zone", "/etc/passwd", "Europe", "x" * 99])
def test_a_zone_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UnknownTimeZoneError):
        find_zone(name)


# Independent: minute by minute, around the changes of the clock.

ZONES = sorted(available_timezones())


def changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """Return a moment shortly before each change of a zone's clock in a year."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(367)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [days[n] for n in range(366) if offsets[n] != offsets[n + 1]]


@given(
    st.sampled_from(ZONES),
    st.integers(1996, 2026),
    st.sampled_from(["{m} {h} * * *", "{m} * * * *", "*/7 {h}-23 * * *", "{m} */3 * * *"]),
    st.integers(0, 59),
    st.integers(0, 4),
)
def test_cronie_would_run_it_at_the_same_moments(
    name: str, year: int, form: str, minute: int, hour: int
) -> None:
    zone, text = ZoneInfo(name), form.format(m=minute, h=hour)
    timing = Timing(CronExpression.parse(text), zone)

    for change in changes(zone, year):
        start, end = change - timedelta(hours=12), change + timedelta(hours=36)
        within = itertools.takewhile(lambda one, end=end: one.utc <= end, timing.firings(start))
        assert [one.utc for one in within] == list(runs(Job(text), zone, start, end))


@pytest.mark.parametrize("text", ["0 0 31 12 0#5", "0 0 29 2 *", "30 23 31 12 *"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "UTC"])
def test_firings_end_with_the_calendar(text: str, zone: str) -> None:
    found = firings(text, zone, "8990-01-01T00:00+00:00", 10_000)

    assert found[-1].local.year > 9990


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory"])
def test_a_zone_that_each_host_has_its_own_of_is_refused(name: str) -> None:
    with pytest.raises(UnknownTimeZoneError, match="on each host"):
        find_zone(name)
