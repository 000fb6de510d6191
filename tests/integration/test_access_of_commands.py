"""The command line asks for a key where one is needed, and tells what was changed."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, Engine, event
from support.access import contents, keys_of_every_sort
from support.runs import PATIENCE, open_runtime, workflow_of

from cloacina_core import Context
from cloacina_core.cli import main
from cloacina_core.cli.entitlement import VARIABLE
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.model.access import Role
from cloacina_core.model.audit import AuditEntry
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.audit import Audit
from cloacina_core.store.database import Database
from cloacina_core.store.schedules import ScheduleStore

Cli: TypeAlias = Callable[..., Result]

SAMPLE = {
    "runs list": Role.READ,
    "limits list": Role.READ,
    "runs cancel 00000000000000000000000000": Role.RUN,
    "schedule pause nightly": Role.RUN,
    "registry yank acme-etl==1.0 --reason no": Role.PUBLISH,
    "registry gc": Role.ADMIN,
    "limits set crm 3": Role.ADMIN,
    "api-key list": Role.ADMIN,
    "api-key create other --role read": Role.ADMIN,
    "audit list": Role.ADMIN,
    "trust revoke default": Role.ADMIN,
}
WORKING = [*SAMPLE, "db info", "db check", "event list", "workflow list"]
OPEN = ["config show", "plugins list", "doctor", "key list", "trust list"]
STRANGERS = ["malformed", "of another store", "with another secret", "revoked", "expired"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    made = CliRunner().invoke(main, ["init", "--home", str(home), "--quiet"])
    assert made.exit_code == 0, made.output
    return home


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{home / 'cloacina.db'}", SystemClock())
    yield database
    database.close()


@pytest.fixture
def keys(database: Database) -> Mapping[str, str]:
    return keys_of_every_sort(database)


@pytest.fixture
def cli(home: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("CLOACINA_HOME", str(home))
    monkeypatch.delenv(VARIABLE, raising=False)

    def call(words: str, key: str | None = None, **variables: str) -> Result:
        environment = {**variables, **({VARIABLE: key} if key is not None else {})}
        return CliRunner().invoke(main, words.split(), env=environment)

    return call


def told(database: Database) -> list[AuditEntry]:
    return list(Audit(database, IdFactory(SystemClock())).entries())


def invoke(words: list[str], home: Path, key: str) -> int:
    """Call a command whose output goes where that of this process goes; return its status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLOACINA_HOME", str(home))
        patch.setenv(VARIABLE, key)
        with pytest.raises(SystemExit) as ended:
            main(words)
    return int(str(ended.value.code))


@pytest.mark.parametrize("sort", [*STRANGERS, *Role])
def test_a_key_opens_what_its_role_may(
    cli: Cli, database: Database, keys: Mapping[str, str], sort: str
) -> None:
    key = keys[str(sort)]
    before = contents(database)
    refused = [
        words
        for words, needed in SAMPLE.items()
        if sort in STRANGERS or not Role(sort).covers(needed)
    ]

    codes = {words: cli(f"{words} --json", key) for words in refused}

    expected = "api-key-refused" if sort in STRANGERS else "role-too-low"
    assert {json.loads(one.stderr)["error"]["code"] for one in codes.values()} <= {expected}
    assert {one.exit_code for one in codes.values()} <= {4}
    assert contents(database) == before
    for words in SAMPLE.keys() - set(refused):
        assert cli(words, key).exit_code in {0, 2, 3, 5}, words


@pytest.fixture
def engines() -> Iterator[set[Engine]]:
    """Return the engines of SQLAlchemy that connected."""
    found: set[Engine] = set()

    def note(connection: Connection) -> None:
        found.add(connection.engine)

    event.listen(Engine, "engine_connect", note)
    yield found
    event.remove(Engine, "engine_connect", note)


def test_a_command_and_its_entry_in_the_audit_share_one_store(
    cli: Cli, keys: Mapping[str, str], engines: set[Engine]
) -> None:
    def opened_by(words: str) -> int:
        engines.clear()
        cli(words, keys["admin"])
        return len(engines)

    assert {words: opened_by(words) for words in WORKING} == dict.fromkeys(WORKING, 1)


def test_what_is_wrong_with_a_key_isnt_told(cli: Cli, keys: Mapping[str, str]) -> None:
    answers = {cli("runs list", keys[sort]).output for sort in STRANGERS}

    assert len(answers) == 1


def test_a_home_that_isnt_there_keeps_nobody_from_making_it(cli: Cli, tmp_path: Path) -> None:
    home = {"CLOACINA_HOME": str(tmp_path / "new")}

    untold = cli("trust revoke default", **home)
    refused = cli("trust revoke default", CLOACINA_REQUIRE_API_KEY="true", **home)

    assert untold.exit_code == 3, "it gets as far as to look for the key"
    assert refused.exit_code == 4


def test_commands_of_ones_own_files_need_no_key(cli: Cli, keys: Mapping[str, str]) -> None:
    for words in OPEN:
        done = cli(words, keys["revoked"], CLOACINA_REQUIRE_API_KEY="true")
        assert done.exit_code in {0, 1}, (words, done.output)
        assert "api-key" not in done.output


def test_without_a_key_one_is_needed_where_the_setting_says_so(
    cli: Cli, database: Database, keys: Mapping[str, str]
) -> None:
    here = cli("limits set crm 3")
    shared = cli("limits set erp 3 --json", CLOACINA_REQUIRE_API_KEY="true")
    with_key = cli("limits set erp 3", keys["admin"], CLOACINA_REQUIRE_API_KEY="true")

    assert (here.exit_code, shared.exit_code, with_key.exit_code) == (0, 4, 0)
    assert json.loads(shared.stderr)["error"]["code"] == "api-key-needed"
    third, second, first = told(database)[:3]
    assert (first.deed.role, first.deed.target) == ("admin", "crm")
    assert "@" in first.deed.who
    assert (second.deed.who, second.code) == ("unknown", "api-key-needed")
    assert (third.deed.who, third.outcome.value) == ("admin", "done")


def test_a_change_is_told_with_its_options_and_none_of_their_values(
    cli: Cli, database: Database
) -> None:
    cli("schedule add nightly nowhere --cron @daily --param password=hunter2")

    (entry,) = told(database)
    assert (entry.deed.verb, entry.deed.target) == ("schedules.add", "nightly")
    assert entry.outcome.value == "failed"
    assert entry.code == "unknown-package"
    assert {"cron", "params"} <= set(entry.deed.facts["options"])  # type: ignore[arg-type]
    assert "hunter2" not in repr(entry)


def test_reading_is_told_to_nobody(cli: Cli, database: Database) -> None:
    cli("runs list")

    assert told(database) == []


def test_a_plugins_command_that_says_nothing_needs_an_admin(
    cli: Cli, keys: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "limits list"
    monkeypatch.setattr("cloacina_core.cli.tree.ACTS", {})

    assert cli(words, keys["publish"]).exit_code == 4
    assert cli(words, keys["admin"]).exit_code == 0


def test_the_audit_is_listed_page_by_page(cli: Cli) -> None:
    for size in range(3):
        cli(f"limits set crm {size}")

    first = json.loads(cli("audit list --limit 2 --json").stdout)
    rest = json.loads(cli(f"audit list --before {first[-1]['id']} --json").stdout)

    assert [one["verb"] for one in (*first, *rest)] == ["set_limit"] * 3
    assert cli("audit list --who nobody").stdout == "nothing was asked for\n"
    assert cli("audit list --before nothing").exit_code == 2


def wait(context: Context) -> None:
    context.wait_for("go")


def on(cli: Cli, target: str) -> list[tuple[str, str, str]]:
    listed = json.loads(cli(f"audit list --target {target} --json").stdout)
    return [(one["who"], one["verb"], one["outcome"]) for one in listed]


def test_each_of_several_schedules_is_found_in_the_audit(
    cli: Cli, database: Database, keys: Mapping[str, str]
) -> None:
    store, names = ScheduleStore(database), [f"schedule-of-some-length-{n:02}" for n in range(25)]
    for name in names:
        store.add(Schedule.checked(name, "acme-etl/nightly", cron="@daily"))

    assert cli(f"schedule pause {' '.join(names)}", keys["run"]).exit_code == 0
    assert cli("schedule resume --all", keys["run"]).exit_code == 0
    assert cli(f"schedule pause {names[0]}", keys["run"]).exit_code == 0
    assert cli("schedule pause --all --dry-run", keys["run"]).exit_code == 0

    both = [("run", "schedules.resume", "done"), ("run", "schedules.pause", "done")]
    assert {name: on(cli, name) for name in names[1:]} == dict.fromkeys(names[1:], both)
    assert on(cli, names[0]) == [both[1], *both]


def test_each_of_several_runs_is_found_in_the_audit_with_what_became_of_it(
    cli: Cli, home: Path, keys: Mapping[str, str]
) -> None:
    with open_runtime(home, f"sqlite:///{home / 'cloacina.db'}") as runtime:
        ended = runtime.run(workflow_of({"a": []}, name="ends"), timeout=PATIENCE).run_id
        waits = workflow_of({"a": []}, functions={"a": wait}, name="waits")
        live = [runtime.submit(waits).id for _ in range(2)]

    cancelled = cli("runs cancel --workflow waits", keys["run"])
    again = cli(f"runs cancel {ended}", keys["run"])
    signalled = cli(f"runs signal {live[0]} go", keys["run"])

    assert (cancelled.exit_code, again.exit_code, signalled.exit_code) == (0, 5, 5)
    asked = cli(f"runs events {live[0]}", keys["read"]).stdout
    assert "by run" in asked
    assert "@" not in asked.partition("cancel_requested")[2]
    for run_id in live:
        assert on(cli, run_id)[-1] == ("run", "cancel", "done")
    assert on(cli, live[0])[0] == ("run", "signal", "failed")
    assert on(cli, ended) == [("run", "cancel", "failed")]


def test_keys_are_made_listed_rotated_and_revoked(cli: Cli) -> None:
    cli("api-key create root --role admin --expires 1d")
    made = json.loads(cli("api-key create ci --role run --json").stdout)
    again = cli("api-key create ci --role run")
    rotated = cli("api-key rotate ci --expires forever --quiet")
    lengths = [
        cli(f"api-key create x --role read --expires {text}").exit_code
        for text in ("0", "0s", "0d", "9999999d", "soon")
    ]
    listed = cli("api-key list")

    assert made["api_key"].startswith(f"clk_{made['id']}_")
    assert again.exit_code == 5
    assert lengths == 5 * [2]
    assert rotated.stdout.startswith("clk_")
    assert rotated.stderr == ""
    assert "warning: no API key with the role admin will work after" in listed.stderr
    assert made["api_key"] not in listed.output
    assert cli("runs list", rotated.stdout).exit_code == 0
    assert cli("runs list", made["api_key"]).exit_code == 4
    assert cli("api-key revoke ci").exit_code == 0
    assert cli("api-key revoke ci").exit_code == 3
    assert cli("api-key revoke root").exit_code == 5
    assert cli("api-key list --json --all").exit_code == 0
    states = [one["state"] for one in json.loads(cli("api-key show ci --json").stdout)]
    assert states == ["revoked", "revoked"]


def test_doctor_warns_before_the_last_admin_goes(cli: Cli) -> None:
    assert "api keys" not in cli("doctor").stdout
    cli("api-key create root --role admin --expires 1d")

    (finding,) = [
        one for one in json.loads(cli("doctor --json").stdout) if one["what"] == "api keys"
    ]

    assert finding["verdict"] == "warn"


def test_a_key_is_in_nothing_that_a_process_leaves_behind(
    home: Path, keys: Mapping[str, str]
) -> None:
    environment = {**os.environ, "CLOACINA_HOME": str(home), VARIABLE: keys["admin"]}
    done = subprocess.run(
        [sys.executable, "-m", "cloacina_core", "runs", "show", "0" * 26, "--debug"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    secret = keys["admin"][13:]

    assert done.returncode == 3, done.stderr
    assert secret not in done.stdout + done.stderr
    files = [path for path in home.rglob("*") if path.is_file()]
    assert [path.name for path in files if secret.encode() in path.read_bytes()] == []


def test_a_variable_that_is_empty_is_no_way_in(cli: Cli, database: Database) -> None:
    for words in ("limits set crm 3", "runs list"):
        refused = cli(f"{words} --json", "")
        assert refused.exit_code == 4
        assert json.loads(refused.stderr)["error"]["code"] == "api-key-refused"

    assert [one.outcome.value for one in told(database)] == ["refused", "refused"]


def test_of_a_key_that_is_given_for_a_name_only_the_public_part_is_told(
    cli: Cli, keys: Mapping[str, str]
) -> None:
    key = keys["read"]

    done = cli(f"api-key revoke {key}")

    assert done.exit_code == 3
    for output in (done.output, cli("audit list").output, cli("audit list --json").output):
        assert key[4:12] in output
        assert key[13:] not in output


def test_logs_that_are_followed_end_when_the_key_is_revoked(
    cli: Cli, home: Path, database: Database, keys: Mapping[str, str]
) -> None:
    def talk(_context: Context) -> None:
        sys.stdout.write("one\ntwo\n")

    with open_runtime(home, f"sqlite:///{home / 'cloacina.db'}") as runtime:
        flow = workflow_of({"a": []}, functions={"a": talk}, name="talks")
        run_id = runtime.run(flow, timeout=PATIENCE).run_id
    store = ApiKeyStore(database)

    class Revoking(io.StringIO):
        """Has the key be revoked when the first line is written."""

        def write(self, text: str) -> int:
            if "one" in text:
                store.revoke("read")
            return super().write(text)

    followed = Revoking()
    with contextlib.redirect_stdout(followed):
        status = invoke(["runs", "logs", "-f", run_id], home, keys["read"])

    assert status == 4
    assert "one" in followed.getvalue()
    assert "two" not in followed.getvalue()


def test_a_key_isnt_handed_on_to_what_a_command_starts(
    cli: Cli, keys: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def uses(_: object) -> list[object]:
        seen.append(os.environ.get(VARIABLE))
        return []

    monkeypatch.setattr("cloacina_core.store.permits.Permits.uses", uses)

    cli("limits list", keys["read"])

    assert seen == [None]
