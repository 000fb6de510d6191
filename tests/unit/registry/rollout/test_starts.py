"""What a release would mean for the schedules on its channel."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from support.following import following
from support.wheels import make_manifest

from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.following import Following
from cloacina_core.model.polling.definition import TriggerDefinition
from cloacina_core.model.polling.enabled import EnabledTrigger, TriggerState
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_core.model.sending.subscription import Subscription, SubscriptionState
from cloacina_core.model.starts import EnabledStarts
from cloacina_registry.manifest import Manifest
from cloacina_registry.rollout.starts import starts_problems

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
WATCH = TriggerDefinition(name="watch", every=timedelta(seconds=1), timeout=timedelta(seconds=1))
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
        last_failure=None,
        lag=None,
        created_at=NOW,
        updated_at=NOW,
    )


def declared(**overridden: Any) -> ScheduleState:
    following = Following(
        name="early",
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
    return [
        problem.message for problem in starts_problems(EnabledStarts(schedules=(state,)), manifest)
    ]


def early(**options: Any) -> tuple[DeclaredSchedule]:
    return (DeclaredSchedule.checked("early", "nightly", **{"cron": "@daily", **options}),)


def subscribed(reference: str, following: Following | None = None, **options: Any) -> EnabledStarts:
    subscription = Subscription.checked("sub", reference, event="paid", **options)
    state = SubscriptionState(
        subscription=subscription,
        is_paused=False,
        pause_reason=None,
        following=following,
        due=0,
        created_at=NOW,
        updated_at=NOW,
    )
    return EnabledStarts(subscriptions=(state,))


def polled(workflow: str = "nightly") -> EnabledStarts:
    trigger = EnabledTrigger(
        name="watch",
        following=following("acme-etl@stable", "watch"),
        reference=f"acme-etl/{workflow}@stable",
        definition=WATCH,
    )
    state = TriggerState(
        trigger=trigger,
        is_paused=False,
        failures=0,
        cursor=None,
        due=0,
        next_at=None,
        hangs_since=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return EnabledStarts(triggers=(state,))


def with_trigger(manifest: Manifest) -> Manifest:
    (workflow,) = manifest.workflows
    return replace(manifest, workflows=(replace(workflow, triggers=(WATCH,)),))


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


def test_subscriptions_that_could_start_nothing_are_told() -> None:
    gone = subscribed("acme-etl/weekly@stable")
    unfilled = subscribed("acme-etl@stable")
    filled = subscribed("acme-etl@stable", params={"day": "$.day"})

    assert [str(one) for one in starts_problems(gone, make_manifest())] == [
        "subscription sub: starts 'weekly', which this release doesn't have"
    ]
    assert [one.kind for one in starts_problems(unfilled, manifest_with(DAY))] == ["subscription"]
    assert list(starts_problems(filled, manifest_with(DAY))) == [], "the event brings the day"


def test_subscriptions_that_are_declared_no_more_are_told() -> None:
    following = declared().following
    enabled = subscribed("acme-etl/nightly@stable", following)
    early = (DeclaredSubscription.checked("early", "nightly", event="paid"),)

    assert [str(one) for one in starts_problems(enabled, make_manifest())] == [
        "subscription sub: would be paused: this release declares no subscription 'early'"
    ]
    assert list(starts_problems(enabled, make_manifest(subscriptions=early))) == []


def test_triggers_that_could_not_be_polled_are_told() -> None:
    manifest = with_trigger(make_manifest())

    assert list(starts_problems(polled(), manifest)) == []
    assert [str(one) for one in starts_problems(polled(), make_manifest())] == [
        "trigger watch: couldn't be polled: this release declares no trigger 'watch'"
    ]
    assert [str(one) for one in starts_problems(polled("weekly"), manifest)] == [
        "trigger watch: couldn't be polled: this release has it start 'nightly'"
    ]
