"""The tree of commands: listed without imports, near names offered, nothing stopped by a plugin."""

import importlib
import json
import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cloacina_core.cli import main, tree


def test_help_imports_neither_the_store_nor_the_terminal_nor_cryptography():
    code = (
        "import sys\n"
        "from cloacina_core.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'sqlalchemy', 'rich', 'cryptography', 'jsonschema', 'alembic', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("spec", tree._OWN, ids=lambda spec: spec.name)
def test_each_command_is_where_it_is_said_to_be(spec: Any):
    module, _, attribute = spec.target.partition(":")

    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


def test_an_unknown_command_offers_near_ones():
    result = CliRunner().invoke(main, ["registri"])

    assert result.exit_code == 2
    assert "Did you mean registry" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["schedule", "add", "daily", "--json"], "Missing argument 'REFERENCE'."),
        (["runs", "list", "--json", "--limit", "many"], "'many' is not a valid integer"),
        (["doctor", "--json", "--nope"], "No such option '--nope'"),
        (["registri", "--json"], "Did you mean registry"),
    ],
)
def test_arguments_that_cannot_be_read_are_an_object_with_json(words: list[str], told: str):
    result = CliRunner().invoke(main, words)

    error = json.loads(result.stderr)["error"]
    assert told in error["message"]
    assert (error["code"], error["exit_status"], result.exit_code) == ("usage", 2, 2)
    assert "--help" in error["hint"]


def test_json_behind_two_dashes_is_an_argument():
    result = CliRunner().invoke(main, ["doctor", "--nope", "--", "--json"])

    assert result.stderr.startswith("Usage:")


def test_ctrl_c_while_a_command_is_imported_ends_with_130(monkeypatch: pytest.MonkeyPatch):
    def interrupted(_spec: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tree, "_load", interrupted)

    assert CliRunner().invoke(main, ["doctor"]).exit_code == 130


def test_a_command_that_cannot_be_imported_is_told_by_name(monkeypatch: pytest.MonkeyPatch):
    def broken(_name: str) -> None:
        raise ImportError("no such library")

    monkeypatch.setattr(importlib, "import_module", broken)

    result = CliRunner().invoke(main, ["doctor"])

    assert result.exit_code == 1
    assert "'doctor' can't be loaded: ImportError: no such library" in result.stderr


def test_the_version_is_told():
    result = CliRunner().invoke(main, ["--version"])

    assert result.exit_code == 0
    assert result.stdout.startswith("cloacina ")
