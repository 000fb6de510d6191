"""What an author declares in `[tool.cloacina.package]`, and what is said of slips of the pen."""

from pathlib import Path

import pytest
from support.projects import write_project

from cloacina_core.model.starts import Starts
from cloacina_registry.errors import PackageBuildError, PlacementError
from cloacina_registry.package.building import build_package, seal_file, write_package
from cloacina_registry.package.declaration import Declaration, read_declaration
from cloacina_registry.package.progress import Silence


def project_with(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text, "utf-8")
    return folder


def declared(folder: Path, table: str) -> Path:
    return project_with(folder, f"[tool.cloacina.package]\n{table}")


def test_without_a_table_nothing_is_declared(tmp_path: Path) -> None:
    assert read_declaration(project_with(tmp_path, "[project]\n")) == Declaration(
        isolation="auto", capabilities=None, starts=Starts()
    )


def test_no_capabilities_is_another_thing_than_nothing_said(tmp_path: Path) -> None:
    assert read_declaration(declared(tmp_path, "capabilities = []")).capabilities == ()


def test_capabilities_are_sorted_so_that_equal_packages_have_equal_bytes(tmp_path: Path) -> None:
    found = read_declaration(declared(tmp_path, "capabilities = ['read-files', 'network']"))

    assert found.capabilities == ("network", "read-files")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("isolaton = 'worker'", "there is no key 'isolaton'; did you mean isolation?"),
        ("x = 1", "there is no key 'x'; there are capabilities, isolation, schedules"),
        ("isolation = 'thread'", "isolation is 'thread'; it must be one of auto, namespace, wor"),
        ("isolation = 1", "isolation is 1; it must be one of"),
        ("isolation = []", "isolation is []; it must be one of"),
        ("capabilities = 'network'", "capabilities must be a list of words"),
        ("capabilities = [1]", "capabilities must be a list of words"),
        ("capabilities = ['netwrok']", "no capability 'netwrok'; did you mean network?"),
        ("capabilities = ['gpu']", "they are network, processes, read-files, write-files"),
        ("capabilities = ['network', 'network']", "the capability 'network' stands twice"),
    ],
)
def test_what_is_not_known_is_told(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(PackageBuildError) as caught:
        read_declaration(declared(tmp_path, table))

    (problem,) = caught.value.problems
    assert said in problem.message
    assert problem.where == str(tmp_path / "pyproject.toml")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(PackageBuildError) as caught:
        read_declaration(declared(tmp_path, "x = 1\nisolation = 2\ncapabilities = 3"))

    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\ncloacina = 1", "[tool.cloacina]\npackage=1"])
def test_the_table_must_be_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(PackageBuildError) as caught:
        read_declaration(project_with(tmp_path, text))

    assert caught.value.problems[0].message == "[tool.cloacina.package] must be a table"


def test_a_file_that_is_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(PackageBuildError, match="can't be read"):
        read_declaration(project_with(tmp_path, "x ="))


def declaring_project(folder: Path, table: str) -> Path:
    project = write_project(folder)
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f"[tool.cloacina.package]\n{table}\n")
    return project


def test_a_build_puts_it_into_the_manifest_and_tells_where_the_package_runs(tmp_path: Path) -> None:
    project = declaring_project(tmp_path, 'isolation = "worker"\ncapabilities = ["network"]')

    built = build_package(project, key=None, progress=Silence(), isolated=False)

    assert built.wheel.manifest.isolation == "worker"
    assert built.wheel.manifest.capabilities == ("network",)
    assert built.placement.reason == (
        "the package wishes it; it declares capabilities, which only a worker enforces"
    )


def test_a_build_for_a_namespace_that_it_cannot_have_is_refused(tmp_path: Path) -> None:
    project = declaring_project(tmp_path, 'isolation = "namespace"\ncapabilities = []')

    with pytest.raises(PlacementError) as caught:
        build_package(project, key=None, progress=Silence(), isolated=False)

    assert "[tool.cloacina.package]" in str(caught.value.hint)


def test_a_package_that_is_sealed_again_declares_what_it_did(tmp_path: Path) -> None:
    project = declaring_project(tmp_path, "capabilities = []")
    built = build_package(project, key=None, progress=Silence(), isolated=False)
    path = write_package(built, tmp_path / "dist", Silence()).wheel

    again = seal_file(path, key=None, progress=Silence())
    otherwise = seal_file(
        path, key=None, progress=Silence(), declaration=Declaration(isolation="worker")
    )

    assert again.data == built.data
    assert otherwise.wheel.manifest.isolation == "worker"
    assert otherwise.wheel.manifest.capabilities is None
