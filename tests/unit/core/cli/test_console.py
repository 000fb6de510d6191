"""The console: what is told where, and with which exit status a command ends."""

import json
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from cloacina_core.cli.console import Console, command_options, pass_console, printable
from cloacina_core.errors import NotFoundError, Problem


def call(body: Callable[[Console], int | None], *options: str) -> Result:
    @click.command()
    @command_options
    @pass_console
    def command(console: Console) -> int | None:
        return body(console)

    return CliRunner().invoke(command, options)


def fail(_console: Console) -> None:
    raise NotFoundError("no such thing", hint="make one", problems=[Problem("a", "b", "c")])


def test_the_result_goes_to_stdout_and_talk_to_stderr():
    def body(console: Console) -> None:
        console.say("talk")
        console.emit({"a": 1}, "result")

    result = call(body)

    assert (result.stdout, result.stderr) == ("result\n", "talk\n")


def test_json_is_one_document_in_place_of_the_text():
    result = call(lambda console: console.emit({"a": "é"}, "text"), "--json")

    assert json.loads(result.stdout) == {"a": "é"}


def test_quiet_says_nothing_but_the_result():
    def body(console: Console) -> None:
        console.say("talk")
        console.emit(1, "result")

    result = call(body, "--quiet")

    assert result.output == "result\n"


def test_a_command_ends_with_the_number_that_it_returns():
    assert call(lambda _: 1).exit_code == 1
    assert call(lambda _: None).exit_code == 0


def test_an_error_is_told_with_problems_and_hint_and_ends_with_its_status():
    result = call(fail)

    assert result.exit_code == 3
    assert result.stderr == "error[not-found]: no such thing\n  - c: b\nhelp: make one\n"


def test_an_error_in_json_is_one_object_on_stderr():
    result = call(fail, "--json")

    error = json.loads(result.stderr)["error"]
    assert result.stdout == ""
    assert (error["code"], error["hint"], error["exit_status"]) == ("not-found", "make one", 3)
    assert error["problems"] == [{"kind": "a", "message": "b", "where": "c"}]


def test_a_fault_of_our_own_shows_its_traceback_only_on_demand():
    def body(_console: Console) -> None:
        raise ZeroDivisionError("oops")

    plain, debug = call(body), call(body, "--debug")

    assert (plain.exit_code, debug.exit_code) == (70, 70)
    assert "Traceback" not in plain.stderr
    assert "ZeroDivisionError: oops" in plain.stderr
    assert "Traceback" in debug.stderr


def test_ctrl_c_ends_with_130():
    def body(_console: Console) -> None:
        raise KeyboardInterrupt

    assert call(body).exit_code == 130


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand é", "two\nlines\tand é"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\u202eb", "a\\u202eb"),
        ("a\rb\x00", "a\\rb\\x00"),
    ],
)
def test_control_characters_are_spelled_out(text: str, shown: str):
    assert printable(text) == shown


def test_a_table_is_as_wide_as_its_cells():
    table = Console().table(("a", "bb"), [("long cell", 1), ("x", "")])

    assert table == "a          bb\nlong cell  1\nx"


@pytest.mark.parametrize("pages", [[], [[]], [[1]], [[1, 2], [3]]])
def test_pages_are_one_document(pages: list[list[int]]):
    def body(console: Console) -> None:
        console.emit_pages(pages, lambda item: {"n": item}, str)

    plain, as_json = call(body), call(body, "--json")

    assert plain.stdout == "".join(f"{page}\n" for page in pages)
    everything = [{"n": item} for page in pages for item in page]
    assert as_json.stdout == json.dumps(everything, indent=2) + "\n"
