"""Where the observations come from."""

import hashlib
from importlib import resources
from pathlib import Path

import pytest

from weather_report import source
from weather_report.source import SourceError


def test_without_a_path_the_shipped_file_is_read() -> None:
    described, text = source.read(None)

    assert described.name == "Seattle, daily observations 2012-2015 (NOAA)"
    assert described.licence == "public domain (NOAA)"
    assert described.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_notes_on_the_shipped_file_name_its_digest() -> None:
    described, _ = source.read(None)
    notes = resources.files("weather_report").joinpath("data/SOURCE.md").read_text("utf-8")

    assert described.sha256 in notes


def test_a_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(b"\xef\xbb\xbfdate,wind\n")

    described, text = source.read(str(path))

    assert text == "date,wind\n"
    assert described.name == str(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no file .*nowhere\.csv"):
        source.read(str(tmp_path / "nowhere.csv"))


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a folder"):
        source.read(str(tmp_path))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"date \xe9")

    with pytest.raises(SourceError, match="not text in UTF-8: byte 5"):
        source.read(str(path))


def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 10)
    path = tmp_path / "huge.csv"
    path.write_bytes(b"x" * 11)

    with pytest.raises(SourceError, match="larger than 10 bytes"):
        source.read(str(path))
