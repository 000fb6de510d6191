import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wheels import make_manifest, task_definition, workflow_definition

from cloacina_core.foundation.digest import digest_of
from cloacina_core.model import rules
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_registry.errors import MAX_PROBLEMS, WheelRejectedError
from cloacina_registry.judging import is_quickly_judged
from cloacina_registry.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    ManifestWorkflow,
    is_canonical_version,
)

Change = Callable[[dict[str, Any]], object]


def full_manifest() -> Manifest:
    """Return a manifest that uses every field."""
    retry = RetryPolicy(max_attempts=3, retry_on=("transient", "KeyError"))
    rule = rules.all_done & (rules.value("rows") > 0) & ~rules.failed("read")
    tasks = [
        replace(task_definition("read"), retry=retry, timeout=timedelta(minutes=5)),
        replace(task_definition("clean", after=["read"]), mapped=Mapped("rows", 8, 3)),
        task_definition("report", after=["read", "clean"], rule=rule),
    ]
    definition = replace(
        workflow_definition("nightly", tasks),
        timeout=timedelta(hours=1.5),
        tags={"team": "sales"},
        params_schema={"type": "object", "properties": {"day": {"pattern": "^[0-9-]+$"}}},
    )
    return replace(
        make_manifest(),
        isolation="worker",
        capabilities=("network",),
        lock=digest_of(b"lock"),
        workflows=(ManifestWorkflow("acme_etl.flows:nightly", definition),),
        schedules=(
            DeclaredSchedule.checked(
                "early",
                "nightly",
                cron="0 6 * * MON-FRI",
                timezone="Europe/Berlin",
                gap="shift",
                fold="both",
                params={"day": "2026-01-31"},
                catch_up="all",
                overlap="queue",
                jitter=timedelta(minutes=5),
                starts_at=datetime(2026, 1, 1, tzinfo=UTC),
                max_runs=9,
            ),
        ),
        subscriptions=(
            DeclaredSubscription.checked(
                "receipts",
                "nightly",
                event="orders.paid",
                where={"cents": {">": 0}},
                params={"day": "$.day"},
                priority=3,
            ),
        ),
    )


def changed(change: Change) -> bytes:
    """Return the bytes of a full manifest, changed."""
    value = json.loads(full_manifest().to_bytes())
    change(value)
    return json.dumps(value).encode()


def first_workflow(value: dict[str, Any]) -> dict[str, Any]:
    definition: dict[str, Any] = value["workflows"][0]["definition"]
    return definition


def first_task(value: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = first_workflow(value)["tasks"][0]
    return task


def set_in(find: Callable[[dict[str, Any]], dict[str, Any]], key: str, new: object) -> Change:
    return lambda value: find(value).__setitem__(key, new)


def top(value: dict[str, Any]) -> dict[str, Any]:
    return value


def last_task(value: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = first_workflow(value)["tasks"][2]
    return task


def retry_of_first(value: dict[str, Any]) -> dict[str, Any]:
    retry: dict[str, Any] = first_task(value)["retry"]
    return retry


def map_of_second(value: dict[str, Any]) -> dict[str, Any]:
    mapped: dict[str, Any] = first_workflow(value)["tasks"][1]["map"]
    return mapped


def schedule_of(value: dict[str, Any]) -> dict[str, Any]:
    schedule: dict[str, Any] = value["schedules"][0]
    return schedule


def set_in_schedule(key: str, new: object) -> Change:
    return set_in(schedule_of, key, new)


def subscription_of(value: dict[str, Any]) -> dict[str, Any]:
    subscription: dict[str, Any] = value["subscriptions"][0]
    return subscription


def set_in_subscription(key: str, new: object) -> Change:
    return set_in(subscription_of, key, new)


def deep(levels: int) -> dict[str, Any]:
    """Return a condition that is so many levels deep."""
    return {"not": deep(levels - 1)} if levels else {"day": 1}


def test_what_is_written_is_read_again() -> None:
    manifest = full_manifest()

    assert Manifest.parse(manifest.to_bytes()) == manifest


def test_equal_manifests_give_equal_bytes() -> None:
    assert full_manifest().to_bytes() == full_manifest().to_bytes()


def test_the_bytes_are_sorted_readable_and_end_with_a_newline() -> None:
    text = full_manifest().to_bytes().decode()

    keys = list(json.loads(text))
    assert keys == sorted(keys)
    assert text.startswith('{\n "api": "1",\n')
    assert text.endswith("}\n")


def test_workflows_are_found_by_name() -> None:
    assert full_manifest().by_name["nightly"].entry_point == "acme_etl.flows:nightly"


FAULTS: dict[str, tuple[Change, str]] = {
    "unknown key": (set_in(top, "extra", 1), "$"),
    "missing key": (lambda value: value.pop("isolation"), "$"),
    "wrong type": (set_in(top, "version", 1.0), "$.version"),
    "newer api": (set_in(top, "api", "2"), "$.api"),
    "unknown isolation": (set_in(top, "isolation", "none"), "$.isolation"),
    "no workflows": (set_in(top, "workflows", []), "$.workflows"),
    "odd package name": (set_in(top, "package", "Acme_ETL"), "$.package"),
    "version with a space": (set_in(top, "version", "1.0 "), "$.version"),
    "version with v": (set_in(top, "version", "v1.0"), "$.version"),
    "bad specifier": (set_in(top, "requires_core", "about 1"), "$.requires_core"),
    "bad python specifier": (set_in(top, "requires_python", "3"), "$.requires_python"),
    "bad digest": (set_in(top, "lock", "md5:1"), "$.lock"),
    "unknown capability": (set_in(top, "capabilities", ["netwrok"]), "$.capabilities"),
    "capability twice": (set_in(top, "capabilities", ["network"] * 2), "$.capabilities"),
    "capability that is no text": (set_in(top, "capabilities", [1]), "$.capabilities[0]"),
    "bad entry point": (
        lambda value: value["workflows"][0].__setitem__("entry_point", "acme_etl/flows"),
        "$.workflows[0].entry_point",
    ),
    "two workflows of one name": (
        lambda value: value["workflows"].append(value["workflows"][0]),
        "$.workflows",
    ),
    "bad workflow name": (
        set_in(first_workflow, "name", "../x"),
        "$.workflows[0].definition.name",
    ),
    "no tasks": (set_in(first_workflow, "tasks", []), "$.workflows[0].definition.tasks"),
    "two tasks of one name": (
        set_in(last_task, "name", "clean"),
        "$.workflows[0].definition.tasks",
    ),
    "unknown task before": (
        set_in(first_task, "after", ["nobody"]),
        "$.workflows[0].definition.tasks[0].after",
    ),
    "task before named twice": (
        set_in(last_task, "after", ["read", "read"]),
        "$.workflows[0].definition.tasks[2].after",
    ),
    "cycle": (set_in(first_task, "after", ["report"]), "$.workflows[0].definition.tasks"),
    "task after itself": (set_in(first_task, "after", ["read"]), "$.workflows[0].definition.tasks"),
    "unknown rule": (
        set_in(first_task, "when", "always"),
        "$.workflows[0].definition.tasks[0].when",
    ),
    "rule with more in it": (
        set_in(last_task, "when", {"failed": "read", "or_else": 1}),
        "$.workflows[0].definition.tasks[2].when",
    ),
    "rule of a stranger": (
        set_in(first_task, "when", {"failed": "report"}),
        "$.workflows[0].definition.tasks[0].when",
    ),
    "no attempts": (
        set_in(retry_of_first, "max_attempts", 0),
        "$.workflows[0].definition.tasks[0].retry",
    ),
    "fractional attempts": (
        set_in(retry_of_first, "max_attempts", 1.5),
        "$.workflows[0].definition.tasks[0].retry.max_attempts",
    ),
    "endless delay": (
        set_in(retry_of_first, "first_delay", 1e300),
        "$.workflows[0].definition.tasks[0].retry.first_delay",
    ),
    "no time": (set_in(first_task, "timeout", 0), "$.workflows[0].definition.tasks[0].timeout"),
    "unknown merge": (
        set_in(first_task, "merge", {"*": "first"}),
        "$.workflows[0].definition.tasks[0].merge['*']",
    ),
    "map over something unknown": (
        set_in(first_task, "map", {"over": "files"}),
        "$.workflows[0].definition.tasks[0].map",
    ),
    "map without room": (
        set_in(map_of_second, "max_parallel", 0),
        "$.workflows[0].definition.tasks[1].map",
    ),
    "map with an odd word": (
        set_in(map_of_second, "failures", "go on"),
        "$.workflows[0].definition.tasks[1].map",
    ),
    "odd fingerprint": (
        set_in(first_task, "fingerprint", "xyz"),
        "$.workflows[0].definition.tasks[0].fingerprint",
    ),
    "params schema that is none": (
        set_in(first_workflow, "params_schema", {"type": "dict"}),
        "$.workflows[0].definition.params_schema.type",
    ),
    "params schema with a bad pattern": (
        set_in(first_workflow, "params_schema", {"properties": {"a": {"pattern": "("}}}),
        "$.workflows[0].definition.params_schema.properties.a.pattern",
    ),
    "params schema that overflows": (
        set_in(first_workflow, "params_schema", {"pattern": "a{99999999999999}"}),
        "$.workflows[0].definition.params_schema",
    ),
    "params schema that is too deep": (
        set_in(first_workflow, "params_schema", {"pattern": "(" * 5_000}),
        "$.workflows[0].definition.params_schema",
    ),
    "params schema from the network": (
        set_in(first_workflow, "params_schema", {"$ref": "https://example.invalid/schema"}),
        "$.workflows[0].definition.params_schema.$ref",
    ),
    "params schema with another base": (
        set_in(first_workflow, "params_schema", {"$id": "https://example.invalid/schema"}),
        "$.workflows[0].definition.params_schema.$id",
    ),
    "no schedules key": (lambda value: value.pop("schedules"), "$"),
    "too many schedules": (
        lambda value: value["schedules"].extend(value["schedules"] * 1000),
        "$.schedules",
    ),
    "schedule with more in it": (set_in_schedule("command", "rm"), "$.schedules[0]"),
    "schedule without a cron": (lambda value: schedule_of(value).pop("cron"), "$.schedules[0]"),
    "two schedules of one name": (
        lambda value: value["schedules"].append(value["schedules"][0]),
        "$.schedules",
    ),
    "odd schedule name": (set_in_schedule("name", "../x"), "$.schedules[0]"),
    "schedule of an unknown workflow": (set_in_schedule("workflow", "daily"), "$.schedules"),
    "schedule of another package": (set_in_schedule("workflow", "x/nightly"), "$.schedules[0]"),
    "impossible cron": (set_in_schedule("cron", "0 0 30 2 *"), "$.schedules[0]"),
    "odd cron": (set_in_schedule("cron", "* * *"), "$.schedules[0]"),
    "endless cron": (set_in_schedule("cron", "1," * 50_000 + "1 * * * *"), "$.schedules[0]"),
    "unknown time zone": (set_in_schedule("timezone", "Mars/Base"), "$.schedules[0]"),
    "time zone that is a path": (set_in_schedule("timezone", "/etc/passwd"), "$.schedules[0]"),
    "unknown gap": (set_in_schedule("gap", "jump"), "$.schedules[0]"),
    "unknown overlap": (set_in_schedule("overlap", "never"), "$.schedules[0]"),
    "no catch-up at all": (set_in_schedule("catch_up_limit", 0), "$.schedules[0]"),
    "endless window": (
        set_in_schedule("catch_up_window", 10**18),
        "$.schedules[0].catch_up_window",
    ),
    "too long a window": (set_in_schedule("catch_up_window", 10**8), "$.schedules[0]"),
    "fractional jitter": (set_in_schedule("jitter", 0.5), "$.schedules[0].jitter"),
    "moment that is none": (set_in_schedule("starts_at", "soon"), "$.schedules[0]"),
    "moment without a zone": (set_in_schedule("ends_at", "2030-01-01T00:00:00"), "$.schedules[0]"),
    "moment at the end of time": (
        set_in_schedule("ends_at", "9999-12-31T23:59:59-23:59"),
        "$.schedules[0]",
    ),
    "moment written otherwise": (
        set_in_schedule("starts_at", "2026-01-01T00:00:00+00:00"),
        "$.schedules[0]",
    ),
    "params that are no object": (set_in_schedule("params", [1]), "$.schedules[0].params"),
    "params that don't fit": (
        lambda value: (
            set_in(first_workflow, "params_schema", {"required": ["day"]})(value),
            set_in_schedule("params", {})(value),
        ),
        "$.schedules",
    ),
    "no subscriptions key": (lambda value: value.pop("subscriptions"), "$"),
    "too many subscriptions": (
        lambda value: value["subscriptions"].extend(value["subscriptions"] * 1000),
        "$.subscriptions",
    ),
    "subscription with more in it": (set_in_subscription("command", "rm"), "$.subscriptions[0]"),
    "two subscriptions of one name": (
        lambda value: value["subscriptions"].append(value["subscriptions"][0]),
        "$.subscriptions",
    ),
    "odd subscription name": (set_in_subscription("name", "../x"), "$.subscriptions[0]"),
    "subscription of an unknown workflow": (
        set_in_subscription("workflow", "daily"),
        "$.subscriptions",
    ),
    "subscription of another package": (
        set_in_subscription("workflow", "x/nightly"),
        "$.subscriptions[0]",
    ),
    "odd event": (set_in_subscription("event", "a b"), "$.subscriptions[0]"),
    "event that is no text": (set_in_subscription("event", 7), "$.subscriptions[0].event"),
    "unknown comparison": (set_in_subscription("where", {"a": {"~": 1}}), "$.subscriptions[0]"),
    "condition that is a text": (set_in_subscription("where", "a"), "$.subscriptions[0].where"),
    "condition that is too deep": (set_in_subscription("where", deep(11)), "$.subscriptions[0]"),
    "condition that is too long": (
        set_in_subscription("where", {"a": "x" * 10_000}),
        "$.subscriptions[0]",
    ),
    "odd place in an event": (set_in_subscription("params", {"a": "$..b"}), "$.subscriptions[0]"),
    "priority out of range": (set_in_subscription("priority", 2**40), "$.subscriptions[0]"),
    "subscription's params that don't fit": (
        lambda value: (
            set_in(first_workflow, "params_schema", {"required": ["day"]})(value),
            set_in_subscription("params", {})(value),
        ),
        "$.subscriptions",
    ),
}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"day": {"pattern": "^(a+)+$"}}},
        {"$ref": "#/$defs/x", "$defs": {"x": {"not": {}}}},
        {"properties": {"day": {"enum": list(range(2_000_000))}}},
    ],
    ids=["regular expression", "reference", "size"],
)
def test_params_that_could_take_for_ever_to_judge_are_left_to_who_trusts_them(
    schema: dict[str, Any],
) -> None:
    assert not is_quickly_judged({"day": "a" * 40 + "!"}, schema)


OTHER_KINDS = {
    "newer api": "incompatible",
    "version with a space": "version",
    "version with v": "version",
    "bad specifier": "specifier",
    "bad python specifier": "specifier",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_path(fault: str) -> None:
    change, path = FAULTS[fault]

    with pytest.raises(WheelRejectedError) as refusal:
        Manifest.parse(changed(change))

    kind = OTHER_KINDS.get(fault, "manifest")
    assert {problem.kind for problem in refusal.value.problems} == {kind}
    assert f"cloacina.json {path}" in [problem.where for problem in refusal.value.problems]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"{",
        b'{"api": "1", "api": "1"}',
        b'{"api": NaN}',
        b"\xff",
        '{"api": "1"}'.encode("utf-16"),
        b"[" * 200_000,
        b"9" * 5_000,
        b" " * (MAX_MANIFEST_BYTES + 1),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_bytes_that_hold_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        Manifest.parse(data)

    assert {problem.kind for problem in refusal.value.problems} == {"manifest"}


def test_all_faults_of_the_shape_are_told_at_once() -> None:
    def break_three(value: dict[str, Any]) -> None:
        value["extra"] = 1
        value["version"] = 1
        value["workflows"][0]["definition"]["name"] = 1

    with pytest.raises(WheelRejectedError) as refusal:
        Manifest.parse(changed(break_three))

    assert len(refusal.value.problems) == 3


def test_a_cycle_is_told_as_a_path() -> None:
    with pytest.raises(WheelRejectedError, match=r"read -> .*read") as refusal:
        Manifest.parse(changed(set_in(first_task, "after", ["report"])))

    assert len(refusal.value.problems) == 1


def test_a_huge_value_is_not_quoted_whole() -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        Manifest.parse(changed(set_in(top, "isolation", "x" * 100_000)))

    assert len(str(refusal.value)) < 1_000


def test_millions_of_faults_are_not_all_told() -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        Manifest.parse(changed(set_in(top, "workflows", [1] * 100_000)))

    assert len(refusal.value.problems) == MAX_PROBLEMS


@pytest.mark.parametrize("text", ["1.0", "1!2.0rc1.post3.dev4", "2026.11"])
def test_canonical_versions_are_known(text: str) -> None:
    assert is_canonical_version(text)


@pytest.mark.parametrize("text", ["1.0 ", "v1.0", "1.0-1", "1.0RC1", "", "one", "1.0\n"])
def test_other_spellings_are_not_canonical(text: str) -> None:
    assert not is_canonical_version(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
PLACES: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = [
    (find, key)
    for find in (top, first_workflow, first_task, last_task, retry_of_first, map_of_second)
    for key in find(json.loads(full_manifest().to_bytes()))
]


@settings(deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_any_value_in_any_place_is_accepted_or_refused_but_never_a_crash(
    place: tuple[Callable[[dict[str, Any]], dict[str, Any]], str], new: object
) -> None:
    data = changed(set_in(*place, new))

    try:
        manifest = Manifest.parse(data)
    except WheelRejectedError as refusal:
        kinds = {problem.kind for problem in refusal.problems}
    else:
        kinds = set() if Manifest.parse(manifest.to_bytes()) == manifest else {"unstable"}

    assert kinds <= {"manifest", "incompatible", "version", "specifier", "lock"}
