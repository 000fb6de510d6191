"""Names of entries: clean on every file system, and one name for each file."""

import re
from collections.abc import Iterator, Sequence

from cloacina_core.errors import Problem

MAX_PATH_LENGTH = 240
"""Leaves room for a folder before it within the 260 characters of Windows."""

MAX_SEGMENT_LENGTH = 128
"""File systems stop at 255 bytes; storages add suffixes of their own."""

_SEGMENT = re.compile(r"[A-Za-z0-9_.+%@=,~!#$&'()\[\]{};^ -]+")
"""Printable ASCII without what a shell, Windows or a URL path would read differently."""

_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)
"""What Windows opens as a device in any folder, with any suffix."""


def path_problems(raw_name: bytes) -> Iterator[Problem]:
    """Yield what is wrong with the name of an entry; that of a directory ends with a slash."""
    where = raw_name[:MAX_PATH_LENGTH].decode("ascii", "backslashreplace")
    if not raw_name.isascii():
        yield Problem("path", "the name isn't ASCII", where)
        return
    path = raw_name.decode("ascii").removesuffix("/")
    if len(path) > MAX_PATH_LENGTH:
        yield Problem("path", f"the name has more than {MAX_PATH_LENGTH} characters", where)
    for segment in path.split("/"):
        if message := _segment_problem(segment):
            yield Problem("path", message, where)
            return


def _segment_problem(segment: str) -> str | None:
    if segment in {"", ".", ".."}:
        return "the name is absolute, or has an empty, '.' or '..' part"
    if len(segment) > MAX_SEGMENT_LENGTH:
        return f"a part of the name has more than {MAX_SEGMENT_LENGTH} characters"
    if not _SEGMENT.fullmatch(segment):
        return "the name has a character that isn't allowed"
    if segment[0] == " " or segment[-1] in " .":
        return "a part of the name begins with a space or ends with a space or dot"
    if segment.split(".", maxsplit=1)[0].rstrip().lower() in _DEVICES:
        return f"{segment!r} is a device on Windows"
    return None


def duplicate_problems(names: Sequence[str]) -> Iterator[Problem]:
    """Yield names that would meet on some file system: equal, equal by case, file and folder.

    Args:
        names: clean names; those of directories end with a slash.
    """
    spelling: dict[str, str] = {}
    files: set[str] = set()
    for name in names:
        path = name.removesuffix("/")
        folded = path.lower()
        is_file = not name.endswith("/")
        if folded in spelling and (is_file or folded in files or spelling[folded] != path):
            message = f"the name is there already, as {spelling[folded]!r}"
            yield Problem("duplicate", message, name)
        spelling[folded] = path
        if is_file:
            files.add(folded)
        yield from _parent_problems(path, spelling, files)


def _parent_problems(path: str, spelling: dict[str, str], files: set[str]) -> Iterator[Problem]:
    at = path.rfind("/")
    while at > 0:
        folder = path[:at]
        folded = folder.lower()
        if folded in files:
            yield Problem("duplicate", f"{folder!r} is a file and a folder", path)
            return
        if spelling.setdefault(folded, folder) != folder:
            message = f"the folder is spelled {spelling[folded]!r} elsewhere"
            yield Problem("duplicate", message, path)
            return
        at = path.rfind("/", 0, at)
