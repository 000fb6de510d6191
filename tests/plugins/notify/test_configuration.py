"""What stands in `notify.toml`: all its faults are told, and a wrong destination harms no other."""

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

GOOD = """
[[destination]]
name = "on-call"
kind = "http"
url = "https://hooks.example.com/cloacina?team=etl"
secret = ["env:HOOK_SECRET", "file:old"]
on = ["failed", "waiting"]
where = { package = "acme-*", workflow = "nightly", tags = { team = "etl" } }
give-up-after = "12h"

[[destination]]
name = "journal"
kind = "log"
file = "notifications.jsonl"
on = ["succeeded", "failed", "cancelled"]

[[destination]]
name = "page"
kind = "command"
argv = ["page", "--loud"]
on = "failed"
timeout = 3
attempts = 4
first-delay = 0.5
"""

HTTP = {
    "name": "a",
    "kind": "http",
    "url": "https://hooks.example.com",
    "secret": "env:SECRET",
    "on": "failed",
}


def parsed(notify: Any, *entries: Any) -> Any:
    return notify("configuration").parse({"destination": list(entries)}, Path("/home"))


def problems_of(notify: Any, **changes: Any) -> list[str]:
    entry = {key: value for key, value in {**HTTP, **changes}.items() if value is not None}
    return [str(problem) for problem in parsed(notify, entry).problems]


def test_a_file_names_destinations_of_three_kinds(notify: Any, tmp_path: Path):
    (tmp_path / "notify.toml").write_text(GOOD)

    found = notify("configuration").read_file(tmp_path / "notify.toml")

    assert not found.problems
    on_call, journal, page = found.destinations
    assert (on_call.kind_name, journal.kind_name, page.kind_name) == ("http", "log", "command")
    assert [str(secret) for secret in on_call.kind.secrets] == [
        "env:HOOK_SECRET",
        f"file:{tmp_path / 'old'}",
    ]
    assert on_call.give_up_after == timedelta(hours=12)
    assert journal.kind.file == tmp_path / "notifications.jsonl"
    assert (page.timeout, page.attempts, page.first_delay) == (3.0, 4, 0.5)


def test_without_a_file_there_are_no_destinations(notify: Any, tmp_path: Path):
    found = notify("configuration").read_file(tmp_path / "notify.toml")

    assert not found.destinations
    assert not found.problems


@pytest.mark.skipif(os.name != "posix", reason="there are no modes")
def test_a_file_that_others_may_write_is_refused(notify: Any, tmp_path: Path):
    file = tmp_path / "notify.toml"
    file.write_text(GOOD)
    file.chmod(0o664)

    found = notify("configuration").read_file(file)

    assert not found.destinations
    assert [problem.kind for problem in found.problems] == ["bad-mode"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(notify: Any, tmp_path: Path):
    file = tmp_path / "notify.toml"
    file.write_text(GOOD)
    os.chown(file, 12345, -1)

    found = notify("configuration").read_file(file)

    assert not found.destinations
    assert "belongs to another user" in str(found.problems[0])


def test_a_file_that_isnt_toml_is_told_with_its_place(notify: Any, tmp_path: Path):
    (tmp_path / "notify.toml").write_text("[[destination]\n")

    found = notify("configuration").read_file(tmp_path / "notify.toml")

    assert not found.destinations
    assert "notify.toml" in str(found.problems[0])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": None}, "name: it is missing"),
        ({"name": "A b"}, "name: it takes lower-case letters"),
        ({"kind": "mail"}, "kind: it takes one of log, command, http, not 'mail'"),
        ({"on": "fail"}, "on: it takes one of"),
        ({"on": []}, "on: it takes a list of texts"),
        ({"url": "http://hooks.example.com"}, "url: http can be read on its way"),
        ({"url": "https://user:word@hooks.example.com"}, "url: a URL must not have a user"),
        ({"url": "https://hooks.example.com/ä"}, "url: a URL is in ASCII"),
        ({"url": "https://hooks.example.com/a\r\nX: y"}, "url: a URL is in ASCII"),
        ({"url": "ftp://hooks.example.com"}, "url: it takes a URL such as"),
        ({"url": "https://hooks.example.com:99999"}, "url: Port out of range"),
        ({"secret": "whsec_c2VjcmV0"}, "secret: a secret is named, not written"),
        ({"secret": None}, "secret: it is missing"),
        ({"timeout": 0}, "timeout: it takes 0.1 to 300 seconds"),
        ({"timeout": True}, "timeout: it takes a number of seconds"),
        ({"attempts": 1.5}, "attempts: it takes a whole number"),
        ({"give-up-after": "soon"}, "give-up-after: it takes a length"),
        ({"allow-private": "yes"}, "allow-private: it takes true or false"),
        ({"where": {"packages": "a"}}, "where: it takes a table with package"),
        ({"where": {"tags": ["etl"]}}, "where: tags is a table"),
        ({"argv": ["page"]}, "there is no key 'argv'"),
    ],
)
def test_what_cant_be_used_is_refused_with_its_key(notify: Any, changes: Any, told: str):
    assert any(told in problem for problem in problems_of(notify, **changes))


def test_a_secret_in_the_file_isnt_repeated_in_the_error(notify: Any):
    told = problems_of(notify, secret="whsec_c2VjcmV0", url="https://u:c2VjcmV0@example.com")

    assert told
    assert "c2VjcmV0" not in "".join(told)


def test_all_faults_are_told_and_the_other_destinations_stay(notify: Any):
    wrong = {**HTTP, "on": "fail", "timeout": -1, "colour": "red"}
    found = parsed(notify, wrong, {"name": "b", "kind": "log", "on": "failed"})

    assert len(found.problems) == 3
    assert [one.name for one in found.destinations] == ["b"]


def test_the_second_destination_of_a_name_is_refused(notify: Any):
    log = {"name": "b", "kind": "log", "on": "failed"}

    found = parsed(notify, log, {**log, "on": "succeeded"})

    assert [sorted(one.on) for one in found.destinations] == [["failed"]]
    assert "another destination has this name" in str(found.problems[0])


def test_what_stands_outside_of_destinations_is_refused(notify: Any):
    found = notify("configuration").parse(tomllib.loads("[destinations]\n"), Path("/home"))

    assert "it takes [[destination]]" in str(found.problems[0])


class TestSecrets:
    def test_the_environment_has_one(self, notify: Any, tmp_path: Path):
        reference = notify("references").SecretReference.parse("env:HOOK", tmp_path)

        assert reference.read({"HOOK": " word\n"}) == "word"

    def test_a_file_of_its_owner_has_one(self, notify: Any, tmp_path: Path):
        (tmp_path / "hook").write_text("word\n")
        (tmp_path / "hook").chmod(0o600)
        reference = notify("references").SecretReference.parse("file:hook", tmp_path)

        assert reference.read({}) == "word"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
    def test_a_file_that_others_may_read_is_refused(self, notify: Any, tmp_path: Path, mode: int):
        (tmp_path / "hook").write_text("c2VjcmV0")
        (tmp_path / "hook").chmod(mode)
        reference = notify("references").SecretReference.parse("file:hook", tmp_path)

        with pytest.raises(Exception, match="its owner alone can read") as caught:
            reference.read({})
        assert "c2VjcmV0" not in str(caught.value)

    def test_a_pipe_in_the_place_of_a_file_is_refused_without_waiting(
        self, notify: Any, tmp_path: Path
    ):
        os.mkfifo(tmp_path / "hook", 0o600)
        reference = notify("references").SecretReference.parse("file:hook", tmp_path)

        with pytest.raises(Exception, match="its owner alone can read"):
            reference.read({})

    @pytest.mark.parametrize("text", ["env:NOT_THERE", "file:not-there"])
    def test_one_that_isnt_there_is_told_by_its_name(self, notify: Any, tmp_path: Path, text: str):
        reference = notify("references").SecretReference.parse(text, tmp_path)

        with pytest.raises(Exception, match=text.partition(":")[2]):
            reference.read({})
