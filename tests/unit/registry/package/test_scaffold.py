"""First projects: what is made, and that it is a real project."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import cloacina_core
from cloacina_core.errors import ConflictError, InputError
from cloacina_registry.package.building import build_package
from cloacina_registry.package.progress import Silence
from cloacina_registry.package.scaffold import make_project


def test_a_project_is_made_in_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    made = make_project("Acme_ETL")

    assert (made.package, made.module) == ("acme-etl", "acme_etl")
    assert sorted(path.name for path in (tmp_path / "acme-etl").iterdir()) == [
        ".github",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src",
        "tests",
    ]


def test_an_empty_folder_is_taken(tmp_path: Path):
    make_project("acme-etl", tmp_path)

    assert (tmp_path / "src" / "acme_etl" / "flows.py").is_file()


def test_every_file_that_is_told_is_there_and_no_other(tmp_path: Path):
    made = make_project("acme-etl", tmp_path)

    found = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert found == set(made.files)


def test_no_placeholder_is_left(tmp_path: Path):
    made = make_project("acme-etl", tmp_path)

    for file in made.files:
        text = (tmp_path / file).read_text()
        assert "$package" not in text
        assert "$module" not in text


def test_the_project_file_is_what_others_write(tmp_path: Path):
    make_project("acme-etl", tmp_path)

    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    assert project["project"]["name"] == canonicalize_name("acme-etl")
    assert project["project"]["entry-points"]["cloacina.workflows"] == {
        "nightly": "acme_etl.flows:nightly"
    }


def test_the_project_builds_untouched(tmp_path: Path):
    make_project("acme-etl", tmp_path)

    package = build_package(tmp_path, key=None, progress=Silence(), isolated=False)

    tasks = package.wheel.manifest.by_name["nightly"].definition.tasks
    assert [task.name for task in tasks] == ["extract", "summarise", "report"]
    assert "acme_etl/sales.csv" in package.wheel.files


def test_the_tests_of_the_project_pass_untouched(tmp_path: Path):
    make_project("acme-etl", tmp_path)
    core = Path(cloacina_core.__file__).parents[1]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(core)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("name", ["", "-acme", "acme-", "acme etl", "../acme", "akme\u0301", "a/b"])
def test_what_is_no_name_of_a_package_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="can't be the name of a package"):
        make_project(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2fast", "isn't a name in Python"),
        ("class", "a word of Python itself"),
        ("match", "a word of Python itself"),
        ("json", "a module of the standard library"),
        ("cloacina-core", "stands for something else"),
        ("tests", "stands for something else"),
    ],
)
def test_a_name_that_cannot_be_imported_is_refused(tmp_path: Path, name: str, reason: str):
    with pytest.raises(InputError, match=reason) as caught:
        make_project(name, tmp_path)

    assert caught.value.hint is not None
    assert "acme-" in caught.value.hint


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("Dear reader")

    with pytest.raises(ConflictError, match="isn't empty"):
        make_project("acme-etl", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_file_is_not_taken_for_a_folder(tmp_path: Path):
    (tmp_path / "acme").write_text("")

    with pytest.raises(ConflictError, match="isn't a folder"):
        make_project("acme-etl", tmp_path / "acme")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="can't be written"):
        make_project("acme-etl", tmp_path / "file" / "acme")
