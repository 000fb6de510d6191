"""Who uses a process, for histories to tell. It proves nothing."""

import getpass
import os
import socket
from collections.abc import Mapping

_VARIABLES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # in the order of getpass.getuser
_LONGEST_NAME = 100


def who_asks() -> str:
    """Return who uses this process, as `USER@HOST`."""
    return user_at(socket.gethostname(), os.environ)


def user_at(host: str, environment: Mapping[str, str]) -> str:
    """Return who uses a process on a host, by the word of its environment.

    Where that doesn't tell, the system says whose process it is.

    Args:
        host: the name of the machine.
        environment: the variables of the process.
    """
    named = (environment.get(variable) for variable in _VARIABLES)
    user = next(filter(None, named), None) or _owner_of_the_process()
    return f"{_plain(user)}@{_plain(host)}"


def _owner_of_the_process() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # no such database, or a number without a name in it
        return "unknown"


def _plain(name: str) -> str:
    """Return a name that can be stored and printed, whatever the system made of it."""
    letters = (letter if letter.isprintable() else "?" for letter in name[:_LONGEST_NAME])
    return "".join(letters)
