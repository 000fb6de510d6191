"""Calls of the Linux kernel that the standard library has no door to."""

import ctypes
import os
from functools import cache

# From <linux/prctl.h> and <linux/sched.h>.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_CAPABILITIES_OF_64_BITS = 0x20080522


def set_no_new_privileges() -> None:
    """Let no program that this process executes have more rights than it has, see prctl(2).

    Raises:
        OSError: the kernel refuses.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def prctl(option: int, argument: int) -> None:
    """Have the kernel treat this process in another way, by its call of the same name.

    Raises:
        OSError: the kernel refuses.
    """
    _checked(_libc().prctl(option, *map(ctypes.c_ulong, (argument, 0, 0, 0))))


def leave_namespaces(flags: int) -> None:
    """Leave namespaces for new ones, see unshare(2).

    Raises:
        OSError: the kernel refuses.
    """
    _checked(_libc().unshare(flags))


def drop_capabilities() -> None:
    """Give up every right of root that isn't a right of files' owners, see capabilities(7).

    Raises:
        OSError: the kernel refuses.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_OF_64_BITS, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(_libc().capset(header, none))


def syscall(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Call the kernel by the number of a call; buffers are handed in by their address.

    Raises:
        OSError: the kernel refuses.
    """
    given = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    result: int = _libc().syscall(ctypes.c_long(number), *given)
    return _checked(result)


@cache
def _libc() -> ctypes.CDLL:
    """Return the C library, opened once: forks have it then."""
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
