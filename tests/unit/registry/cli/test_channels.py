"""`cloacina registry promote | rollback | pin | channels` and withdrawal, as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.registry import OWNER, flows_returning, signed_wheel
from support.signing import grant_key

from cloacina_registry.cli.package import package
from cloacina_registry.cli.registry import registry

WHEELS = [
    signed_wheel(version, sources=flows_returning(version)) for version in ("1.0", "2.0", "3.0")
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home, dist = tmp_path / "home", tmp_path / "dist"
    dist.mkdir()
    grant_key(home, "owner", OWNER.public)
    uploaded = call(home, "upload", *(wheel.save_in(dist) for wheel in WHEELS))
    assert uploaded.exit_code == 0, uploaded.stderr
    return home


def call(home: Path, *arguments: object) -> Result:
    words = [*map(str, arguments), "--home", str(home)]
    return CliRunner().invoke(registry, words, catch_exceptions=False)


def done(home: Path, *arguments: object) -> str:
    result = call(home, *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout + result.stderr


def answer(home: Path, *arguments: object) -> Any:
    result = call(home, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def promote(home: Path, *versions: str) -> None:
    for version in versions:
        done(home, "promote", f"acme-etl=={version}", "--no-load")


def test_a_promotion_tells_where_the_channel_is(home: Path):
    told = answer(home, "promote", "acme-etl==1.0", "--reason", "go")

    assert (told["package"], told["channel"], told["version"]) == ("acme-etl", "stable", "1.0")
    assert (told["revision"], told["by"], told["reason"]) == (1, "promote", "go")
    assert (told["canary"], told["pinned"]) == (None, None)
    assert "acme-etl@stable is at 2.0" in done(home, "promote", "acme-etl==2.0")


def test_a_canary_has_its_share_and_its_rules(home: Path):
    promote(home, "1.0")

    told = answer(
        home,
        *("promote", "acme-etl==2.0", "--no-load", "--canary", "12.5%", "--max-failures", "1"),
        *("--min-runs", "7", "--for", "1h", "--manual"),
    )

    canary = told["canary"]
    assert (canary["version"], canary["percent"]) == ("2.0", 12.5)
    assert (canary["max_failures_percent"], canary["min_runs"]) == (1.0, 7)
    assert (canary["bake_seconds"], canary["promotes"]) == (3600.0, False)
    (listed,) = answer(home, "channels", "acme-etl@stable")
    assert listed["canary"]["runs"] == {"live": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert "2.0 12.5 %: 0 of 0 runs failed" in done(home, "channels")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--canary", "0"], "more than 0 %"),
        (["--canary", "100%"], "less than 100 %"),
        (["--canary", "lots"], "isn't a percentage"),
        (["--canary", "101"], "isn't a percentage"),
        (["--min-runs", "5"], "--canary"),
        (["--channel", "Not Good"], "can't be the name"),
    ],
)
def test_what_cannot_be_used_is_bad_input(home: Path, options: list[str], said: str):
    promote(home, "1.0")

    result = call(home, "promote", "acme-etl==2.0", *options)

    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["promote", "acme-etl==9.0"], 3, "unknown-release"),
        (["rollback", "acme-etl@nightly"], 3, "unknown-channel"),
        (["channels", "acme-etl@nightly"], 3, "unknown-channel"),
        (["rollback", "acme-etl"], 5, "channel-state"),
        (["promote", "acme-etl==2.0", "--if-revision", "7"], 5, "channel-moved"),
        (["retire", "acme-etl==1.0"], 5, "release-in-use"),
    ],
)
def test_refusals_have_a_code_and_a_status(
    home: Path, arguments: list[str], status: int, code: str
):
    promote(home, "1.0")

    result = call(home, *arguments)

    assert result.exit_code == status
    assert f"error[{code}]" in result.stderr
    assert "help:" in result.stderr or code == "channel-state"


def test_a_pinned_channel_stays_until_it_is_unpinned(home: Path):
    promote(home, "1.0", "2.0")

    assert "stays at 2.0" in done(home, "pin", "acme-etl", "--reason", "the quarter ends")
    refused = call(home, "rollback", "acme-etl")
    assert (refused.exit_code, "the quarter ends" in refused.stderr) == (5, True)
    done(home, "pin", "--undo", "acme-etl")
    assert "is at 1.0" in done(home, "rollback", "acme-etl")
    history = answer(home, "channels", "acme-etl@stable", "--history")
    assert [move["by"] for move in history] == ["rollback", "unpin", "pin", "promote", "promote"]


def test_a_check_tells_what_would_change_and_changes_nothing(home: Path):
    promote(home, "1.0")

    told = answer(home, "promote", "acme-etl==2.0", "--check")
    text = done(home, "promote", "acme-etl==2.0", "--check")

    assert (told["from"], told["to"], told["obstacles"]) == ("1.0", "2.0", [])
    (changed,) = told["changes"]["workflows"]["changed"]
    assert changed["tasks"]["changed"] == {"extract": ["code"]}
    assert "acme-etl@stable: 1.0 -> acme-etl==2.0" in text
    assert answer(home, "channels", "acme-etl@stable")[0]["version"] == "1.0"


def test_a_check_of_what_would_be_refused_ends_with_a_conflict(home: Path):
    done(home, "yank", "acme-etl==2.0")

    result = call(home, "promote", "acme-etl==2.0", "--check")

    assert result.exit_code == 5
    assert "it is yanked" in result.stdout


def test_a_withdrawal_names_the_channels_that_point_to_the_release(home: Path):
    promote(home, "1.0", "2.0")
    done(home, "promote", "acme-etl==3.0", "--no-load", "--canary", "5")

    assert "acme-etl@stable points to it" in done(home, "quarantine", "acme-etl==2.0")
    assert "tries it out" in done(home, "kill", "acme-etl==3.0", "--yes")
    assert answer(home, "show", "acme-etl==2.0")["status"] == "quarantined"
    assert answer(home, "restore", "acme-etl==2.0")["status"] == "published"
    assert answer(home, "retire", "acme-etl==1.0")["status"] == "retired"


def test_nothing_is_killed_unless_somebody_said_yes(home: Path):
    result = call(home, "kill", "acme-etl==1.0")

    assert result.exit_code == 2
    assert "to kill it all the same: --yes" in result.stderr


def test_what_a_channel_needs_is_deleted_by_force_alone(home: Path):
    promote(home, "1.0")

    refused = call(home, "delete", "acme-etl==1.0", "--yes")

    assert (refused.exit_code, "acme-etl@stable" in refused.stderr) == (5, True)
    assert answer(home, "delete", "acme-etl==1.0", "--yes", "--force")["status"] == "deleted"


def test_there_are_no_channels_at_first(home: Path):
    assert answer(home, "channels") == []
    assert "make one with" in done(home, "channels")


def test_releases_are_compared_as_files_are(home: Path, tmp_path: Path):
    words = ["diff", "acme-etl==1.0", str(tmp_path / "dist" / WHEELS[1].filename), "--home", home]

    result = CliRunner().invoke(package, list(map(str, words)), catch_exceptions=False)

    assert result.exit_code == 0, result.stderr
    assert "version: 1.0 -> 2.0" in result.stdout
    assert "task extract: code changed" in result.stdout


def test_before_a_promotion_it_is_told_where_the_release_runs(home: Path):
    promote(home, "1.0")

    told = answer(home, "promote", "acme-etl==2.0", "--check")

    assert told["placement"]["isolation"] == "namespace"
    assert "it runs in a namespace: " in done(home, "promote", "acme-etl==2.0", "--check")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (("network",), ("network", "processes"), ["processes"]),
        (("network",), (), []),
        ((), None, ["capabilities"]),
        (None, ("network",), []),
    ],
)
def test_a_release_that_may_do_more_than_the_one_before_is_told(
    home: Path,
    tmp_path: Path,
    before: tuple[str, ...] | None,
    after: tuple[str, ...] | None,
    said: list[str],
):
    for version, capabilities in (("4.0", before), ("5.0", after)):
        wheel = signed_wheel(version, sources=flows_returning("x"), capabilities=capabilities)
        done(home, "upload", wheel.save_in(tmp_path))
    promote(home, "4.0")

    told = answer(home, "promote", "acme-etl==5.0", "--check")

    assert [one["where"] for one in told["warnings"] if one["kind"] == "capability"] == said
    (change,) = (one for one in told["changes"]["changes"] if one["what"] == "capabilities")
    assert change["old"] == (None if before is None else list(before))
    assert change["new"] == (None if after is None else list(after))
