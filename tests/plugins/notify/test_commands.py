"""`cloacina notify`: what it prints, and what it ends with."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.access import keys_of_every_sort
from support.receivers import receiving

from cloacina_core.cli import main
from cloacina_core.cli.entitlement import VARIABLE
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.store.audit import Audit
from cloacina_core.store.database import Database

FILE = """
[[destination]]
name = "journal"
kind = "log"
file = "log"
on = ["failed", "cancelled"]

[[destination]]
name = "page"
kind = "command"
argv = ["sh", "-c", "echo line busy; exit 3"]
on = "failed"
attempts = 1
"""

RUN = """
from cloacina_core import Runtime, Workflow

fails = Workflow("fails")

@fails.task
def a(context):
    raise ValueError("no rows")

with Runtime.open() as runtime:
    runtime.run(fails, timeout=60)
"""


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "notify.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def python(installed: Path, home: Path) -> Callable[..., Done]:
    """What runs Python with the plugin installed."""
    search = os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search, "CLOACINA_HOME": str(home)}

    def run(*arguments: str, **variables: str) -> Done:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=home,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def notify_command(python: Callable[..., Done]) -> Callable[..., Done]:
    return lambda *arguments, **variables: python(
        "-m", "cloacina_core", "notify", *arguments, **variables
    )


def test_what_became_of_messages_is_told_and_those_given_up_are_tried_anew(
    python: Callable[..., Done], notify_command: Callable[..., Done], home: Path
):
    assert python("-c", RUN).status == 0

    listed = notify_command("list")
    history = notify_command("history", "--json").json
    given_up = notify_command("history", "--state", "given-up", "--json").json
    retried = notify_command("retry", given_up[0]["id"], "--json").json
    (home / "notify.toml").write_text(FILE.partition('[[destination]]\nname = "page"')[0])
    left = notify_command("list")

    assert listed.status == 0
    assert "journal  log      cancelled, failed" in listed.out
    assert sorted((one["destination"], one["state"]) for one in history) == [
        ("journal", "delivered"),
        ("page", "given-up"),
    ]
    assert given_up[0]["problem"] == "it ended with 3: line busy"
    assert retried == {"retried": [given_up[0]["id"]]}
    assert "1 messages are due to 'page', which isn't in notify.toml here" in left.err


def test_a_destination_is_tried_without_a_run(notify_command: Callable[..., Done], home: Path):
    done = notify_command("test", "journal", "--json")

    (line,) = (home / "log").read_text().splitlines()
    assert json.loads(line)["type"] == "test"
    assert done.json == {"destination": "journal", "id": json.loads(line)["id"]}


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (
            ["test", "page"],
            6,
            "error[not-taken]: destination 'page' didn't take it: it ended with 3",
        ),
        (["test", "pager"], 3, "destinations are: journal, page"),
        (["retry"], 2, "which messages?"),
        (["retry", "msg_1"], 3, "there is no message 'msg_1' that was given up"),
    ],
)
def test_what_cant_be_done_is_refused(
    notify_command: Callable[..., Done], arguments: list[str], status: int, told: str
):
    done = notify_command(*arguments)

    assert (done.status, done.out) == (status, "")
    assert told in done.err


def test_a_wrong_file_is_told_with_all_that_is_wrong(
    notify_command: Callable[..., Done], home: Path
):
    (home / "notify.toml").write_text(f"{FILE}\n[[destination]]\nname = 'x'\nkind = 'mail'\n")

    listed = notify_command("list", "--json")
    tried = notify_command("test", "x")

    assert [one["name"] for one in listed.json["destinations"]] == ["journal", "page"]
    assert len(listed.json["problems"]) == 2
    assert listed.status == tried.status == 2
    assert "kind: it takes one of log, command, http, not 'mail'" in tried.err


def test_no_secret_is_printed(notify_command: Callable[..., Done], home: Path):
    with receiving() as receiver:
        receiver.answers.append((500, {}))
        (home / "notify.toml").write_text(
            '[[destination]]\nname = "hook"\nkind = "http"\non = "failed"\nurl = "env:URL"\n'
            'secret = "env:KEY"\nallow-private = true\n'
        )
        variables = {"URL": f"{receiver.url}/T0K3N", "KEY": f"whsec_{'c2VjcmV0' * 4}"}
        done = [
            notify_command("test", "hook", "--debug", **variables),
            notify_command("test", "hook", URL=variables["URL"], KEY="c2VjcmV0"),
            notify_command("list", "--json", **variables),
        ]

    assert receiver.received.get().path.endswith("T0K3N")
    assert [one.status for one in done] == [6, 2, 0]
    for one in done:
        assert "T0K3N" not in one.out + one.err
        assert "c2VjcmV0" not in one.out + one.err


def test_each_command_says_who_may(notify: Any):
    commands = {f"notify {name}": one for name, one in notify("cli").notify.commands.items()}
    acts = notify("access").ACTS

    assert acts.keys() == commands.keys()
    for words, act in acts.items():
        assert act.target in {None, *(parameter.name for parameter in commands[words].params)}


def test_what_is_changed_takes_a_role_and_is_told(
    notify: Any, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CLOACINA_HOME", str(home))
    with closing(Database(f"sqlite:///{home / 'cloacina.db'}", SystemClock())) as database:
        keys = keys_of_every_sort(database)
        audit = Audit(database, IdFactory(SystemClock()))

        def call(words: str, role: str) -> int:
            return CliRunner().invoke(main, words.split(), env={VARIABLE: keys[role]}).exit_code

        statuses = [call("notify list", "read"), call("notify test journal", "read")]
        statuses += [call("notify test journal", "run")]
        told = [(one.deed.who, one.deed.verb, one.outcome.value) for one in audit.entries()]

    assert statuses == [0, 4, 0]
    assert told == [("run", "notify.test", "done"), ("read", "notify.test", "refused")]
