"""A filter in the kernel that refuses calls of a process and of all that it starts, see seccomp(2).

The filter is a program for the kernel's packet filter machine (BPF). It sees the number of a call
and its arguments, but not what they point to; a call that hides what matters behind a pointer is
answered as one that doesn't exist, so that the C library takes the older one that doesn't.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloacina_core.worker.kernel.calls import syscall

_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE, _UNKNOWN = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

_CLONE_THREAD = 0x10000
_UNIX, _KIND_OF_SOCKET, _STREAM, _PACKETS_IN_ORDER = 1, 0xF, 1, 5
_FOREIGN_CALLS = 0x40000000
"""From this number on, x86-64 has the same calls once more, for another width of pointers."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """How one architecture numbers its calls."""

    audit: int
    seccomp: int
    calls: Mapping[str, int]


_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        seccomp=317,
        calls={
            "socket": 41,
            "connect": 42,
            "socketpair": 53,
            "clone": 56,
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "ptrace": 101,
            "unshare": 272,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "execveat": 322,
            "io_uring_setup": 425,
            "clone3": 435,
            "pidfd_getfd": 438,
        },
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        seccomp=277,
        calls={
            "unshare": 97,
            "ptrace": 117,
            "socket": 198,
            "socketpair": 199,
            "connect": 203,
            "clone": 220,
            "execve": 221,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "execveat": 281,
            "io_uring_setup": 425,
            "clone3": 435,
            "pidfd_getfd": 438,
        },
    ),
}

_OTHERS = ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "unshare", "setns")
"""What looks into other processes, takes what they have open, or changes namespaces."""
_NETWORK = ("socket", "connect", "io_uring_setup")
_PROCESSES = ("fork", "vfork", "execve", "execveat")


def restrict(*, network: bool, processes: bool) -> tuple[str, ...]:
    """Refuse calls of this process from now on; return what is enforced.

    Privileges must have been given up before, see `kernel.set_no_new_privileges`.

    Args:
        network: refuse to make sockets, but for pairs of streams within the process.
        processes: refuse to start processes and programs; threads are none.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None or sys.maxsize < 2**32:  # a process of 32 bits has other numbers
        return ()
    steps = list(_steps(machine, network=network, processes=processes))
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(steps), ctypes.addressof(instructions))
    try:
        buffer = ctypes.create_string_buffer(described, len(described))
        failed = syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, buffer)
    except OSError:
        return ()
    if failed:  # the number of a thread that has another filter already
        return ()
    is_told = {"seccomp-others": True, "seccomp-network": network, "seccomp-processes": processes}
    return tuple(name for name, holds in is_told.items() if holds)


_Step = tuple[int, int, int, int]
"""What to do, how many steps to skip if it is so and if it isn't, and with which number."""


def _steps(machine: _Machine, *, network: bool, processes: bool) -> Iterator[_Step]:
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, machine.audit
    yield _RETURN, 0, 0, _KILL_PROCESS  # no other architecture's calls have these numbers
    yield _LOAD, 0, 0, _NUMBER
    yield _AT_LEAST, 0, 1, _FOREIGN_CALLS
    yield _RETURN, 0, 0, _UNKNOWN
    refused = _OTHERS + (_NETWORK if network else ()) + (_PROCESSES if processes else ())
    for name in refused:
        if name in machine.calls:
            yield _EQUAL, 0, 1, machine.calls[name]
            yield _RETURN, 0, 0, _REFUSE
    if network:
        # Pairs that stay pairs: of two datagram sockets, one can send to somebody else's.
        yield _EQUAL, 0, 8, machine.calls["socketpair"]
        yield _LOAD, 0, 0, _FIRST_ARGUMENT
        yield _EQUAL, 0, 4, _UNIX
        yield _LOAD, 0, 0, _SECOND_ARGUMENT
        yield _AND, 0, 0, _KIND_OF_SOCKET
        yield _EQUAL, 2, 0, _STREAM
        yield _EQUAL, 1, 0, _PACKETS_IN_ORDER
        yield _RETURN, 0, 0, _REFUSE
        yield _RETURN, 0, 0, _ALLOW
    if processes:
        yield _EQUAL, 0, 1, machine.calls["clone3"]
        yield _RETURN, 0, 0, _UNKNOWN
        yield _EQUAL, 0, 3, machine.calls["clone"]
        yield _LOAD, 0, 0, _FIRST_ARGUMENT
        yield _ANY_BIT, 1, 0, _CLONE_THREAD
        yield _RETURN, 0, 0, _REFUSE
    yield _RETURN, 0, 0, _ALLOW
