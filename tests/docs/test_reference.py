"""The reference says what the code says: commands, errors, settings, events, hooks, names."""

import importlib.util
import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import ModuleType

import pytest
from support.pages import DOCS

import cloacina_core
import cloacina_core.plugin
import cloacina_core.testing
from cloacina_core.cli.console import EXIT_INTERNAL, EXIT_INTERRUPTED
from cloacina_core.model import rules
from cloacina_core.model.event import EventType
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus

REFERENCE = DOCS / "reference"
MAKES = (rules.Rule, rules.ValueProbe)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The module that writes the generated parts of pages."""
    spec = importlib.util.spec_from_file_location(
        "generate_reference", DOCS / "generate_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its depth."""
    match = re.search(rf"^{heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, heading
    return match[1]


def listed(text: str) -> list[str]:
    """Return what stands in backticks in the first column of the tables of a text."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.md")), ids=lambda path: path.name)
def test_generated_parts_are_what_the_code_says(generator: ModuleType, path: Path) -> None:
    text = path.read_text("utf-8")

    assert generator.generated(text) == text, "run: python docs/generate_reference.py"


def test_every_generated_part_has_its_place(generator: ModuleType) -> None:
    parts = [
        name
        for path in REFERENCE.glob("*.md")
        for name in generator.part_names(path.read_text("utf-8"))
    ]

    assert sorted(parts) == sorted(generator.PARTS)


def test_every_exit_status_is_told(generator: ModuleType) -> None:
    statuses = {error.exit_status for error in generator.error_classes()}
    told = section(page("exit-codes-and-errors.md"), "## Exit statuses")

    for status in statuses | {0, EXIT_INTERNAL, EXIT_INTERRUPTED}:
        assert f"| {status} | " in told


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("## Events", EventType),
        ("## States of a run", RunStatus),
        ("## States of a task run", TaskStatus),
        ("## Outcomes of an attempt", AttemptOutcome),
    ],
)
def test_every_event_and_state_is_told_in_order(heading: str, names: type[StrEnum]) -> None:
    told = listed(section(page("events.md"), heading))

    assert told == [member.value for member in names]


def test_every_rule_is_told() -> None:
    told = section(page("rules-and-retries.md"), "## Rules")
    found = [name for name, thing in vars(rules).items() if is_for_authors(name, thing)]

    assert {"all_succeeded", "succeeded", "value"} <= set(found)
    assert [name for name in found if f"`rules.{name}" not in told] == []


def is_for_authors(name: str, thing: object) -> bool:
    """Whether authors write this name in `when`: a rule, or a function that makes one."""
    makes_one = inspect.isfunction(thing) and thing.__annotations__.get("return") in MAKES
    return (
        not name.startswith("_")
        and name != "rule_from_json"
        and (isinstance(thing, rules.Rule) or makes_one)
    )


def public_names() -> Iterator[tuple[str, str]]:
    for name in cloacina_core.__all__:
        if name != "rules":  # they have a page of their own
            yield "cloacina_core", name
    yield "cloacina_core.runtime", "cloacina_core.runtime.open_view"
    for name in cloacina_core.plugin.__all__:
        if name != "hookimpl":  # it is told with the hooks
            yield "cloacina_core.plugin", name
    for name in cloacina_core.testing.__all__:
        yield "cloacina_core.testing", name


@pytest.mark.parametrize(("module", "name"), list(public_names()))
def test_every_public_name_is_told(module: str, name: str) -> None:
    text = page("python-api.md")

    assert re.search(rf"^\.\. auto\w+:: {name}$", text, re.MULTILINE), f"{module}.{name}"
