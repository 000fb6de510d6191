"""Where wheels can be had: folders, and the index that a real pip is configured for."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dependencies import Distribution, LocalIndex, distribution, local_index, locked

from cloacina_core.errors import Problem
from cloacina_registry.dependencies.choice import Wanted
from cloacina_registry.dependencies.sources import StoredWheels, WheelFolders, WheelIndex
from cloacina_registry.dependencies.target import Target
from cloacina_registry.storage.blobs import FileBlobStore

HERE = Target.here()
ROWS = distribution("rows")
OTHER_ROWS = distribution("rows", files={"rows.py": b"VERSION = 'other'\n"})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalIndex]:
    with local_index(tmp_path / "index", monkeypatch) as there:
        yield there


def wanted(wheel: Distribution = ROWS) -> Wanted:
    package = locked(wheel)
    return Wanted(package, package.wheels[0])


def asked(target: Target = HERE, wheel: Distribution = ROWS) -> bytes | Problem:
    return WheelIndex().find(wanted(wheel), target)


def refused(target: Target = HERE) -> tuple[str, str]:
    problem = asked(target)
    assert isinstance(problem, Problem)
    assert problem.where == "rows 1.0"
    return problem.kind, problem.message


def test_the_index_gives_a_wheel(index: LocalIndex) -> None:
    index.add(ROWS)

    assert asked() == ROWS.data


def test_of_several_wheels_of_a_version_the_one_with_the_digest_is_fetched(
    index: LocalIndex,
) -> None:
    for tag in ("py3-none-any", "py311-none-any", "py2.py3-none-any"):
        index.add(distribution("rows", tag=tag))
    index.add(distribution("rows", "2.0"))

    assert asked() == ROWS.data


def test_another_python_gets_its_own(index: LocalIndex) -> None:
    other = distribution("rows", tag="cp399-none-any", requires_python=">=3.99")
    index.add(other)
    index.add(ROWS)

    assert asked(Target.of_python("3.99"), other) == other.data


def test_a_wheel_with_other_bytes_is_refused(index: LocalIndex) -> None:
    index.add(OTHER_ROWS)

    kind, message = refused()

    assert kind == "dependency-hash"
    assert ROWS.digest in message


def test_a_wheel_with_other_bytes_than_the_index_says_is_refused(index: LocalIndex) -> None:
    index.add(OTHER_ROWS, told=ROWS.data)

    assert refused()[0] == "dependency-hash"


def test_a_wheel_that_was_withdrawn_is_refused_with_the_reason(index: LocalIndex) -> None:
    index.add(ROWS, yanked="wrong totals")

    assert refused() == (
        "dependency-yanked",
        f"{ROWS.filename} was withdrawn by its maker: wrong totals",
    )


def test_a_distribution_that_the_index_does_not_have_is_missing(index: LocalIndex) -> None:
    index.add(distribution("rows", "2.0"))

    assert refused() == ("dependency-missing", f"the index doesn't have {ROWS.filename}")


def test_a_wheel_without_its_bytes_is_missing(index: LocalIndex) -> None:
    index.add(ROWS)
    (index.folder / "rows" / ROWS.filename).unlink()

    assert refused()[0] == "dependency-missing"


def test_an_index_that_cannot_be_reached_is_told(
    index: LocalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")

    kind, message = refused()

    assert kind == "dependency-missing"
    assert message.startswith("the index can't be reached: ")


def test_without_pip_a_folder_has_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert "pip isn't installed" in refused()[1]


def test_a_folder_gives_a_wheel_by_its_name(tmp_path: Path) -> None:
    ROWS.save_in(tmp_path / "second")

    folders = WheelFolders([tmp_path / "first", tmp_path / "second"])

    assert folders.find(wanted(), HERE) == ROWS.data
    assert folders.find(wanted(distribution("cells")), HERE) is None


def test_a_file_of_the_name_with_other_bytes_is_refused_unless_another_folder_has_the_right_one(
    tmp_path: Path,
) -> None:
    path = OTHER_ROWS.save_in(tmp_path / "wrong")
    ROWS.save_in(tmp_path / "right")

    found = WheelFolders([tmp_path / "wrong"]).find(wanted(), HERE)

    assert isinstance(found, Problem)
    assert (found.kind, found.where) == ("dependency-hash", "rows 1.0")
    assert f"{path} has {OTHER_ROWS.digest}" in found.message
    both = WheelFolders([tmp_path / "wrong", tmp_path / "right"])
    assert both.find(wanted(), HERE) == ROWS.data


def test_what_cannot_be_read_in_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / ROWS.filename).mkdir()

    found = WheelFolders([tmp_path]).find(wanted(), HERE)

    assert isinstance(found, Problem)
    assert found.kind == "dependency-missing"


def test_the_store_gives_what_it_has_unharmed(tmp_path: Path) -> None:
    blobs = FileBlobStore(tmp_path)
    source = StoredWheels(blobs)

    before = source.find(wanted(), HERE)
    blobs.put(ROWS.data)
    found = source.find(wanted(), HERE)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(b"changed")

    assert (before, found) == (None, ROWS.data)
    assert source.find(wanted(), HERE) is None
