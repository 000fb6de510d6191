"""What a release would mean for the schedules on its channel."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from support.wheels import make_manifest

from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.schedule.following import Following
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_registry.manifest import Manifest
from cloacina_registry.rollout.schedules import schedule_problems

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
TWO = {"nightly": "acme_etl.flows:nightly", "weekly": "acme_etl.flows:weekly"}


def stored(reference: str, following: Following | None = None, **options: Any) -> ScheduleState:
    return ScheduleState(
        schedule=Schedule.checked("job", reference, cron="@daily", **options),
        is_paused=False,
        pause_reason=None,
        following=following,
        started=0,
        next_at=None,
        resting_until=None,
        due_since=None,
        lag=None,
        created_at=NOW,
        updated_at=NOW,
    )


def declared(**overridden: Any) -> ScheduleState:
    following = Following(
        schedule="early",
        reference="acme-etl@stable",
        version="1.0",
        digest=digest_of(b""),
        is_pinned=False,
        overridden=overridden,
    )
    return stored("acme-etl/nightly@stable", following)


def manifest_with(schema: dict[str, Any] | None = None, **changes: Any) -> Manifest:
    manifest = make_manifest()
    (workflow,) = manifest.workflows
    definition = replace(workflow.definition, params_schema=schema)
    return replace(manifest, workflows=(replace(workflow, definition=definition),), **changes)


def told(state: ScheduleState, manifest: Manifest) -> list[str]:
    return [problem.message for problem in schedule_problems([state], manifest)]


def early(**options: Any) -> tuple[DeclaredSchedule]:
    return (DeclaredSchedule.checked("early", "nightly", **{"cron": "@daily", **options}),)


def test_what_can_be_started_is_not_told() -> None:
    assert told(stored("acme-etl/nightly@stable"), make_manifest()) == []
    assert told(stored("acme-etl@stable"), make_manifest()) == []
    assert told(stored("acme-etl@stable", params={"day": "x"}), manifest_with(DAY)) == []
    assert told(declared(), make_manifest(schedules=early())) == []


def test_a_workflow_that_is_gone_is_told() -> None:
    assert told(stored("acme-etl/weekly@stable"), make_manifest()) == [
        "starts 'weekly', which this release doesn't have"
    ]
    assert told(stored("acme-etl@stable"), make_manifest(workflows=TWO)) == [
        "names no workflow, and this release has several"
    ]


def test_params_that_are_not_taken_any_more_are_told() -> None:
    assert told(stored("acme-etl@stable"), manifest_with(DAY)) == [
        "has params that this release doesn't take: params: the param 'day' is missing"
    ]


def test_declarations_that_would_pause_a_schedule_are_told() -> None:
    late = early(starts_at=datetime(2031, 1, 1, tzinfo=UTC))
    ended = declared(ends_at="2030-01-01T00:00:00+00:00")

    assert told(declared(), make_manifest()) == [
        "would be paused: this release declares no schedule 'early'"
    ]
    assert told(ended, make_manifest(schedules=late)) == [
        (
            "would be paused: what was changed of it doesn't go with this: "
            "it ends before it starts: nothing would ever be due"
        )
    ]
    assert told(declared(params={}), manifest_with(DAY, schedules=early(params={"day": "x"}))) == [
        (
            "would be paused: it has params that this release doesn't take: "
            "params: the param 'day' is missing"
        )
    ]
