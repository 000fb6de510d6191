"""An engine as a process: it tells when it is ready, drains when asked, ends at once if need be."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.shell import Shell

pytestmark = pytest.mark.slow

PATIENCE = 60


def start_engine(shell: Shell, *options: str) -> "subprocess.Popen[str]":
    """Start an engine, and wait until it tells that it is ready."""
    ready = shell.folder / "ready"
    process = shell.start("engine", "run", "--ready-file", str(ready), *options)
    wait_for(ready, str(process.pid), process)
    assert json.loads(ready.read_text())["pid"] == process.pid
    return process


def wait_for(file: Path, text: str, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + PATIENCE
    while not file.exists() or text not in file.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def record_slow_run(shell: Shell, pause: float) -> tuple[str, Path]:
    ledger = shell.folder / "ledger"
    params = ("-p", f"ledger={ledger}", "-p", f"pause={pause}")
    run = shell.ok("run", "slow", *params, "--detach", "--json").json
    return str(run["run_id"]), ledger


def outcomes(shell: Shell, run_id: str) -> list[list[str]]:
    tasks = shell.ok("runs", "show", run_id, "--json").json["tasks"]
    return [[attempt["outcome"] for attempt in task["attempts"]] for task in tasks]


def test_a_signal_lets_running_attempts_end_and_gives_the_rest_back(shell: Shell):
    process = start_engine(shell)
    run_id, ledger = record_slow_run(shell, pause=1)
    wait_for(ledger, "step_0 begin", process)

    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE) == 0
    assert not (shell.folder / "ready").exists()
    told = outcomes(shell, run_id)
    assert told[0] == ["succeeded"]
    assert told[-1] == []
    assert {outcome for attempts in told for outcome in attempts} == {"succeeded"}
    assert shell.ok("engines", "list", "--json").json == []
    assert shell.ok("runs", "resume", run_id, "--json").json["status"] == "succeeded"
    process.communicate()


def test_attempts_that_take_too_long_are_given_back(shell: Shell):
    process = start_engine(shell, "--drain-timeout", "0")
    run_id, ledger = record_slow_run(shell, pause=30)
    wait_for(ledger, "step_0 begin", process)

    process.send_signal(signal.SIGINT)

    assert process.wait(PATIENCE) == 0
    assert outcomes(shell, run_id)[0] == ["released"]
    process.communicate()


def test_a_second_signal_ends_it_at_once(shell: Shell):
    process = start_engine(shell)
    run_id, ledger = record_slow_run(shell, pause=30)
    wait_for(ledger, "step_0 begin", process)

    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    (engine,) = shell.ok("engines", "list", "--json").json
    assert (engine["state"], engine["live_runs"]) == ("stale", 1)
    assert outcomes(shell, run_id)[0] == [None]
    process.communicate()


def test_until_idle_it_does_what_there_is_and_stops(shell: Shell):
    run_id, _ = record_slow_run(shell, pause=0)

    shell.ok("engine", "run", "--until-idle")

    assert shell.ok("runs", "show", run_id, "--json").json["status"] == "succeeded"


def test_the_next_engine_goes_on_with_a_killed_ones_run(shell: Shell):
    doomed = start_engine(shell)
    run_id, ledger = record_slow_run(shell, pause=0.2)
    wait_for(ledger, "step_0 begin", doomed)
    doomed.kill()
    doomed.communicate()

    shell.ok("engine", "run", "--until-idle")

    told = outcomes(shell, run_id)
    assert ["lost", "succeeded"] in told
    assert all(outcome[-1] == "succeeded" for outcome in told)
