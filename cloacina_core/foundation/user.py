"""Who uses a process, for histories to tell. It proves nothing."""

import getpass
import socket

_LONGEST_NAME = 100


def who_asks() -> str:
    """Return who uses this process, as `USER@HOST`."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # no such database, or a number without a name in it
        user = "unknown"
    return f"{_plain(user)}@{_plain(socket.gethostname())}"


def _plain(name: str) -> str:
    """Return a name that can be stored and printed, whatever the system made of it."""
    letters = (letter if letter.isprintable() else "?" for letter in name[:_LONGEST_NAME])
    return "".join(letters)
