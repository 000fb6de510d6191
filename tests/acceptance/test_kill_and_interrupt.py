"""A run survives its process: killed, interrupted, or timed out while it waits."""

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from support.shell import Shell

pytestmark = pytest.mark.slow

PATIENCE = 60


def wait_for(ledger: Path, text: str, process: subprocess.Popen[str]) -> None:
    """Wait until a task wrote something, or fail when its process ended before."""
    end = time.monotonic() + PATIENCE
    while not ledger.exists() or text not in ledger.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def start_slow_run(
    shell: Shell, *options: str, pause: float = 0.5
) -> tuple[subprocess.Popen[str], Path]:
    ledger = shell.folder / "ledger"
    params = ["-p", f"ledger={ledger}", "-p", f"pause={pause}"]
    return shell.start("run", "slow", *params, *options, "--json"), ledger


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process as a power cut would, and wait until it is gone."""
    process.kill()
    process.communicate(timeout=PATIENCE)


def only_run(shell: Shell) -> str:
    (run,) = shell.ok("runs", "list", "--json").json
    return str(run["run_id"])


def test_a_killed_run_resumes_and_repeats_only_the_interrupted_task(shell: Shell):
    process, ledger = start_slow_run(shell)
    wait_for(ledger, "step_2 begin", process)
    kill(process)

    result = shell.ok("runs", "resume", only_run(shell), "--json").json

    assert result["status"] == "succeeded"
    ended = Counter(line.split()[0] for line in ledger.read_text().splitlines() if "end" in line)
    assert ended == {f"step_{number}": 1 for number in range(5)}
    outcomes = {
        task["name"]: [attempt["outcome"] for attempt in task["attempts"]]
        for task in result["tasks"]
    }
    assert outcomes == {
        "step_0": ["succeeded"],
        "step_1": ["succeeded"],
        "step_2": ["lost", "succeeded"],
        "step_3": ["succeeded"],
        "step_4": ["succeeded"],
    }


def test_the_same_idempotency_key_takes_a_killed_run_up(shell: Shell):
    process, ledger = start_slow_run(shell, "--idempotency-key", "nightly-1")
    wait_for(ledger, "step_1 begin", process)
    kill(process)
    run_id = only_run(shell)

    second, _ = start_slow_run(shell, "--idempotency-key", "nightly-1")
    out, err = second.communicate(timeout=PATIENCE)

    assert second.returncode == 0, err
    assert only_run(shell) == run_id
    assert run_id in out


def test_ctrl_c_leaves_the_run_and_says_how_to_go_on(shell: Shell):
    process, ledger = start_slow_run(shell)
    wait_for(ledger, "step_1 begin", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)

    run_id = only_run(shell)
    assert process.returncode == 130
    assert f"cloacina runs resume {run_id}" in err
    assert shell.ok("runs", "resume", run_id, "--json").json["status"] == "succeeded"


def test_a_wait_that_times_out_ends_with_7_and_loses_nothing(shell: Shell):
    process, _ = start_slow_run(shell, "--timeout", "1")
    _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 7
    assert "result-timeout" in err
    assert shell.ok("runs", "resume", only_run(shell), "--json").json["status"] == "succeeded"


def test_a_run_that_another_process_works_on_is_not_taken(shell: Shell):
    process, ledger = start_slow_run(shell, pause=PATIENCE)
    wait_for(ledger, "step_0 begin", process)

    done = shell.run("runs", "resume", only_run(shell), "--json")
    kill(process)

    assert done.status == 5
    assert done.error["code"] == "run-owned"


def test_a_run_whose_engines_die_three_times_is_given_up(shell: Shell):
    process, ledger = start_slow_run(shell)
    wait_for(ledger, "step_0 begin", process)
    kill(process)
    run_id = only_run(shell)
    for attempt in (2, 3):
        process = shell.start("runs", "resume", run_id)
        wait_for(ledger, f"step_0 begin {attempt}", process)
        kill(process)

    done = shell.run("runs", "resume", run_id, "--json")

    assert done.status == 1
    assert done.json["error"]["type"] == "engine-deaths"


def test_an_engine_takes_up_recorded_runs_and_stops_on_sigterm(shell: Shell):
    run_id = shell.ok("run", "hello-workflow", "--detach", "--json").json["run_id"]
    engine = shell.start("engine", "run", "--json")
    end = time.monotonic() + PATIENCE
    while shell.ok("runs", "show", run_id, "--json").json["status"] != "succeeded":
        assert time.monotonic() < end
    engine.send_signal(signal.SIGTERM)
    engine.communicate(timeout=PATIENCE)

    assert engine.returncode == 0


def test_the_weather_report_survives_a_kill_in_each_of_its_stages(fresh: Shell):
    fresh.ok("init")
    fresh.publish(fresh.copy_sample("weather_report"))
    options = ["-p", "year=2015", "-p", "output=out", "--idempotency-key", "w"]
    for task in ("read", "validate", "months", "chart", "report"):
        kill_when_started(fresh.start("run", "weather-report", *options), task)

    result = fresh.ok("run", "weather-report", *options, "--json").json

    assert result["status"] == "succeeded"
    assert (fresh.folder / "out" / "weather-report-2015.html").exists()
    lost = [a for t in result["tasks"] for a in t["attempts"] if a["outcome"] == "lost"]
    assert lost
    (run,) = fresh.ok("runs", "list", "--json").json
    events = fresh.ok("runs", "events", run["run_id"], "--json").json
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    committed = Counter(event["task"] for event in events if event["type"] == "task_succeeded")
    assert committed == {t["name"]: 1 for t in result["tasks"] if t["status"] == "succeeded"}


def kill_when_started(process: subprocess.Popen[str], task: str) -> None:
    """Kill a run when it tells that a task has started, unless it went past that before."""
    assert process.stderr is not None
    for line in process.stderr:
        if f"task_started {task}#" in line:
            break
    kill(process)
