"""Starts what is measured, each in a process of its own, and makes the environments of peers."""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = {
    "dbos": ["dbos==3.4.0", "psycopg[binary]>=3.2"],
    "ray": ["ray==2.60.0"],
}
"""What is installed for each peer."""
INSTALL_SECONDS = 300


class UnavailableError(Exception):
    """A contender can't take part here, and why."""


@dataclass(frozen=True, slots=True)
class Program:
    """A contender that can be started."""

    name: str
    python: str
    """The interpreter of its environment."""

    @contextmanager
    def running(self, url: str) -> Iterator["Contender"]:
        """Start it on a store, and end it."""
        with tempfile.TemporaryDirectory(prefix="bench-home-") as home:
            script = str(HERE / f"run_{self.name}.py")
            process = subprocess.Popen(
                [self.python, script, url, home],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            with process:
                yield Contender(self.name, process)

    def cold_start(self, url: str) -> float:
        """Return the seconds from the start of a process to its first result, on a new store."""
        began = time.perf_counter()
        with self.running(url) as contender:
            contender.ask("lone", shape="chain", size=1, repeats=1)
            return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Contender:
    """A contender that runs. Its input closes, and it ends, when its program's block ends."""

    name: str
    process: "subprocess.Popen[str]"

    def ask(self, act: str, **details: Any) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            UnavailableError: it ended instead.
        """
        incoming, outgoing = self.process.stdin, self.process.stdout
        if incoming is None or outgoing is None:
            raise AssertionError("a contender is started with pipes")
        try:
            incoming.write(json.dumps({"act": act, **details}) + "\n")
            incoming.flush()
        except BrokenPipeError:
            pass  # the answer, which is none, tells it
        answer = outgoing.readline()
        if not answer:
            raise UnavailableError(f"{self.name} ended when asked for {act}")
        told: dict[str, Any] = json.loads(answer)
        return told


def our_own(name: str) -> Program:
    """Return a contender that runs in the environment of the benchmark."""
    return Program(name, sys.executable)


def peer(name: str, cache: Path) -> Program:
    """Return a peer, installed into an environment that is kept in the cache.

    Raises:
        UnavailableError: it can't be installed.
    """
    folder = cache / f"{name}-py{sys.version_info.major}{sys.version_info.minor}"
    wanted, installed = "\n".join(PEERS[name]), folder / "installed.txt"
    program = Program(name, str(folder / "bin" / "python"))
    if installed.exists() and installed.read_text() == wanted:
        return program
    try:
        venv.create(folder, clear=True, with_pip=True)
        command = [program.python, "-m", "pip", "install", "--quiet", *PEERS[name]]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.SubprocessError as error:
        raise UnavailableError(f"{name} can't be installed: {error}") from error
    installed.write_text(wanted)
    return program


def default_cache() -> Path:
    """Return the folder where the environments of peers are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cloacina-bench"
