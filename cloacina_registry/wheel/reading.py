"""Wheels as build backends write them, read so that they can be written anew.

Some backends use features that `open_wheel` refuses because they aren't read alike by everyone:
data descriptors, extra fields. An author's own build is read here with the standard library, within
the same limits, and passes `open_unsealed_wheel` after `write_wheel`, which checks everything else:

    raw -> read_leniently -> write_wheel -> open_unsealed_wheel -> add manifest and lock
        -> with_record -> write_wheel -> open_wheel
"""

import io
import struct
import zipfile
import zlib

from cloacina_core.errors import Problem
from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.archive import PACKAGE_LIMITS, ArchiveLimits

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a method or version that zipfile doesn't know
    RuntimeError,  # encrypted
    IndexError,  # an empty name, before Python 3.13
    struct.error,
    ValueError,
    OSError,
)
"""What zipfile is known to raise for files that are none, or not quite."""


def read_leniently(
    data: bytes, filename: str, limits: ArchiveLimits = PACKAGE_LIMITS
) -> dict[str, bytes]:
    """Return the files of any wheel by their names; directories are left out.

    Args:
        data: its bytes.
        filename: what to call it.
        limits: how large it may be.

    Raises:
        WheelRejectedError: it can't be read; kinds "zip-framing", "zip-data", "duplicate",
            "too-large" and "too-many-entries".
    """
    if len(data) > limits.archive_bytes:
        raise _refused(filename, "too-large", f"more than {limits.archive_bytes} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_limits(entries, filename, limits)
            return {entry.filename: _content(archive, entry, filename) for entry in entries}
    except _UNREADABLE as error:
        raise _refused(filename, "zip-framing", f"can't be read: {error}") from error


def _check_limits(entries: list[zipfile.ZipInfo], filename: str, limits: ArchiveLimits) -> None:
    if len(entries) > limits.entries:
        raise _refused(filename, "too-many-entries", f"more than {limits.entries} entries")
    if sum(entry.file_size for entry in entries) > limits.unpacked_bytes:
        message = f"the contents have more than {limits.unpacked_bytes} bytes"
        raise _refused(filename, "too-large", message)
    if not all(entry.filename for entry in entries):
        raise _refused(filename, "zip-framing", "an entry has no name")
    if len({entry.filename for entry in entries}) != len(entries):
        raise _refused(filename, "duplicate", "two entries have one name")


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, filename: str) -> bytes:
    with archive.open(entry) as stream:
        content = stream.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        message = f"{entry.filename} doesn't unpack to its {entry.file_size} bytes"
        raise _refused(filename, "zip-data", message)
    return content


def _refused(filename: str, kind: str, message: str) -> WheelRejectedError:
    return WheelRejectedError(filename, [Problem(kind, message)])
