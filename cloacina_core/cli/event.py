"""`cloacina event`: what happened elsewhere, and what is started for it."""

from typing import TYPE_CHECKING

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.event_subscriptions import COMMANDS
from cloacina_core.cli.facts import aligned, fact_lines
from cloacina_core.cli.params import STANDARD_INPUT, read_json
from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode_strict

if TYPE_CHECKING:
    from cloacina_core.runtime.sent_events import SentEvents


@click.group()
def event() -> None:
    """Tell of what happened elsewhere, and start workflows for it."""


for command in COMMANDS:
    event.add_command(command)


def _sent(console: Console) -> "SentEvents":
    from cloacina_core.runtime.sent_events import SentEvents  # noqa: PLC0415 - not for --help
    from cloacina_core.store.sent_events import SentEventStore  # noqa: PLC0415

    view = console.view
    max_bytes = console.settings.max_value_bytes
    return SentEvents(
        lambda: SentEventStore(view.database),
        console.clock,
        max_bytes=max_bytes,
        by=lambda: view.user,
    )


@event.command("send")
@click.argument("name")
@click.option(
    "--data",
    metavar="JSON",
    help="What the event carries; null without. @FILE is in a file, - on standard input: what is"
    " an argument, others on this machine may see.",
)
@click.option("--key", help="Sending again with the same name and key changes nothing.")
@command_options
@pass_console
def send_event(console: Console, *, name: str, data: str | None, key: str | None) -> None:
    """Tell that NAME happened. It is durable when this ends."""
    value = None if data is None else _value(data)
    sent, is_new = _sent(console).send(name, value, key=key)
    console.emit({**sent.to_json(), "new": is_new}, sent.id)
    console.say(f"event {name} {'is sent' if is_new else 'was sent before'}")


def _value(data: str) -> JsonValue:
    """Return what `--data` stands for: JSON, or where it is."""
    if data == STANDARD_INPUT or data.startswith("@"):
        return read_json(data.removeprefix("@"), "data")
    try:
        return decode_strict(data.encode())
    except (NotJsonError, UnicodeError) as error:
        raise InputError(
            f"--data isn't JSON: {error}", hint="""as in --data '{"order": 17}'"""
        ) from error


@event.command("list")
@click.option("--name", help="Only events of this name.")
@click.option("--before", metavar="ID", help="Only events before this one.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@command_options
@pass_console
def list_events(console: Console, *, name: str | None, before: str | None, limit: int) -> None:
    """List sent events, newest first."""
    found = _sent(console).all(name, before=before, limit=limit)
    rows = [
        (one.id, one.name, one.number, f"{one.sent_at:%Y-%m-%d %H:%M:%S}Z", one.key or "")
        for one in found
    ]
    table = console.table(("id", "name", "number", "sent at", "key"), rows)
    console.emit([one.summary() for one in found], table if rows else "no event was sent")


@event.command("show")
@click.argument("event_id", metavar="ID")
@command_options
@pass_console
def show_event(console: Console, *, event_id: str) -> None:
    """Show a sent event, and what it carries."""
    found = _sent(console).get(event_id)
    console.emit(found.to_json(), aligned(fact_lines(found.to_json())))
