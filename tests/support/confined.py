"""Processes that confine themselves and then do what they shouldn't."""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cloacina_core
from cloacina_core.worker.confinement import Limits

NOBODY = 65534

_PROGRAM = """
import ctypes, errno, json, mmap, os, resource, shutil, signal, socket, subprocess, sys, threading
import asyncio, encodings.idna, encodings.ascii  # others may not be able to read where Python is
sys.path.append({root!r})
from cloacina_core.worker.confinement import Limits, confine

def attack(order):
    if order["user"] is not None:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])
    names = dict(globals())
    exec(order["before"], names)
    words = order["capabilities"]
    enforced = confine(
        Limits(**order["limits"]),
        writable=order["writable"],
        readable=order["readable"],
        capabilities=None if words is None else frozenset(words),
    )
    refused = None
    try:
        exec(order["attack"], names)
    except (OSError, MemoryError) as error:
        refused = type(error).__name__
    return dict(enforced=enforced, refused=refused)

for line in sys.stdin:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, json.dumps(attack(json.loads(line))).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    print(json.dumps(dict(status=os.waitstatus_to_exitcode(status), told=told.decode())))
    sys.stdout.flush()
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    status: int
    enforced: tuple[str, ...] = ()
    refused: str | None = None
    """The class of the error that the attack met."""


@dataclass(frozen=True, slots=True)
class Confined:
    """One process, and what it is confined to."""

    processes: "ConfinedProcesses"
    limits: Limits
    capabilities: Collection[str] | None
    writable: Sequence[Path]
    readable: Sequence[Path]
    user: int | None
    before: str

    def do(self, attack: str) -> Ended:
        """Run code in the process once it has confined itself."""
        order = {
            "user": self.user,
            "limits": asdict(self.limits),
            "capabilities": None if self.capabilities is None else sorted(self.capabilities),
            "writable": [str(path) for path in self.writable],
            "readable": [str(path) for path in self.readable],
            "before": self.before,
            "attack": attack,
        }
        ended = self.processes.run(order)
        if ended["status"] != 0:
            return Ended(ended["status"])
        assert ended["told"], "what was run before failed: see standard error"
        told = json.loads(ended["told"])
        return Ended(0, tuple(told["enforced"]), told["refused"])


class ConfinedProcesses:
    """Forks processes, one by one, from one that has imported what they need."""

    def __enter__(self) -> Self:
        root = Path(cloacina_core.__file__).parents[1]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM.format(root=str(root))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def __call__(
        self,
        *,
        limits: Limits | None = None,
        capabilities: Collection[str] | None = None,
        writable: Sequence[Path] = (),
        readable: Sequence[Path] = (),
        user: int | None = None,
        before: str = "",
    ) -> Confined:
        """Return a process that isn't there yet."""
        return Confined(self, limits or Limits(), capabilities, writable, readable, user, before)

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have a process do something, and return how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        ended: dict[str, Any] = json.loads(self._process.stdout.readline())
        return ended


def is_root() -> bool:
    """Whether this process can become another user."""
    return os.geteuid() == 0
