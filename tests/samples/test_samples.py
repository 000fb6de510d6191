"""The sample packages are ordinary projects: each builds, and passes its own tests."""

import configparser
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pyproject_hooks
import pytest

import cloacina_core

SAMPLES = Path(__file__).parents[2] / "sample_packages"
PROJECTS = sorted(path.parent for path in SAMPLES.rglob("pyproject.toml"))
CORE = Path(cloacina_core.__file__).parents[1]

each_project = pytest.mark.parametrize(
    "project", PROJECTS, ids=lambda project: project.relative_to(SAMPLES).as_posix()
)


def build_wheel(project: Path, folder: Path) -> Path:
    """Build a wheel without isolation, so without network, and return its path."""
    pyproject = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    backend = pyproject["build-system"]["build-backend"]
    caller = pyproject_hooks.BuildBackendHookCaller(
        str(project), backend, runner=pyproject_hooks.quiet_subprocess_runner
    )
    return folder / caller.build_wheel(str(folder))


def read_from(wheel: Path, ending: str) -> str:
    """Return the text of the one file in a wheel whose name ends so."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(ending)]
        return archive.read(name).decode()


def test_all_samples_are_found() -> None:
    names = {project.relative_to(SAMPLES).as_posix() for project in PROJECTS}

    assert names == {
        "cron_reports",
        "customer_list",
        "drop_folder",
        "hello_workflow",
        "native_stack/v1",
        "native_stack/v2",
        "team_ledger",
        "two_versions/v1",
        "two_versions/v2",
        "weather_report",
    }


@each_project
def test_a_sample_builds_into_a_wheel_that_offers_its_workflow(
    project: Path, tmp_path: Path
) -> None:
    wheel = build_wheel(project, tmp_path)

    entry_points = configparser.ConfigParser(delimiters="=")
    entry_points.read_string(read_from(wheel, ".dist-info/entry_points.txt"))
    pyproject = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    declared = pyproject["project"]["entry-points"]["cloacina.workflows"]
    assert dict(entry_points["cloacina.workflows"]) == declared
    needs_native = project.parent.name == "native_stack"
    assert ("Requires-Dist: numpy==" in read_from(wheel, ".dist-info/METADATA")) is needs_native


def test_the_weather_report_carries_its_data_and_its_page(tmp_path: Path) -> None:
    wheel = build_wheel(SAMPLES / "weather_report", tmp_path)

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {
        "weather_report/data/seattle-weather.csv",
        "weather_report/data/SOURCE.md",
        "weather_report/report.html",
    } <= names


def test_the_two_versions_are_one_package(tmp_path: Path) -> None:
    wheels = [build_wheel(SAMPLES / "two_versions" / name, tmp_path) for name in ("v1", "v2")]

    assert [wheel.name for wheel in wheels] == [
        "price_list-1.0-py3-none-any.whl",
        "price_list-2.0-py3-none-any.whl",
    ]


@pytest.mark.slow
@each_project
def test_a_sample_passes_its_own_tests(project: Path, tmp_path: Path) -> None:
    verdict = tmp_path / "verdict.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(project / "src"), str(CORE)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [*command, f"--junit-xml={verdict}", f"--basetemp={tmp_path / 'own'}", "tests"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (suite,) = ET.parse(verdict).getroot().iter("testsuite")
    assert int(suite.get("tests", 0)) > 0
    assert int(suite.get("skipped", 0)) == 0
