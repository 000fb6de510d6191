"""Has the commands that plugins contribute pass the gate, however they are made.

1. A command that was made without `pass_console` is checked all the same, before it begins.
2. So is a group that does something by itself, when none of its commands is called.
3. What a group finds by itself, as it is asked for a command, is checked like what it lists.

What the function of a group does before one of its commands, and what a module does when it is
imported, nobody looks at.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

import click

from cloacina_core.cli.console import call_checked, is_checked


def checked(command: click.Command) -> click.Command:
    """Return a command which, with all below it, passes the gate; the one given stays as it is."""
    made = copy.copy(command)
    if made.callback is not None and not is_checked(made.callback):
        made.callback = _checked(made.callback)
    if isinstance(made, click.Group):
        vars(made)["get_command"] = _finding_checked(made.get_command)
    return made


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        context = click.get_current_context()
        if context.invoked_subcommand is not None:
            return function(*args, **options)  # it isn't what was asked for
        return call_checked(context, lambda: function(*args, **options))

    return call


def _finding_checked(
    find: Callable[[click.Context, str], click.Command | None],
) -> Callable[[click.Context, str], click.Command | None]:
    def found(context: click.Context, name: str) -> click.Command | None:
        command = find(context, name)
        return None if command is None else checked(command)

    return found
