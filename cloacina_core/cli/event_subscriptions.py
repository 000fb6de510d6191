"""`cloacina event subscribe | enable | ...`: what is started for sent events."""

from typing import TYPE_CHECKING, Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.enabling import (
    enabling,
    facts_of,
    require_changes,
    tell_changed,
    tell_deleted,
    tell_disabled,
    tell_enabled,
)
from cloacina_core.cli.scheduling import with_options, without_defaults
from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.sending.conditions import Condition, value_of

if TYPE_CHECKING:
    from cloacina_core.runtime.subscriptions import Subscriptions

_NOUN = "subscription"

_WHAT = (
    click.option(
        "--where",
        multiple=True,
        metavar="PATH=VALUE",
        help="Only events that carry this; all of several. Also != < <= > >=, PATH alone for what"
        " is there, !PATH for what isn't, or a condition as a JSON object.",
    ),
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="One param of the runs; $.PATH takes it from what the event carries.",
    ),
    click.option("--priority", type=int, help="Of the runs.  [default: 0]"),
)
"""The options that say for which events something is started, and how."""


def _subscriptions(console: Console) -> "Subscriptions":
    from cloacina_core.runtime.subscriptions import Subscriptions  # noqa: PLC0415 - not for --help

    view = console.view
    return Subscriptions(lambda: view.database, console.sources)


@click.command("subscribe")
@click.argument("name")
@click.argument("reference")
@click.option("--event", metavar="EVENT", required=True, help="The events' name.")
@with_options(_WHAT)
@click.option("--paused", is_flag=True, help="Events aren't delivered until it is resumed.")
@command_options
@pass_console
def subscribe(
    console: Console, *, name: str, reference: str, event: str, paused: bool, **options: Any
) -> None:
    """Have a run of REFERENCE started for each EVENT that is sent from now on.

    Each event starts one run, whatever engines die. Subscribing again changes nothing. The
    reference is resolved anew for each event: PACKAGE/WORKFLOW@CHANNEL follows a channel.
    """
    subscriptions, given = _subscriptions(console), _given(options)
    state, is_new = subscriptions.add(name, reference, event=event, paused=paused, **given)
    console.emit({**state.to_json(), "new": is_new}, facts_of(state))
    console.say(f"subscription {name!r} is {'made' if is_new else 'there already'}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, as a subscription has them."""
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if "where" in given:
        texts = [text for text in given["where"] if text]  # one that is empty: any event
        given["where"] = Condition.from_texts(texts).to_json()
    if "params" in given:
        given["params"] = _params(given["params"])
    return given


def _params(pairs: tuple[str, ...]) -> dict[str, JsonValue]:
    params: dict[str, JsonValue] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--param {pair!r} isn't NAME=VALUE", hint="as in --param day=$.day")
        params[name] = value_of(text)
    return params


@click.command("enable")
@enabling
@command_options
@pass_console
def enable_subscriptions(
    console: Console, *, reference: str, name: str | None, stored_as: str | None, paused: bool
) -> None:
    """Switch on subscriptions that a package declares: NAME, or all. Again changes nothing.

    REFERENCE is PACKAGE@CHANNEL, or PACKAGE with versions. When it means another release, that
    says what is started for which events; PACKAGE==VERSION never changes.
    """
    subscriptions = _subscriptions(console)
    kept = subscriptions.enable(reference, name, stored_as=stored_as, paused=paused)
    tell_enabled(console, _NOUN, kept, facts_of)


@click.command("disable")
@click.argument("reference")
@click.argument("name", required=False)
@command_options
@pass_console
def disable_subscriptions(console: Console, *, reference: str, name: str | None) -> None:
    """Forget subscriptions that were enabled by REFERENCE: NAME of the package, or all.

    Their histories go with them, and runs that they started go on. To keep them, pause them.
    """
    tell_disabled(console, _NOUN, _subscriptions(console).disable(reference, name))


@without_defaults
@click.command("update")
@click.argument("name")
@click.option("--reference", help="What to run.")
@click.option("--event", metavar="EVENT", help="The events' name.")
@with_options(_WHAT)
@command_options
@pass_console
def update_subscription(console: Console, *, name: str, **options: Any) -> None:
    """Change a subscription, for events that are sent from now on."""
    require_changes(options)
    state = _subscriptions(console).update(name, **_given(options))
    tell_changed(console, _NOUN, state, "changed", facts_of)


@click.command("restore")
@click.argument("name")
@command_options
@pass_console
def restore_subscription(console: Console, *, name: str) -> None:
    """Undo all changes of a subscription that a package declared: as it is declared now."""
    state = _subscriptions(console).restore(name)
    tell_changed(console, _NOUN, state, "as it is declared", facts_of)


@click.command("subscriptions")
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


@click.command("pause")
@click.argument("name")
@command_options
@pass_console
def pause_subscription(console: Console, *, name: str) -> None:
    """Have events not be delivered to a subscription until it is resumed."""
    tell_changed(console, _NOUN, _subscriptions(console).pause(name), "paused", facts_of)


@click.command("resume")
@click.argument("name")
@command_options
@pass_console
def resume_subscription(console: Console, *, name: str) -> None:
    """Have events delivered from now on. What was sent meanwhile isn't made up for."""
    tell_changed(console, _NOUN, _subscriptions(console).resume(name), "on again", facts_of)


@click.command("unsubscribe")
@click.argument("name")
@command_options
@pass_console
def unsubscribe(console: Console, *, name: str) -> None:
    """Forget a subscription and its history. Runs that it started go on."""
    _subscriptions(console).delete(name)
    tell_deleted(console, _NOUN, name)


@click.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--before", metavar="EVENT_ID", help="Only events that were sent before this one.")
@command_options
@pass_console
def history(console: Console, *, name: str, limit: int, before: str | None) -> None:
    """Show which events fit a subscription, newest first, and what became of each."""
    found = _subscriptions(console).history(name, before=before, limit=limit)
    rows = [
        (one.number, one.event_id, one.state.value, one.run_id or "", one.reason or "")
        for one in found
    ]
    table = console.table(("number", "event", "state", "run", "reason"), rows)
    console.emit([one.to_json() for one in found], table if rows else "no event was delivered yet")


COMMANDS = (
    subscribe,
    enable_subscriptions,
    disable_subscriptions,
    update_subscription,
    restore_subscription,
    list_subscriptions,
    pause_subscription,
    resume_subscription,
    unsubscribe,
    history,
)
