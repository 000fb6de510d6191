"""Processes of workers: how they import, how many there are, and what becomes of each when another
ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.workers import Bench, Descendants, environ_with_tests, make_worker_pool

from cloacina_core.engine.call import Outcome
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.environ import scrubbed
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.worker.pool.pools import StartMethod
from cloacina_core.worker.pool.zygote_pool import ZygotePool

pytestmark = pytest.mark.slow

TASK = "@{}.task\ndef ok(context):\n    return {{'said': 'ok'}}\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench.opened(tmp_path) as opened:
        yield opened


def use(bench: Bench, code: str) -> None:
    """Let the bench run a workflow made of this code, which `crasher` names."""
    name = f"other_{digest_of_text(code)[-12:]}"
    header = "from cloacina_core import Workflow\ncrasher = Workflow('crasher')\n"
    (bench.folder / f"{name}.py").write_text(f"{header}{TASK.format('crasher')}{code}")
    bench.use({"crasher": f"{name}:crasher"})


def told(outcome: Outcome) -> tuple[str, str]:
    assert outcome.outcome is AttemptOutcome.FAILED
    assert outcome.failure is not None
    return outcome.failure.type, outcome.failure.message


def test_what_an_import_raises_is_told_and_not_tried_again(bench: Bench):
    use(bench, "print('half way')\nimport no_such_module\n")

    outcome = bench.result("ok")

    kind, message = told(outcome)
    assert kind == "worker-import"
    assert message.endswith("ModuleNotFoundError: No module named 'no_such_module'")
    assert outcome.failure is not None
    assert "import no_such_module" in outcome.failure.traceback
    assert [line for _, _, line in outcome.logs] == ["half way"]
    assert not outcome.may_retry


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(3)", "can't be imported: SystemExit: 3"),
        ("crasher = 5", "crasher is a int, not a Workflow"),
        ("del crasher", "has no attribute 'crasher'"),
    ],
)
def test_an_entry_point_that_is_no_workflow_fails_its_attempts(
    bench: Bench, code: str, message: str
):
    use(bench, code)

    kind, found = told(bench.result("ok"))

    assert kind == "worker-import"
    assert message in found


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; print('so far', flush=True); os._exit(3)", "exited with status 3 before it "),
        ("print('so far', flush=True)\nimport ctypes; ctypes.string_at(0)", "was ended by signal"),
    ],
)
def test_an_import_that_ends_its_process_fails_the_attempts_that_wait_for_it(
    bench: Bench, code: str, how: str
):
    use(bench, code)
    bench.submit("ok")
    bench.submit("ok")

    for outcome in (bench.outcome(), bench.outcome()):
        kind, message = told(outcome)
        assert kind == "worker-import"
        assert f"its process {how}" in message
        assert [line for _, _, line in outcome.logs] == ["so far"]
        assert outcome.may_retry

    use(bench, "")
    assert bench.result("ok").outcome is AttemptOutcome.SUCCEEDED


def test_an_import_that_hangs_ends_and_nothing_of_it_stays(
    tmp_path: Path, descendants: Descendants
):
    pool = ZygotePool(SystemClock(), scrubbed(os.environ), import_seconds=1)
    with Bench.opened(tmp_path, pool) as bench:
        bench.result("ok")
        processes = descendants()
        use(bench, "import os, time\nif os.fork() == 0: os.setsid()\nwhile True: time.sleep(1)")

        kind, message = told(bench.result("ok"))

        assert (kind, message) == ("worker-import", "importing its code took too long")
        bench.until(lambda: descendants() == processes)


def test_an_attempt_that_is_given_up_does_not_wait_for_an_import(bench: Bench):
    use(bench, "import pathlib, time\npathlib.Path(__file__ + '.begun').touch()\ntime.sleep(1000)")
    key = bench.submit("ok")
    bench.until(lambda: list(bench.folder.glob("*.begun")))

    bench.executor.abandon(key)

    assert told(bench.outcome()) == ("worker-start", "asked to end before it began")


def test_code_that_starts_threads_when_it_is_imported_runs_all_the_same(bench: Bench):
    use(
        bench,
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
        "@crasher.task\n"
        "def neighbour(context):\n"
        "    return {'threads': threading.active_count()}\n",
    )

    assert bench.result("ok").changes == {"said": '"ok"'}
    assert bench.result("neighbour").changes == {"threads": "2"}


def test_what_importing_by_oneself_raises_is_told(tmp_path: Path):
    with Bench.opened(tmp_path, make_worker_pool(StartMethod.SPAWN)) as bench:
        use(bench, "print('half way')\nimport no_such_module\n")

        outcome = bench.result("ok")

    assert told(outcome)[0] == "worker-import"
    assert [line for _, _, line in outcome.logs] == ["half way"]
    assert not outcome.may_retry


@pytest.mark.parametrize("method", StartMethod)
def test_a_process_that_is_not_kept_from_enough_runs_no_code(tmp_path: Path, method: StartMethod):
    with Bench.opened(tmp_path, make_worker_pool(method)) as bench:
        bench.not_confined = True
        refused = bench.result("ok")
        bench.not_confined = False

        assert told(refused) == ("cloacina_core.errors.ConfigurationError", "not confined")
        assert not refused.may_retry
        assert bench.result("ok").outcome is AttemptOutcome.SUCCEEDED


@pytest.mark.parametrize("method", StartMethod)
def test_code_that_is_not_what_its_release_says_is_not_run(tmp_path: Path, method: StartMethod):
    with Bench.opened(tmp_path, make_worker_pool(method)) as bench:
        bench.use({"crasher": "crasher:crasher"}, refusing="the manifest says otherwise")

        assert told(bench.result("ok"))[1] == "the manifest says otherwise"
        assert told(bench.result("ok"))[1] == "the manifest says otherwise"


@pytest.mark.parametrize("who", ["keeper", "zygote", "supervisor"])
def test_whoever_is_killed_is_replaced(descendants: Descendants, bench: Bench, who: str):
    bench.submit("hang")
    pid = int(bench.wait_for("hangs"))
    above = {"keeper": 1, "zygote": 2, "supervisor": 3}[who]

    for _ in range(above):
        pid = parent_of(pid)
    os.kill(pid, signal.SIGKILL)

    assert told(bench.outcome())[0] == "worker-crashed"
    assert bench.result("ok").outcome is AttemptOutcome.SUCCEEDED
    bench.until(lambda: pid not in descendants())


def parent_of(pid: int) -> int:
    _, _, facts = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")
    return int(facts.split()[1])


def test_a_task_that_kills_its_keeper_ends_only_itself(bench: Bench):
    bench.submit("neighbour")
    bench.wait_for("neighbour")

    assert told(bench.result("kill_the_keeper"))[0] == "worker-crashed"

    (bench.folder / "end").touch()
    assert bench.outcome().changes == {"said": '"unharmed"'}


def test_environments_that_were_not_used_for_long_make_room(
    tmp_path: Path, descendants: Descendants
):
    pool = ZygotePool(SystemClock(), scrubbed(os.environ), most_zygotes=2)
    with Bench.opened(tmp_path, pool) as bench:
        counts = []
        for number in range(4):
            use(bench, f"number = {number}")
            bench.result("ok")
            counts.append(len(descendants()))

        bench.until(lambda: len(descendants()) <= counts[1])


def test_an_idle_environment_ends(descendants: Descendants, tmp_path: Path):
    pool = ZygotePool(SystemClock(), scrubbed(os.environ), idle_seconds=0.05)
    with Bench.opened(tmp_path, pool) as bench:
        bench.result("ok")

        bench.until(lambda: len(descendants()) == 1)  # the supervisor

        assert bench.result("ok").outcome is AttemptOutcome.SUCCEEDED


def test_an_environment_that_is_waited_for_is_not_idle(tmp_path: Path):
    pool = ZygotePool(SystemClock(), scrubbed(os.environ), idle_seconds=0.001)
    with Bench.opened(tmp_path, pool) as bench:
        for number in range(8):
            use(bench, f"import time\ntime.sleep(0.05)\nNUMBER = {number}\n")

            assert bench.result("ok").outcome is AttemptOutcome.SUCCEEDED


def test_nothing_is_left_when_all_is_closed(descendants: Descendants, bench: Bench):
    bench.submit("hang")
    bench.wait_for("hangs")
    folder = Path(bench.pool.folder)

    bench.pool.close()

    assert told(bench.outcome())[0] == "worker-crashed"
    assert descendants() == set()
    assert not folder.exists()
    assert told(bench.result("ok"))[0] == "worker-start"


ENGINE = """
import sys
from pathlib import Path
from support.workers import Bench, make_worker_pool

folder = Path(sys.argv[1])
with Bench.opened(folder, make_worker_pool(sys.argv[2])) as bench:
    bench.submit("leave_and_hang", detached=sys.argv[2] == "fork")
    bench.wait_for("hangs")
    (folder / "pool").write_text(bench.pool.folder)
    bench.outcome()
"""


@pytest.mark.parametrize("method", StartMethod)
def test_nothing_is_left_when_the_engine_is_killed(
    tmp_path: Path, method: StartMethod, descendants: Descendants
):
    code = tmp_path / "engine.py"
    code.write_text(ENGINE)
    command = [sys.executable, str(code), str(tmp_path), method]
    engine = subprocess.Popen(command, env=environ_with_tests())
    Bench.until(lambda: (tmp_path / "pool").exists() and (tmp_path / "pool").read_text())
    below = descendants() - {engine.pid}
    assert len(below) >= 2

    engine.kill()
    engine.wait()

    Bench.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    if method is StartMethod.FORK:
        folder = Path((tmp_path / "pool").read_text())
        Bench.until(lambda: not folder.exists())
