"""`cloacina trust`, as it is typed: what it prints, where, and how it ends."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.registry import StoreView, signed_wheel
from support.signing import NOW, StoppedClock, make_key

from cloacina_core.foundation.clock import SystemClock
from cloacina_registry.cli.trust import trust
from cloacina_registry.registry import Registry
from cloacina_registry.trust.beginning import begin_trust
from cloacina_registry.trust.keyring import DEFAULT_KEY, KeyRing
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.signed import SignedTrust
from cloacina_registry.trust.store import TrustStore

Run = Callable[..., Result]
LEAD_KEY = make_key(1)
LEAD, OTHER = LEAD_KEY.public, make_key(2).public


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home as `cloacina init` makes it, but for its store."""
    home = tmp_path / "home"
    ring = KeyRing(home)
    ring.new(DEFAULT_KEY, None)
    key = ring.load_private(DEFAULT_KEY, None)
    begin_trust(TrustStore(home, StoppedClock()), key, DEFAULT_KEY, NOW)
    return home


def runner_in(home: Path, **environment: str) -> Run:
    def run(*words: object) -> Result:
        arguments = [*map(str, words), "--home", str(home)]
        return CliRunner(env={"CLOACINA_PASSPHRASE": None, **environment}).invoke(
            trust, arguments, catch_exceptions=False
        )

    return run


@pytest.fixture
def run(home: Path) -> Run:
    return runner_in(home)


@pytest.fixture
def policy(home: Path) -> Callable[[], TrustPolicy]:
    return lambda: TrustStore(home, SystemClock()).policy()


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def code(result: Result) -> Any:
    return json.loads(result.stderr)["error"]["code"]


def state(run: Run, name: str) -> Any:
    return next(key for key in answer(run("list", "--json"))["keys"] if key["name"] == name)


# Keys.


def test_a_key_is_trusted_by_its_line(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    result = run(
        "add", "lead", "--key", LEAD.to_text(), "--package", "acme-*", "--package", "Tools"
    )

    assert result.exit_code == 0
    assert result.stdout == "lead is trusted with acme-*, tools\n"
    assert policy().named("lead").public == LEAD
    assert policy().version == 2


def test_it_is_told_whose_grant_ends_with_a_more_specific_one(run: Run) -> None:
    words = ("add", "lead", "--key", LEAD.to_text(), "--package", "acme-*")

    first, again = run(*words), run(*words)

    assert first.stderr == (
        "acme-* has a grant of its own now: that of *, to default, doesn't count for it any more\n"
    )
    assert again.stderr == ""


@pytest.mark.parametrize("contents", [LEAD.to_pem(), LEAD.to_text().encode() + b"\n"])
def test_a_key_is_trusted_by_its_file(
    run: Run, policy: Callable[[], TrustPolicy], tmp_path: Path, contents: bytes
) -> None:
    (tmp_path / "key").write_bytes(contents)

    run("add", "lead", "--file", tmp_path / "key")

    assert policy().named("lead").public == LEAD


def test_a_key_of_our_own_is_trusted_by_its_name(
    run: Run, policy: Callable[[], TrustPolicy], home: Path
) -> None:
    public = KeyRing(home).new("mine", None)

    run("add", "lead", "--from-keyring", "mine")

    assert policy().named("lead").public == public


def test_trust_with_every_package_is_remarked_upon(run: Run) -> None:
    result = run("add", "lead", "--key", LEAD.to_text())

    assert result.stdout == "lead is trusted with *\n"
    assert "may sign every package" in result.stderr


def test_what_a_key_is_trusted_with_adds_up(run: Run) -> None:
    run("add", "lead", "--key", LEAD.to_text(), "--package", "acme-*")

    told = answer(run("add", "lead", "--key", LEAD.to_text(), "--package", "tools", "--json"))

    assert told["packages"] == ["acme-*", "tools"]
    assert (told["version"], told["in_force"], told["draft"]) == (3, True, None)


@pytest.mark.parametrize(
    ("moment", "expires"),
    [
        ("2100-01-31", "2100-01-31T00:00:00.000000Z"),
        ("2100-01-31T12:00:00+02:00", "2100-01-31T10:00:00.000000Z"),
    ],
)
def test_trust_can_end_at_a_moment(run: Run, moment: str, expires: str) -> None:
    result = run("add", "lead", "--key", LEAD.to_text(), "--expires", moment, "--json")

    assert answer(result)["expires_at"] == expires


@pytest.mark.parametrize(
    ("words", "status", "refusal"),
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
    run: Run, policy: Callable[[], TrustPolicy], words: list[str], status: int, refusal: str
) -> None:
    result = run("add", "lead", *words, "--json")

    assert result.exit_code == status
    assert code(result) == refusal
    assert policy().version == 1


def test_a_file_that_holds_no_text_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff")

    result = run("add", "lead", "--file", tmp_path / "key")

    assert result.exit_code == 2
    assert "can't be read" in result.stderr


def test_a_home_without_a_document_says_how_to_begin(tmp_path: Path) -> None:
    run = runner_in(tmp_path / "new")

    added = run("add", "lead", "--key", LEAD.to_text(), "--json")

    assert (added.exit_code, code(added)) == (3, "no-trust-document")
    assert run("show").exit_code == 3
    assert run("verify").exit_code == 3


def test_a_key_is_retired(run: Run) -> None:
    run("add", "lead", "--key", LEAD.to_text())

    result = run("retire", "lead")

    assert result.stdout == "lead is retired\n"
    assert state(run, "lead")["state"] == "retired"


@pytest.mark.parametrize("verb", ["revoke", "remove"])
def test_a_key_is_revoked(run: Run, verb: str) -> None:
    run("add", "lead", "--key", LEAD.to_text())

    result = run(verb, "lead")

    assert result.stdout == "lead is revoked\n"
    assert "starts no more" in result.stderr
    assert state(run, "lead")["state"] == "revoked"


def test_the_other_name_of_revoke_is_shown_as_such(run: Run) -> None:
    assert "Another name of `revoke`." in CliRunner().invoke(trust, ["--help"]).stdout


def test_a_key_is_compromised_since_a_moment(run: Run) -> None:
    run("add", "lead", "--key", LEAD.to_text())

    told = answer(run("revoke", "lead", "--compromised-at", "2026-01-31", "--json"))

    assert told["compromised_at"] == "2026-01-31T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("words", "status"),
    [(["nobody"], 3), (["default", "--compromised-at", "2100-01-01"], 2)],
)
def test_what_cant_be_revoked_is_told(run: Run, words: list[str], status: int) -> None:
    assert run("revoke", *words).exit_code == status


def test_a_revocation_tells_what_the_key_signed(run: Run, home: Path) -> None:
    run("add", "lead", "--key", LEAD.to_text())
    view = StoreView(home)
    for wheel in (signed_wheel("1.0", key=LEAD_KEY), signed_wheel("2.0", key=LEAD_KEY)):
        wheel.upload_to(Registry.of(view))
    Registry.of(view).delete("acme-etl", "1.0")
    view.database.close()

    result = run("revoke", "lead", "--json")

    assert answer(result)["releases"] == ["acme-etl==2.0"]
    assert "it signed acme-etl==2.0" in result.stderr


def test_a_revocation_holds_where_the_store_cant_be_read(run: Run, home: Path) -> None:
    (home / "cloacina.db").write_bytes(b"no database")

    result = run("revoke", "default")

    assert result.exit_code == 0
    assert "can't be told" in result.stderr
    assert state(run, "default")["state"] == "revoked"


def test_a_revoked_root_key_is_warned_about(run: Run) -> None:
    assert "default is still a root key" in run("revoke", "default").stderr


# What is shown.


def test_keys_are_listed_with_what_they_are_trusted_with(run: Run) -> None:
    run("add", "lead", "--key", LEAD.to_text(), "--package", "acme-*")
    run("add", "other", "--key", OTHER.to_text())
    run("remove", "other")

    lines = run("list").stdout.splitlines()

    assert lines[0].split() == ["NAME", "STATE", "PACKAGES", "EXPIRES", "KEY", "ID"]
    assert lines[2].split() == ["lead", "trusted", "acme-*", "never", LEAD.key_id]
    assert lines[3].split()[:2] == ["other", "revoked"]
    document = answer(run("list", "--json"))
    assert [key["state"] for key in document["keys"]] == ["trusted", "trusted", "revoked"]


def test_an_empty_list_says_how_to_begin(tmp_path: Path) -> None:
    result = runner_in(tmp_path)("list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "cloacina init" in result.stderr


def test_the_whole_document_is_shown(run: Run) -> None:
    run("add", "lead", "--key", LEAD.to_text(), "--package", "acme-*")
    run("reserve", "acme-*")

    text = run("show").stdout
    told = answer(run("show", "--json"))

    assert "version   3\n" in text
    assert "reserved  acme-*\n" in text
    assert text.splitlines()[-2:] == [
        "acme-*   lead     1          strict",
        "*        default  1          strict",
    ]
    assert told["root"]["key_ids"] == [told["keys"][0]["key_id"]]
    assert told["grants"][1] == {
        "pattern": "acme-*",
        "keys": ["lead"],
        "threshold": 1,
        "level": "strict",
    }


# Grants.


def test_packages_are_granted_to_keys(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    run("add", "lead", "--key", LEAD.to_text())

    result = run("grant", "acme-*", "lead", "default", "--threshold", 2)

    assert result.stdout == "acme-* is granted to lead, default: level strict, threshold 2\n"
    grant = policy().grant_for("acme-etl")
    assert grant is not None
    assert (grant.keys, grant.threshold) == (("lead", "default"), 2)


def test_packages_of_which_nobody_is_asked_are_warned_about(run: Run) -> None:
    result = run("grant", "scratch-*", "--level", "off")

    assert result.stdout == "scratch-* is granted to nobody: level off, threshold 1\n"
    assert "for development only" in result.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["acme-*"], 2),
        (["acme-*", "nobody"], 3),
        (["acme-*", "default", "--threshold", "2"], 2),
        (["*", "default", "--level", "off"], 2),
        (["*", "default", "--level", "x"], 2),
        (["a*", "default"], 2),
    ],
)
def test_what_cant_be_granted_is_refused(
    run: Run, policy: Callable[[], TrustPolicy], words: list[str], status: int
) -> None:
    assert run("grant", *words).exit_code == status
    assert policy().version == 1


def test_a_grant_is_taken_back(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    assert run("ungrant", "*").stdout == "* has no grant any more\n"
    assert policy().grants == ()
    assert run("ungrant", "*").exit_code == 3


def test_the_rules_for_every_package_are_shown_and_changed(run: Run) -> None:
    run("add", "lead", "--key", LEAD.to_text())
    assert run("policy").stdout == "level strict, threshold 1\n"

    assert run("policy", "--threshold", "2").stdout == "level strict, threshold 2\n"
    assert answer(run("policy", "--json")) == {"level": "strict", "threshold": 2}


def test_level_warn_is_warned_about(run: Run) -> None:
    result = run("policy", "--level", "warn", "--quiet")

    assert result.stdout == "level warn, threshold 1\n"
    assert "for development only" in result.stderr


@pytest.mark.parametrize(
    "words", [["--level", "off"], ["--threshold", "0"], ["--threshold", "x"], ["--threshold", "2"]]
)
def test_a_rule_that_isnt_one_is_refused(
    run: Run, policy: Callable[[], TrustPolicy], words: list[str]
) -> None:
    assert run("policy", *words).exit_code == 2
    assert policy().version == 1


def test_names_are_reserved(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    assert run("reserve", "Acme.*").stdout == "acme-* is reserved\n"
    assert policy().reserved == ("acme-*",)

    assert run("unreserve", "acme-*").stdout == "acme-* is reserved no more\n"
    assert run("unreserve", "acme-*").exit_code == 3


# The document itself.


def test_the_document_expires(run: Run, policy: Callable[[], TrustPolicy]) -> None:
    run("expires", "2100-01-31")
    assert policy().expires_at is not None

    assert run("expires", "never").stdout == "trust expires never\n"
    assert policy().expires_at is None
    assert run("expires", "2020-01-01").exit_code == 2


def test_an_expired_document_is_shown_with_a_warning(home: Path, run: Run) -> None:
    key = KeyRing(home).load_private(DEFAULT_KEY, None)
    TrustStore(home, StoppedClock()).change(lambda policy: policy.expiring(NOW), [key])

    shown, verified = run("show"), run("verify", "--json")

    assert shown.exit_code == 0
    assert "nothing is taken" in shown.stderr
    assert verified.exit_code == 4
    assert json.loads(verified.stdout)["rules"][-1]["problems"][0]["kind"] == "freeze"


def test_a_home_can_begin_with_a_root_key_of_any_name(tmp_path: Path) -> None:
    home = tmp_path / "new"
    public = KeyRing(home).new("team", None)
    run = runner_in(home)

    assert run("rotate", "--add", "team").stdout == "1 of 1 root keys must sign trust\n"
    assert run("add", "team", "--from-keyring", "team").exit_code == 0

    assert answer(run("show", "--json"))["root"]["key_ids"] == [public.key_id]


def test_root_keys_are_added_and_removed(run: Run, home: Path) -> None:
    second = KeyRing(home).new("second", None)

    both = answer(run("rotate", "--add", "second", "--threshold", 2, "--json"))
    one = answer(run("rotate", "--remove", DEFAULT_KEY, "--threshold", 1, "--json"))

    assert (both["in_force"], both["threshold"]) == (True, 2)
    assert (one["in_force"], one["root"]) == (True, [second.key_id])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], 2),
        (["--add", "nobody"], 3),
        (["--add", "ed25519:x"], 2),
        (["--remove", "sha256:0"], 3),
        (["--remove", DEFAULT_KEY], 2),
        (["--threshold", "2"], 2),
    ],
)
def test_root_keys_that_cant_be_are_refused(run: Run, words: list[str], status: int) -> None:
    assert run("rotate", *words).exit_code == status


def test_a_root_key_with_a_passphrase_signs_when_it_is_given(tmp_path: Path) -> None:
    home = tmp_path / "home"
    KeyRing(home).new("team", "correct horse")
    with_passphrase = runner_in(home, CLOACINA_PASSPHRASE="correct horse")
    with_passphrase("rotate", "--add", "team")

    without = runner_in(home)("reserve", "acme-*")
    wrong = runner_in(home, CLOACINA_PASSPHRASE="wrong")("reserve", "tools")

    assert "isn't in force yet" in without.stderr
    assert "root key 'team' isn't used" in without.stderr
    assert wrong.exit_code == 5  # the draft from before is nobody's that is here
    assert with_passphrase("sign").exit_code == 0
    assert with_passphrase("apply").stdout == "version 2 of trust is in force\n"


def test_nobody_is_asked_for_a_passphrase_that_isnt_needed(run: Run) -> None:
    result = run("reserve", "acme-*", "--passphrase")

    assert result.exit_code == 0
    assert "Passphrase" not in result.stderr


# Two people, two homes.


@pytest.fixture
def second_home(home: Path, run: Run, tmp_path: Path) -> Path:
    """Return the home of a second holder of a root key; both must sign from version 2 on."""
    second = tmp_path / "second"
    public = KeyRing(second).new("second", None)
    (root,) = answer(run("show", "--json"))["root"]["key_ids"]
    runner_in(second)("apply", home / "trust" / "1.json", "--root", root)
    drafted = run("rotate", "--add", public.to_text(), "--threshold", 2)
    assert "in a draft" in drafted.stdout
    draft = home / "trust.draft.json"
    assert runner_in(second)("sign", draft).exit_code == 0
    assert run("apply").exit_code == 0
    assert runner_in(second)("apply", home / "trust.json").exit_code == 0
    return second


def test_two_holders_of_root_keys_change_trust_together(
    run: Run, home: Path, second_home: Path, policy: Callable[[], TrustPolicy], tmp_path: Path
) -> None:
    drafted = run("add", "lead", "--key", LEAD.to_text(), "--package", "acme-*", "--json")
    told = answer(drafted)
    assert (told["in_force"], told["version"]) == (False, 3)
    assert told["draft"] == str(home / "trust.draft.json")
    assert "cloacina trust sign" in drafted.stderr
    sent = tmp_path / "sent.json"
    shutil.copyfile(told["draft"], sent)
    sent.chmod(0o644)
    refused = run("apply", sent, "--json")
    assert (refused.exit_code, code(refused)) == (4, "root-threshold")

    signed = runner_in(second_home)("sign", sent, "--json")
    applied = [runner_in(each)("apply", sent) for each in (home, second_home)]

    assert answer(signed)["complete"] is True
    assert "grant acme-*: added, keys lead" in signed.stderr
    assert sent.stat().st_mode & 0o777 == 0o644
    assert [result.stdout for result in applied] == ["version 3 of trust is in force\n"] * 2
    assert policy().grant_for("acme-etl") is not None
    assert not (home / "trust.draft.json").exists()


def test_a_draft_says_what_it_waits_for(run: Run, second_home: Path) -> None:
    run("reserve", "acme-*")

    signed = answer(run("sign", "--json"))

    assert signed["complete"] is False
    assert [problem["kind"] for problem in signed["missing"]] == ["root-threshold"] * 2


def test_where_there_is_no_draft_a_file_must_be_named(run: Run) -> None:
    assert run("sign").exit_code == 2
    assert run("apply").exit_code == 2
    assert run("apply", "no-such-file").exit_code == 2


def test_a_stranger_cant_sign(run: Run, second_home: Path, tmp_path: Path, home: Path) -> None:
    run("reserve", "acme-*")
    stranger = tmp_path / "stranger"
    KeyRing(stranger).new("stranger", None)

    result = runner_in(stranger)("sign", home / "trust.draft.json")

    assert result.exit_code == 2
    assert "no root key here" in result.stderr


def test_a_document_is_taken_over_with_the_ids_of_its_root_keys(
    run: Run, home: Path, second_home: Path, tmp_path: Path
) -> None:
    third = runner_in(tmp_path / "third")
    roots = answer(run("show", "--json"))["root"]["key_ids"]

    unnamed = third("apply", home / "trust.json")
    half = third("apply", home / "trust.json", "--root", roots[0])
    right = third("apply", home / "trust.json", "--root", roots[0], "--root", roots[1], "--json")

    assert (unnamed.exit_code, half.exit_code) == (2, 2)
    assert "--root KEYID" in unnamed.stderr
    assert answer(right)["root"] == sorted(roots)


# Verification.


def test_a_document_is_verified_back_to_its_first_version(run: Run) -> None:
    run("reserve", "acme-*")
    run("reserve", "tools")

    text, told = run("verify"), answer(run("verify", "--json"))

    assert text.exit_code == 0
    assert "version   3, walked to from 1\n" in text.stdout
    assert text.stdout.count("\nyes  ") == 5
    assert told["trusted"] is True
    assert told["versions"] == [1, 2, 3]
    assert told["signers"] == told["root"]
    assert all(rule["problems"] == [] for rule in told["rules"])


def test_a_document_that_was_put_back_is_refused(run: Run, home: Path) -> None:
    run("reserve", "acme-*")
    shutil.copyfile(home / "trust" / "1.json", home / "trust.json")

    result = run("verify")

    assert result.exit_code == 4
    assert "trust.json: refused" in result.stdout
    assert "no   nothing newer" in result.stdout
    assert run("list", "--json").exit_code == 4


def test_a_chain_that_was_tampered_with_is_refused(run: Run, home: Path) -> None:
    run("reserve", "acme-*")
    foreign = TrustPolicy(version=1).rotating(add=[LEAD])
    kept = home / "trust" / "1.json"
    kept.write_bytes(SignedTrust.unsigned(foreign).signed_by([LEAD_KEY]).to_bytes())

    result = run("verify", "--json")

    assert result.exit_code == 4
    (broken,) = (rule for rule in json.loads(result.stdout)["rules"] if rule["problems"])
    assert broken["rule"].startswith("each version is signed")


def test_a_document_that_was_never_put_in_force_is_refused(run: Run, home: Path) -> None:
    (home / "trust.seen.json").unlink()

    assert run("verify").exit_code == 4


def test_a_file_is_verified_before_it_is_put_in_force(
    run: Run, home: Path, second_home: Path
) -> None:
    run("reserve", "acme-*")
    draft = home / "trust.draft.json"

    before = run("verify", draft, "--json")
    runner_in(second_home)("sign", draft)
    after = run("verify", draft, "--json")

    assert before.exit_code == 4
    assert answer(after)["versions"] == [2, 3]
    assert run("verify", home / "trust" / "1.json").exit_code == 4
