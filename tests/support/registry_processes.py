"""What other processes do to a registry in tests. They are spawned, so they import this by name."""

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection
from support.dependencies import Distribution, given
from support.registry import SignedWheel, StoreView, registry_on

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import Digest
from cloacina_core.plugin import BlobStore, RuntimeView
from cloacina_registry.errors import ReleaseExistsError
from cloacina_registry.registry import Registry
from cloacina_registry.storage.blobs import FileBlobStore

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 60.0
"""Seconds after which a test gives a process up."""


def run_until_it_dies(target: Callable[..., None], *args: object) -> None:
    """Run a function in a process, and see it end by SIGKILL."""
    process = SPAWN.Process(target=target, args=args)
    process.start()
    process.join(timeout=PATIENCE)
    assert process.exitcode == -signal.SIGKILL


def upload_and_die_at_sync(home: Path, wheel: SignedWheel, number: int) -> None:
    """Upload, and die in place of making something durable for the n-th time."""
    registry = Registry.of(StoreView(home))
    sync, left = os.fsync, number

    def deadly_sync(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)

    os.fsync = deadly_sync
    wheel.upload_to(registry)


STEPS = (
    "before the put",
    "after the put",
    "in the transaction",
    "before the commit",
    "after the commit",
)
"""Where an upload can be cut off, in their order."""


@dataclass(frozen=True, slots=True)
class Home:
    """What a process needs to open a home."""

    folder: Path
    url: str
    in_database: bool
    """Whether the wheels are in the database, or in the folder."""

    def open(self) -> StoreView:
        """Return a view of it, with the time of day."""
        return StoreView(self.folder, SystemClock(), self.url, in_database=self.in_database)


class _DeadlyBlobs:
    """The blob store of a home, in which the process dies at a step."""

    def __init__(self, blobs: BlobStore, step: str, of: str | None = None) -> None:
        """Die when it is asked whether it has some bytes; None: any."""
        self._blobs = blobs
        self._step = step
        self._of = of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def put(self, data: bytes) -> Digest:
        self._die_at(STEPS[0])
        return self._blobs.put(data)

    def has(self, digest: Digest) -> bool:
        if self._of in {None, digest}:
            self._die_at(STEPS[2])
        return self._blobs.has(digest)

    def _die_at(self, step: str) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


class _DeadlyView:
    """A home whose transactions end the process at a step."""

    def __init__(self, view: StoreView, step: str) -> None:
        self._view = view
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self._die_at(STEPS[1])
        with self._view.begin() as connection:
            yield connection
            self._die_at(STEPS[3])
        self._die_at(STEPS[4])

    def _die_at(self, step: str) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


def upload_and_die(home: Home, wheel: SignedWheel, step: str) -> None:
    """Upload, and die at a step."""
    view = home.open()
    blobs = cast(BlobStore, _DeadlyBlobs(view.blob_store(), step))
    wheel.upload_to(registry_on(cast(RuntimeView, _DeadlyView(view, step)), blobs))


def upload_with_dependencies_and_die(
    home: Home, wheel: SignedWheel, dependencies: Sequence[Distribution], step: str
) -> None:
    """Upload with wheels that it depends on, and die at a step."""
    view = home.open()
    blobs = cast(BlobStore, _DeadlyBlobs(view.blob_store(), step, of=wheel.digest))
    registry = registry_on(cast(RuntimeView, _DeadlyView(view, step)), blobs)
    wheel.upload_to(registry, given(*dependencies))


def upload_at_the_signal(
    home: Home, wheel: SignedWheel, start: "Barrier", answers: "Queue[tuple[str, str]]"
) -> None:
    """Upload when all others are ready, and answer what came of it, with the winner's digest."""
    registry = Registry.of(home.open())
    start.wait(timeout=PATIENCE)
    try:
        wheel.upload_to(registry)
    except ReleaseExistsError as error:
        answers.put((error.code, error.published))
    else:
        answers.put(("published", wheel.digest))


def put_with_little_room(folder: Path, size: int, answers: "Queue[str]") -> None:
    """Store bytes where only half of them fit, and answer what came of it.

    The limit on the size of files stops the write half-way, as a full disk does.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        FileBlobStore(folder).put(os.urandom(size))
    except StoreUnavailableError as error:
        answers.put(error.message)
    else:
        answers.put("stored")
