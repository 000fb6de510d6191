"""`cloacina registry audit`, as it is typed: what it prints, where, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from support.audit import forge_body
from support.registry import OWNER, StoreView, flows_returning, signed_wheel
from support.signing import grant_key

from cloacina_registry.cli.registry import registry
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.keys import PrivateKey

ONE = signed_wheel("1.0", sources=flows_returning("one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with three entries in its log."""
    home, dist = tmp_path / "home", tmp_path / "dist"
    dist.mkdir()
    grant_key(home, "owner", OWNER.public)
    assert call(home, "upload", ONE.save_in(dist), TWO.save_in(dist)).exit_code == 0
    assert call(home, "yank", "acme-etl==1.0", "--reason", "wrong totals").exit_code == 0
    return home


def call(home: Path, *arguments: object) -> Result:
    words = [*map(str, arguments), "--home", str(home)]
    return CliRunner().invoke(registry, words, catch_exceptions=False)


def answer(home: Path, *arguments: object) -> Any:
    result = call(home, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refusal(result: Result) -> Any:
    return json.loads(result.stderr)["error"]


def tamper(home: Path, statement: str) -> None:
    view = StoreView(home)
    with view.begin() as connection:
        connection.execute(text(statement))
    view.database.close()


def test_a_list_tells_the_newest_first(home: Path):
    entries = answer(home, "audit", "list")

    assert [entry["index"] for entry in entries] == [2, 1, 0]
    assert [entry["kind"] for entry in entries] == ["yank", "upload", "upload"]
    assert set(entries[0]) == {"index", "at", "actor", "kind", "facts"}
    assert entries[0]["facts"]["reason"] == "wrong totals"


def test_a_list_for_people_is_a_table(home: Path):
    headers, *rows = call(home, "audit", "list").stdout.splitlines()

    assert headers.split() == ["INDEX", "AT", "KIND", "WHAT", "ACTOR"]
    assert "acme-etl==1.0, wrong totals" in rows[0]
    assert "acme-etl==2.0" in rows[1]


def test_a_list_can_be_narrowed_turned_and_paged(home: Path):
    def indexes(*options: object) -> list[int]:
        return [entry["index"] for entry in answer(home, "audit", "list", *options)]

    assert indexes("--kind", "yank") == [2]
    assert indexes("--package", "Acme_ETL", "--oldest-first") == [0, 1, 2]
    assert indexes("--package", "other") == []
    assert indexes("--limit", 1) == [2]
    assert indexes("--limit", 5, "--after", 1) == [0]
    assert indexes("--oldest-first", "--after", 1) == [2]
    assert "--after 2" in call(home, "audit", "list", "--limit", 1).stderr
    assert "--after" not in call(home, "audit", "list", "--limit", 3).stderr


def test_an_unknown_kind_is_bad_input(home: Path):
    assert call(home, "audit", "list", "--kind", "vanish").exit_code == 2


def test_a_log_that_is_right_is_told(home: Path):
    told = answer(home, "audit", "verify")

    assert (told["size"], told["receipts"], told["checkpoint"]) == (3, 2, None)
    assert len(told["root"]) == 64
    assert call(home, "audit", "verify").stdout == "entries 3, receipts 2, nothing wrong\n"


def test_a_log_that_was_changed_ends_with_4_and_names_the_entry(home: Path):
    view = StoreView(home)
    with view.begin() as connection:
        forge_body(connection, 1, "upload", "import", hashed=False)
    view.database.close()

    result = call(home, "audit", "verify", "--json")

    assert result.exit_code == 4
    assert result.stdout == ""
    error = refusal(result)
    assert error["code"] == "log-tampered"
    assert {problem["where"] for problem in error["problems"]} == {"entry 1"}
    assert "the first wrong entry is 1" in error["message"]


def test_a_checkpoint_kept_elsewhere_shows_that_the_log_was_cut_off(home: Path, tmp_path: Path):
    file = tmp_path / "checkpoint.json"
    assert answer(home, "audit", "checkpoint", "--out", file) == {"file": str(file)}
    assert answer(home, "audit", "verify", "--checkpoint", file)["checkpoint"]["size"] == 3
    for table in ("registry_log", "registry_log_nodes", "registry_log_head", "registry_releases"):
        tamper(home, f"delete from {table}")

    without, with_it = (
        call(home, "audit", "verify", *options) for options in ([], ["--checkpoint", file])
    )

    assert without.exit_code == 0
    assert with_it.exit_code == 4
    assert "knows of 3 entries, and 0 are there" in with_it.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_printed_checkpoint_is_one(home: Path, tmp_path: Path, options: list[str]):
    file = tmp_path / "checkpoint.json"
    file.write_text(call(home, "audit", "checkpoint", *options).stdout)

    assert call(home, "audit", "verify", "--checkpoint", file).exit_code == 0


def test_a_forged_checkpoint_is_refused(home: Path, tmp_path: Path):
    file = tmp_path / "checkpoint.json"
    call(home, "audit", "checkpoint", "--out", file)
    document = json.loads(file.read_text())
    document["payload"] = document["payload"][:-8] + document["payload"][:8]
    file.write_text(json.dumps(document))

    result = call(home, "audit", "verify", "--checkpoint", file, "--json")

    assert result.exit_code == 4
    assert refusal(result)["code"] == "checkpoint"


def test_a_checkpoint_is_checked_with_the_key_that_was_kept_with_it(home: Path, tmp_path: Path):
    file = tmp_path / "checkpoint.json"
    call(home, "audit", "checkpoint", "--out", file)
    key = KeyRing(home).public("registry").to_text()
    other = PrivateKey.generate().public.to_text()

    right = call(home, "audit", "verify", "--checkpoint", file, "--key", key)
    wrong = call(home, "audit", "verify", "--checkpoint", file, "--key", other)
    alone = call(home, "audit", "verify", "--key", key)

    assert (right.exit_code, wrong.exit_code, alone.exit_code) == (0, 4, 2)


@pytest.mark.parametrize("command", [["checkpoint"], ["prove", "acme-etl==1.0"]])
def test_a_file_that_cannot_be_written_is_told(home: Path, tmp_path: Path, command: list[str]):
    result = call(home, "audit", *command, "--out", tmp_path / "no" / "folder")

    assert result.exit_code == 2
    assert "can't be written" in result.stderr


@pytest.mark.parametrize("command", [["verify", "--checkpoint"], ["check-receipt"]])
def test_a_file_that_cannot_be_read_is_told(home: Path, tmp_path: Path, command: list[str]):
    result = call(home, "audit", *command, tmp_path / "nothing.json")

    assert result.exit_code == 2
    assert "can't be read" in result.stderr


def test_a_receipt_can_be_checked_without_store_and_log(home: Path, tmp_path: Path):
    out, nowhere = tmp_path / "out", tmp_path / "nowhere"
    answer(home, "download", "acme-etl==1.0", "--out", out)
    key = KeyRing(home).public("registry").to_text()
    receipt = out / f"{ONE.filename}.receipt.json"

    told = answer(nowhere, "audit", "check-receipt", receipt, "--key", key)

    assert told["wheel"] == str(out / ONE.filename)
    assert told["entry"]["facts"]["digest"] == ONE.digest
    assert told["entry"]["at"] == told["received_at"]
    assert (told["entry"]["index"], told["size"]) == (0, 1)
    assert not nowhere.exists()


def test_a_new_receipt_is_checked_as_the_first_one(home: Path, tmp_path: Path):
    file, wheel = tmp_path / "proof.json", tmp_path / "dist" / ONE.filename
    call(home, "audit", "prove", "acme-etl==1.0", "--out", file)

    told = answer(home, "audit", "check-receipt", file, "--wheel", wheel)
    alone = call(home, "audit", "check-receipt", file)

    assert (told["entry"]["index"], told["size"]) == (0, 3)
    assert alone.exit_code == 0
    assert "none was compared" in alone.stderr


@pytest.mark.parametrize("name", [ONE.filename, f"{ONE.filename}.release.attestation"])
def test_a_receipt_is_not_for_other_bytes(home: Path, tmp_path: Path, name: str):
    out = tmp_path / "out"
    answer(home, "download", "acme-etl==1.0", "--out", out)
    (out / name).write_bytes(b"other bytes")

    result = call(home, "audit", "check-receipt", out / f"{ONE.filename}.receipt.json", "--json")

    assert result.exit_code == 4
    assert refusal(result)["code"] == "receipt"
    assert [problem["kind"] for problem in refusal(result)["problems"]] == ["receipt"]


def test_a_forged_receipt_is_refused(home: Path, tmp_path: Path):
    out = tmp_path / "out"
    answer(home, "download", "acme-etl==1.0", "--out", out)
    stranger = PrivateKey.generate().public.to_text()
    receipt = out / f"{ONE.filename}.receipt.json"

    result = call(home, "audit", "check-receipt", receipt, "--key", stranger)

    assert result.exit_code == 4
    assert "error[receipt]" in result.stderr


def test_without_a_key_nothing_can_be_checked(home: Path, tmp_path: Path):
    file = tmp_path / "proof.json"
    call(home, "audit", "prove", "acme-etl==1.0", "--out", file)

    result = call(tmp_path / "nowhere", "audit", "check-receipt", file)

    assert result.exit_code == 3
    assert "there is no key 'registry'" in result.stderr


def test_what_was_never_published_cannot_be_proved(home: Path):
    assert call(home, "audit", "prove", "acme-etl==9.0").exit_code == 3
    assert call(home, "audit", "prove", "acme-etl").exit_code == 2
