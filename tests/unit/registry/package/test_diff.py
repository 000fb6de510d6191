"""What changed between two releases, as their manifests and locks tell it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.wheels import make_manifest, task_definition, workflow_definition

from cloacina_core.model import rules
from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.polling.definition import TriggerDefinition
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_registry.manifest import Manifest
from cloacina_registry.package.diff import (
    diff_files,
    diff_locks,
    diff_manifests,
    diff_workflows,
)
from cloacina_registry.wheel.lock import Lock, LockedPackage


def workflow(*tasks: TaskDefinition, **changes: Any) -> WorkflowDefinition:
    return replace(workflow_definition("nightly", tasks), **changes)


def with_params(properties: dict[str, Any] | None, *required: str) -> WorkflowDefinition:
    schema = (
        None
        if properties is None
        else {"type": "object", "properties": properties, "required": list(required)}
    )
    return workflow(task_definition("load"), params_schema=schema)


LOAD = task_definition("load")


def test_schedules_that_came_went_or_changed_are_told():
    def declared(name: str, cron: str) -> DeclaredSchedule:
        return DeclaredSchedule.checked(name, "nightly", cron=cron)

    old = make_manifest(schedules=(declared("early", "@daily"), declared("gone", "@daily")))
    new = make_manifest(schedules=(declared("early", "@hourly"), declared("new", "@daily")))

    changes = {change.what: change for change in diff_manifests(old, new).schedules}

    assert changes["early"].to_json() == {
        "what": "early",
        "old": {"cron": "@daily"},
        "new": {"cron": "@hourly"},
    }
    assert changes["gone"].new is None
    assert changes["new"].old is None


def test_subscriptions_and_triggers_that_came_went_or_changed_are_told():
    def subscribed(name: str, event: str) -> DeclaredSubscription:
        return DeclaredSubscription.checked(name, "nightly", event=event)

    def polled(manifest: Manifest, *names: str) -> Manifest:
        second = timedelta(seconds=1)
        triggers = [TriggerDefinition(name=name, every=second, timeout=second) for name in names]
        (workflow,) = manifest.workflows
        return replace(manifest, workflows=(replace(workflow, triggers=tuple(triggers)),))

    old = make_manifest(subscriptions=(subscribed("paid", "paid"), subscribed("gone", "paid")))
    new = make_manifest(subscriptions=(subscribed("paid", "orders.paid"),))

    diff = diff_manifests(polled(old, "watch"), polled(new, "watch", "look"))

    changed, gone = diff.subscriptions
    assert changed.to_json() == {
        "what": "paid",
        "old": {"event": "paid"},
        "new": {"event": "orders.paid"},
    }
    assert (gone.what, gone.new) == ("gone", None)
    (came,) = diff.triggers
    assert (came.what, came.old, came.new["workflow"]) == ("look", None, "nightly")


def test_equal_manifests_do_not_differ():
    diff = diff_manifests(make_manifest(), make_manifest())

    assert diff.to_json() == {
        "changes": [],
        "schedules": [],
        "subscriptions": [],
        "triggers": [],
        "workflows": {"added": [], "removed": [], "changed": []},
    }


def test_another_version_is_told():
    diff = diff_manifests(make_manifest(version="1.0"), make_manifest(version="1.1"))

    assert [change.to_json() for change in diff.changes] == [
        {"what": "version", "old": "1.0", "new": "1.1"}
    ]


def test_another_demand_on_the_host_is_told():
    diff = diff_manifests(make_manifest(), make_manifest(requires_core=">=2", isolation="worker"))

    assert [change.what for change in diff.changes] == ["requires_core", "isolation"]


def test_workflows_that_came_and_went_are_told():
    old = {"kept": "acme_etl.flows:kept", "gone": "acme_etl.flows:gone"}
    new = {"kept": "acme_etl.flows:kept", "come": "acme_etl.flows:come"}

    diff = diff_manifests(make_manifest(workflows=old), make_manifest(workflows=new))

    assert diff.workflows.added == ("come",)
    assert diff.workflows.removed == ("gone",)
    assert diff.changed_workflows == ()


def test_tasks_that_came_and_went_are_told():
    old = workflow(LOAD, task_definition("gone"))
    new = workflow(LOAD, task_definition("come"))

    diff = diff_workflows(old, new)

    assert (diff.tasks.added, diff.tasks.removed) == (("come",), ("gone",))


def test_a_task_with_other_code_is_told():
    diff = diff_workflows(workflow(LOAD), workflow(replace(LOAD, fingerprint="1e")))

    assert diff.changed_tasks == {"load": ("code",)}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"retry": RetryPolicy(max_attempts=3)}, "retry"),
        ({"timeout": timedelta(minutes=1)}, "timeout"),
        ({"after": ("first",)}, "after"),
        ({"rule": rules.all_done}, "when"),
        ({"merge": {"*": "concat"}}, "merge"),
        ({"resources": ("gpu",)}, "resources"),
        ({"mapped": Mapped("files")}, "map"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_changed_in_the_declaration_of_a_task_is_told(changes: dict[str, Any], what: str):
    first = task_definition("first")

    diff = diff_workflows(
        workflow(first, LOAD), workflow(first, replace(LOAD, fingerprint="1e", **changes))
    )

    assert diff.changed_tasks == {"load": (what,)}


def test_a_task_that_is_only_described_otherwise_has_no_other_code():
    diff = diff_workflows(workflow(LOAD), workflow(replace(LOAD, description="Load")))

    assert diff.changed_tasks == {"load": ("description",)}


def test_params_that_came_went_and_changed_are_told():
    old = with_params({"day": {"type": "string", "format": "date"}, "gone": {"type": "integer"}})
    new = with_params(
        {"day": {"type": "string", "format": "date"}, "come": {"type": "number", "default": 1.5}},
        "day",
    )

    changes = [change.to_json() for change in diff_workflows(old, new).params]

    assert changes == [
        {"what": "day", "old": "date", "new": "date, required"},
        {"what": "gone", "old": "integer", "new": None},
        {"what": "come", "old": None, "new": "number, default 1.5"},
    ]


def test_params_that_begin_to_be_described_are_told():
    changes = diff_workflows(with_params(None), with_params({})).params

    assert [change.to_json() for change in changes] == [{"what": "*", "old": "any", "new": None}]


def test_another_time_limit_of_a_workflow_is_told():
    diff = diff_workflows(workflow(LOAD), workflow(LOAD, timeout=timedelta(hours=1)))

    assert [change.to_json() for change in diff.changes] == [
        {"what": "timeout", "old": None, "new": 3600.0}
    ]


def locked(**versions: str) -> Lock:
    return Lock(
        requires_python=None,
        packages=tuple(
            LockedPackage(name=name, version=version, marker=None, requires_python=None, wheels=())
            for name, version in versions.items()
        ),
    )


def test_dependencies_that_came_went_and_changed_are_told():
    changes = diff_locks(
        locked(kept="1", gone="1", moved="1"), locked(kept="1", moved="2", come="3")
    )

    assert [(change.what, change.old, change.new) for change in changes] == [
        ("come", None, "3"),
        ("gone", "1", None),
        ("moved", "1", "2"),
    ]


def test_without_locks_no_dependency_changed():
    assert diff_locks(None, None) == ()


def test_files_that_came_went_and_changed_are_told_but_not_their_metadata():
    old = {"a.py": b"1", "b.py": b"1", "c.py": b"1", "acme_etl-1.0.dist-info/RECORD": b"1"}
    new = {"a.py": b"1", "b.py": b"2", "d.py": b"1", "acme_etl-1.1.dist-info/RECORD": b"2"}

    assert diff_files(old, new) == {"added": ["d.py"], "removed": ["c.py"], "changed": ["b.py"]}
