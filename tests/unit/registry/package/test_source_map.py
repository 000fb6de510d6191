"""The author's files behind the members of a wheel."""

from pathlib import Path

import pytest

from cloacina_registry.package.source_map import SourceMap

MEMBER = "acme_etl/flows.py"


@pytest.mark.parametrize("layout", ["src", "lib", "."])
def test_a_member_is_found_in_the_usual_layouts(tmp_path: Path, layout: str):
    file = tmp_path / layout / MEMBER
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x = 1\n")

    path = SourceMap({MEMBER: b"x = 1\n"}, tmp_path).path_of(MEMBER)

    assert path == Path(layout, MEMBER).as_posix()


def test_a_file_with_other_bytes_is_not_the_one(tmp_path: Path):
    file = tmp_path / "src" / MEMBER
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\n\nx = 1\n")

    assert SourceMap({MEMBER: b"x = 1\n"}, tmp_path).path_of(MEMBER) == MEMBER


def test_without_a_project_the_member_stands_for_itself():
    assert SourceMap({MEMBER: b""}, None).path_of(MEMBER) == MEMBER


def test_what_is_no_member_stands_for_itself(tmp_path: Path):
    assert SourceMap({}, tmp_path).path_of("METADATA") == "METADATA"
