"""What holds for every archive, whatever was done to it, and ways to do things to one."""

import io
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.archive import unpack

KINDS = frozenset(
    {"zip-framing", "zip-layout", "zip-mismatch", "zip-flags", "zip-method", "zip-data"}
    | {"path", "duplicate", "file-type", "too-large", "bomb", "too-many-entries"}
)
"""What an archive can be refused for."""

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")


def judged(data: bytes) -> dict[str, bytes] | None:
    """Return the contents of an archive, None if it is refused; fail if it is neither.

    What is accepted must be what another reader of zip files finds in it.
    """
    try:
        files = unpack(data, "x.whl")
    except WheelRejectedError as refusal:
        kinds = {problem.kind for problem in refusal.problems}
        assert kinds, "refused without a reason"
        assert kinds <= KINDS, kinds
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = {info.filename: archive.read(info) for info in archive.infolist()}
    assert list(files.items()) == [each for each in found.items() if not each[0].endswith("/")]
    return files


@dataclass(frozen=True, slots=True)
class Record:
    """A part of an archive: a local header with its data, a directory entry, or the end record."""

    data: bytes

    @property
    def form(self) -> struct.Struct:
        """How its fields lie."""
        return {b"PK\3\4": _LOCAL, b"PK\1\2": _CENTRAL, b"PK\5\6": _END}[self.data[:4]]

    def with_field(self, number: int, value: int) -> "Record":
        """Return it with another number in a field; fields and values are taken as they fit."""
        fields = list(self.form.unpack_from(self.data))
        at = 1 + number % (len(fields) - 1)
        widths = [4 if code == "L" else 2 for code in _codes(self.form)]
        fields[at] = value % (1 << 8 * widths[at - 1])
        return Record(self.form.pack(*fields) + self.data[self.form.size :])

    def with_byte(self, place: int, value: int) -> "Record":
        """Return it with another byte behind its signature; places are taken as they fit."""
        at = 4 + place % (len(self.data) - 4)
        return Record(self.data[:at] + bytes([value]) + self.data[at + 1 :])


def _codes(form: struct.Struct) -> str:
    """Return the codes of all fields but the signature."""
    return form.format.removeprefix("<4s")


def records_of(data: bytes) -> list[Record]:
    """Return the parts of a good archive."""
    end_at = len(data) - _END.size
    count, size, directory_at = _END.unpack_from(data, end_at)[4:7]
    assert directory_at + size == end_at
    central: list[Record] = []
    starts: list[int] = []
    at = directory_at
    for _ in range(count):
        fields = _CENTRAL.unpack_from(data, at)
        after = at + _CENTRAL.size + sum(fields[10:13])
        central.append(Record(data[at:after]))
        starts.append(fields[16])
        at = after
    ends = [*starts[1:], directory_at]
    local = [Record(data[one:other]) for one, other in zip(starts, ends, strict=True)]
    return [*local, *central, Record(data[end_at:])]


def joined(records: Sequence[Record], *, repaired: bool) -> bytes:
    """Return the archive of some parts.

    Args:
        records: the parts, in any order.
        repaired: whether offsets and counts are made to fit again, so that what is wrong inside
            the parts is all that is wrong.
    """
    if not repaired:
        return b"".join(record.data for record in records)
    starts: list[int] = []
    central = 0
    at = directory_at = 0
    body: list[bytes] = []
    for record in records:
        data = record.data
        if record.form is _LOCAL:
            starts.append(at)
            directory_at = at + len(data)
        elif record.form is _CENTRAL and central < len(starts):
            data = data[:42] + struct.pack("<L", starts[central]) + data[46:]
            central += 1
        elif record.form is _END:
            size = max(at - directory_at, 0)
            counts = struct.pack("<HHLL", central, central, size, directory_at)
            data = data[:8] + counts + data[20:]
        body.append(data)
        at += len(data)
    return b"".join(body)
