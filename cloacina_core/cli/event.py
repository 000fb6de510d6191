"""`cloacina event`: what happened elsewhere, and what is started for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode_strict
from cloacina_core.model.sending.conditions import Condition, value_of
from cloacina_core.model.sending.subscription import SubscriptionState

if TYPE_CHECKING:
    from cloacina_core.runtime.sent_events import SentEvents, Subscriptions


@click.group()
def event() -> None:
    """Tell of what happened elsewhere, and start workflows for it."""


def _sent(console: Console) -> "SentEvents":
    from cloacina_core.runtime.sent_events import SentEvents  # noqa: PLC0415 - not for --help
    from cloacina_core.store.sent_events import SentEventStore  # noqa: PLC0415

    view = console.view
    max_bytes = console.settings.max_value_bytes
    return SentEvents(lambda: SentEventStore(view.database), console.clock, max_bytes=max_bytes)


def _subscriptions(console: Console) -> "Subscriptions":
    from cloacina_core.plugin.manager import Plugins  # noqa: PLC0415 - not needed for --help
    from cloacina_core.runtime.sent_events import Subscriptions  # noqa: PLC0415
    from cloacina_core.runtime.sources import Sources  # noqa: PLC0415
    from cloacina_core.store.subscriptions import SubscriptionStore  # noqa: PLC0415

    plugins = Plugins.of_environment(console.settings.blocked_plugins)
    view = console.view
    return Subscriptions(lambda: SubscriptionStore(view.database), Sources(view, plugins))


@event.command("send")
@click.argument("name")
@click.option("--data", metavar="JSON", help="What the event carries; null without.")
@click.option("--key", help="Sending again with the same name and key changes nothing.")
@command_options
@pass_console
def send_event(console: Console, *, name: str, data: str | None, key: str | None) -> None:
    """Tell that NAME happened. It is durable when this ends."""
    try:
        value: JsonValue = None if data is None else decode_strict(data.encode())
    except (NotJsonError, UnicodeError) as error:
        raise InputError(
            f"--data isn't JSON: {error}", hint="""as in --data '{"order": 17}'"""
        ) from error
    sent, is_new = _sent(console).send(name, value, key=key)
    console.emit({**sent.to_json(), "new": is_new}, sent.id)
    console.say(f"event {name} {'is sent' if is_new else 'was sent before'}")


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
    lines = [f"{key}: {value}" for key, value in found.to_json().items() if value is not None]
    console.emit(found.to_json(), "\n".join(lines))


@event.command("subscribe")
@click.argument("name")
@click.argument("reference")
@click.option("--event", "event_name", metavar="EVENT", required=True, help="The events' name.")
@click.option(
    "--where",
    multiple=True,
    metavar="PATH=VALUE",
    help="Only events that carry this; all of several. Also != < <= > >=, PATH alone for what is"
    " there, !PATH for what isn't, or a condition as a JSON object.",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="One param of the runs; $.PATH takes it from what the event carries.",
)
@click.option("--priority", type=int, default=0, show_default=True, help="Of the runs.")
@click.option("--paused", is_flag=True, help="Events aren't delivered until it is resumed.")
@command_options
@pass_console
def subscribe(
    console: Console,
    *,
    name: str,
    reference: str,
    event_name: str,
    where: tuple[str, ...],
    params: tuple[str, ...],
    priority: int,
    paused: bool,
) -> None:
    """Have a run of REFERENCE started for each EVENT that is sent from now on.

    Each event starts one run, whatever engines die. Subscribing again changes nothing. The
    reference is resolved anew for each event: PACKAGE/WORKFLOW@CHANNEL follows a channel.
    """
    state, is_new = _subscriptions(console).add(
        name,
        reference,
        event=event_name,
        where=Condition.from_texts(where),
        params=_params(params),
        priority=priority,
        paused=paused,
    )
    console.emit({**state.to_json(), "new": is_new}, _text(state))
    console.say(f"subscription {name!r} is {'made' if is_new else 'there already'}")


def _params(pairs: tuple[str, ...]) -> dict[str, JsonValue] | None:
    params: dict[str, JsonValue] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--param {pair!r} isn't NAME=VALUE", hint="as in --param day=$.day")
        params[name] = value_of(text)
    return params or None


@event.command("subscriptions")
@command_options
@pass_console
def list_subscriptions(console: Console) -> None:
    """List subscriptions."""
    states = _subscriptions(console).all()
    rows = [
        (
            state.subscription.name,
            state.subscription.event,
            str(state.subscription.where or ""),
            state.subscription.reference,
            "paused" if state.is_paused else "on",
            state.due,
        )
        for state in states
    ]
    table = console.table(("name", "event", "where", "reference", "state", "due"), rows)
    console.emit([state.to_json() for state in states], table if rows else "no subscriptions")


@event.command("pause")
@click.argument("name")
@command_options
@pass_console
def pause_subscription(console: Console, *, name: str) -> None:
    """Have events not be delivered to a subscription until it is resumed."""
    _changed(console, _subscriptions(console).pause, name, "paused")


@event.command("resume")
@click.argument("name")
@command_options
@pass_console
def resume_subscription(console: Console, *, name: str) -> None:
    """Have events delivered from now on. What was sent meanwhile isn't made up for."""
    _changed(console, _subscriptions(console).resume, name, "on again")


def _changed(
    console: Console, act: Callable[[str], SubscriptionState], name: str, told: str
) -> None:
    state = act(name)
    console.emit(state.to_json(), _text(state))
    console.say(f"subscription {name!r} is {told}")


@event.command("unsubscribe")
@click.argument("name")
@command_options
@pass_console
def unsubscribe(console: Console, *, name: str) -> None:
    """Forget a subscription and its history. Runs that it started go on."""
    _subscriptions(console).delete(name)
    console.emit({"name": name})
    console.say(f"subscription {name!r} is deleted")


@event.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--before", metavar="NUMBER", type=int, help="Only events with a lower number.")
@command_options
@pass_console
def history(console: Console, *, name: str, limit: int, before: int | None) -> None:
    """Show which events fit a subscription, newest first, and what became of each."""
    found = _subscriptions(console).history(name, before=before, limit=limit)
    rows = [
        (one.number, one.event_id, one.state.value, one.run_id or "", one.reason or "")
        for one in found
    ]
    table = console.table(("number", "event", "state", "run", "reason"), rows)
    console.emit([one.to_json() for one in found], table if rows else "no event was delivered yet")


def _text(state: SubscriptionState) -> str:
    facts: dict[str, Any] = state.to_json()
    return "\n".join(f"{key}: {value}" for key, value in facts.items() if value is not None)
