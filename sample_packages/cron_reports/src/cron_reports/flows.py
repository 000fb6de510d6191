"""The workflow `almanac`: the days that have just ended, as they were in past years."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from cloacina_core import Context, Workflow

from cron_reports.almanac import read_measurements, same_day, summary
from cron_reports.calendar import days_before, hours_in

SEATTLE = "America/Los_Angeles"


@dataclass(frozen=True, kw_only=True)
class Params:
    """What a run may be told."""

    days: int = 1
    """How many days to report on."""


almanac = Workflow("almanac", description="What the weather was on such days", params=Params)


@almanac.task
def choose_days(context: Context) -> dict[str, object]:
    """Find the days that had ended when the run was due, on the schedule's own clock.

    A run that no schedule started reports on the days before now.
    """
    firing = context.get("schedule", {"timezone": SEATTLE})
    zone = ZoneInfo(firing["timezone"])
    now = datetime.now(zone)  # noqa: TID251 - a task has the clock of where it runs
    moment = datetime.fromisoformat(firing["local"]) if "local" in firing else now
    days = days_before(moment, context.params.days)
    return {"days": [{"day": day.isoformat(), "hours": hours_in(day, zone)} for day in days]}


@almanac.task(after=[choose_days])
def look_up(context: Context) -> dict[str, object]:
    """Add what was measured on such days."""
    measured = read_measurements()
    return {
        "days": [
            {**one, **summary(same_day(measured, date.fromisoformat(one["day"])))}
            for one in context["days"]
        ]
    }


@almanac.task(after=[look_up])
def write(context: Context) -> dict[str, object]:
    """Write a line for each day."""
    return {
        "report": [
            f"{one['day']} ({one['hours']:g} h): {one['temp_min']} to {one['temp_max']} °C, "
            f"rain in {one['rainy']} of {one['years']} years"
            for one in context["days"]
        ]
    }
