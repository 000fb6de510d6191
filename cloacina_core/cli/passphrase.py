"""How a command is given the passphrase of a private key: never as an argument, which all see."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cloacina_core.errors import InputError

DEFAULT_VARIABLE = "CLOACINA_PASSPHRASE"
"""The environment variable that is looked at when the command line names nothing."""


def passphrase_options(
    *, confirm: bool, when_needed: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options, and pass the command a `passphrase`: text, or None when there is none.

    Stands beneath `pass_console`, which tells the errors.

    Args:
        confirm: ask for it twice, when it is to be a new one.
        when_needed: pass a function that returns it, and asks once, when it is first called.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(*args: Any, **options: Any) -> Any:
            passphrase = functools.partial(
                _passphrase,
                file=options.pop("passphrase_file"),
                variable=options.pop("passphrase_env"),
                prompt=options.pop("passphrase_prompt"),
                confirm=confirm,
            )
            given = functools.cache(passphrase) if when_needed else passphrase()
            return function(*args, passphrase=given, **options)

        return _with_options(command)

    return decorate


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--passphrase", "passphrase_prompt", is_flag=True, help="Ask for the passphrase."
        ),
        click.option(
            "--passphrase-env",
            metavar="VARIABLE",
            help=f"Take the passphrase from this variable.  [default: {DEFAULT_VARIABLE}]",
        ),
        click.option(
            "--passphrase-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Take the first line of this file as passphrase.",
        ),
    ):
        function = option(function)
    return function


def _passphrase(
    *, file: Path | None, variable: str | None, prompt: bool, confirm: bool
) -> str | None:
    if sum([file is not None, variable is not None, prompt]) > 1:
        raise InputError(
            "the passphrase is given in more than one way",
            hint="use one of --passphrase, --passphrase-env and --passphrase-file",
        )
    if prompt:
        return str(
            click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
        )
    if file is not None:
        return _first_line(file)
    if variable is not None and variable not in os.environ:
        raise InputError(f"the environment has no variable {variable!r}")
    return os.environ.get(variable or DEFAULT_VARIABLE)


def _first_line(file: Path) -> str:
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Neither quoted nor chained: the error holds what the file holds.
        raise InputError(f"{file} isn't UTF-8 text") from None
    if not lines or not lines[0]:
        raise InputError(f"{file} begins with an empty line, which is no passphrase")
    return lines[0]
