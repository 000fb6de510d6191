"""Whether somebody else can change a file that is to be obeyed.

1.  What counts are the file that was opened, its name where that is a link, and the folder: who can
    change the folder can have any file there, and say what relative paths in it mean.
2.  They must belong to the user of this process, or to root, and nobody else may write them.
3.  Where each user has a group of its own, files are made writable by it: that adds nobody.
4.  In a folder such as `/tmp`, whose files only their owners may replace, a file is safe.
5.  Folders above it don't count: a folder that is put in the place of this one is somebody else's.

Systems without users and modes of POSIX aren't asked.
"""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if sys.platform != "win32":
    import grp
    import pwd


class Stranger(NamedTuple):
    """Somebody else who can change a file."""

    why: str
    """What lets them, as one sentence without a full stop."""
    mend: str
    """The command that ends it."""


def stranger(file: Path, opened: os.stat_result) -> Stranger | None:
    """Return who else can change a file; None: nobody.

    Args:
        file: its path.
        opened: what was found out of it when it was opened, which a later look may not be.

    Raises:
        OSError: its folder can't be looked at.
    """
    if sys.platform == "win32":
        return None
    return next(_strangers(file, opened), None)


if sys.platform != "win32":

    def _strangers(file: Path, opened: os.stat_result) -> Iterator[Stranger]:
        folder, name = file.parent.stat(), file.lstat()
        yield from _owner(file.parent, folder)
        if not folder.st_mode & stat.S_ISVTX:
            yield from _writers(file.parent, folder)
        yield from _owner(file, opened)
        yield from _owner(file, name, change="chown -h")
        yield from _writers(file, opened)

    def _owner(path: Path, status: os.stat_result, change: str = "chown") -> Iterator[Stranger]:
        if status.st_uid not in (os.geteuid(), 0):
            why = f"{path} belongs to {_user(status.st_uid)}"
            yield Stranger(why, f"{change} {os.geteuid()} {path}")

    def _user(uid: int) -> str:
        try:
            return f"user {pwd.getpwuid(uid).pw_name}"
        except KeyError:
            return f"user {uid}"

    def _writers(path: Path, status: os.stat_result) -> Iterator[Stranger]:
        if status.st_mode & stat.S_IWOTH:
            yield Stranger(f"everybody may write {path}", f"chmod o-w {path}")
        if status.st_mode & stat.S_IWGRP and not _is_of_one(status.st_gid, status.st_uid):
            yield Stranger(f"a group may write {path}", f"chmod g-w {path}")

    def _is_of_one(group: int, user: int) -> bool:
        """Whether a group is named as a user is, and has no other member."""
        try:
            name, members = pwd.getpwuid(user).pw_name, grp.getgrgid(group)
        except KeyError:
            return False
        others = {one.pw_uid for one in pwd.getpwall() if one.pw_gid == group} - {user}
        return members.gr_name == name and not others and set(members.gr_mem) <= {name}
