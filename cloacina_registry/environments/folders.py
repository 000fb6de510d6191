"""Unpacked wheels: `<home>/environments/wheels/<digest>/`, shared by all releases that need them.

Python runs what lies in these folders, and the code that it runs could write to them. So:

1. A folder appears under its name only when all of it is written. What is written before has a name
   that begins with a dot, and nothing reads it; a process that is killed leaves no more than that.
2. Before the first use in each process, the folder is compared with the bytes of the wheel, which
   were hashed: it has the same files, byte for byte, and no others, no links and nothing else.
3. One that differs is taken away, made anew, and told of in a log.
4. Nobody else may look into a folder, and nothing in it has write bits.
5. The entries have clean names (`wheel.paths`), so that none of them leaves the folder.
6. Nothing is installed: no script, no `.pth`, no bytecode, nothing of `.data` folders.

What is written isn't forced to the disk: rule 2 finds what a crash of the machine has lost.
"""

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from cloacina_core.errors import Problem, StoreUnavailableError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.digest import Digest, hex_of, parse_digest
from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.archive import content_of, read_sound_entries
from cloacina_registry.wheel.framing import Entry
from cloacina_registry.wheel.profile import is_bytecode, is_startup_file

MAX_FOLDER_BYTES = 512 * 1024 * 1024
"""All files of one wheel together."""

MAX_FOLDER_ENTRIES = 20_000

UNUSED_AT_LEAST = timedelta(hours=2)
"""How long a folder that isn't used is left alone, whatever is asked for."""

_TOLD_EVERY = timedelta(hours=1)
"""How often a process that uses a folder says so, by its time of modification."""

_FOLDER_MODE = stat.S_IRUSR | stat.S_IXUSR
_FILE_MODE = stat.S_IRUSR
_OWN_MODE = stat.S_IRWXU

_OURS = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.[0-9a-f]+")
"""The names of folders, and of what isn't whole yet or any more."""

_log = logging.getLogger(__name__)

ReadWheel: TypeAlias = Callable[[], bytes]
"""Returns the bytes of a wheel, hashed at this moment."""


@dataclass(frozen=True, slots=True)
class UnusedFolder:
    """A folder that nobody used for long."""

    digest: Digest
    """Of the wheel."""
    size: int
    """Of all files together, in bytes."""
    used_at: datetime


class WheelFolders:
    """The unpacked wheels of one home. Methods may be called from any thread and any process."""

    def __init__(self, root: Path, clock: Clock) -> None:
        """Prepare.

        Args:
            root: where the folders are; it may not exist yet.
            clock: the time.
        """
        self._root = root
        self._clock = clock
        self._told_at: dict[Digest, datetime] = {}
        """When we last said that we use a folder; those in here were found to be sound."""
        self._lock = threading.Lock()

    def folder(self, digest: Digest, filename: str, read: ReadWheel) -> Path:
        """Return the folder of a wheel, made if need be, and compared once in this process.

        Args:
            digest: the digest of the wheel.
            filename: what to call it.
            read: returns the bytes of the wheel; called only if they are needed.

        Raises:
            WheelRejectedError: the wheel can't be unpacked.
            StoreUnavailableError: the folder can't be written or read now.
        """
        path = self._path(digest)
        with _told_of(path):
            if not self._is_known(digest, path):
                with self._lock:  # one at a time: they are large
                    if not self._is_known(digest, path):
                        self._make_sound(path, filename, read())
                        self._tell(digest, path)
        return path

    def unused(self, before: datetime, *, dry_run: bool) -> list[UnusedFolder]:
        """Remove the folders that nobody used since some moment, and return them.

        A process that needs one again makes it again. What a killed process left goes, too.

        Args:
            before: leave what was used later, and what was used in the last two hours.
            dry_run: only say what would be removed.

        Raises:
            StoreUnavailableError: not all of them can be removed now.
        """
        latest = min(before, self._clock.now() - UNUSED_AT_LEAST)
        found = []
        with _told_of(self._root):
            for path in sorted(self._root.iterdir()) if self._root.is_dir() else ():
                with contextlib.suppress(FileNotFoundError):  # others do the same
                    used_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    if used_at >= latest or not _OURS.fullmatch(path.name):
                        continue
                    if not path.name.startswith("."):
                        digest = parse_digest(f"sha256:{path.name}")
                        found.append(UnusedFolder(digest, _size_of(path), used_at))
                    if not dry_run:
                        self._take_away(path)
        return found

    def _is_known(self, digest: Digest, path: Path) -> bool:
        """Whether a folder was compared by this process, and is still there."""
        told_at = self._told_at.get(digest)
        if told_at is None:
            return False
        if self._clock.now() - told_at > _TOLD_EVERY:
            try:
                self._tell(digest, path)
            except FileNotFoundError:
                return False
        return path.is_dir()

    def _tell(self, digest: Digest, path: Path) -> None:
        os.utime(path)
        self._told_at[digest] = self._clock.now()

    def _make_sound(self, path: Path, filename: str, data: bytes) -> None:
        entries = _entries(data, filename)
        if path.exists():
            wrong = _difference(path, data, entries)
            if wrong is None:
                return
            _log.warning("%s isn't what %s has (%s); it is made anew", path, filename, wrong)
            self._take_away(path)
        _make_own(self._root)
        draft = self._draft(path)
        try:
            _unpack(draft, data, entries)
            if not _move(draft, path) and (wrong := _difference(path, data, entries)):
                raise StoreUnavailableError(f"{path} can't be made: somebody writes to it: {wrong}")
        finally:
            _remove(draft)

    def _take_away(self, path: Path) -> None:
        """Remove a folder; who reads it meanwhile finds all of it, or nothing."""
        draft = self._draft(path)
        with contextlib.suppress(FileNotFoundError):  # others do the same
            path.chmod(_OWN_MODE)
            path.rename(draft)
            _remove(draft)

    def _path(self, digest: Digest) -> Path:
        return self._root / hex_of(digest)

    def _draft(self, path: Path) -> Path:
        digest = path.name.strip(".").partition(".")[0]
        return self._root / f".{digest}.{secrets.token_hex(8)}"


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Tell that the folders can't be used, by their name and the reason."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(
            f"{error.filename or path} can't be used: {error.strerror}",
            hint="look at the free space and the modes of the folder, then try again",
        ) from error


def _entries(data: bytes, filename: str) -> Sequence[Entry]:
    """Return what of a wheel is unpacked."""
    entries = read_sound_entries(data, filename, MAX_FOLDER_ENTRIES)
    size = sum(entry.size for entry in entries)
    if size > MAX_FOLDER_BYTES:
        message = f"the contents have {size} bytes; {MAX_FOLDER_BYTES} are allowed"
        raise WheelRejectedError(filename, [Problem("too-large", message)])
    return [entry for entry in entries if not _is_left_out(entry.name)]


def _is_left_out(name: str) -> bool:
    """Whether nothing has a use for a file here but an installer, or who hides code in bytecode.

    Bytecode may say of itself that it needn't be held against its source (PEP 552), and is run
    before it; nobody who reads the source would see what runs.
    """
    top, slash, _ = name.partition("/")
    is_data = top.lower().endswith(".data")
    return is_data or is_bytecode(name) or (not slash and is_startup_file(name))


def _folders_of(entries: Sequence[Entry]) -> set[str]:
    """Return the paths of all folders, also of those without an entry of their own."""
    paths = [PurePosixPath(entry.name) for entry in entries]
    named = {str(path) for path, entry in zip(paths, entries, strict=True) if _is_folder(entry)}
    return named | {str(parent) for path in paths for parent in path.parents} - {"."}


def _is_folder(entry: Entry) -> bool:
    return entry.name.endswith("/")


def _unpack(folder: Path, data: bytes, entries: Sequence[Entry]) -> None:
    folder.mkdir(mode=_OWN_MODE)
    inner = sorted(_folders_of(entries))  # each behind the one that it is in
    for name in inner:
        (folder / name).mkdir(mode=_OWN_MODE)
    for entry in entries:
        if not _is_folder(entry):
            _write(folder / entry.name, _content(data, entry))
    for name in inner:
        (folder / name).chmod(_FOLDER_MODE)


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, _FILE_MODE), "wb") as file:
        file.write(content)


def _content(data: bytes, entry: Entry) -> bytes:
    content = content_of(data, entry)
    if isinstance(content, Problem):
        raise WheelRejectedError(entry.name, [content])
    return content


def _move(draft: Path, path: Path) -> bool:
    """Give a folder its name; False when another process has just made the same one."""
    try:
        draft.rename(path)
    except OSError:
        if path.is_dir():
            return False
        raise
    path.chmod(_FOLDER_MODE)  # not before: some systems don't move what can't be written
    return True


def _difference(folder: Path, data: bytes, entries: Sequence[Entry]) -> str | None:
    """Return in what a folder isn't the wheel, or None."""
    found: Mapping[str, os.stat_result] = dict(_files_in(folder))
    files = {entry.name: entry for entry in entries if not _is_folder(entry)}
    folders = _folders_of(entries)
    for name, status in found.items():
        is_right = stat.S_ISDIR(status.st_mode) if name in folders else _is_file(status)
        if name not in folders and name not in files:
            return f"{name} is too much"
        if not is_right:
            return f"{name} is of another kind"
    for name in (*files, *sorted(folders)):
        if name not in found:
            return f"{name} is missing"
    for name, entry in files.items():
        if found[name].st_size != entry.size or (folder / name).read_bytes() != _content(
            data, entry
        ):
            return f"{name} has other contents"
    return None


def _is_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


def _files_in(folder: Path, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yield all that is in a folder by its path there, not following links."""
    with os.scandir(folder) as inside:
        for entry in inside:
            name = f"{below}{entry.name}"
            yield name, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from _files_in(Path(entry.path), f"{name}/")


def _size_of(folder: Path) -> int:
    return sum(status.st_size for _, status in _files_in(folder) if _is_file(status))


def _make_own(folder: Path) -> None:
    """Make a folder and those above it, each for its owner alone."""
    if not folder.is_dir():
        _make_own(folder.parent)
        folder.mkdir(mode=_OWN_MODE, exist_ok=True)


def _remove(folder: Path) -> None:
    """Remove a folder, if it is there, although nothing in it has write bits."""
    if not folder.is_dir():
        return
    folder.chmod(_OWN_MODE)
    for name, status in list(_files_in(folder)):
        if stat.S_ISDIR(status.st_mode):
            (folder / name).chmod(_OWN_MODE)
    shutil.rmtree(folder, ignore_errors=True)
