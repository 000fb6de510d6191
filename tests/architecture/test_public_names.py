"""The doors: what others may import. Taking a name away breaks somebody; this page is the list."""

import ast
import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Iterator, Mapping

import pytest
from support.pages import ROOT

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


def shown_to_type_checkers(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                yield from ((alias.name, str(statement.module)) for alias in statement.names)


def offered_lazily(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_names":
            origins: Mapping[str, str] = ast.literal_eval(node.args[1])
            for module, names in origins.items():
                yield from ((name, module) for name in names.split())


def lazy_packages() -> dict[str, ast.Module]:
    trees = {
        ".".join(path.parent.relative_to(ROOT).parts): ast.parse(path.read_text("utf-8"))
        for package in ("cloacina_core", "cloacina_registry")
        for path in (ROOT / package).rglob("__init__.py")
    }
    return {name: tree for name, tree in trees.items() if any(offered_lazily(tree))}


def height(module: str) -> int:
    """Return on which floor of the core a module is, as the contract of import-linter has it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one["name"] == "The floors of the core")
    package = module.split(".")[1]
    (found,) = (n for n, names in enumerate(layers) if package in names.split())
    return len(layers) - found


def test_these_packages_import_what_they_offer_when_they_are_asked() -> None:
    assert set(lazy_packages()) == {
        "cloacina_core",
        "cloacina_core.plugin",
        "cloacina_core.runtime",
    }


@pytest.mark.parametrize("package", sorted(lazy_packages()))
def test_type_checkers_are_shown_what_is_imported_lazily(package: str) -> None:
    tree, module = lazy_packages()[package], importlib.import_module(package)

    shown, offered = list(shown_to_type_checkers(tree)), list(offered_lazily(tree))

    assert shown == offered
    assert sorted(name for name, _ in offered) == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", sorted(set(lazy_packages()) - {"cloacina_core"}))
def test_lazy_imports_go_down_only_too(package: str) -> None:
    origins = {module for _, module in offered_lazily(lazy_packages()[package])}

    assert [one for one in origins if height(one) > height(package)] == []


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
