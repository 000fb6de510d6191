"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from weather_report import atomic_file


def test_a_file_is_written_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    atomic_file.write_text(tmp_path / "report.html", "°\n")

    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_bytes() == b"\xc2\xb0\n"


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    atomic_file.write_text(path, "new")

    assert path.read_text() == "new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    with pytest.raises(UnicodeEncodeError):
        atomic_file.write_text(path, "new \udc80")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
