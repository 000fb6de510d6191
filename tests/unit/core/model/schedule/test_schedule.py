"""Schedules as data: what can be said of one, and how it is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloacina_core.errors import InputError
from cloacina_core.model.schedule.cron import CronExpressionError
from cloacina_core.model.schedule.fields import changes_as_json
from cloacina_core.model.schedule.schedule import CatchUp, Overlap, Schedule
from cloacina_core.model.schedule.zone import UnknownTimeZoneError

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def schedule(**options: Any) -> Schedule:
    return Schedule.checked("nightly", "acme-etl/nightly", **{"cron": "@daily", **options})


def test_it_is_kept_as_json() -> None:
    full = schedule(
        timezone="Europe/Berlin",
        gap="shift",
        fold="both",
        params={"day": "monday"},
        catch_up="all",
        catch_up_limit=7,
        catch_up_window=timedelta(hours=2),
        overlap=Overlap.QUEUE,
        jitter=timedelta(minutes=5),
        starts_at=NEW_YEAR,
        ends_at=NEW_YEAR + timedelta(days=365),
        max_runs=10,
        priority=-3,
    )

    assert Schedule.from_json(full.to_json()) == full
    assert Schedule.from_json(schedule().to_json()) == schedule()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"catch_up": "some"}, "catch_up can't be 'some'"),
        ({"overlap": "never"}, "overlap can't be 'never'"),
        ({"gap": "jump"}, "gap can't be 'jump'"),
        ({"fold": "third"}, "fold can't be 'third'"),
        ({"catch_up_limit": 0}, "catch_up_limit"),
        ({"catch_up_limit": True}, "catch_up_limit"),
        ({"catch_up_window": timedelta(days=32)}, "catch_up_window"),
        ({"jitter": timedelta(seconds=-1)}, "jitter"),
        ({"max_runs": 0}, "max_runs"),
        ({"priority": 2**31}, "priority"),
        ({"params": {"day": float("nan")}}, "params"),
        ({"starts_at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is the point
        ({"starts_at": NEW_YEAR, "ends_at": NEW_YEAR}, "ends before it starts"),
        ({"cron": None}, "cron is a cron expression, as text, not None"),
        ({"timezone": 3}, "timezone is"),
        ({"params": [1]}, "params is a mapping"),
        ({"jitter": 5}, "jitter is a timedelta, not 5"),
        ({"starts_at": "2026-01-01"}, "starts_at is a datetime"),
        ({"not_during": 5}, "not_during is a list of texts"),
        ({"jiter": timedelta(0)}, "a schedule has no field 'jiter'"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        schedule(**options)


def test_names_expressions_and_zones_are_checked() -> None:
    with pytest.raises(InputError, match="name"):
        Schedule.checked("../etc", "acme-etl", cron="@daily")
    with pytest.raises(CronExpressionError):
        schedule(cron="@never")
    with pytest.raises(UnknownTimeZoneError):
        schedule(timezone="Mars/Olympus")


def test_fields_are_changed_by_the_names_that_json_has() -> None:
    changed = schedule().changed(cron="@hourly", catch_up="skip", jitter=60)

    assert changed.catch_up is CatchUp.SKIP
    assert changed.jitter == timedelta(minutes=1)
    assert str(changed.timing.expression) == "@hourly"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"jitter": None}, "jitter is a length"),
        ({"jitter": "5"}, "jitter is a length"),
        ({"catch_up_window": 10**20}, "catch_up_window is too long"),
        ({"ends_at": 5}, "ends_at is a moment"),
        ({"ends_at": datetime(2026, 1, 1)}, "ends_at has no time zone"),  # noqa: DTZ001
        ({"name": "other"}, "keeps its name"),
        ({"colour": "red"}, "no field 'colour'"),
    ],
)
def test_changes_that_cannot_be_used_are_refused_by_their_names(
    changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        schedule().changed(**changes_as_json(changes))


def test_changes_are_what_a_schedule_is_made_of() -> None:
    fields: dict[str, Any] = {
        "jitter": timedelta(minutes=2),
        "ends_at": NEW_YEAR,
        "overlap": Overlap.SKIP,
        "not_during": ("0 22 * * SAT for 6h",),
        "params": {"day": "monday"},
    }

    assert schedule().changed(**changes_as_json(fields)) == schedule(**fields)


def test_the_delay_follows_from_the_name_and_is_below_the_jitter() -> None:
    delays = {
        Schedule.checked(f"job-{n}", "acme-etl", cron="@daily", jitter=timedelta(hours=1)).delay
        for n in range(100)
    }

    assert len(delays) == 100
    assert all(timedelta(0) <= delay < timedelta(hours=1) for delay in delays)
    assert schedule().delay == timedelta(0)


def test_it_is_due_between_its_start_and_its_end() -> None:
    bounded = schedule(starts_at=NEW_YEAR, ends_at=NEW_YEAR + timedelta(days=2))

    first = bounded.next_firing(NEW_YEAR - timedelta(days=30))
    assert first is not None
    assert first.utc == NEW_YEAR
    second = bounded.next_firing(first.utc)
    assert second is not None
    assert bounded.next_firing(second.utc) is None
