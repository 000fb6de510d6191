"""`cloacina schedule` and `doctor`, as they are typed, where a page of the docs doesn't show it."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from support.registry import StoreView, flows_returning, open_home, signed_wheel

from cloacina_core.cli.doctor import doctor
from cloacina_core.cli.event import event
from cloacina_core.cli.schedule import schedule
from cloacina_core.cli.schedule_facts import next_of
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.schedule.schedule import FiringState
from cloacina_core.store.schedules import ScheduleStore
from cloacina_registry.registry import Registry

OTHER = {
    path.replace("acme_etl", "other"): data.replace(b"acme_etl", b"other")
    for path, data in flows_returning("x").items()
}

Run = Callable[..., Result]


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    for view in open_home(tmp_path / "home", SystemClock()):
        registry = Registry.of(view)
        signed_wheel(sources=flows_returning("x")).upload_to(registry)
        other = {"nightly": "other.flows:nightly"}
        signed_wheel(name="other", sources=OTHER, workflows=other).upload_to(registry)
        yield view


@pytest.fixture
def run(view: StoreView, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CLOACINA_HOME", str(view.home))
    monkeypatch.setenv("CLOACINA_DATABASE_URL", view.settings.database_url)
    monkeypatch.setenv("CLOACINA_BLOB_STORE", "file")

    def run(*words: str, command: Any = schedule, stdin: str | None = None) -> Result:
        return CliRunner().invoke(command, words, input=stdin, catch_exceptions=False)

    return run


@pytest.fixture
def three(run: Run) -> None:
    """Keep three schedules, of two packages."""
    for name, package in (("one", "acme-etl"), ("two", "acme_etl/nightly"), ("odd", "other")):
        assert run("add", name, package, "--cron", "@daily").exit_code == 0


def names(result: Result) -> dict[str, bool]:
    return {one["name"]: one["paused"] for one in json.loads(result.stdout)}


@pytest.mark.usefixtures("three")
def test_all_schedules_of_a_package_are_paused_after_it_was_seen_which(run: Run) -> None:
    seen = run("pause", "--package", "ACME_etl", "--dry-run", "--json")
    before = names(run("list", "--json"))
    paused = run("pause", "--package", "acme-etl", "--json")

    assert names(seen) == {"one": False, "two": False}
    assert "schedule 'one' would be paused" in seen.stderr
    assert before == {"odd": False, "one": False, "two": False}
    assert names(paused) == {"one": True, "two": True}
    assert names(run("resume", "--all", "--json")) == {"odd": False, "one": False, "two": False}


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("words", [(), ("one", "--all"), ("--all", "--package", "other")])
def test_which_schedules_are_meant_is_said_once(run: Run, words: tuple[str, ...]) -> None:
    result = run("pause", *words)

    assert result.exit_code == 2
    assert "name schedules, or say --all or --package" in result.stderr


def test_windows_of_a_schedule_are_given_and_taken_away(run: Run) -> None:
    window = "0 22 * * SAT for 6h"
    added = run(
        "add", "job", "acme-etl", "--cron", "@daily", "--not-during", window,
        "--in-window", "put-off",
    )  # fmt: skip

    taken = run("update", "job", "--not-during", "none", "--json")

    assert f"{window}: put-off" in added.stdout
    assert json.loads(taken.stdout)["not_during"] == []


def test_each_limit_can_be_taken_back(run: Run) -> None:
    added = run(
        "add", "job", "acme-etl", "--cron", "@daily", "--timezone", "Europe/Berlin",
        "--jitter", "2m", "--start", "2026-01-02", "--end", "2099-01-01",
        "--max-runs", "9", "--json",
    )  # fmt: skip

    taken = run(
        "update", "job", "--jitter", "none", "--start", "none", "--end", "none",
        "--max-runs", "none", "--json",
    )  # fmt: skip

    fields = ("jitter", "starts_at", "ends_at", "max_runs", "timezone")
    before, after = (json.loads(one.stdout) for one in (added, taken))
    assert before["starts_at"] == "2026-01-01T23:00:00.000000Z"
    assert [after[field] for field in fields] == [0, None, None, None, "Europe/Berlin"]
    assert json.loads(run("update", "job", "--jitter", "0", "--json").stdout)["jitter"] == 0


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(("words", "answer", "status"), [((), "n", 130), (("--yes",), "", 0)])
def test_a_backfill_of_many_firings_is_asked_for_again_on_a_terminal(
    view: StoreView, words: tuple[str, ...], answer: str, status: int
) -> None:
    terminal, its_end = pty.openpty()
    times = ("--from", "2025-01-01", "--to", "2025-06-01")

    done = subprocess.run(
        [sys.executable, "-m", "cloacina_core", "schedule", "backfill", "one", *times, *words],
        input=answer.encode(),
        stdout=subprocess.PIPE,
        stderr=its_end,
        env={**os.environ, "TERM": "xterm"},
        check=False,
    )

    os.close(its_end)
    with os.fdopen(terminal, "rb", buffering=0) as spoken:
        said = spoken.read(10_000)
    assert done.returncode == status, said
    assert (b"Start 151 runs?" in said) is (not words)
    waiting = ScheduleStore(view.database).history("one", limit=1000)
    assert len(waiting) == (0 if status else 151)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    "words", [("--dry-run",), ("--from", "2025-01-01"), ("--to", "2025-01-02")]
)
def test_what_a_cancel_cant_keep_to_cancels_nothing(
    run: Run, view: StoreView, words: tuple[str, ...]
) -> None:
    run("backfill", "one", "--from", "2025-01-01", "--to", "2025-01-03")

    result = run("backfill", "one", "--cancel", *words)

    assert result.exit_code == 2
    assert "--cancel takes no --from, --to or --dry-run" in result.stderr
    states = [record.state for record in ScheduleStore(view.database).history("one")]
    assert states == [FiringState.WAITING] * 2


@pytest.mark.usefixtures("three")
def test_an_update_says_what_is_to_change(run: Run) -> None:
    result = run("update", "one")

    assert result.exit_code == 2
    assert "no option says what to change" in result.stderr


def test_all_that_is_known_of_a_schedule_is_shown(run: Run) -> None:
    run(
        "add", "job", "acme-etl", "--cron", "@daily", "--timezone", "Europe/Berlin",
        "--gap", "skip", "--jitter", "2m", "--end", "2099-01-01", "--max-runs", "9",
        "--priority", "3",
        "--catch-up", "all", "--catch-up-limit", "7",
    )  # fmt: skip

    shown = run("show", "job").stdout

    told = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert told["catch-up"] == "all, 7 at most, within 1d"
    assert told["jitter"].startswith("up to 2m; it starts ")
    assert told["end"] == "2099-01-01 00:00:00 +0100"
    assert told["max-runs"] == "9, 9 left"
    assert (told["gap"], told["priority"]) == ("skip", "3")


def test_next_tells_what_keeps_firings_from_starting(run: Run) -> None:
    run(
        "add", "job", "acme-etl", "--cron", "@daily", "--jitter", "2m", "--max-runs", "2",
        "--paused",
    )  # fmt: skip

    text = run("next", "job").stdout
    told = json.loads(run("next", "job", "--json").stdout)

    assert "it is paused" in text
    assert "at most 2 runs are left" in text
    assert "its jitter holds each back by " in text
    assert len(told["firings"]) == told["runs_left"] == 2
    assert told["paused"]
    assert 0 <= told["delay_seconds"] < 120


def test_a_firing_that_its_jitter_holds_back_is_due_and_held(run: Run, view: StoreView) -> None:
    run("add", "job", "acme-etl", "--cron", "@daily", "--jitter", "12h")
    state = ScheduleStore(view.database).get("job")
    assert state.next_at is not None

    told = next_of(state, state.next_at)

    until = state.next_at + state.schedule.delay
    since = f"{state.next_at:%Y-%m-%d %H:%M:%S}Z"
    assert told == f"due since {since}, held until {until:%Y-%m-%d %H:%M:%S}Z"


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_package_that_has_no_schedule_is_not_found(run: Run, verb: str) -> None:
    result = run(verb, "--package", "acme-elt")

    assert result.exit_code == 3
    assert "no schedule fits" in result.stderr


@pytest.mark.parametrize(("data", "stdin"), [("-", '{"order": 17}'), ("@order.json", None)])
def test_what_an_event_carries_is_no_argument(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, stdin: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order.json").write_text('{"order": 17}')

    sent = run("send", "orders.paid", "--data", data, "--json", command=event, stdin=stdin)

    assert json.loads(sent.stdout)["data"] == {"order": 17}
    assert run("send", "orders.paid", "--data", "@no.json", command=event).exit_code == 2


def test_two_days_of_which_one_is_enough_are_noted(run: Run) -> None:
    both = ("--cron", "0 0 13 * FRI")
    added = run("add", "either", "acme-etl", *both)

    assert added.stdout.count("is enough, as in cronie") == 1
    for words in (("show", "either"), ("next", "either"), ("next", *both)):
        (note,) = json.loads(run(*words, "--json").stdout)["notes"]
        assert note in run(*words).stdout
    (note,) = json.loads(run("add", "either", "acme-etl", *both, "--json").stdout)["notes"]
    assert "day of the week" in note
    assert json.loads(run("next", "--cron", "0 0 */13 * FRI", "--json").stdout)["notes"] == []


@pytest.mark.parametrize(
    ("options", "count", "told"),
    [
        (["--from", "9995-06-01"], 3, "firings are known up to 9998"),
        (["--from", "2026-06-01", "--count", "3"], 3, None),
    ],
)
def test_fewer_firings_than_were_asked_for_are_explained(
    run: Run, options: list[str], count: int, told: str | None
) -> None:
    found = run("next", "--cron", "@yearly", *options, "--json")

    document = json.loads(found.stdout)
    notes = [f"no more than {count} firings are left: {told}"] if told else []
    assert (len(document["firings"]), document["notes"]) == (count, notes)


def test_the_end_of_a_schedule_explains_that_there_are_no_more_firings(run: Run) -> None:
    limits = ("--end", "2999-01-03T00:00Z", "--start", "2999-01-01T00:00Z")
    run("add", "job", "acme-etl", "--cron", "@daily", *limits)

    told = json.loads(run("next", "job", "--json").stdout)

    assert len(told["firings"]) == 2
    assert told["notes"] == [
        "no more than 2 firings are left: the schedule ends at 2999-01-03 00:00:00Z"
    ]
    run("update", "job", "--max-runs", "1")
    assert json.loads(run("next", "job", "--json").stdout)["notes"] == []


@pytest.mark.parametrize("option", ["--max-runs", "--catch-up-limit"])
def test_a_number_that_doesnt_fit_is_refused_by_the_name_of_its_option(
    run: Run, option: str
) -> None:
    refused = run("add", "job", "acme-etl", "--cron", "@daily", option, "0")

    assert refused.exit_code == 2
    assert f"Invalid value for '{option}'" in refused.stderr


def test_a_window_that_leaves_a_schedule_no_firing_names_it(run: Run) -> None:
    run("add", "free", "acme-etl", "--cron", "0 5 * * *")
    run("add", "kept", "acme-etl", "--cron", "30 3 * * *")

    told = run("window", "add", "backups", "0 3 * * * for 1h")

    assert told.stderr.splitlines()[-1].endswith("no firing that starts a run: kept")
    again = json.loads(run("window", "add", "backups", "0 3 * * * for 1h", "--json").stdout)
    assert (again["new"], again["silenced"]) == (False, ["kept"])


def test_one_that_windows_keep_from_starting_is_refused_with_the_field(run: Run) -> None:
    run("window", "add", "backups", "0 3 * * * for 1h")

    refused = run("add", "job", "acme-etl", "--cron", "30 3 * * *", "--json")

    error = json.loads(refused.stderr)["error"]
    assert refused.exit_code == 2
    assert (error["code"], error["kind"], error["field"]) == ("never-starts", "never", "windows")


@pytest.mark.usefixtures("three")
def test_firings_that_a_window_keeps_from_starting_are_marked(run: Run) -> None:
    run("window", "add", "backups", "30 23 * * SAT for 1h")

    told = json.loads(run("next", "one", "--from", "2026-01-02", "--count", "3", "--json").stdout)

    marks = [(one["utc"][:10], one["window"]) for one in told["firings"]]
    assert marks == [
        ("2026-01-03", None),
        ("2026-01-04", "maintenance window backups"),
        ("2026-01-05", None),
    ]


@pytest.mark.usefixtures("three")
def test_doctor_tells_of_schedules_that_nobody_looks_after(run: Run, view: StoreView) -> None:
    an_hour = timedelta(hours=1) // timedelta(microseconds=1)
    with view.begin() as connection:
        statement = "update schedules set next_at = created_at - :micros where name = 'one'"
        connection.execute(text(statement), {"micros": an_hour})

    findings = {one["what"]: one for one in json.loads(run("--json", command=doctor).stdout)}
    shown = run("list")

    assert findings["schedules"]["verdict"] == "warn"
    assert "1 of 3 are overdue" in findings["schedules"]["detail"]
    assert "due since" in shown.stdout
