"""Engines in processes of their own, which the harness may kill, freeze and thaw.

They are forked off a server that has imported everything: a series of many engines costs little.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import make_url
from support.faults.aims import Aim, Killer
from support.faults.ledger import Ledger
from support.faults.workload import LONGEST_TASK, SLOTS, approve, submit, workflow
from support.runs import PATIENCE, open_runtime

from cloacina_core.errors import CloacinaError, StoreError
from cloacina_core.runtime import Runtime, engine_host

FORKS = multiprocessing.get_context("forkserver")
# Each child imports what the main module of its parent is, too.
FORKS.set_forkserver_preload(["pytest", __name__])

_PAUSE = 0.02
"""Seconds between looks whether anything is left to do."""


@dataclass(frozen=True)
class Place:
    """A store, and what stands beside it."""

    home: Path
    url: str

    @property
    def kind(self) -> str:
        """The name of the database."""
        return make_url(self.url).get_backend_name()

    @property
    def ledger(self) -> Ledger:
        """What was done there."""
        return Ledger(self.home / "ledger")


@dataclass(frozen=True)
class Orders:
    """What an engine's process does."""

    place: Place
    keys: Sequence[str] = ()
    """What it submits, before it goes on with all that there is."""
    aim: Aim | None = None
    lease: timedelta = timedelta(seconds=15)
    longest_task: float = LONGEST_TASK
    before: Callable[[], object] | None = None
    """What is done to the process before its engine begins."""


def run_engine(orders: Orders) -> None:
    """Submit what is to be submitted, and work until nothing is left."""
    place, ledger = orders.place, orders.place.ledger
    if orders.before is not None:
        orders.before()
    if orders.aim is not None:
        killer = Killer(orders.aim, ledger)
        engine_host.RunWriter = killer.writer()  # type: ignore[misc]
        engine_host.Claims = killer.claims()  # type: ignore[misc]
    flow = workflow(ledger, orders.longest_task)
    try:
        with open_runtime(
            place.home, place.url, workflows=[flow], slots=SLOTS, lease=orders.lease
        ) as runtime:
            ledger.write("engine", runtime.engine_id, os.getpid())
            submit(runtime, flow, ledger, orders.keys)
            while _is_anything_left(runtime, ledger):
                time.sleep(_PAUSE)
    except CloacinaError as error:
        sys.exit(f"{type(error).__name__}: {error}")


def _is_anything_left(runtime: Runtime, ledger: Ledger) -> bool:
    try:
        return approve(runtime, ledger)
    except StoreError:  # it may be away for a while
        return True


class EngineProcess:
    """An engine's process, seen from outside."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self._process: BaseProcess = FORKS.Process(target=run_engine, args=(orders,), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it hasn't ended."""
        return self._process.is_alive()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()

    def freeze(self) -> None:
        """Stop it where it stands."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> int:
        """Return how it ended, once it has."""
        self._process.join(PATIENCE)
        assert self._process.exitcode is not None, "the engine never ended"
        return self._process.exitcode

    @property
    def was_killed(self) -> bool:
        """Whether it ended as `kill -9` ends."""
        return self._process.exitcode == -signal.SIGKILL


@contextmanager
def engines() -> Iterator[Callable[[Orders], EngineProcess]]:
    """Yield what starts engines; those that still live in the end are killed."""
    started: list[EngineProcess] = []

    def start(orders: Orders) -> EngineProcess:
        started.append(EngineProcess(orders))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            if process.is_alive:
                process.kill()
                process.wait()
