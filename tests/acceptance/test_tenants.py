"""Two teams on one server, as their people and the administrator use it: by commands alone."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.shell import Shell
from support.tenants import connected, names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked for there"),
]

PATIENCE = 60

FLOWS = """
from cloacina_core import Workflow
flow = Workflow("flow")

@flow.task
def tell(context):
    return {"team": "acme"}
"""


class Engines:
    """`cloacina engine run --tenants`, and what it tells."""

    def __init__(self, shell: Shell) -> None:
        self.process = shell.start("engine", "run", "--tenants", "--drain-timeout", "0")
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()

    def told(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until so many lines fit a pattern; return the group of each."""
        end = time.monotonic() + PATIENCE
        with self._more:
            while len(found := re.findall(pattern, "".join(self._lines))) < count:
                assert self._more.wait(end - time.monotonic()), "".join(self._lines)
        return found

    def stop(self) -> int:
        """End it, if it hasn't ended; return its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only what its parent hasn't asked for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@contextmanager
def engines_of(shell: Shell) -> Iterator[Engines]:
    engines = Engines(shell)
    try:
        yield engines
    finally:
        engines.stop()


def team(operator: Shell, name: str, flows: str) -> Shell:
    """Make a tenant; return a shell of its people, who published a package `job` of theirs."""
    environment = operator.ok("tenant", "create", name, "--json").json["environment"]
    folder = operator.folder / f"people-of-{name}"
    folder.mkdir()
    home = Path(environment.get("CLOACINA_HOME", operator.home / "tenants" / name))
    shell = Shell(folder, home, environment)
    shell.ok("init", "--quiet")
    shell.publish(shell.project("job", flows))
    return shell


@pytest.fixture
def operator(fresh: Shell, postgresql_url: str) -> Shell:
    fresh.variables["CLOACINA_DATABASE_URL"] = postgresql_url
    return fresh


def test_one_command_serves_all_tenants(operator: Shell, postgresql_url: str) -> None:
    acme = team(operator, "acme", FLOWS)

    with engines_of(operator) as engines:
        (first,) = engines.told(r"tenant acme: engine started, process (\d+)")
        result = acme.ok("run", "job", "--json").json
        os.kill(int(first), signal.SIGKILL)
        second = int(engines.told(r"tenant acme: .*started, process (\d+)", 2)[1])
        variables = Path(f"/proc/{second}/environ").read_text()
        operator.ok("tenant", "create", "late")
        engines.told(r"tenant (late): engine started")
        operator.ok("tenant", "delete", "late", "--yes-delete", "late", "--quiet")
        engines.told(r"tenant (late): engine ended")
        status = engines.stop()

    assert result["context"] == {"team": "acme"}
    assert status == 0
    assert not is_running(second)
    assert postgresql_url not in variables
    with connected(postgresql_url) as connection:
        lent = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'cloacina_e_')"
        assert names(connection, lent) == []


def test_engines_end_with_the_command_that_started_them(fresh: Shell) -> None:
    fresh.ok("init")
    fresh.ok("tenant", "create", "acme")

    with engines_of(fresh) as engines:
        (pid,) = engines.told(r"tenant acme: engine started, process (\d+)")
        engines.process.kill()
        end = time.monotonic() + PATIENCE
        while is_running(int(pid)) and time.monotonic() < end:
            time.sleep(0.05)

    assert not is_running(int(pid))
