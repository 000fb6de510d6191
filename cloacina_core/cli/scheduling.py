"""What the commands of `cloacina schedule` share."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloacina_core.cli.console import Console
from cloacina_core.model.schedule.firing import FoldPolicy, GapPolicy

if TYPE_CHECKING:
    from cloacina_core.runtime.schedules import Schedules

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT = re.compile(r"\s*\[default: [^]]*\]$")


def schedules_of(console: Console) -> "Schedules":
    """Return the schedules of the store; no engine is started for them."""
    from cloacina_core.runtime.schedules import Schedules  # noqa: PLC0415 - not needed for --help

    view = console.view
    return Schedules(lambda: view.database, console.sources, console.clock)


def words_of(policy: Iterable[Any]) -> click.Choice[str]:
    """Return a choice among the words of a policy."""
    return click.Choice([word.value for word in policy])


TIMING = (
    click.option("--timezone", metavar="ZONE", help="As Europe/Berlin.  [default: UTC]"),
    click.option(
        "--gap",
        type=words_of(GapPolicy),
        help="What becomes of times that the clock skips."
        "  [default: first-after for fixed times, else skip]",
    ),
    click.option(
        "--fold",
        type=words_of(FoldPolicy),
        help="What becomes of times that the clock shows twice."
        "  [default: first for fixed times, else both]",
    ),
)
"""The options that say when something is due, behind the expression."""


def without_defaults(command: click.Command) -> click.Command:
    """Have the help of a command that changes something tell no defaults: it sets none."""
    for option in command.params:
        if isinstance(option, click.Option) and option.help:
            option.help = _DEFAULT.sub("", option.help)
    return command


def with_options(options: Iterable[Callable[[F], F]]) -> Callable[[F], F]:
    """Return what adds several options to a command, in their order."""

    def add(function: F) -> F:
        for option in reversed(list(options)):
            function = option(function)
        return function

    return add
