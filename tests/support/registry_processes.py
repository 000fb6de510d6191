"""What other processes do to a registry in tests. They are spawned, so they import this by name."""

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from support.registry import SignedWheel, StoreView, registry_on

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.digest import Digest
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


class _DeadlyBlobStore(FileBlobStore):
    """A store in which the process dies once the bytes are stored."""

    def has(self, digest: Digest) -> bool:
        assert super().has(digest)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("dead processes don't get here")


def upload_and_die_before_the_commit(home: Path, wheel: SignedWheel) -> None:
    """Upload, and die when all is written and nothing is committed."""
    view = StoreView(home)
    blobs = _DeadlyBlobStore(home / "blobs")
    wheel.upload_to(registry_on(view, blobs))


def upload_at_the_signal(
    home: Path, wheel: SignedWheel, start: "Barrier", answers: "Queue[tuple[str, str]]"
) -> None:
    """Upload when all others are ready, and answer what came of it, with the winner's digest."""
    registry = Registry.of(StoreView(home))
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
