"""Runs whose tasks have processes of their own, from the runtime to the store and back."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import isolated
from support.runs import PATIENCE, open_runtime
from support.workers import Bench, Descendants, FolderSource, environ_with_tests, plugins_with

from cloacina_core.model.polling.enabled import PollRecord
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.runtime import Runtime

pytestmark = pytest.mark.slow


@pytest.fixture
def runtime(descendants: Descendants, tmp_path: Path) -> Iterator[Runtime]:
    code = tmp_path / "code"
    code.mkdir()
    plugins = plugins_with(FolderSource(code, isolated))
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_runtime(tmp_path, url, plugins=plugins, spill_bytes=1024) as opened:
        yield opened
    assert descendants() == set()


def test_a_run_with_retries_a_map_and_large_values_comes_to_its_end(runtime: Runtime):
    result = runtime.submit("isolated/steps").result(PATIENCE)

    assert result.context["total"] == 12
    assert result.context["length"] == isolated.LARGE
    assert [attempt.error and attempt.error.type for attempt in result.tasks["total"].attempts] == [
        "ConnectionError",
        "worker-crashed",
        None,
    ]
    assert len({*result.context["pids"], *result.context["mapped_pids"]}) == 4


def test_a_task_runs_another_workflow_of_its_release(runtime: Runtime):
    result = runtime.submit("isolated/asking").result(PATIENCE)

    assert result.context["answer"] == "how many? 42"


def test_a_task_waits_for_an_event(runtime: Runtime):
    handle = runtime.submit("isolated/waiting", context={"order": 17})
    Bench.until(lambda: runtime.get(handle.id).tasks["wait"].status is TaskStatus.SLEEPING)
    runtime.sent_events.send("orders.paid", {"order": 18})

    runtime.sent_events.send("orders.paid", {"order": 17})

    assert handle.result(PATIENCE).context["paid"] == {"order": 17}


def test_triggers_are_polled_in_processes(runtime: Runtime):
    runtime.triggers.enable("isolated")

    def came_to(name: str) -> PollRecord | None:
        return next(iter(runtime.triggers.history(f"isolated.{name}")), None)

    Bench.until(lambda: all(came_to(name) for name in ("asks", "dies", "hangs")))
    for name in ("asks", "dies", "hangs"):
        runtime.triggers.pause(f"isolated.{name}")
    asked = runtime.triggers.history("isolated.asks")[-1]
    died, hung = came_to("dies"), came_to("hangs")

    assert asked.output == "asked\n"
    assert [one.key for one in asked.fired] == ["once"]
    assert runtime.triggers.get("isolated.asks").cursor == {"asked": True}
    assert died is not None
    assert "worker-crashed" in str(died.reason)
    assert hung is not None
    assert "timeout" in str(hung.reason)


def test_a_task_is_killed_at_its_deadline(runtime: Runtime):
    result = runtime.submit("isolated/slow").result(PATIENCE)

    (attempt,) = result.tasks["sleep"].attempts
    assert attempt.error is not None
    assert attempt.error.type == "timeout"


def test_a_task_is_told_that_its_run_is_cancelled(runtime: Runtime, tmp_path: Path):
    handle = runtime.submit("isolated/patient", context={"folder": str(tmp_path)})
    Bench.until((tmp_path / "began").exists)

    handle.cancel()

    assert handle.result(PATIENCE).status is RunStatus.CANCELLED
    assert (tmp_path / "told").exists()


def test_what_was_printed_before_a_crash_is_kept(runtime: Runtime):
    handle = runtime.submit("isolated/crashing")
    result = handle.result(PATIENCE)

    assert result.error is not None
    assert result.error.type == "worker-crashed"
    assert [line.text for line in runtime.logs(handle.id)] == ["before"]


ENGINE = """
import sys
from pathlib import Path
from support import isolated
from support.runs import open_runtime
from support.workers import FolderSource, plugins_with

folder = Path(sys.argv[1])
plugins = plugins_with(FolderSource(folder, isolated))
with open_runtime(folder, f"sqlite:///{folder / 'runs.db'}", plugins=plugins) as runtime:
    if len(sys.argv) > 2:
        runtime.attach(sys.argv[2]).cancel()
        print(runtime.attach(sys.argv[2]).result(60).status.value)
    else:
        handle = runtime.submit("isolated/patient", context={"folder": str(folder)})
        print(handle.id, flush=True)
        handle.result(60)
"""


def test_a_run_survives_its_engine_and_its_processes_do_not(
    tmp_path: Path, descendants: Descendants
):
    (tmp_path / "engine.py").write_text(ENGINE)
    (tmp_path / "code").mkdir()
    command = [sys.executable, str(tmp_path / "engine.py"), str(tmp_path)]
    environ = environ_with_tests()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as engine:
        assert engine.stdout is not None
        run_id = engine.stdout.readline().strip()
        Bench.until((tmp_path / "began").exists)
        below = descendants() - {engine.pid}

        engine.kill()

    Bench.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    after = subprocess.run(
        [*command, run_id], stdout=subprocess.PIPE, text=True, check=True, env=environ
    )
    assert after.stdout.strip() == "cancelled"
