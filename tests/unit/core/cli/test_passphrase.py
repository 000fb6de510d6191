"""How a command is given a passphrase that it may not need."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.passphrase import passphrase_options


@click.command()
@click.option("--times", type=int, default=0)
@command_options
@pass_console
@passphrase_options(confirm=False, when_needed=True)
def opening(console: Console, *, times: int, passphrase: Callable[[], str | None]) -> None:
    """Ask for the passphrase as many times as it is said."""
    console.emit(None, " ".join(str(passphrase()) for _ in range(times)))


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env={"CLOACINA_PASSPHRASE": None})


@pytest.mark.parametrize(("times", "asked"), [(0, 0), (1, 1), (3, 1)])
def test_a_person_is_asked_when_it_is_needed_and_once(runner: CliRunner, times: int, asked: int):
    result = runner.invoke(opening, ["--passphrase", "--times", str(times)], input="horse\n")

    assert result.stderr.count("Passphrase:") == asked
    assert result.stdout.split() == ["horse"] * times


def test_a_variable_is_asked_for_when_none_is_named():
    runner = CliRunner(env={"CLOACINA_PASSPHRASE": "horse"})

    assert runner.invoke(opening, ["--times", "1"]).stdout == "horse\n"


def test_two_ways_are_refused_when_it_is_needed(runner: CliRunner, tmp_path: Path):
    (tmp_path / "file").write_text("horse")

    result = runner.invoke(
        opening, ["--passphrase", "--passphrase-file", str(tmp_path / "file"), "--times", "1"]
    )

    assert result.exit_code == 2
    assert "more than one way" in result.stderr
