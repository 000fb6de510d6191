import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloacina_registry.cli.key import key
from cloacina_registry.errors import KeyFileError
from cloacina_registry.trust.keyring import KeyRing

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("CLOACINA_PASSPHRASE", raising=False)

    def run(*words: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(key, [*words, "--home", str(tmp_path)], input=typed)

    return run


def opens(home: Path, name: str, passphrase: str) -> bool:
    try:
        KeyRing(home).load_private(name, passphrase)
    except KeyFileError:
        return False
    return True


def test_a_new_key_is_printed_as_others_trust_it(run: Run, tmp_path: Path) -> None:
    result = run("new", "lead")

    assert result.exit_code == 0
    assert result.stdout == KeyRing(tmp_path).public("lead").to_text() + "\n"
    assert "not encrypted" in result.stderr


def test_a_key_without_name_is_the_default_one(run: Run, tmp_path: Path) -> None:
    run("new")

    assert run("show").stdout == KeyRing(tmp_path).public("default").to_text() + "\n"


def test_a_new_key_as_json_is_one_document(run: Run, tmp_path: Path) -> None:
    public = json.loads(run("new", "lead", "--json").stdout)

    assert public == {
        "name": "lead",
        "key_id": KeyRing(tmp_path).public("lead").key_id,
        "public": KeyRing(tmp_path).public("lead").to_text(),
        "public_file": str(tmp_path / "keys" / "lead.pub"),
        "encrypted": False,
    }


def test_a_key_that_exists_is_a_conflict(run: Run) -> None:
    run("new", "lead")

    result = run("new", "lead")

    assert result.exit_code == 5
    assert "error[key-conflict]: there is a key 'lead' already" in result.stderr
    assert result.stdout == ""


def test_a_passphrase_is_taken_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("correct horse\n")

    result = run("new", "lead", "--passphrase-file", str(tmp_path / "phrase"))

    assert "(encrypted)" in result.stderr
    assert opens(tmp_path, "lead", "correct horse")


def test_a_passphrase_is_taken_from_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOACINA_PASSPHRASE", "correct horse")
    monkeypatch.setenv("OTHER", "battery staple")

    run("new", "one")
    run("new", "two", "--passphrase-env", "OTHER")

    assert opens(tmp_path, "one", "correct horse")
    assert opens(tmp_path, "two", "battery staple")
    assert not opens(tmp_path, "two", "correct horse")


def test_a_passphrase_is_asked_for_twice_and_never_shown(run: Run, tmp_path: Path) -> None:
    result = run("new", "lead", "--passphrase", typed="correct horse\ncorrect horse\n")

    assert result.exit_code == 0
    assert "correct horse" not in result.output
    assert result.stdout == KeyRing(tmp_path).public("lead").to_text() + "\n"
    assert opens(tmp_path, "lead", "correct horse")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--passphrase", "--passphrase-env", "HOME"], "given in more than one way"),
        (["--passphrase-env", "NOT_SET_ANYWHERE"], "no variable 'NOT_SET_ANYWHERE'"),
    ],
)
def test_a_passphrase_that_isnt_there_makes_no_key(
    run: Run, tmp_path: Path, words: list[str], message: str
) -> None:
    result = run("new", "lead", *words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert KeyRing(tmp_path).list() == ()


@pytest.mark.parametrize("contents", [b"", b"\nsecond line", b"\xff\xfe"])
def test_a_file_without_passphrase_makes_no_key(run: Run, tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "phrase").write_bytes(contents)

    result = run("new", "lead", "--passphrase-file", str(tmp_path / "phrase"))

    assert result.exit_code == 2
    assert KeyRing(tmp_path).list() == ()


def test_an_empty_passphrase_in_the_environment_is_refused_not_ignored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOACINA_PASSPHRASE", "")

    result = run("new", "lead")

    assert result.exit_code == 2
    assert KeyRing(tmp_path).list() == ()


def test_keys_are_listed(run: Run, tmp_path: Path) -> None:
    run("new", "zoe")
    run("new", "adam")

    lines = run("list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["NAME", "adam", "zoe"]
    assert KeyRing(tmp_path).public("adam").key_id in lines[1]
    assert [entry["name"] for entry in json.loads(run("list", "--json").stdout)] == ["adam", "zoe"]


def test_an_empty_list_says_how_to_begin(run: Run) -> None:
    result = run("list")

    assert result.exit_code == 0
    assert result.stdout == ""
    assert "cloacina key new" in result.stderr
    assert json.loads(run("list", "--json").stdout) == []


def test_the_public_file_is_shown_by_its_path(run: Run, tmp_path: Path) -> None:
    run("new", "lead")

    shown = run("show", "lead", "--public-file").stdout.strip()

    assert Path(shown) == tmp_path / "keys" / "lead.pub"
    assert Path(shown).read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_an_unknown_key_is_not_found(run: Run) -> None:
    run("new", "lead")

    result = run("show", "leed")

    assert result.exit_code == 3
    assert "did you mean lead?" in result.stderr
