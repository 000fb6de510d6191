"""Landlock: a process says what it will never touch again, and the kernel holds it to that.

Layouts and numbers are those of `linux/landlock.h`. Each version of the interface, its ABI, can
restrict more; what an older one can't is left alone, and isn't told to be enforced.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from cloacina_core.worker.kernel.calls import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_ASK_FOR_VERSION = 1
_RULE_OF_PATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_READING = _READ_FILE | _READ_DIR
_WRITING = 0x1FF2
"""Write to files, remove and make whatever a folder can hold: what the first version knows."""
_REFER = 1 << 13
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""The rights that a file can be given; all others are of folders."""
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS, _SIGNALS = 0b01, 0b10

_ABI_OF_REFER, _ABI_OF_TRUNCATE, _ABI_OF_TCP, _ABI_OF_SCOPES = 2, 3, 4, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a process is to be kept from, and where it isn't."""

    writes: bool
    """Whether from writing, but to `writable`."""
    reads: bool
    """Whether from reading, but from `readable` and `writable`."""
    network: bool
    """Whether from TCP, and from abstract sockets that others made."""
    writable: Sequence[str]
    readable: Sequence[str]


def version() -> int:
    """Return the version of Landlock's interface that the kernel offers; 0 for none."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _ASK_FOR_VERSION)
    except OSError:
        return 0


def restrict(wish: Wish) -> tuple[str, ...]:
    """Keep this thread, and all that it starts, from what is wished; return what is enforced.

    Privileges must have been given up before, see `calls.set_no_new_privileges`.
    """
    abi = version()
    handled = _handled(wish, abi)
    if not any(handled):
        return ()
    try:
        _restrict(wish, handled)
    except OSError:
        return ()
    is_told = {
        # Before it knew of truncation, a file could be emptied that couldn't be written to.
        "landlock-write-files": wish.writes and abi >= _ABI_OF_TRUNCATE,
        "landlock-read-files": wish.reads,
        "landlock-tcp": wish.network and abi >= _ABI_OF_TCP,
        "landlock-abstract-sockets": wish.network and abi >= _ABI_OF_SCOPES,
        "landlock-signals": abi >= _ABI_OF_SCOPES,
    }
    return tuple(name for name, holds in is_told.items() if holds)


def _handled(wish: Wish, abi: int) -> tuple[int, int, int]:
    """Return what is forbidden unless a rule allows it: of files, of the network, of others."""
    if not abi:
        return 0, 0, 0
    files = _READING if wish.reads else 0
    if wish.writes:
        files |= _writing(abi)
    elif files and abi >= _ABI_OF_REFER:
        files |= _REFER  # who restricts anything of files has it refused, and has to allow it
    network = _BIND_AND_CONNECT_TCP if wish.network and abi >= _ABI_OF_TCP else 0
    others = 0
    if abi >= _ABI_OF_SCOPES:
        others = _SIGNALS | (_ABSTRACT_SOCKETS if wish.network else 0)
    return files, network, others


def _writing(abi: int) -> int:
    rights = _WRITING
    rights |= _REFER if abi >= _ABI_OF_REFER else 0
    return rights | (_TRUNCATE if abi >= _ABI_OF_TRUNCATE else 0)


def _restrict(wish: Wish, handled: tuple[int, int, int]) -> None:
    files = handled[0]
    attributes = struct.pack("=QQQ", *handled)
    while attributes.endswith(bytes(8)) and len(attributes) > 8:  # noqa: PLR2004 - what it doesn't know
        attributes = attributes[:-8]
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = syscall(_CREATE_RULESET, buffer, len(attributes), 0)
    try:
        for path in wish.writable:
            _allow(ruleset, path, files)
        if not wish.writes:
            _allow(ruleset, "/", files & _REFER)
        for path in wish.readable:
            _allow(ruleset, path, files & _READING)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow something below a path; a path that isn't there, or can't be reached, needs no rule."""
    if not rights:
        return
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        syscall(_ADD_RULE, ruleset, _RULE_OF_PATH, buffer, 0)
    finally:
        os.close(descriptor)
