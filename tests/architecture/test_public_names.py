"""The doors: what others may import. Taking a name away breaks somebody; this page is the list."""

import importlib
import inspect
import pkgutil

import pytest

import cloacina_core
import cloacina_registry
from cloacina_core.model import rules
from cloacina_core.model.rules import Rule, ValueProbe

DOORS = {
    "cloacina_core": {
        "AsyncRuntime",
        "ChildResult",
        "ChildRunError",
        "Context",
        "DatabaseAdmin",
        "Quotas",
        "Fire",
        "Poll",
        "RetryPolicy",
        "RunHandle",
        "RunResult",
        "Runtime",
        "Skip",
        "Task",
        "TransientError",
        "Trigger",
        "WaitTimeoutError",
        "Workflow",
        "fire",
        "rules",
        "skip",
        "task",
    },
    "cloacina_core.cli": {"main"},
    "cloacina_core.plugin": {
        "Act",
        "AttemptCall",
        "BlobStore",
        "BlobStoreKind",
        "CommandSpec",
        "DescribedRun",
        "Digest",
        "EngineService",
        "EventType",
        "FailedStart",
        "Finding",
        "HomeReport",
        "LoadedWorkflow",
        "Role",
        "Rule",
        "RunEvent",
        "RunHistory",
        "RunId",
        "RunStatus",
        "RunSummary",
        "RuntimeView",
        "SecretKeyKind",
        "SecretKeys",
        "SecretProvider",
        "SecretProviderKind",
        "SecretValue",
        "SignalWait",
        "Starter",
        "StoredBlob",
        "WorkflowSource",
        "changes",
        "digest_of",
        "hookimpl",
        "parse_digest",
        "reads",
    },
    "cloacina_core.runtime": {
        "AsyncRuntime",
        "DatabaseAdmin",
        "Quotas",
        "RunHandle",
        "RunResult",
        "Runtime",
        "open_view",
    },
    "cloacina_core.testing": {
        "BlobStoreContract",
        "CrashPoint",
        "ExecutorContract",
        "FrozenClock",
        "HarnessResult",
        "InlineExecutorContract",
        "IsolatingExecutorContract",
        "RunStalledError",
        "Sent",
        "Signal",
        "WorkflowHarness",
        "run_workflow",
    },
}
RULES = {
    "all_done",
    "all_succeeded",
    "any_succeeded",
    "failed",
    "none_failed",
    "skipped",
    "succeeded",
    "value",
}


def every_package() -> list[str]:
    names = ["cloacina_core", "cloacina_registry"]
    for package in (cloacina_core, cloacina_registry):
        walk = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names += [module.name for module in walk if module.ispkg]
    return names


@pytest.mark.parametrize("door", DOORS)
def test_a_door_offers_these_names(door: str) -> None:
    module = importlib.import_module(door)

    assert set(module.__all__) == DOORS[door]
    assert list(module.__all__) == sorted(module.__all__, key=lambda name: (name.islower(), name))
    for name in module.__all__:
        assert inspect.getdoc(getattr(module, name))


def test_no_other_package_is_a_door() -> None:
    doors = {name for name in every_package() if hasattr(importlib.import_module(name), "__all__")}

    assert doors == set(DOORS)


def makes_rules(thing: object) -> bool:
    made = getattr(thing, "__annotations__", {}).get("return")
    return isinstance(thing, Rule) or made in (Rule, ValueProbe)


def test_authors_combine_these_rules() -> None:
    public = {name for name in vars(rules) if not name.startswith("_")}

    offered = {name for name in public if makes_rules(getattr(rules, name))}

    assert offered - {"rule_from_json"} == RULES


def test_a_name_that_isnt_offered_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'cloacina_core' has no attribute 'Runner'"):
        _ = cloacina_core.Runner
