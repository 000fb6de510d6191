"""Runs a command.

1. There is no shell: the words are those of the configuration, and nothing that a run says gets
   among them. The notification comes on standard input.
2. The command gets no variable of the engine's environment but a few harmless ones and those that
   the configuration names.
3. It is a session of its own, and is killed with all that it left there, at its time limit and
   also when it ends by itself.
4. What it prints is read to the end, and all but the last of it forgotten.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from cloacina_notify.sending import Message, SendError

_HARMLESS = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER")
_KEPT_BYTES = 500
_CHUNK_BYTES = 65_536
_FAREWELL_SECONDS = 1.0
"""How long to wait for the end of the output of a command that was killed."""


@dataclass(frozen=True, slots=True)
class CommandSender:
    """Runs a command for each notification; it took it when it ends with 0."""

    argv: tuple[str, ...]
    variables: tuple[str, ...]
    """Names of variables that it gets besides the harmless ones."""
    timeout: float
    environment: Mapping[str, str]
    """That of this process."""

    def send(self, message: Message, now: datetime) -> None:  # noqa: ARG002 - it has a clock itself
        """Run the command.

        Raises:
            SendError: it ended with something else than 0, or not in time.
            OSError: it can't be run.
        """
        with tempfile.TemporaryFile() as body:  # unlike a pipe, it never waits to be read
            body.write(message.body.encode())
            body.seek(0)
            process = subprocess.Popen(  # noqa: S603 - see above
                self.argv,
                stdin=body,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(message),
                start_new_session=True,
            )
        output = _Output(process.stdout)
        try:
            status = process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            raise SendError(f"it took longer than {self.timeout:g} s") from None
        finally:
            with suppress(ProcessLookupError):  # nobody is left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            said = output.last()
        if status != 0:
            raise SendError(
                f"it ended with {status}: {said}" if said else f"it ended with {status}"
            )

    def _environment(self, message: Message) -> dict[str, str]:
        names = (*_HARMLESS, *self.variables)
        own = {name: self.environment[name] for name in names if name in self.environment}
        return {**own, "CLOACINA_NOTIFICATION_ID": message.id}


class _Output:
    """Reads what a command prints, so that it never waits, and keeps the last of it."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        if pipe is None:
            raise AssertionError("the output was asked for")
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(
            target=self._read, name="cloacina-notify-output", daemon=True
        )
        self._thread.start()

    def last(self) -> str:
        """Return the last of what was printed, once the command is gone."""
        self._thread.join(_FAREWELL_SECONDS)  # what left the session may have the pipe still
        return self._kept.decode("utf-8", "replace").strip()

    def _read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _CHUNK_BYTES):
                self._kept = (self._kept + chunk)[-_KEPT_BYTES:]
