import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.signing import StoppedClock, make_key

from cloacina_registry.cli.trust import trust
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.store import TrustStore

Run = Callable[..., Result]
LEAD = make_key(1).public


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda *words: CliRunner().invoke(trust, [*words, "--home", str(tmp_path)])


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[], TrustPolicy]:
    return lambda: TrustStore(tmp_path, StoppedClock()).policy()


def test_a_key_is_trusted_by_its_line(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    result = run(
        "add", "lead", "--key", LEAD.to_text(), "--package", "acme-*", "--package", "Tools"
    )

    assert result.exit_code == 0
    assert result.stdout == "lead is trusted with acme-*, tools\n"
    assert result.stderr == ""
    assert policy().named("lead").public == LEAD


@pytest.mark.parametrize("contents", [LEAD.to_pem(), LEAD.to_text().encode() + b"\n"])
def test_a_key_is_trusted_by_its_file(
    run: Run, policy: Callable[[], TrustPolicy], tmp_path: Path, contents: bytes
) -> None:
    (tmp_path / "key").write_bytes(contents)

    run("add", "lead", "--file", str(tmp_path / "key"))

    assert policy().named("lead").public == LEAD


def test_a_key_of_our_own_is_trusted_by_its_name(
    run: Run, policy: Callable[[], TrustPolicy], tmp_path: Path
) -> None:
    public = KeyRing(tmp_path).new("mine", None)

    run("add", "lead", "--from-keyring", "mine")

    assert policy().named("lead").public == public


def test_trust_with_every_package_is_remarked_upon(run: Run) -> None:
    result = run("add", "lead", "--key", LEAD.to_text())

    assert result.stdout == "lead is trusted with *\n"
    assert "may sign every package" in result.stderr


@pytest.mark.parametrize(
    ("moment", "expires"),
    [
        ("2100-01-31", "2100-01-31T00:00:00.000000Z"),
        ("2100-01-31T12:00:00+02:00", "2100-01-31T10:00:00.000000Z"),
    ],
)
def test_trust_can_end_at_a_moment(run: Run, moment: str, expires: str) -> None:
    result = run("add", "lead", "--key", LEAD.to_text(), "--expires", moment, "--json")

    assert json.loads(result.stdout)["expires_at"] == expires


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([], 2, "bad-input"),
        (["--key", LEAD.to_text(), "--from-keyring", "x"], 2, "bad-input"),
        (["--key", ""], 2, "bad-public-key"),
        (["--key", "ssh-ed25519 AAAA"], 2, "bad-public-key"),
        (["--key", "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="], 4, "key-weak"),
        (["--from-keyring", "nobody"], 3, "unknown-key"),
        (["--key", LEAD.to_text(), "--package", "acme*"], 2, "bad-input"),
        (["--key", LEAD.to_text(), "--expires", "soon"], 2, "bad-input"),
        (["--key", LEAD.to_text(), "--expires", "2020-01-01"], 2, "bad-input"),
    ],
)
def test_what_cant_be_trusted_is_refused_as_one_json_object(
    run: Run, policy: Callable[[], TrustPolicy], words: list[str], status: int, code: str
) -> None:
    result = run("add", "lead", *words, "--json")

    assert result.exit_code == status
    assert json.loads(result.stderr)["error"]["code"] == code
    assert policy() == TrustPolicy()


def test_a_file_that_holds_no_text_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff")

    result = run("add", "lead", "--file", str(tmp_path / "key"))

    assert result.exit_code == 2
    assert "can't be read" in result.stderr


def test_keys_are_listed_with_what_they_are_trusted_with(run: Run) -> None:
    run("add", "lead", "--key", LEAD.to_text(), "--package", "acme-*")
    run("add", "other", "--key", make_key(2).public.to_text())
    run("remove", "other")

    lines = run("list").stdout.splitlines()

    assert lines[0].split() == ["NAME", "STATE", "PACKAGES", "EXPIRES", "KEY", "ID"]
    assert lines[1].split() == ["lead", "trusted", "acme-*", "never", LEAD.key_id]
    assert lines[2].split()[:2] == ["other", "revoked"]
    document = json.loads(run("list", "--json").stdout)
    assert [key["state"] for key in document["keys"]] == ["trusted", "revoked"]


def test_an_empty_list_says_how_to_begin(run: Run) -> None:
    result = run("list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "cloacina trust add" in result.stderr


def test_a_removed_key_is_revoked(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    run("add", "lead", "--key", LEAD.to_text())

    result = run("remove", "lead")

    assert result.stdout == "lead is revoked\n"
    assert policy().named("lead").state == "revoked"


def test_an_unknown_key_cant_be_removed(run: Run) -> None:
    assert run("remove", "nobody").exit_code == 3


def test_the_rules_are_shown_and_changed(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    assert run("policy").stdout == "level strict, threshold 1\n"

    assert run("policy", "--threshold", "2").stdout == "level strict, threshold 2\n"
    assert json.loads(run("policy", "--json").stdout) == {"level": "strict", "threshold": 2}
    assert policy().threshold == 2


def test_level_warn_is_warned_about(run: Run) -> None:
    result = run("policy", "--level", "warn", "--quiet")

    assert result.stdout == "level warn, threshold 1\n"
    assert "for development only" in result.stderr


@pytest.mark.parametrize("words", [["--level", "off"], ["--threshold", "0"], ["--threshold", "x"]])
def test_a_rule_that_isnt_one_is_refused(
    run: Run, policy: Callable[[], TrustPolicy], words: list[str]
) -> None:
    assert run("policy", *words).exit_code == 2
    assert policy() == TrustPolicy()
