"""The records of a zip file: where they stand, and that they agree with each other.

A zip file says everything twice, in a local header before each entry and in the central directory
at the end, and readers differ in which they believe and in what they skip. Two tools can so see two
different packages in one file (CVE-2025-54368 is one such case). So only the plainest layout is
accepted, in which there is nothing to differ about:

1. The file ends with an end record without a comment, and the central directory ends where the end
   record begins.
2. The directory has exactly as many entries as the end record says, none with extra fields or a
   comment.
3. Entries follow each other from the first byte to the directory, in its order: no gap, no overlap,
   nothing before.
4. Each local header says the same as its directory entry, sizes and checksum included.
5. Flags, methods and versions are those that the usual build backends write.

The numbers are those of PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cloacina_core.errors import Problem
from cloacina_registry.errors import WheelRejectedError

MAX_ENTRIES = 5_000
"""Far more than any package of workflows has; beyond it, files are made to exhaust readers."""

STORED = 0
DEFLATED = 8

_LOCAL: Final = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END: Final = struct.Struct("<4sHHHHLLH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_CENTRAL_SIGNATURE = b"PK\x01\x02"
_END_SIGNATURE = b"PK\x05\x06"

_HARMLESS_FLAGS = 0x0002 | 0x0004 | 0x0800
"""How hard the compressor tried (bits 1 and 2), and that the name is UTF-8 (bit 11)."""
_DATA_DESCRIPTOR = 0x0008
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_DEFLATE_VERSION = 20
"""The version of the format that knows directories and deflate; later ones mean later features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the central directory says of one entry, and where its data lies."""

    raw_name: bytes
    needed_version: int
    flags: int
    method: int
    modified: tuple[int, int]
    """Time and date as MS-DOS writes them; only compared, never used."""
    checksum: int
    packed_size: int
    size: int
    extra_size: int
    comment_size: int
    disk: int
    attributes: int
    """External attributes: a Unix mode in the upper half, MS-DOS attributes in the lowest byte."""
    header_at: int

    @property
    def name(self) -> str:
        """The name for people and, once it is known to be clean ASCII, for everything else."""
        return self.raw_name.decode("ascii", "backslashreplace")

    @property
    def data_at(self) -> int:
        """Where the data begins, in a file whose framing is right."""
        return self.header_at + _LOCAL.size + len(self.raw_name)

    @property
    def ends_at(self) -> int:
        """Where the next entry has to begin."""
        return self.data_at + self.packed_size


@dataclass(frozen=True, slots=True)
class _End:
    count: int
    directory_at: int
    directory_ends: int


def read_entries(data: bytes, filename: str, max_entries: int = MAX_ENTRIES) -> tuple[Entry, ...]:
    """Return the entries of a zip file whose framing follows all rules of this module.

    Raises:
        WheelRejectedError: it doesn't; kinds "zip-framing", "zip-layout", "zip-mismatch",
            "zip-flags", "zip-method" and "too-many-entries".
    """
    end = _read_end(data, filename, max_entries)
    entries = _read_directory(data, end, filename)
    problems = [
        problem for entry in entries for problem in (*_local_problems(data, entry), *_odd(entry))
    ]
    problems += _layout_problems(entries, end)
    if problems:
        raise WheelRejectedError(filename, problems)
    return entries


def _read_end(data: bytes, filename: str, max_entries: int) -> _End:
    def refuse(message: str, kind: str = "zip-framing") -> WheelRejectedError:
        return WheelRejectedError(filename, [Problem(kind, message)])

    at = len(data) - _END.size
    if at < 0 or data[at : at + 4] != _END_SIGNATURE:
        raise refuse(
            "not a zip file that ends with its end record: it is truncated, or has a comment or "
            "other data at the end"
        )
    _, disk, first_disk, here, count, size, offset, comment_size = _END.unpack_from(data, at)
    if disk or first_disk or here != count or comment_size:
        raise refuse("the end record speaks of other disks or of a comment")
    if count == 0:
        raise refuse("the archive is empty")
    if count > max_entries:
        raise refuse(f"{count} entries are too many; {max_entries} fit", "too-many-entries")
    if offset + size != at:
        raise refuse("the central directory doesn't end where the end record begins")
    return _End(count, offset, at)


def _read_directory(data: bytes, end: _End, filename: str) -> tuple[Entry, ...]:
    entries = []
    at = end.directory_at
    for number in range(1, end.count + 1):
        if (
            at + _CENTRAL.size > end.directory_ends
            or data[at : at + 4] != _CENTRAL_SIGNATURE
            or (after := _end_of_directory_entry(data, at)) > end.directory_ends
        ):
            message = f"the central directory has no entry {number} of {end.count}"
            raise WheelRejectedError(filename, [Problem("zip-framing", message)])
        entries.append(_directory_entry(data, at))
        at = after
    if at != end.directory_ends:
        message = f"the central directory goes on after its {end.count} entries"
        raise WheelRejectedError(filename, [Problem("zip-framing", message)])
    return tuple(entries)


def _end_of_directory_entry(data: bytes, at: int) -> int:
    name_size, extra_size, comment_size = struct.unpack_from("<HHH", data, at + 28)
    return int(at + _CENTRAL.size + name_size + extra_size + comment_size)


def _directory_entry(data: bytes, at: int) -> Entry:
    (
        _signature, _made_by, needed_version, flags, method, time, date, checksum, packed_size,
        size, name_size, extra_size, comment_size, disk, _internal, attributes, header_at,
    ) = _CENTRAL.unpack_from(data, at)  # fmt: skip
    name_at = at + _CENTRAL.size
    return Entry(
        raw_name=data[name_at : name_at + name_size],
        needed_version=needed_version,
        flags=flags,
        method=method,
        modified=(time, date),
        checksum=checksum,
        packed_size=packed_size,
        size=size,
        extra_size=extra_size,
        comment_size=comment_size,
        disk=disk,
        attributes=attributes,
        header_at=header_at,
    )


def _local_problems(data: bytes, entry: Entry) -> Iterator[Problem]:
    """Yield what the local header says otherwise than the central directory."""
    at = entry.header_at
    if at + _LOCAL.size > len(data) or data[at : at + 4] != _LOCAL_SIGNATURE:
        yield Problem("zip-mismatch", "the directory points to no local header", entry.name)
        return
    (
        _signature, needed_version, flags, method, time, date, checksum, packed_size, size,
        name_size, extra_size,
    ) = _LOCAL.unpack_from(data, at)  # fmt: skip
    name_at = at + _LOCAL.size
    if extra_size:
        yield Problem("zip-framing", "the local header has extra fields", entry.name)
    said_twice = (
        ("name", entry.raw_name, data[name_at : name_at + name_size]),
        ("needed version", entry.needed_version, needed_version),
        ("flags", entry.flags, flags),
        ("method", entry.method, method),
        ("time", entry.modified, (time, date)),
        ("checksum", entry.checksum, checksum),
        ("packed size", entry.packed_size, packed_size),
        ("size", entry.size, size),
    )
    for what, central, local in said_twice:
        # With a data descriptor the sizes stand behind the data. `_odd` refuses that already, so
        # the differences it makes would only be noise.
        if central != local and not entry.flags & _DATA_DESCRIPTOR:
            message = f"{what} is {central!r} in the directory, {local!r} in the local header"
            yield Problem("zip-mismatch", message, entry.name)


def _odd(entry: Entry) -> Iterator[Problem]:
    """Yield what readers are known to treat differently, and wheels have no use for."""
    if entry.extra_size or entry.comment_size or entry.disk:
        message = "the directory entry has extra fields, a comment or another disk"
        yield Problem("zip-framing", message, entry.name)
    if entry.flags & _DATA_DESCRIPTOR:
        message = "sizes in a data descriptor behind the data aren't accepted"
        yield Problem("zip-flags", message, entry.name)
    if entry.flags & _ENCRYPTED:
        yield Problem("zip-flags", "the entry is encrypted", entry.name)
    if entry.flags & ~(_HARMLESS_FLAGS | _DATA_DESCRIPTOR | _ENCRYPTED):
        yield Problem("zip-flags", f"flags {entry.flags:#06x} aren't accepted", entry.name)
    if entry.method not in (STORED, DEFLATED):
        message = f"method {entry.method} isn't accepted, only stored (0) and deflated (8)"
        yield Problem("zip-method", message, entry.name)
    if entry.needed_version > _DEFLATE_VERSION:
        message = f"it needs version {entry.needed_version / 10:g} of the format; 2.0 is enough"
        yield Problem("zip-method", message, entry.name)


def _layout_problems(entries: tuple[Entry, ...], end: _End) -> Iterator[Problem]:
    expected = 0
    for entry in entries:
        if entry.header_at != expected:
            message = f"begins at byte {entry.header_at}, not {expected}: a gap or an overlap"
            yield Problem("zip-layout", message, entry.name)
            return
        expected = entry.ends_at
    if expected != end.directory_at:
        message = f"the entries end at byte {expected}, the directory begins at {end.directory_at}"
        yield Problem("zip-layout", message)
