"""The almanac reports on the days that had ended when its schedule was due."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from cloacina_core.testing import run_workflow

from cron_reports.almanac import read_measurements, same_day
from cron_reports.calendar import hours_in
from cron_reports.flows import almanac

SEATTLE = "America/Los_Angeles"


def due(local: str) -> dict[str, object]:
    """Return what a run sees of its firing."""
    return {"schedule": {"name": "daily", "local": local, "timezone": SEATTLE}}


def test_it_reports_on_the_day_before_the_firing() -> None:
    result = run_workflow(almanac, {}, context=due("2026-07-05T02:30:00-07:00"))

    assert result.status == "succeeded"
    assert result.context["report"] == ["2026-07-04 (24 h): 13.1 to 24.9 °C, rain in 0 of 4 years"]


@pytest.mark.parametrize(
    ("local", "told"),
    [
        ("2026-03-09T02:30:00-07:00", "2026-03-08 (23 h)"),
        ("2026-03-08T03:00:00-07:00", "2026-03-07 (24 h)"),
        ("2026-11-02T02:30:00-08:00", "2026-11-01 (25 h)"),
    ],
)
def test_days_are_those_of_the_calendar_there(local: str, told: str) -> None:
    (line,) = run_workflow(almanac, {}, context=due(local)).context["report"]

    assert line.startswith(told)


def test_a_week_has_all_its_hours() -> None:
    result = run_workflow(almanac, {"days": 7}, context=due("2026-03-09T07:00:00-07:00"))

    assert [one["day"][-2:] for one in result.context["days"]] == [f"{n:02}" for n in range(2, 9)]
    assert sum(one["hours"] for one in result.context["days"]) == 7 * 24 - 1


def test_without_a_firing_it_is_yesterday() -> None:
    result = run_workflow(almanac, {})

    assert len(result.context["report"]) == 1


def test_the_data_have_each_day_of_the_year() -> None:
    measured = read_measurements()

    assert len(same_day(measured, date(2026, 2, 28))) == 4
    assert len(same_day(measured, date(2028, 2, 29))) == 1
    assert hours_in(date(2026, 1, 1), ZoneInfo(SEATTLE)) == 24
