"""Has `cloacina` commands run by a process that imported them already: see `command_server`."""

import atexit
import functools
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

SERVER = Path(__file__).with_name("command_server.py")


class CommandServer:
    """The server of this process, begun when it is first used."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="commands-")
        self._address = str(Path(self._folder.name) / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen()
            # It ends when the pipe to its standard input is closed, however this process ends.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(SERVER), str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End the server."""
        self._process.communicate()  # closes its standard input
        self._folder.cleanup()

    def run(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdin: str | None,
        seconds: float,
    ) -> tuple[int, str, str]:
        """Run a command; return its status as `subprocess` tells it, and what it printed.

        Raises:
            TimeoutError: it takes too long, and was killed.
        """
        request = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            given.write((stdin or "").encode())
            given.seek(0)
            connection.settimeout(seconds)
            connection.connect(self._address)
            descriptors = [file.fileno() for file in (given, out, err)]
            data = f"{json.dumps(request)}\n".encode()
            sent = socket.send_fds(connection, [data], descriptors)
            connection.sendall(data[sent:])
            with connection.makefile() as answers:
                status = self._status(answers)
            return status, _text(out), _text(err)

    def _status(self, answers: IO[str]) -> int:
        pid = int(answers.readline())
        try:
            return int(answers.readline())
        except TimeoutError:
            os.kill(pid, 9)
            raise


@functools.cache
def command_server() -> CommandServer:
    """Return the server of this process."""
    return CommandServer()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return io.TextIOWrapper(io.BytesIO(file.read()), "utf-8").read()  # with one end of lines
