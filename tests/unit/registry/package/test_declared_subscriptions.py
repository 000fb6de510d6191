"""Subscriptions in `pyproject.toml`: what goes into the manifest, and what is told of mistakes."""

import tomllib
from pathlib import Path

import pytest
from support.projects import write_project

from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_registry.errors import PackageBuildError
from cloacina_registry.manifest import Manifest
from cloacina_registry.package.building import build_package
from cloacina_registry.package.declared_subscriptions import SUBSCRIPTIONS
from cloacina_registry.package.progress import Silence

FLOWS = """
    from typing import TypedDict

    from cloacina_core import Context, Workflow


    class Params(TypedDict):
        day: str


    nightly = Workflow("nightly", params=Params)


    @nightly.task
    def extract(context: Context) -> None:
        context["rows"] = 3
"""


def read(text: str) -> tuple[list[DeclaredSubscription], list[str]]:
    found, problems = SUBSCRIPTIONS.read(tomllib.loads(text), "pyproject.toml [subscriptions]")
    return found, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("where", "understood"),
    [
        ("'cents>0'", {"cents": {">": 0}}),
        ("['cents>0', '!note']", {"all": [{"cents": {">": 0}}, {"note": {"present": False}}]}),
        ('{ cents = { ">" = 0 } }', {"cents": {">": 0}}),
        ("{ day = 2026-01-31 }", {"day": "2026-01-31"}),
    ],
)
def test_what_is_declared_is_read_as_it_is_subscribed(where: str, understood: object) -> None:
    (subscription,), problems = read(
        "[receipts]\n"
        'workflow = "receipt"\n'
        'event = "orders.paid"\n'
        'params = { day = "$.day", since = 2026-01-31 }\n'
        f"where = {where}\n"
    )

    assert problems == []
    assert subscription.to_json() == {
        "name": "receipts",
        "workflow": "receipt",
        "event": "orders.paid",
        "where": understood,
        "params": {"day": "$.day", "since": "2026-01-31"},
        "priority": 0,
    }


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('a = "paid"', "[subscriptions.a]: a subscription must be a table"),
        ('["a b"]\nworkflow = "w"\nevent = "e"', "subscription name 'a b' must be"),
        ('[a]\nevent = "e"', "[subscriptions.a]: it lacks workflow"),
        ('[a]\nworkflow = "w"', "it lacks event"),
        ('[a]\nworkflow = "w"\nevent = "a b"', "event name 'a b'"),
        ('[a]\nworkflow = "w"\nevent = 7', "event must be a text"),
        ('[a]\nworkflow = "w"\nevent = "e"\nwher = "a"', "did you mean where?"),
        ('[a]\nworkflow = "w"\nevent = "e"\nwhere = 7', "where must be a text such as"),
        ('[a]\nworkflow = "w"\nevent = "e"\nwhere = [7]', "where must be a text such as"),
        ('[a]\nworkflow = "w"\nevent = "e"\nwhere = { a = { "~" = 1 } }', "none of: = !="),
        ('[a]\nworkflow = "w"\nevent = "e"\npriority = "1"', "priority must be a whole"),
        ('[a]\nworkflow = "w"\nevent = "e"\nparams = { day = "$..a" }', "a part without a name"),
    ],
)
def test_a_mistake_is_told_with_its_place(table: str, told: str) -> None:
    found, problems = read(table)

    assert found == []
    (problem,) = problems
    assert told in problem
    assert problem.startswith("pyproject.toml [subscriptions.")


def project(folder: Path, declared: str) -> Path:
    made = write_project(folder, flows=FLOWS)
    with (made / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(declared)
    return made


def test_a_build_puts_them_into_the_manifest(tmp_path: Path) -> None:
    declared = (
        "[tool.cloacina.package.subscriptions.daily]\n"
        'workflow = "nightly"\nevent = "day.over"\nwhere = "day"\nparams = { day = "$.day" }\n'
    )

    built = build_package(project(tmp_path, declared), key=None, progress=Silence(), isolated=False)

    (subscription,) = Manifest.parse(built.wheel.manifest.to_bytes()).subscriptions
    assert str(subscription) == 'daily: nightly for day.over where {"day":{"present":true}}'


def test_what_could_not_start_a_workflow_is_refused_at_the_build(tmp_path: Path) -> None:
    table = "[tool.cloacina.package.subscriptions."
    declared = (
        f'{table}late]\nworkflow = "nigthly"\nevent = "e"\n'
        f'{table}never]\nworkflow = "nightly"\nevent = "e"\nparams = {{ day = 1 }}\n'
    )

    with pytest.raises(PackageBuildError) as caught:
        build_package(project(tmp_path, declared), key=None, progress=Silence(), isolated=False)

    assert [str(problem) for problem in caught.value.problems] == [
        "late: the package has no workflow 'nigthly'; did you mean nightly?",
        "never: params.day: 1 is not of type 'string'",
    ]
