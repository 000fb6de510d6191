"""Two teams on one server, as their people and the administrator use it: by commands alone."""

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pytest
from sqlalchemy import select
from support.shell import Shell
from support.tenants import connected, names

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.runtime import Runtime
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.reading import RunFilter

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

GATED = """
import time
from pathlib import Path
from cloacina_core import Workflow
flow = Workflow("flow")

@flow.task
def work(context):
    while not Path(context.params["gate"]).exists():
        time.sleep(0.01)
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


def team(operator: Shell, name: str, like: Shell | None = None) -> Shell:
    """Make a tenant; return a shell of its people, with a home like that of others if need be."""
    environment = operator.ok("tenant", "create", name, "--json").json["environment"]
    folder = operator.folder / f"people-of-{name}"
    folder.mkdir()
    home = Path(operator.ok("tenant", "show", name, "--json").json["home"])
    shell = Shell(folder, home, environment)
    if like is None:
        shell.ok("init", "--quiet")
    else:
        shutil.copytree(like.home, home, dirs_exist_ok=True)
    return shell


def submitting(shell: Shell) -> Runtime:
    """Return a runtime of a team that submits and looks, and leaves the work to others."""
    url = shell.variables["CLOACINA_DATABASE_URL"]
    return Runtime.open(url, shell.home, recover=False)


def submitted(runtime: Runtime, *gates: Path) -> list[RunId]:
    """Submit runs that end once there is a file."""
    all_params = [{"gate": str(gate)} for gate in gates]
    return [one.id for one in runtime.submit_many("job", all_params, detach=True)]


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that will be so."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_at_work(runtime: Runtime, run_id: RunId) -> bool:
    """Whether the task of a run runs."""
    return runtime.get(run_id).tasks["work"].status is TaskStatus.RUNNING


def ended(runtime: Runtime) -> list[RunId]:
    """Return the runs that succeeded, oldest first."""
    found = runtime.list(RunFilter(status=RunStatus.SUCCEEDED), limit=1000)
    return [run.run_id for run in reversed(found)]


def attempts_of(shell: Shell) -> list[tuple[int, int | None]]:
    """Return when each attempt of a team began, and when it ended, oldest first."""
    database = Database(shell.variables["CLOACINA_DATABASE_URL"], SystemClock())
    table = schema.attempts.c
    with database.read() as connection:
        query = select(table.started_at, table.finished_at).order_by(table.started_at)
        found = [(row[0], row[1]) for row in connection.execute(query)]
    database.close()
    return found


def slots_of(shell: Shell, pid: int) -> int:
    """Return how many slots an engine of a team says that it has."""
    found = shell.ok("engines", "list", "--json").json
    return int(next(one["slots"] for one in found if one["pid"] == pid))


def most_at_once(attempts: Sequence[tuple[int, int | None]]) -> int:
    """Return how many attempts there were at a time at most."""
    changes = [(began, 1) for began, _ in attempts]
    changes += [(ended, -1) for _, ended in attempts if ended is not None]
    return max(accumulate(change for _, change in sorted(changes)))


@pytest.fixture
def postgresql_url(empty_postgresql_url: str) -> str:
    """Return an installation's database as it is before its first tenant."""
    return empty_postgresql_url


@pytest.fixture
def operator(fresh: Shell, postgresql_url: str) -> Shell:
    fresh.variables["CLOACINA_DATABASE_URL"] = postgresql_url
    return fresh


def test_one_command_serves_all_tenants(operator: Shell, postgresql_url: str) -> None:
    acme = team(operator, "acme")
    acme.publish(acme.project("job", FLOWS))

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
        public = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        assert names(connection, public) == []


def test_an_administrator_does_commands_as_a_tenant(operator: Shell, postgresql_url: str) -> None:
    operator.ok("tenant", "create", "acme", "--quiet")

    operator.ok("tenant", "exec", "acme", "init", "--quiet")
    operator.ok("tenant", "exec", "acme", "limits", "set", "api", "3", "--quiet")
    told = operator.ok("tenant", "exec", "acme", "audit", "list", "--json").json
    unknown = operator.run("tenant", "exec", "acme", "runs", "show", "none", "--json")
    nobody = operator.run("tenant", "exec", "zenith", "runs", "list", "--json")

    assert ("set_limit", "api") in [(one["verb"], one["target"]) for one in told]
    assert (unknown.status, unknown.error["code"]) == (3, "unknown-run")
    assert nobody.status == 3
    home = Path(operator.ok("tenant", "show", "acme", "--json").json["home"])
    assert (home / "keys").is_dir()
    ours = operator.ok("audit", "list", "--json").json
    assert {(one["verb"], one["target"]) for one in ours} >= {("tenants.exec", "acme")}
    with connected(postgresql_url) as connection:
        lent = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'cloacina_e_')"
        assert names(connection, lent) == []
        public = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        assert names(connection, public) == []


def test_what_is_done_as_a_tenant_ends_with_whoever_asked_for_it(
    operator: Shell, postgresql_url: str, tmp_path: Path
) -> None:
    operator.ok("tenant", "create", "acme", "--quiet")
    ready = tmp_path / "ready"

    outer = operator.start("tenant", "exec", "acme", "engine", "run", "--ready-file", str(ready))
    until(ready.exists)
    engine = json.loads(ready.read_text())["pid"]
    outer.send_signal(signal.SIGTERM)
    told, _ = outer.communicate(timeout=PATIENCE)

    assert outer.returncode == 0
    assert told.startswith("ready")
    assert not is_running(engine)
    entries = operator.ok("audit", "list", "--tenants", "--json").json
    outcomes = {one["verb"]: one["outcome"] for one in entries}
    assert outcomes["tenants.exec"] == "done"
    with connected(postgresql_url) as connection:
        lent = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'cloacina_e_')"
        assert names(connection, lent) == []


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel tells of a parent's death")
def test_what_is_done_as_a_tenant_is_killed_with_whoever_asked_for_it(
    operator: Shell, tmp_path: Path
) -> None:
    operator.ok("tenant", "create", "acme", "--quiet")
    ready = tmp_path / "ready"

    outer = operator.start("tenant", "exec", "acme", "engine", "run", "--ready-file", str(ready))
    until(ready.exists)
    engine = json.loads(ready.read_text())["pid"]
    outer.kill()
    outer.communicate(timeout=PATIENCE)

    until(lambda: not is_running(engine))


def test_a_tenant_that_floods_leaves_others_their_share(operator: Shell, tmp_path: Path) -> None:
    slots, flood = 2, 100
    operator.variables |= {"CLOACINA_SLOTS": str(slots), "CLOACINA_LEASE": "2"}
    operator.variables["CLOACINA_ISOLATION"] = "auto"  # in threads, where tasks see the gates
    acme = team(operator, "acme")
    zenith = team(operator, "zenith", like=acme)
    wheel = acme.publish(acme.project("job", GATED))["file"]
    zenith.ok("registry", "upload", wheel)
    gates = [tmp_path / gate for gate in ("first", "second", *["rest"] * flood)]

    with engines_of(operator) as engines, submitting(acme) as floods, submitting(zenith) as asks:
        pid = int(engines.told(r"tenant acme: engine started, process (\d+)")[0])
        ids = submitted(floods, *gates)
        # As long as nobody else wants any, all slots are the flood's.
        until(lambda: all(is_at_work(floods, run_id) for run_id in ids[:slots]))
        small = submitted(asks, tmp_path / "small")
        # What runs isn't cancelled, but one of the two slots will not be used again.
        until(lambda: slots_of(acme, pid) == 1)
        (tmp_path / "small").touch()
        (tmp_path / "first").touch()
        until(lambda: ended(asks) == small)
        ended_before = ended(floods)
        (tmp_path / "second").touch()
        (tmp_path / "rest").touch()
        until(lambda: ended(floods) == ids)

    assert ended_before == ids[:1]
    assert most_at_once([*attempts_of(acme), *attempts_of(zenith)]) == slots


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
