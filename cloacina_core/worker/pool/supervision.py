"""The supervisor process, as the engine knows it."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cloacina_core.worker.failures import NOT_STARTED, WorkerFailedError
from cloacina_core.worker.frames import frame_of
from cloacina_core.worker.inside.children import GRACE_SECONDS
from cloacina_core.worker.pool.family import Family

_BOOTSTRAP = Path(__file__).parents[1] / "inside" / "bootstrap.py"
INTERPRETER = (sys.executable, "-I", "-S", str(_BOOTSTRAP))
"""Isolated (no variables, no folder of the user's) and without `site` (no `.pth` files)."""


class Supervision:
    """A supervisor process."""

    def __init__(self, environ: Mapping[str, str], folder: str) -> None:
        """Start it.

        Args:
            environ: its variables, and those of all processes below it.
            folder: for temporary files; it removes it at its end.

        Raises:
            WorkerFailedError: it can't be started.
        """
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [*INTERPRETER, "supervisor", str(theirs.fileno()), str(os.getpid())],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise WorkerFailedError(NOT_STARTED, f"no process for attempts: {error}") from error
        finally:
            theirs.close()
        ours.sendall(frame_of({"type": "begin", "folder": folder}))
        self.family = Family(ours)
        """What it forks."""

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """Have it end everything below it, and wait until it has."""
        self.family.close()
        try:
            self._process.wait(2 * GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
