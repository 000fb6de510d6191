"""What tasks say is followed from another process, whatever becomes of the engine meanwhile."""

import json
import signal
import subprocess
import time

import pytest
from support.shell import Shell

pytestmark = pytest.mark.slow

PATIENCE = 60

TALKER = """
import time
from pathlib import Path
from cloacina_core import Workflow

flow = Workflow("flow")

@flow.task
def talk(context):
    print("before", flush=True)
    while not Path(context.params["gate"]).exists():
        time.sleep(0.01)
    print("after")
"""


def only_run(shell: Shell) -> str:
    end = time.monotonic() + PATIENCE
    while not (runs := shell.ok("runs", "list", "--json").json):
        assert time.monotonic() < end
    return str(runs[0]["run_id"])


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def up_to(process: "subprocess.Popen[str]", wanted: str) -> str:
    """Return what a process prints up to the first line that has a text in it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            break
    return "".join(lines)


def rest(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Return what a process still prints, behind a line that was read."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        return process.stdout.read(), process.stderr.read()


def test_lines_are_followed_through_the_death_of_an_engine(shell: Shell):
    shell.publish(shell.project("talker", TALKER))
    gate = shell.folder / "gate"
    engine = shell.start("run", "talker", "-p", f"gate={gate}", "--json")
    run_id = only_run(shell)
    follower = shell.start("runs", "logs", "-f", run_id)
    other = shell.start("runs", "logs", "--follow", run_id, "--json", "--task", "talk")
    assert first_line(follower).endswith(" talk#1 stdout: before\n")
    begun = up_to(other, '"before"')

    other.send_signal(signal.SIGINT)
    engine.kill()
    engine.communicate(timeout=PATIENCE)
    kept = shell.ok("runs", "logs", run_id, "--json").json
    gate.touch()
    result = shell.ok("runs", "resume", run_id, "--json").json

    told, _ = rest(follower)
    assert follower.wait(PATIENCE) == 0
    assert [line.split(" ", 1)[1] for line in told.splitlines()] == [
        "talk#2 stdout: before",
        "talk#2 stdout: after",
    ]
    told, said = rest(other)
    assert other.wait(PATIENCE) == 130
    assert [line["text"] for line in json.loads(begun + told)] == ["before"]
    assert f"cloacina runs logs -f {run_id}" in said
    assert [(line["attempt"], line["text"]) for line in kept] == [(1, "before")]
    (task,) = result["tasks"]
    assert [attempt["outcome"] for attempt in task["attempts"]] == ["lost", "succeeded"]
    assert task["attempts"][1]["isolation"] == "namespace"


def test_following_a_run_that_fails_ends_with_1(shell: Shell):
    flows = (
        "from cloacina_core import Workflow\nflow = Workflow('flow')\n"
        "@flow.task\ndef break_off(context):\n    print('so far')\n    raise OSError\n"
    )
    shell.publish(shell.project("broken", flows))
    run_id = shell.run("run", "broken", "--json").json["run_id"]

    followed = shell.run("runs", "logs", "-f", run_id)

    assert followed.status == 1
    assert followed.out.endswith(" break_off#1 stdout: so far\n")
    assert shell.run("runs", "logs", run_id).status == 0
