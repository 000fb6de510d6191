"""The zoo: tasks that do what no task should, each the only one of its workflow."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from support.faults.engines import Place
from support.runs import PATIENCE, open_runtime, workflow_of

from cloacina_core.model.context import Context
from cloacina_core.model.workflow import Workflow

TIMEOUT = timedelta(seconds=0.3)


class OddError(BaseException):
    """Isn't an Exception, can't be pickled, and can't be told."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise SystemExit("nothing to say")


def _raising(error: BaseException) -> Callable[[Context], object]:
    def fail(_context: Context) -> None:
        raise error

    return fail


def _returning(value: object) -> Callable[[Context], object]:
    return lambda _context: {"value": value}


def _hang(_context: Context) -> None:
    while True:  # deaf to cancellation
        time.sleep(0.05)


def _recurse(context: Context) -> None:
    _recurse(context)


def _close_output(_context: Context) -> None:
    for file in (1, 2):
        os.close(file)
    sys.stdout.write("into nothing\n")


def _fork(_context: Context) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


SURVIVED: Mapping[str, tuple[Callable[[Context], object], str | None]] = {
    "exits": (lambda _context: sys.exit(3), "SystemExit"),
    "hangs": (_hang, "timeout"),
    "huge": (_returning("x" * 9_000_000), None),
    "object": (_returning(object()), "ContextValueError"),
    "not-a-number": (_returning(float("nan")), "ContextValueError"),
    "null-byte": (_returning("\0"), "ContextValueError"),
    "surrogate": (_returning("\ud800"), "ContextValueError"),
    "odd": (_raising(OddError()), "OddError"),
    "odd-message": (_raising(ValueError("\0 \ud800 " + "x" * 100_000)), "ValueError"),
    "recurses": (_recurse, "RecursionError"),
    "no-memory": (_raising(MemoryError()), "MemoryError"),
    "interrupts": (_raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "closes-output": (_close_output, None),
    "moves": (lambda _context: os.chdir("/"), None),
    "forks": (_fork, None),
}
"""What an engine with threads survives; and the error that it tells, if there is one."""


FATAL: Mapping[str, Callable[[Context], object]] = {
    "kills": lambda _context: os.kill(os.getpid(), signal.SIGKILL),
    "leaves": lambda _context: os._exit(3),
    "segfaults": lambda _context: ctypes.string_at(0),
}
"""What takes an engine with it that runs tasks in threads."""

NEIGHBOUR = "neighbour"


def _be_a_neighbour(context: Context) -> dict[str, object]:
    time.sleep(0.1)
    return {"done": context.attempt}


def _workflows(animals: Mapping[str, Callable[[Context], object]]) -> list[Workflow]:
    options = {"hangs": {"timeout": TIMEOUT}}
    return [
        workflow_of({name: []}, functions={name: animal}, options=options, name=name)
        for name, animal in {**animals, NEIGHBOUR: _be_a_neighbour}.items()
    ]


def visit(place: Place) -> None:
    """Run all that is survived, beside a neighbour."""
    flows = _workflows({name: animal for name, (animal, _) in SURVIVED.items()})
    with open_runtime(place.home, place.url, workflows=flows) as runtime:
        for handle in [runtime.submit(flow) for flow in (flows[-1], *flows)]:
            handle.result(timeout=PATIENCE)


def be_killed(place: Place, name: str) -> None:
    """Submit a fatal run and a neighbour, if they aren't there yet, and wait for both."""
    flows = _workflows({name: FATAL[name]})
    with open_runtime(place.home, place.url, workflows=flows) as runtime:
        handles = [runtime.submit(flow, idempotency_key=flow.name) for flow in reversed(flows)]
        for handle in handles:
            handle.result(timeout=PATIENCE)
