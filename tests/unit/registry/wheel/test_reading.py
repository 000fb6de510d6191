import io
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wheels import (
    RawEntry,
    build_wheel,
    dist_info_of,
    raw_entries,
    wheel_filename,
    wheel_files,
    write_zip,
)

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.archive import ArchiveLimits
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.reading import read_leniently
from cloacina_registry.wheel.writer import with_record, write_wheel

FILES = with_record(wheel_files(), dist_info_of())
GOOD = build_wheel()


class Pipe(io.RawIOBase):
    """A stream that can't seek, so that zipfile writes data descriptors."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._target.write(bytes(data))  # type: ignore[call-overload]


def streamed(files: Mapping[str, bytes]) -> bytes:
    """Return a zip file as a tool writes it that streams: sizes stand behind the data."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(Pipe(buffer), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("acme_etl")
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def test_a_streamed_wheel_is_refused_as_it_is_and_accepted_when_written_anew() -> None:
    data = streamed(FILES)
    with pytest.raises(WheelRejectedError, match="data descriptor"):
        open_wheel(data, wheel_filename())

    files = read_leniently(data, wheel_filename())

    assert files == FILES
    assert open_wheel(write_wheel(files), wheel_filename()).files == FILES


def test_a_wrong_checksum_is_refused() -> None:
    entries = [replace(entry, checksum=1) for entry in raw_entries(FILES)]

    with pytest.raises(WheelRejectedError, match="CRC"):
        read_leniently(write_zip(entries), "x.whl")


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ([RawEntry(name=b"a"), RawEntry(name=b"a")], "duplicate"),
        ([RawEntry(name=b"a", size=2**31)], "too-large"),
        ([RawEntry(name=b"a", flags=1)], "zip-framing"),
        ([RawEntry(name=b"a", method=99)], "zip-framing"),
        ([RawEntry(name=b"")], "zip-framing"),
        ([RawEntry(name=b"%d" % n) for n in range(5001)], "too-many-entries"),
    ],
    ids=["duplicate", "too large", "encrypted", "unknown method", "no name", "too many"],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_cannot_be_read_safely_is_refused(entries: list[RawEntry], kind: str) -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        read_leniently(write_zip(entries), "x.whl")

    assert [problem.kind for problem in refusal.value.problems] == [kind]


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (ArchiveLimits(archive_bytes=10), "too-large"),
        (ArchiveLimits(unpacked_bytes=10), "too-large"),
        (ArchiveLimits(entries=1), "too-many-entries"),
    ],
)
def test_a_file_larger_than_a_limit_is_not_looked_at(limits: ArchiveLimits, kind: str) -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        read_leniently(GOOD, "x.whl", limits)

    assert [problem.kind for problem in refusal.value.problems] == [kind]


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_raises_nothing_but_a_refusal(at: int, value: int) -> None:
    data = GOOD[:at] + bytes([value]) + GOOD[at + 1 :]

    with suppress(WheelRejectedError):
        read_leniently(data, "x.whl")
