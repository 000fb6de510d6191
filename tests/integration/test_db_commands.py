"""`cloacina db`, `runs list` and `doctor` as an operator calls them, on both databases."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, insert, update
from support.postgresql import VARIABLE, Server
from support.runs import EngineBench, workflow_of

from cloacina_core.cli import main
from cloacina_core.foundation.clock import SystemClock, to_micros
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.disk import Disk
from cloacina_core.store.migrations import runner

CLOCK = SystemClock()
ONE = workflow_of({"a": []})
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Cloacina = Callable[..., Result]


@pytest.fixture
def cloacina(tmp_path: Path, store_url: str) -> Cloacina:
    """A way to call the command on the test's store."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    def call(*arguments: str, url: str = store_url) -> Result:
        flags = ["--home", str(home), "--database-url", url]
        return CliRunner().invoke(main, [*arguments, *flags], catch_exceptions=False)

    return call


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'other.db'}"


@pytest.fixture
def bench(store_url: str) -> Any:
    with closing(Database(store_url, CLOCK)) as database:
        yield EngineBench(database, CLOCK)


def value(result: Result) -> Any:
    assert result.exit_code in (0, 1), result.stderr
    return json.loads(result.stdout)


def finish(bench: EngineBench, *, days_ago: float = 0, started_by: StartedBy | None = None) -> str:
    run_id = bench.start(ONE, started_by=started_by).run_id
    bench.executor.succeed("a", n=1)
    bench.step()
    at = to_micros(CLOCK.now() - timedelta(days=days_ago))
    with bench.database.begin() as connection:
        of_run = schema.runs.c.id == run_id
        connection.execute(update(schema.runs).where(of_run).values(finished_at=at))
    return run_id


class TestBackup:
    def test_sqlite_is_copied(self, cloacina: Cloacina, tmp_path: Path, sqlite_url: str):
        target = tmp_path / "copy.db"

        told = value(cloacina("db", "backup", str(target), "--json", url=sqlite_url))

        assert told == {"path": str(target), "bytes": target.stat().st_size}
        again = cloacina("db", "backup", str(target), url=sqlite_url)
        assert again.exit_code == 5
        assert cloacina("db", "backup", str(target), "--force", url=sqlite_url).exit_code == 0

    def test_for_postgresql_the_command_is_told(self, cloacina: Cloacina, postgresql_url: str):
        result = cloacina("db", "backup", "copy.dump", url=postgresql_url)

        assert result.exit_code == 2
        assert "error[use-pg-dump]" in result.stderr
        assert "pg_dump --format=custom --file=PATH 'postgresql://" in result.stderr


class TestCheck:
    def test_a_sound_store_ends_with_0(self, cloacina: Cloacina, bench: EngineBench):
        finish(bench)

        assert value(cloacina("db", "check", "--json")) == {
            "runs": 1,
            "complete": True,
            "findings": [],
        }
        assert cloacina("db", "check").stdout == "1 runs, nothing wrong\n"

    def test_damage_ends_with_1_and_is_told(self, cloacina: Cloacina, bench: EngineBench):
        run_id = finish(bench)
        with bench.database.begin() as connection:
            connection.execute(delete(schema.events).where(schema.events.c.seq == 2))

        result = cloacina("db", "check", "--json")

        assert result.exit_code == 1
        (finding,) = value(result)["findings"]
        assert finding["kind"] == "gap-in-history"
        assert finding["run_id"] == run_id
        assert finding["mend"]
        assert run_id in cloacina("db", "check").stdout

    def test_it_stops_after_enough(self, cloacina: Cloacina, bench: EngineBench):
        for _ in range(3):
            finish(bench)
        with bench.database.begin() as connection:
            connection.execute(delete(schema.events).where(schema.events.c.seq == 2))

        told = value(cloacina("db", "check", "--limit", "2", "--json"))

        assert (len(told["findings"]), told["complete"]) == (2, False)


class TestUpgrade:
    @pytest.fixture
    def store_url(self, empty_store_url: str) -> str:
        """Return the place of a store that nobody has opened yet."""
        return empty_store_url

    def test_a_plan_for_a_new_store_shows_its_sql(self, cloacina: Cloacina):
        (first, *_) = value(cloacina("db", "upgrade", "--plan", "--json"))

        assert first["version"] == "0001"
        assert "CREATE TABLE runs" in first["sql"]
        assert "CREATE TABLE runs" in cloacina("db", "upgrade", "--plan").stdout

    def test_an_upgrade_makes_the_schema_once(self, cloacina: Cloacina):
        assert "applied 0001" in cloacina("db", "upgrade").stdout
        assert cloacina("db", "upgrade").stdout == "the schema is current\n"

    def test_a_newer_schema_is_refused(self, cloacina: Cloacina, bench: EngineBench):
        with bench.database.begin() as connection:
            connection.execute(runner.version_table.update().values(version_num="9999"))

        for command in (["upgrade", "--plan"], ["upgrade"], ["info"], ["check"]):
            result = cloacina("db", *command)
            assert result.exit_code == 6
            assert "error[schema-newer]" in result.stderr


class TestInfo:
    def test_a_store_tells_of_itself(self, cloacina: Cloacina, bench: EngineBench):
        finish(bench)
        live = bench.start(ONE)

        told = value(cloacina("db", "info", "--json"))

        assert told["schema"] == runner.HEAD
        assert told["runs"] == {
            "queued": 0,
            "running": 1,
            "paused": 0,
            "succeeded": 1,
            "failed": 0,
            "cancelled": 0,
        }
        assert told["bytes"] > 0
        assert told["engines"] == {"test": 1}
        assert told["oldest_live_run"][:16] == live.summary.created_at.isoformat()[:16]
        assert "runs succeeded" in cloacina("db", "info").stdout


class TestPrune:
    def test_without_a_time_the_settings_count(self, cloacina: Cloacina, bench: EngineBench):
        old, young = finish(bench, days_ago=31), finish(bench, days_ago=29)

        planned = value(cloacina("db", "prune", "--dry-run", "--json"))
        done = value(cloacina("db", "prune", "--json"))

        assert planned == {"runs": 1, "dry_run": True}
        assert done == {"runs": 1, "dry_run": False}
        left = [run["run_id"] for run in value(cloacina("runs", "list", "--json"))]
        assert left == [young]
        assert old not in left

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            (["--older-than", "5d"], 2),
            (["--older-than", "15d"], 1),
            (["--before", "2000-01-01"], 0),
            (["--before", "2999-01-01T00:00+01:00"], 2),
            (["--older-than", "5d", "--status", "failed", "--status", "cancelled"], 0),
            (["--older-than", "5d", "--status", "succeeded"], 2),
        ],
    )
    def test_a_time_and_states_can_be_named(
        self, cloacina: Cloacina, bench: EngineBench, options: list[str], count: int
    ):
        finish(bench, days_ago=20)
        finish(bench, days_ago=10)
        bench.start(ONE)

        assert value(cloacina("db", "prune", *options, "--json"))["runs"] == count

    @pytest.mark.parametrize(
        "options",
        [
            ["--older-than", "soon"],
            ["--older-than", "forever"],
            ["--before", "yesterday"],
            ["--status", "running"],
            ["--before", "2026-01-01", "--older-than", "1d"],
        ],
    )
    def test_what_makes_no_sense_is_refused(self, cloacina: Cloacina, options: list[str]):
        assert cloacina("db", "prune", *options).exit_code == 2


class TestListing:
    def test_pages_follow_each_other_and_times_filter(self, cloacina: Cloacina, bench: EngineBench):
        runs = [finish(bench) for _ in range(3)][::-1]

        first = value(cloacina("runs", "list", "--limit", "2", "--json"))
        last = first[-1]["run_id"]
        rest = value(cloacina("runs", "list", "--limit", "2", "--before", last, "--json"))

        assert [run["run_id"] for run in first + rest] == runs
        assert value(cloacina("runs", "list", "--since", "2999-01-01", "--json")) == []
        assert len(value(cloacina("runs", "list", "--until", "2999-01-01", "--json"))) == 3

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            (["--started-by", "principal"], 2),
            (["--started-by", "principal:ann"], 1),
            (["--started-by", "schedule:nightly"], 1),
            (["--started-by", "backfill:nightly"], 1),
            (["--started-by", "schedule"], 2),
            (["--schedule", "nightly"], 2),
            (["--schedule", "hourly"], 1),
            (["--schedule", "ann"], 0),
        ],
    )
    def test_what_started_them_filters(
        self, cloacina: Cloacina, bench: EngineBench, options: list[str], count: int
    ):
        for kind, name in (
            (StarterKind.PRINCIPAL, "ann"),
            (StarterKind.PRINCIPAL, "nightly"),
            (StarterKind.SCHEDULE, "nightly"),
            (StarterKind.SCHEDULE, "hourly"),
            (StarterKind.BACKFILL, "nightly"),
        ):
            at = None if kind is StarterKind.PRINCIPAL else NOON
            finish(bench, started_by=StartedBy(kind=kind, name=name, at=at))

        assert len(value(cloacina("runs", "list", *options, "--json"))) == count

    def test_what_started_one_is_told(self, cloacina: Cloacina, bench: EngineBench):
        by = StartedBy(kind=StarterKind.BACKFILL, name="nightly", at=NOON)
        run_id = finish(bench, started_by=by)

        listed = cloacina("runs", "list").stdout
        shown = cloacina("runs", "show", run_id).stdout

        assert "backfill nightly" in listed
        assert "started by a backfill of schedule nightly, due 2026-01-01T12:00:00Z" in shown
        assert value(cloacina("runs", "show", run_id, "--json"))["started_by"] == by.to_json()

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--started-by", "cron"], "'cron' starts no runs"),
            (["--started-by", "schedule:"], "lacks the name"),
            (["--started-by", "task", "--schedule", "nightly"], "not both"),
        ],
    )
    def test_what_starts_no_runs_is_refused(
        self, cloacina: Cloacina, options: list[str], told: str
    ):
        refused = cloacina("runs", "list", *options)

        assert (refused.exit_code, told in refused.stderr) == (2, True)

    def test_a_long_history_is_one_document(self, cloacina: Cloacina, bench: EngineBench):
        run_id = finish(bench)
        with bench.database.begin() as connection:
            rows = [
                {"run_id": run_id, "seq": seq, "at": 1, "type": "callback_failed"}
                for seq in range(6, 2501)
            ]
            connection.execute(insert(schema.events), rows)

        events = value(cloacina("runs", "events", run_id, "--json"))
        text = cloacina("runs", "events", run_id).stdout.splitlines()

        assert [event["seq"] for event in events] == list(range(1, 2501))
        assert len(text) == 2501
        assert text[0].startswith("seq")

    def test_no_events_and_no_lines_are_an_empty_list(self, cloacina: Cloacina, bench: EngineBench):
        run_id = finish(bench)

        assert value(cloacina("runs", "events", run_id, "--after", "99", "--json")) == []
        assert value(cloacina("runs", "logs", run_id, "--json")) == []
        assert "nothing was printed" in cloacina("runs", "logs", run_id).stderr


class TestDoctor:
    @pytest.fixture
    def sqlite_url(self, sqlite_url: str) -> str:
        """Return a store that was opened once: the doctor makes none."""
        Database(sqlite_url, CLOCK).close()
        return sqlite_url

    def findings(self, cloacina: Cloacina, url: str) -> dict[str, Any]:
        return {item["what"]: item for item in value(cloacina("doctor", "--json", url=url))}

    def test_a_store_in_order_is_told_to_be(
        self, cloacina: Cloacina, store_url: str, bench: EngineBench
    ):
        bench.start(ONE)

        found = self.findings(cloacina, store_url)

        assert found["store"]["detail"].endswith(f"schema {runner.HEAD}")
        assert found["durability"]["verdict"] == "ok"
        assert "accepted 0:00:0" in found["oldest live run"]["detail"]

    @pytest.mark.skipif(sys.platform != "linux", reason="the rules are Linux's")
    @pytest.mark.parametrize("required", ["false", "true"])
    def test_what_workers_are_kept_from_is_told(
        self,
        cloacina: Cloacina,
        store_url: str,
        required: str,
        monkeypatch: pytest.MonkeyPatch,
    ):
        monkeypatch.setenv("CLOACINA_REQUIRE_CONFINEMENT", required)
        told = cloacina("doctor", "--json", url=store_url).stdout
        found = {item["what"]: item for item in json.loads(told)}

        assert "no-new-privileges" in found["workers: rights"]["detail"]
        assert found["workers: rights"]["verdict"] == "ok"
        limits = found["workers: limits"]
        wrong = "fail" if required == "true" else "warn"
        is_root = os.geteuid() == 0
        assert limits["verdict"] == (wrong if is_root else "ok")
        assert ("not enforced: rlimit-processes" in limits["detail"]) == is_root

    @pytest.mark.skipif(os.name != "posix", reason="there are no modes")
    def test_what_others_may_read_is_told(
        self, cloacina: Cloacina, tmp_path: Path, sqlite_url: str
    ):
        before = self.findings(cloacina, sqlite_url)
        (tmp_path / "home").chmod(0o755)
        (tmp_path / "other.db").chmod(0o644)

        after = self.findings(cloacina, sqlite_url)

        assert before["home"]["verdict"] == "ok"
        assert "store file" not in before
        assert (after["home"]["verdict"], after["store file"]["verdict"]) == ("warn", "warn")
        assert after["home"]["mend"] == f"chmod 700 {tmp_path / 'home'}"
        assert f"chmod 600 {tmp_path / 'other.db'}" in after["store file"]["mend"]

    @pytest.mark.parametrize("where", ["project", "variable"])
    def test_who_names_the_home_is_told_where_it_is_a_project(
        self, where: str, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ):
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        file = tmp_path / "pyproject.toml"
        file.write_text("[tool.cloacina]\nhome = 'home'\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CLOACINA_HOME", "" if where == "project" else str(home))

        told = CliRunner().invoke(main, ["doctor", "--json", "--database-url", sqlite_url])

        detail = next(item["detail"] for item in value(told) if item["what"] == "home")
        by_project = f"{home}, whose keys and trust count, because {file} says so"
        assert detail == (by_project if where == "project" else str(home))

    def test_commits_that_may_be_lost_are_told(
        self, cloacina: Cloacina, sqlite_url: str, postgresql_url: str
    ):
        options = "options=-c%20synchronous_commit%3Doff"
        joint = "&" if "?" in postgresql_url else "?"
        for url in (f"{sqlite_url}?synchronous=NORMAL", f"{postgresql_url}{joint}{options}"):
            found = self.findings(cloacina, url)["durability"]
            assert found["verdict"] == "warn"
            assert "power cut" in found["detail"]

    @pytest.mark.skipif(VARIABLE in os.environ, reason="the server is somebody's")
    @pytest.mark.parametrize("off", [(), ("fsync",), ("full_page_writes",)])
    def test_what_postgresql_does_not_do_against_power_cuts_is_told(
        self,
        cloacina: Cloacina,
        postgresql_server: Server,
        postgresql_url: str,
        off: tuple[str, ...],
    ):
        settings = {"fsync", "full_page_writes"}
        for setting in settings:
            value = "off" if setting in off else "on"
            postgresql_server.execute(f"ALTER SYSTEM SET {setting} = {value}")
        try:
            postgresql_server.reload()
            found = self.findings(cloacina, postgresql_url)
        finally:
            postgresql_server.hasten()

        told = {what.removeprefix("durability: ") for what in found} & settings
        assert told == set(off)
        for setting in off:
            finding = found[f"durability: {setting}"]
            assert finding["verdict"] == "warn"
            assert "damage the database" in finding["detail"]
            assert f"SET {setting} = on" in finding["mend"]

    @pytest.mark.parametrize(
        ("disk", "verdict", "told"),
        [
            (Disk("nfs4", 10**12), "fail", "can't be trusted"),
            (Disk("ext4", 10**6), "warn", "0.0 GiB free"),
            (Disk("ext4", 10**12), "ok", "ext4"),
        ],
    )
    def test_the_disk_is_told(
        self,
        cloacina: Cloacina,
        sqlite_url: str,
        monkeypatch: pytest.MonkeyPatch,
        disk: Disk,
        verdict: str,
        told: str,
    ):
        monkeypatch.setattr("cloacina_core.store.facts.disk_of", lambda _path: disk)

        found = self.findings(cloacina, sqlite_url)["disk"]

        assert found["verdict"] == verdict
        assert told in found["detail"]
