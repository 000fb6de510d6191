"""Chooses how the processes of attempts are started on this host."""

import os
import sys
from collections.abc import Mapping
from enum import StrEnum

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import ConfigurationError
from cloacina_core.foundation.clock import Clock
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_core.worker.pool.lending import Loan, Pool
from cloacina_core.worker.pool.spawn_pool import SpawnPool
from cloacina_core.worker.pool.zygote_pool import ZygotePool


class StartMethod(StrEnum):
    """How the process of an attempt comes to be."""

    FORK = "fork"
    """Forked from a zygote, which has imported the code."""
    SPAWN = "spawn"
    """Started anew; it imports the code by itself."""


def default_start_method() -> StartMethod | None:
    """Return how processes are started on this host; None when they can't be."""
    if sys.platform == "win32":
        return None
    return StartMethod.FORK if hasattr(os, "pidfd_open") else StartMethod.SPAWN


def make_pool(clock: Clock, environ: Mapping[str, str], method: StartMethod | None) -> Pool:
    """Return what lends processes to attempts. It starts none before it is asked.

    Args:
        clock: tells when lines were printed.
        environ: the variables of all processes.
        method: how they are started; None when they can't be.
    """
    match method:
        case StartMethod.FORK:
            return ZygotePool(clock, environ)
        case StartMethod.SPAWN:
            return SpawnPool(environ)
        case None:
            return NoPool()


class NoPool:
    """Says that this host can't isolate attempts by processes."""

    folder = ""

    def lend(self, environment: WorkerEnvironment, stop: Stop) -> Loan:  # noqa: ARG002
        """Refuse.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "attempts can't have processes of their own on this platform",
            hint="run the engine on Linux or macOS, or the package without isolation in workers",
        )

    def close(self) -> None:
        """Do nothing: there is nothing."""
