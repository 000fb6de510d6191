"""Has `cloacina` commands run by a process that imported them already: see `command_server`.

Run as a script, it is such a command itself: for shells, which begin what lies on their path.
"""

import atexit
import functools
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

SERVER = Path(__file__).with_name("command_server.py")

_SCRIPT = """\
#!/bin/sh
# With another path to import from, it is begun anew: the server has imported all it will.
[ "${{PYTHONPATH-}}" = {path} ] || exec {cloacina} "$@"
exec {python} -I -S {module} {address} "$@"
"""


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
        ):
            given.write((stdin or "").encode())
            given.seek(0)
            descriptors = [file.fileno() for file in (given, out, err)]
            status = asked(self._address, request, descriptors, seconds)
            return status, _text(out), _text(err)

    def write_script(self, file: Path) -> None:
        """Write a script that has its arguments run: a `cloacina` for shells."""
        values = {
            "path": os.environ.get("PYTHONPATH", ""),
            "cloacina": str(Path(sys.executable).with_name("cloacina")),
            "python": sys.executable,
            "module": __file__,
            "address": self._address,
        }
        text = _SCRIPT.format_map({name: shlex.quote(value) for name, value in values.items()})
        file.write_text(text)
        file.chmod(0o755)


def asked(
    address: str, request: Mapping[str, object], descriptors: Sequence[int], seconds: float | None
) -> int:
    """Have a server run a command with these streams; return its status.

    Raises:
        TimeoutError: it takes too long, and was killed.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(address)
        data = f"{json.dumps(request)}\n".encode()
        sent = socket.send_fds(connection, [data], descriptors)
        connection.sendall(data[sent:])
        with connection.makefile() as answers:
            pid = int(answers.readline())
            try:
                return int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise


@functools.cache
def command_server() -> CommandServer:
    """Return the server of this process."""
    return CommandServer()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return io.TextIOWrapper(io.BytesIO(file.read()), "utf-8").read()  # with one end of lines


if __name__ == "__main__":
    address, *arguments = sys.argv[1:]
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    status = asked(address, request, [0, 1, 2], seconds=None)
    sys.exit(status if status >= 0 else 128 - status)
