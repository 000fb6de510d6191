"""Schedules in `pyproject.toml`: what goes into the manifest, and what is told of mistakes."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.projects import write_project

from cloacina_registry.errors import PackageBuildError
from cloacina_registry.package.building import build_package, seal_file, write_package
from cloacina_registry.package.declaration import Declaration
from cloacina_registry.package.declared_schedules import SCHEDULES
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
NIGHTLY = """
[tool.cloacina.package.schedules.early]
workflow = "nightly"
cron = "0 6 * * MON-FRI"
timezone = "Europe/Berlin"
params = { day = "monday" }
catch_up_window = "2h"
starts_at = 2026-01-01T00:00:00
"""


def read(text: str) -> tuple[list[Any], list[str]]:
    schedules, problems = SCHEDULES.read(tomllib.loads(text), "pyproject.toml [schedules]")
    return schedules, [str(problem) for problem in problems]


def test_what_is_declared_is_read_with_its_defaults() -> None:
    (schedule,), problems = read(
        "[early]\n"
        'workflow = "nightly"\n'
        'cron = "0 6 * * MON-FRI"\n'
        'timezone = "Europe/Berlin"\n'
        'jitter = "5m"\n'
        "params = { day = 2026-01-31 }\n"
        "starts_at = 2026-01-01T00:00:00\n"
    )

    assert problems == []
    assert (schedule.name, schedule.workflow) == ("early", "nightly")
    assert schedule.rule["jitter"] == 300
    assert schedule.rule["params"] == {"day": "2026-01-31"}
    assert schedule.rule["starts_at"] == "2025-12-31T23:00:00.000000Z"
    assert schedule.rule["catch_up"] == "latest"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('early = "daily"', "[schedules.early]: a schedule must be a table"),
        ('["a b"]\nworkflow = "w"\ncron = "@daily"', "schedule name 'a b' must be"),
        ('[early]\ncron = "@daily"', "[schedules.early]: it lacks workflow"),
        ('[early]\nworkflow = "w"', "it lacks cron"),
        ('[early]\nworkflow = "w"\ncron = "@dayly"', "@dayly"),
        ('[early]\nworkflow = "w"\ncron = 7', "cron must be a text"),
        ('[early]\nworkflow = "w"\ncron = "0 0 30 2 *"', "never"),
        ('[early]\nworkflow = "a/b"\ncron = "@daily"', "workflow name 'a/b'"),
        ('[early]\nworkflow = "w"\ncron = "@daily"\ntimzone = "UTC"', "did you mean timezone?"),
        ('[early]\nworkflow = "w"\ncron = "@daily"\njitter = 5', "jitter must be a length"),
        ('[early]\nworkflow = "w"\ncron = "@daily"\nmax_runs = true', "max_runs must be a whole"),
        ('[early]\nworkflow = "w"\ncron = "@daily"\nparams = 1', "params must be a table"),
        ('[early]\nworkflow = "w"\ncron = "@daily"\nstarts_at = "now"', "must be a date with"),
        ('[early]\nworkflow = "w"\ncron = "@daily"\ntimezone = "Berlin"', "no time zone 'Berlin'"),
        (
            (
                '[a]\nworkflow = "w"\ncron = "@daily"\n'
                "starts_at = 2026-02-01T00:00:00\nends_at = 2026-01-01T00:00:00"
            ),
            "it ends before it starts",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(table: str, told: str) -> None:
    schedules, problems = read(table)

    assert schedules == []
    (problem,) = problems
    assert told in problem
    assert problem.startswith("pyproject.toml [schedules.")


def test_all_mistakes_are_told_at_once() -> None:
    _, problems = read(
        '[early]\ncron = "x"\ntimezone = "Mars"\noverlap = "never"\n[late]\nworkflow = 1\n'
    )

    assert len(problems) == 6


def declaring(folder: Path, text: str) -> Path:
    project = write_project(folder, flows=FLOWS)
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(text)
    return project


def test_a_build_puts_them_into_the_manifest_and_sealing_again_keeps_them(tmp_path: Path) -> None:
    project = declaring(tmp_path / "acme", NIGHTLY)

    built = build_package(project, key=None, progress=Silence(), isolated=False)
    path = write_package(built, tmp_path / "dist", Silence()).wheel
    again = seal_file(
        path, key=None, progress=Silence(), declaration=Declaration(isolation="worker")
    )

    (schedule,) = built.wheel.manifest.schedules
    assert str(schedule) == "early: nightly at 0 6 * * MON-FRI (Europe/Berlin)"
    assert again.wheel.manifest.schedules == (schedule,)


def test_what_could_not_start_a_workflow_is_refused_at_the_build(tmp_path: Path) -> None:
    text = (
        NIGHTLY.replace('day = "monday"', "day = 1")
        + '[tool.cloacina.package.schedules.late]\nworkflow = "nigthly"\ncron = "@daily"\n'
    )

    with pytest.raises(PackageBuildError) as caught:
        build_package(declaring(tmp_path, text), key=None, progress=Silence(), isolated=False)

    assert [str(problem) for problem in caught.value.problems] == [
        "late: the package has no workflow 'nigthly'; did you mean nightly?",
        "early: params.day: 1 is not of type 'string'",
    ]
