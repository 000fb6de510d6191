"""The contents of a zip file, unpacked in memory from the very bytes that were hashed."""

import io
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from cloacina_core.errors import Problem
from cloacina_registry.errors import MAX_PROBLEMS, WheelRejectedError
from cloacina_registry.wheel.framing import MAX_ENTRIES, STORED, Entry, read_entries
from cloacina_registry.wheel.paths import duplicate_problems, path_problems

MAX_ARCHIVE_BYTES = 64 * 1024 * 1024
"""A wheel is held in memory while it is checked; several may be at once."""

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""All contents together, for the same reason. Larger data belongs in a store, not in a package."""

MAX_RATIO = 50
"""Code shrinks to a fifth, monotonous data to a thirtieth; beyond it, files are made to explode."""

RATIO_GRACE_BYTES = 1024 * 1024
"""Contents up to this size are harmless whatever their ratio."""


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How large an archive may be."""

    archive_bytes: int = MAX_ARCHIVE_BYTES
    unpacked_bytes: int = MAX_UNPACKED_BYTES
    entries: int = MAX_ENTRIES


PACKAGE_LIMITS = ArchiveLimits()
"""Of a package of workflows."""

_STEP_BYTES = 1024 * 1024
"""How much of a stream is inflated at once."""

_UNIX_MODE_SHIFT = 16
_DOS_DIRECTORY = 0x10
_DOS_VOLUME = 0x08


def unpack(data: bytes, filename: str, limits: ArchiveLimits = PACKAGE_LIMITS) -> dict[str, bytes]:
    """Return the files of an archive by their names, in their order; directories are left out.

    Raises:
        WheelRejectedError: the archive breaks a rule of this module or of those it stands on;
            kinds "path", "duplicate", "file-type", "too-large", "bomb", "zip-data", and those of
            `framing.read_entries`.
    """
    if len(data) > limits.archive_bytes:
        message = f"{len(data)} bytes are too many; {limits.archive_bytes} are allowed"
        raise WheelRejectedError(filename, [Problem("too-large", message)])
    entries = read_sound_entries(data, filename, limits.entries)
    _refuse(_size_problems(entries, len(data), limits.unpacked_bytes), filename)
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    for entry in entries:
        content = content_of(data, entry)
        if isinstance(content, Problem):
            problems.append(content)
        elif not _is_directory(entry):
            files[entry.name] = content
    _refuse(iter(problems), filename)
    return files


def read_sound_entries(
    data: bytes, filename: str, max_entries: int = MAX_ENTRIES
) -> Sequence[Entry]:
    """Return the entries of an archive, each of a clean name and a plain type, whatever their size.

    Raises:
        WheelRejectedError: the archive breaks a rule; kinds "path", "duplicate", "file-type", and
            those of `framing.read_entries`.
    """
    entries = read_entries(data, filename, max_entries)
    _refuse(_entry_problems(entries), filename)
    return entries


def _refuse(problems: Iterator[Problem], filename: str) -> None:
    found = list(islice(problems, MAX_PROBLEMS))
    if found:
        raise WheelRejectedError(filename, found)


def _is_directory(entry: Entry) -> bool:
    return entry.raw_name.endswith(b"/")


def _entry_problems(entries: Sequence[Entry]) -> Iterator[Problem]:
    for entry in entries:
        yield from path_problems(entry.raw_name)
        yield from _type_problems(entry)
        if _is_directory(entry) and (entry.size or entry.packed_size or entry.checksum):
            yield Problem("zip-layout", "a directory has data", entry.name)
    yield from duplicate_problems([entry.name for entry in entries])


def _type_problems(entry: Entry) -> Iterator[Problem]:
    mode = entry.attributes >> _UNIX_MODE_SHIFT
    expected = stat.S_IFDIR if _is_directory(entry) else stat.S_IFREG
    if stat.S_IFMT(mode) not in (0, expected):
        message = "only regular files and directories are accepted, no links or devices"
        yield Problem("file-type", message, entry.name)
    if mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
        yield Problem("file-type", "the setuid, setgid or sticky bit is set", entry.name)
    called_directory = bool(entry.attributes & _DOS_DIRECTORY)
    if entry.attributes & _DOS_VOLUME or (called_directory and not _is_directory(entry)):
        message = "its attributes say that it is a directory or a volume"
        yield Problem("file-type", message, entry.name)


def _size_problems(entries: Sequence[Entry], archive_bytes: int, limit: int) -> Iterator[Problem]:
    """Judge the declared sizes, before anything is inflated; `_content` holds them to it."""
    total = sum(entry.size for entry in entries)
    if total > limit:
        message = f"the contents have {total} bytes; {limit} are allowed"
        yield Problem("too-large", message)
    if total > max(RATIO_GRACE_BYTES, MAX_RATIO * archive_bytes):
        message = f"the contents are more than {MAX_RATIO} times larger than the archive"
        yield Problem("bomb", message)


def content_of(data: bytes, entry: Entry) -> bytes | Problem:
    """Return the content of an entry that has no wrong name and no wrong type."""
    packed = memoryview(data)[entry.data_at : entry.ends_at]
    content = bytes(packed) if entry.method == STORED else _inflated(packed, entry.size)
    if content is None or len(content) != entry.size:
        message = f"the data doesn't unpack to exactly its {entry.size} bytes"
        return Problem("zip-data", message, entry.name)
    if zlib.crc32(content) != entry.checksum:
        return Problem("zip-data", "the checksum is wrong", entry.name)
    return content


def _inflated(packed: memoryview, size: int) -> bytes | None:
    """Return what a deflate stream holds, or None if it isn't one whole stream of about that size.

    Never makes more than one byte beyond the declared size. Goes step by step, because what is
    inflated at once is held twice for a moment.
    """
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    content = io.BytesIO()
    for at in range(0, len(packed), _STEP_BYTES):
        try:
            step = inflater.decompress(packed[at : at + _STEP_BYTES], size + 1 - content.tell())
        except zlib.error:
            return None
        content.write(step)
        if content.tell() > size or (inflater.eof and at + _STEP_BYTES < len(packed)):
            return None
    return content.getvalue() if inflater.eof and not inflater.unused_data else None
