"""`cloacina notify`: where notifications go, and what became of them."""

import os
from datetime import datetime
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import CloacinaError, ConfigurationError, InputError, NotFoundError
from cloacina_notify.configuration import FILE, Configuration, Destination, read_file
from cloacina_notify.courier import sender_for
from cloacina_notify.notification import of_test
from cloacina_notify.outbox import STATES, Outbox, Standing, StoredMessage
from cloacina_notify.sending import Message


class NotTakenError(CloacinaError):
    """A destination didn't take what was sent to try it."""

    code = "not-taken"
    exit_status = 6


@click.group()
def notify() -> None:
    """Tell people and programs how runs end, and what can't be started.

    Destinations are in the file notify.toml of the home. Engines send.
    """


@notify.command("list")
@command_options
@pass_console
def list_destinations(console: Console) -> int:
    """List destinations, and how they stand; ends with 2 when the file has a fault."""
    found = _configuration(console)
    standings = dict(Outbox(console.view).standings())
    stands = [(one, standings.pop(one.name, Standing())) for one in found.destinations]
    unknown = {name: standing.due for name, standing in standings.items() if standing.due}
    value: dict[str, Any] = {
        "destinations": [_json(one, standing) for one, standing in stands],
        "due_elsewhere": unknown,
        "problems": [problem.to_json() for problem in found.problems],
    }
    headers = ("name", "kind", "on", "state", "due", "given up")
    table = console.table(headers, [_listed(one, standing) for one, standing in stands])
    console.emit(value, table if stands else "no destinations")
    for name, due in unknown.items():
        console.warn(f"{due} messages are due to {name!r}, which isn't in {FILE} here")
    for problem in found.problems:
        console.warn(f"{problem}; nobody is told by it")
    return 2 if found.problems else 0


@notify.command()
@click.argument("name")
@command_options
@pass_console
def test(console: Console, *, name: str) -> None:
    """Send a notification of the type `test` to a destination, now and once."""
    destination = _destination(console, name)
    notification = of_test(console.clock.now())
    message = Message(notification.id_for(name), notification.body_for(name))
    sender = sender_for(destination, os.environ, console.clock.monotonic)
    try:
        sender.send(message, console.clock.now())
    except CloacinaError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise NotTakenError(f"destination {name!r} didn't take it: {reason}") from error
    console.emit({"destination": name, "id": message.id})
    console.say(f"destination {name!r} took it")


@notify.command()
@click.option("--destination", metavar="NAME", help="Only those to this destination.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--about", metavar="WHAT", help="Only those about this run, or schedule/NAME.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@command_options
@pass_console
def history(
    console: Console, *, destination: str | None, state: str | None, about: str | None, limit: int
) -> None:
    """List messages, newest first. Those that ended are kept for 30 days."""
    found = Outbox(console.view).history(
        destination=destination, state=state, about=about, limit=limit
    )
    headers = ("id", "at", "destination", "type", "about", "state", "tries", "problem")
    table = console.table(headers, [_row(one) for one in found])
    console.emit([one.to_json() for one in found], table if found else "no messages")


@notify.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--destination", metavar="NAME", help="All those to this destination.")
@command_options
@pass_console
def retry(console: Console, *, ids: tuple[str, ...], destination: str | None) -> None:
    """Have messages that were given up tried anew, by engines."""
    if bool(ids) == (destination is not None):
        raise InputError(
            "which messages?", hint="give ids of `notify history`, or --destination NAME"
        )
    retried = Outbox(console.view).retry(ids=ids, destination=destination)
    console.emit({"retried": retried})
    console.say(f"{len(retried)} will be tried anew")


@notify.command()
@click.argument("name")
@command_options
@pass_console
def enable(console: Console, *, name: str) -> None:
    """Send to a destination again that wanted no more, or is left alone after a failure."""
    _destination(console, name)
    Outbox(console.view).enable(name)
    console.emit({"destination": name})
    console.say(f"destination {name!r} is enabled")


def _configuration(console: Console) -> Configuration:
    return read_file(console.settings.home / FILE)


def _destination(console: Console, name: str) -> Destination:
    """Return a destination.

    Raises:
        ConfigurationError: it isn't there, and the file has faults.
        NotFoundError: it isn't there.
    """
    found = _configuration(console)
    for destination in found.destinations:
        if destination.name == name:
            return destination
    if found.problems:
        raise ConfigurationError(f"{FILE} has faults", problems=found.problems)
    names = ", ".join(one.name for one in found.destinations) or "none"
    raise NotFoundError(
        f"there is no destination {name!r} in {FILE}", hint=f"destinations are: {names}"
    )


def _listed(destination: Destination, standing: Standing) -> tuple[object, ...]:
    return (
        destination.name,
        destination.kind_name,
        ", ".join(sorted(destination.on)),
        _state(standing),
        standing.due,
        standing.given_up,
    )


def _json(destination: Destination, standing: Standing) -> dict[str, Any]:
    return {
        "name": destination.name,
        "kind": destination.kind_name,
        "on": sorted(destination.on),
        "state": _state(standing).partition(" ")[0],
        "paused_until": _moment(standing.paused_until),
        "disabled_at": _moment(standing.disabled_at),
        "disabled_because": standing.disabled_because,
        "due": standing.due,
        "given_up": standing.given_up,
    }


def _state(standing: Standing) -> str:
    if standing.disabled_at is not None:
        return f"disabled: {standing.disabled_because}"
    if standing.paused_until is not None:
        return f"paused until {_moment(standing.paused_until)}"
    return "open"


def _row(message: StoredMessage) -> tuple[object, ...]:
    return (
        message.id,
        f"{message.queued_at:%Y-%m-%d %H:%M:%S}",
        message.destination,
        message.type,
        message.about,
        message.state,
        message.attempts,
        message.problem or "",
    )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
