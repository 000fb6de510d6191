"""What the commands of schedules, subscriptions and triggers share: each is switched on alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import click

from cloacina_core.cli.console import Console
from cloacina_core.cli.facts import aligned, fact_lines
from cloacina_core.cli.scheduling import with_options
from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue

F = TypeVar("F", bound=Callable[..., Any])


class State(Protocol):
    """Something that starts workflows, and how far it is."""

    @property
    def name(self) -> str:
        """Unique in the store."""
        ...

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        ...


StateT = TypeVar("StateT", bound=State)


def enabling(function: F) -> F:
    """Add the parameters of a command that switches on what a package declares."""
    return with_options(
        (
            click.argument("reference"),
            click.argument("name", required=False),
            click.option(
                "--as", "stored_as", metavar="STORED_NAME", help="[default: PACKAGE.NAME]"
            ),
            click.option("--paused", is_flag=True, help="They start nothing until resumed."),
        )
    )(function)


def tell_enabled(
    console: Console,
    noun: str,
    kept: Sequence[tuple[StateT, bool]],
    text: Callable[[StateT], str],
) -> None:
    """Tell what was switched on, and what of it was before."""
    console.acted_on(state.name for state, _ in kept)
    console.emit(
        [{**state.to_json(), "new": is_new} for state, is_new in kept],
        "\n\n".join(text(state) for state, _ in kept),
    )
    for state, is_new in kept:
        console.say(f"{noun} {state.name!r} is {'enabled' if is_new else 'there already'}")


def tell_disabled(console: Console, noun: str, names: Sequence[str]) -> None:
    """Tell what was switched off."""
    console.acted_on(names)
    console.emit([{"name": one} for one in names])
    for one in names:
        console.say(f"{noun} {one!r} is disabled")


def tell_deleted(console: Console, noun: str, name: str) -> None:
    """Tell what was forgotten."""
    console.emit({"name": name})
    console.say(f"{noun} {name!r} is deleted")


def require_changes(options: Mapping[str, object]) -> None:
    """Refuse to change something when no option says what of it.

    Raises:
        InputError: none does.
    """
    if all(value in (None, ()) for value in options.values()):
        command = click.get_current_context().command_path
        raise InputError("no option says what to change", hint=f"see: {command} --help")


def tell_changed(
    console: Console,
    noun: str,
    state: StateT,
    told: str,
    text: Callable[[StateT], str],
) -> None:
    """Tell what something is now.

    Args:
        console: of the command.
        noun: what it is called.
        state: what it is now.
        told: what became of it, as `paused`.
        text: says all of it to people.
    """
    console.emit(state.to_json(), text(state))
    console.say(f"{noun} {state.name!r} is {told}")


def facts_of(state: State) -> str:
    """Return all that is known of something, a line each."""
    return aligned(fact_lines(state.to_json()))
