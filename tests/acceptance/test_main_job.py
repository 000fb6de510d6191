"""The main job, each step as a user types it."""

import contextlib
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from support.shell import Shell

pytestmark = pytest.mark.slow

RUN_KEYS = {
    "run_id", "status", "reference", "release", "params", "context", "tasks",
    "created_at", "started_at", "finished_at", "error",
}  # fmt: skip
ATTEMPT_KEYS = {
    "number", "engine", "started_at", "finished_at", "outcome", "error", "isolation", "enforced",
}  # fmt: skip
EVENT_KEYS = {"seq", "at", "type", "task", "attempt", "engine", "reason"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_a_new_project_builds_uploads_and_runs_untouched(fresh: Shell):
    fresh.ok("init")
    fresh.ok("package", "new", "acme-etl")
    built = fresh.ok("package", "build", "acme-etl", "--json").json
    uploaded = fresh.ok("registry", "upload", built["file"], "--json").json
    result = fresh.ok("run", "acme-etl", "-p", "day=2026-01-31", "--json").json

    assert uploaded[0]["digest"] == built["digest"]
    assert result["status"] == "succeeded"
    assert result["release"]["digest"] == built["digest"]
    assert result["release"]["signed_by"] == ["default"]


def test_run_prints_the_object_that_users_script_against(shell: Shell):
    result = shell.ok("run", "hello-workflow/hello==1.*", "-p", "name=Ada", "--json").json

    assert result.keys() >= RUN_KEYS
    assert result["release"].keys() >= {"package", "version", "digest", "signed_by"}
    assert result["params"] == {"name": "Ada"}
    assert result["context"] == {"greeting": "Hello, Ada!", "length": 11}
    assert [task["name"] for task in result["tasks"]] == ["compose", "measure"]
    (attempt,) = result["tasks"][0]["attempts"]
    assert attempt.keys() == ATTEMPT_KEYS
    assert attempt["outcome"] == "succeeded"
    assert MOMENT.fullmatch(attempt["started_at"])


def test_a_run_is_listed_shown_and_its_history_is_dense(shell: Shell):
    result = shell.ok("run", "hello-workflow", "--json").json
    listed = shell.ok("runs", "list", "--json").json
    shown = shell.ok("runs", "show", result["run_id"], "--json").json
    events = shell.ok("runs", "events", result["run_id"], "--json").json

    assert [run["run_id"] for run in listed] == [result["run_id"]]
    assert shown == {**result, "children": []}
    assert all(event.keys() >= EVENT_KEYS for event in events)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events][0 :: len(events) - 1] == [
        "submitted",
        "run_succeeded",
    ]


def test_runs_list_pages_without_gap_or_repeat(shell: Shell):
    ids = [shell.ok("run", "hello-workflow", "--json").json["run_id"] for _ in range(5)]

    first = shell.ok("runs", "list", "--limit", "2", "--json").json
    second = shell.ok(
        "runs", "list", "--limit", "2", "--before", first[-1]["run_id"], "--json"
    ).json
    third = shell.ok(
        "runs", "list", "--limit", "2", "--before", second[-1]["run_id"], "--json"
    ).json

    assert [run["run_id"] for run in [*first, *second, *third]] == ids[::-1]


def test_two_versions_give_their_own_results(shell: Shell):
    old = shell.ok("run", "price-list<2", "--json").json
    new = shell.ok("run", "price-list", "--json").json

    assert (old["release"]["version"], new["release"]["version"]) == ("1.0", "2.0")
    assert old["context"]["gross_cents"] != new["context"]["gross_cents"]


def test_what_a_task_prints_is_in_the_logs_and_not_on_stdout(shell: Shell):
    flows = (
        "import logging\nfrom cloacina_core import Workflow\nflow = Workflow('flow')\n"
        "@flow.task\ndef talk(context):\n"
        "    print('hello from the task')\n    logging.getLogger('x').warning('careful')\n"
    )
    shell.publish(shell.project("talk", flows))

    done = shell.ok("run", "talk", "--json")
    logs = shell.ok("runs", "logs", done.json["run_id"], "--json").json

    assert [(line["stream"], line["text"]) for line in logs] == [
        ("stdout", "hello from the task"),
        ("warning", "x: careful"),
    ]


def test_a_failed_run_ends_with_1_and_tells_the_authors_traceback(shell: Shell):
    flows = (
        "from cloacina_core import Workflow\nflow = Workflow('flow')\n"
        "@flow.task\ndef divide(context):\n    return {'x': 1 / context.params['by']}\n"
    )
    shell.publish(shell.project("divide", flows))

    done = shell.run("run", "divide", "-p", "by=0", "--json")

    assert done.status == 1
    assert done.json["status"] == "failed"
    error = done.json["error"]
    assert (error["type"], error["message"], error["task"]) == (
        "ZeroDivisionError",
        "division by zero",
        "divide",
    )
    assert "divide/flows.py" in error["traceback"]
    assert "_cloacina" not in json.dumps(done.json)
    assert "cloacina_core" not in error["traceback"]


def test_params_come_from_pairs_files_and_standard_input(shell: Shell, tmp_path: Path):
    file = tmp_path / "params.json"
    file.write_text('{"name": "Grace"}')

    from_file = shell.ok("run", "hello-workflow", "--params", str(file), "--json").json
    pair_wins = shell.ok(
        "run", "hello-workflow", "--params", str(file), "-p", "name=7", "--json"
    ).json
    from_input = shell.run("run", "hello-workflow", "--params", "-", "--json", stdin='{"name":"I"}')

    assert from_file["context"]["greeting"] == "Hello, Grace!"
    assert pair_wins["context"]["greeting"] == "Hello, 7!"
    assert from_input.json["context"]["greeting"] == "Hello, I!"


def test_an_idempotency_key_attaches_to_its_run(shell: Shell):
    first = shell.ok("run", "hello-workflow", "--idempotency-key", "k1", "--json").json
    again = shell.ok("run", "hello-workflow", "--idempotency-key", "k1", "--json").json
    other = shell.run("run", "hello-workflow", "-p", "name=x", "--idempotency-key", "k1", "--json")

    assert again == first
    assert other.status == 5
    assert other.error["code"] == "idempotency-conflict"
    assert len(shell.ok("runs", "list", "--json").json) == 1


def test_a_detached_run_waits_for_an_engine(shell: Shell):
    detached = shell.ok("run", "hello-workflow", "--detach", "--json").json
    resumed = shell.ok("runs", "resume", detached["run_id"], "--json").json

    assert detached["status"] == "queued"
    assert resumed["status"] == "succeeded"


def test_workflows_of_the_registry_are_listed_and_shown(shell: Shell):
    listed = shell.ok("workflow", "list", "--json").json
    shown = shell.ok("workflow", "show", "price-list/quote<2")

    assert "price-list/quote==2.0" in {item["reference"] for item in listed}
    assert "signed by default" in shown.out
    assert "[add_up]" in shown.out


def test_a_home_without_trust_in_the_signer_runs_nothing(shell: Shell):
    shell.ok("trust", "remove", "default")

    done = shell.run("run", "hello-workflow", "--json")

    assert done.status == 4
    assert shell.ok("runs", "list", "--json").json == []


def test_the_demo_shows_the_main_job_and_the_refusal(fresh: Shell):
    done = fresh.ok("demo", "--json")

    told = done.json
    assert told["status"] == "succeeded"
    assert "<svg" in Path(told["report"]).read_text()
    assert told["refused"]
    assert [step["exit_status"] for step in told["steps"]] == [0] * (len(told["steps"]) - 1) + [2]
    assert [path.name for path in fresh.folder.iterdir()] == ["cloacina-demo"]
    assert not fresh.home.exists()


def test_on_a_terminal_the_live_table_leaves_the_result_whole(shell: Shell):
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        shell.command("run", "hello-workflow"),
        cwd=shell.folder,
        env={**shell.environment, "TERM": "xterm"},
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    shown = b""
    with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    process.wait()

    table_gone = shown.rfind(b"\x1b[2K")
    assert shown.find(b"tasks done") < table_gone < shown.find(b"succeeded after")
    assert b'greeting = "Hello, world!"' in shown[table_gone:]


def test_init_encrypts_the_key_with_a_passphrase(fresh: Shell):
    (fresh.folder / "secret").write_text("correct horse\n")
    fresh.ok("init", "--passphrase-file", "secret")
    fresh.ok("package", "new", "acme-etl")

    without = fresh.run("package", "build", "acme-etl", "--json")
    built = fresh.ok("package", "build", "acme-etl", "--passphrase-file", "secret", "--json").json

    assert without.status == 4
    assert built["signed_by"] == "default"


def test_init_refuses_a_passphrase_that_is_none_and_makes_no_key(fresh: Shell):
    (fresh.folder / "secret").write_text("\nbelow an empty line\n")

    done = fresh.run("init", "--passphrase-file", "secret", "--json")

    assert done.status == 2
    assert "empty line" in done.error["message"]
    assert not (fresh.home / "keys").exists()
