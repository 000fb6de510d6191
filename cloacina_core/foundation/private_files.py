"""Small files on which security rests: made for their owner alone, durable, never half-written.

Modes are asked of POSIX systems only; elsewhere the access rules of the folder must do.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from cloacina_core.errors import CloacinaError

if sys.platform != "win32":
    import fcntl

FOLDER_MODE = 0o700
FILE_MODE = 0o600

READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Mode bits that no secret may have."""
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
"""Mode bits that nothing we rely on may have."""

_HAS_MODES = os.name == "posix"
_CREATE = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)
# Not to wait when someone put a pipe there.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


def create(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Write a file that doesn't exist yet, and have it on the disk before returning.

    Raises:
        FileExistsError: something of this name is there, be it a dangling link.
    """
    descriptor = os.open(path, _CREATE, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Put a file in the place of another: readers see the old one or the new one, never half."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    create(draft, data, mode)
    try:
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read(
    path: Path,
    *,
    limit: int,
    refused_modes: int,
    error: type[CloacinaError],
    is_own: bool = False,
) -> bytes:
    """Return what is in a file, once its modes and its size are found to be right.

    Links are followed unless it is to be one's own: orchestrators mount secrets as links, and what
    counts is the mode of what was opened.

    Args:
        path: the file.
        limit: how many bytes it may have.
        refused_modes: mode bits that it must not have.
        error: what to raise when it is refused.
        is_own: whether it must belong to the user of this process, or to root, and be no link.

    Raises:
        FileNotFoundError: there is none.
        CloacinaError: of the kind `error`, when it is refused or can't be read.
    """
    try:
        descriptor = os.open(path, _READ | (_NOFOLLOW if is_own else 0))
        try:
            status = os.fstat(descriptor)
            _require_modes(status, path, refused_modes, error)
            if is_own:
                _require_owner(status, path, error)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as cause:
        if is_own and cause.errno == errno.ELOOP:
            raise error(f"{path} is a link; name the file itself") from cause
        raise error(f"{path} can't be read: {cause.strerror}") from cause
    if len(data) > limit:
        raise error(f"{path} is larger than {limit} bytes")
    return data


def others_may_write(folder: Path) -> bool:
    """Whether others than its owner may add and remove files of a folder.

    Raises:
        OSError: it can't be looked at.
    """
    return _HAS_MODES and bool(folder.stat().st_mode & WRITABLE_BY_OTHERS)


def _require_modes(
    status: os.stat_result, path: Path, refused_modes: int, error: type[CloacinaError]
) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path} is not a regular file")
    if _HAS_MODES and status.st_mode & refused_modes:
        verb = "read" if refused_modes & stat.S_IRGRP else "change"
        raise error(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others may {verb} it",
            hint=f"take their rights away with: chmod 600 {path}",
        )


def _require_owner(status: os.stat_result, path: Path, error: type[CloacinaError]) -> None:
    if _HAS_MODES and status.st_uid not in (os.geteuid(), 0):
        raise error(
            f"{path} belongs to user {status.st_uid}, who could change it",
            hint=f"make it yours with: chown {os.geteuid()} {path}",
        )


def make_folder(path: Path, within: Path) -> None:
    """Make a folder, and those above it up to another one, for their owner alone.

    Those that are there stay as they are.

    Args:
        path: the folder.
        within: it, or one above it; those above that get the usual modes.

    Raises:
        OSError: one can't be made.
    """
    missing = [path, *path.parents][: len(path.relative_to(within).parts) + 1]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, also where its owner may not write; or do nothing.

    Raises:
        OSError: some of it can't be removed.
    """
    for path, _, _ in os.walk(folder):  # which doesn't follow links
        Path(path).chmod(FOLDER_MODE)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; a new file's name is lost in a crash otherwise."""
    if not _HAS_MODES:
        return  # Windows can't open folders, and keeps names in its journal
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes and threads that ask for the same lock out, until the block ends.

    The lock is the system's and dies with its process. On Windows there is none: two operators
    who change one document at the same moment can lose a change there.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
