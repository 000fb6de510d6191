"""`cloacina registry upload | fetch | show`, as they are typed for packages with dependencies."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.dependencies import LocalIndex, distribution, local_index, locked, package_with
from support.registry import OWNER
from support.signing import grant_key

from cloacina_registry.bundle import Bundle, read_bundle, write_bundle
from cloacina_registry.cli.registry import registry

ROWS, CELLS = distribution("rows"), distribution("cells", "2.1")
PACKAGE = package_with(locked(ROWS), locked(CELLS))
HERE = f"3.{sys.version_info.minor}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    grant_key(home, "owner", OWNER.public)
    return home


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalIndex]:
    with local_index(tmp_path / "index", monkeypatch) as there:
        yield there


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with both wheels."""
    folder = tmp_path / "wheels"
    for wheel in (ROWS, CELLS):
        wheel.save_in(folder)
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "dist").mkdir()
    return PACKAGE.save_in(tmp_path / "dist")


def call(home: Path, *arguments: object) -> Result:
    words = [*map(str, arguments), "--home", str(home)]
    return CliRunner().invoke(registry, words, catch_exceptions=False)


def answer(home: Path, *arguments: object) -> Any:
    result = call(home, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def names(dependencies: Any) -> list[str]:
    return [f"{one['name']} {one['version']}" for one in dependencies]


def test_dependencies_are_fetched_from_the_index_that_pip_knows(
    home: Path, package: Path, index: LocalIndex
) -> None:
    index.add(ROWS)
    index.add(CELLS)

    (upload,) = answer(home, "upload", package)

    assert names(upload["dependencies"]) == ["cells 2.1", "rows 1.0"]
    assert [one["pure"] for one in upload["dependencies"]] == [True, True]


def test_offline_they_are_taken_from_folders(home: Path, package: Path, wheels: Path) -> None:
    result = call(home, "upload", package, "--offline", "--find-links", wheels)

    assert result.stdout.startswith("acme-etl==1.0 published with 2 dependencies, signed by owner")


def test_what_a_folder_lacks_is_asked_of_the_index_unless_offline(
    home: Path, package: Path, wheels: Path, index: LocalIndex
) -> None:
    index.add(CELLS)
    (wheels / CELLS.filename).unlink()

    offline = call(home, "upload", package, "--find-links", wheels, "--offline", "--json")
    asked = call(home, "upload", package, "--find-links", wheels)

    error = json.loads(offline.stderr)["error"]
    assert (error["code"], offline.exit_code) == ("dependency-missing", 3)
    assert [problem["where"] for problem in error["problems"]] == ["cells 2.1"]
    assert asked.exit_code == 0


def test_a_wheel_that_was_withdrawn_is_refused(
    home: Path, package: Path, index: LocalIndex
) -> None:
    index.add(ROWS, yanked="wrong totals")
    index.add(CELLS)

    result = call(home, "upload", package)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "rows 1.0" in result.stderr
    assert "wrong totals" in result.stderr


def test_a_release_is_shown_with_what_was_fetched_for_it(
    home: Path, package: Path, wheels: Path
) -> None:
    call(home, "upload", package, "--offline", "--find-links", wheels)

    assert "fetched    cells 2.1, rows 1.0\n" in call(home, "show", "acme-etl").stdout
    assert names(answer(home, "show", "acme-etl")["dependencies"]) == ["cells 2.1", "rows 1.0"]


def test_more_is_fetched_later(home: Path, package: Path, wheels: Path) -> None:
    call(home, "upload", package, "--offline", "--find-links", wheels, "--python", HERE)

    fetched = call(home, "fetch", "acme-etl==1.0", "--offline", "--python", "3.12")

    assert fetched.exit_code == 0
    assert ROWS.filename in fetched.stdout
    assert names(answer(home, "fetch", "acme-etl==1.0", "--offline")) == ["cells 2.1", "rows 1.0"]


def test_a_release_that_depends_on_nothing_says_so(home: Path, tmp_path: Path) -> None:
    nothing = package_with(version="2.0")
    (tmp_path / "dist").mkdir()
    call(home, "upload", nothing.save_in(tmp_path / "dist"))

    result = call(home, "fetch", "acme-etl==2.0")

    assert (result.stdout, result.exit_code) == ("", 0)
    assert "depends on nothing" in result.stderr


def test_a_python_that_is_none_is_refused(home: Path, package: Path) -> None:
    assert call(home, "upload", package, "--python", "newest").exit_code == 2


def test_dependencies_travel_in_bundles(
    home: Path, package: Path, wheels: Path, tmp_path: Path
) -> None:
    call(home, "upload", package, "--offline", "--find-links", wheels)
    elsewhere, file = tmp_path / "elsewhere", tmp_path / "releases.bundle.zip"
    grant_key(elsewhere, "owner", OWNER.public)

    exported = answer(home, "export", "acme-etl==1.0", "--out", file)
    (imported,) = answer(elsewhere, "import", file)

    assert [one["name"] for one in exported["dependencies"]] == [CELLS.filename, ROWS.filename]
    assert exported["missing"] == []
    assert names(imported["dependencies"]) == ["cells 2.1", "rows 1.0"]


def test_what_a_bundle_lacks_is_taken_from_folders(
    home: Path, package: Path, wheels: Path, tmp_path: Path
) -> None:
    call(home, "upload", package, "--offline", "--find-links", wheels)
    file = tmp_path / "releases.bundle.zip"
    call(home, "export", "acme-etl==1.0", "--out", file)
    stored = read_bundle(file.read_bytes(), file.name)
    file.write_bytes(write_bundle(Bundle(stored.releases)))
    elsewhere = tmp_path / "elsewhere"
    grant_key(elsewhere, "owner", OWNER.public)

    without = call(elsewhere, "import", file)
    with_folder = call(elsewhere, "import", file, "--find-links", wheels)

    assert (without.exit_code, with_folder.exit_code) == (3, 0)
