"""Workers that are spawned, each for one attempt, where nothing can be forked from a zygote."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cloacina_core.engine.call import LogEntry
from cloacina_core.engine.stop import Stop
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_core.worker.failures import NOT_STARTED, WorkerFailedError
from cloacina_core.worker.frames import frame_of
from cloacina_core.worker.pool.lending import Loan
from cloacina_core.worker.pool.supervision import INTERPRETER
from cloacina_core.worker.pool.waker import Waker
from cloacina_core.worker.pool.worker import Lines, Worker, open_lines
from cloacina_core.worker.pool.zygotes import code_of
from cloacina_core.worker.processes import remove_folder


class SpawnPool:
    """Spawns a process for each attempt."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Prepare.

        Args:
            environ: the variables of all processes.
        """
        self._environ = environ
        self._lock = threading.Lock()
        self._life: tuple[int, int] | None = None
        """The ends of a pipe that nobody writes to: it is closed when the engine is gone."""
        self._closed = False
        self.folder = ""

    def lend(self, environment: WorkerEnvironment, stop: Stop) -> Loan:  # noqa: ARG002 - no wait
        """Return a worker for one attempt; its process begins with the attempt."""
        with self._lock:
            if self._closed:
                raise WorkerFailedError(NOT_STARTED, "this engine is being closed")
            if self._life is None:
                self._life = os.pipe()
                self.folder = tempfile.mkdtemp(prefix="cloacina-")
            life, _ = self._life
        return _Loan(LoneWorker(environment, self._environ, life))

    def close(self) -> None:
        """End all processes, those of attempts that still run included."""
        with self._lock:
            self._closed = True
            ends, self._life = self._life, None
        if ends is not None:
            for end in reversed(ends):  # the writing end first: they see that
                os.close(end)
            remove_folder(self.folder)


class _Loan:
    """A worker that is used once."""

    told: Mapping[str, Any] | None = None
    logs: tuple[LogEntry, ...] = ()

    def __init__(self, worker: "LoneWorker") -> None:
        self.worker: Worker = worker

    def end(self, *, is_usable: bool) -> None:  # noqa: ARG002 - it is used once
        """Let go of it."""
        self.worker.close()


class LoneWorker:
    """A process that isn't spawned before its attempt begins."""

    imports_itself = True

    def __init__(
        self, environment: WorkerEnvironment, environ: Mapping[str, str], life: int
    ) -> None:
        """Prepare.

        Args:
            environment: whose code it imports.
            environ: its variables.
            life: a pipe that is closed when the engine is gone.
        """
        self.waker = Waker()
        self._environment = environment
        self._environ = environ
        self._life = life
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, message: Mapping[str, Any]) -> Lines:
        """Spawn the process of an attempt."""
        ours, theirs = open_lines()
        connection = theirs.connection.fileno()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [*INTERPRETER, "lone", str(connection), str(self._life)],
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=theirs.output,
                stderr=theirs.errors,
                pass_fds=[connection, self._life],
                start_new_session=True,
            )
            ours.connection.sendall(frame_of({**message, **code_of(self._environment)}))
        except OSError as error:
            ours.close()
            raise WorkerFailedError(NOT_STARTED, f"no process for attempts: {error}") from error
        finally:
            theirs.close()
        return ours

    def kill(self) -> None:
        """Kill the process and its group."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def ended(self) -> None:
        """Return None: not everywhere does a descriptor tell of the end of a process."""

    def status(self) -> int | None:
        """Return how the process ended, as `os.waitpid` tells it; None before that."""
        if self._process is None:
            raise AssertionError("only a process that was begun can end")
        pid = self._process.pid
        try:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            ended = None
        if ended is None:
            return None
        with suppress(ProcessLookupError):  # while its id can't be another's yet
            os.killpg(pid, signal.SIGKILL)
        code = self._process.wait()
        return -code if code < 0 else code << 8

    def close(self) -> None:
        """Let go of what the process left."""
        self.kill()
        if self._process is not None:
            self._process.wait()
        self.waker.close()
