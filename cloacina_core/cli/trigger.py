"""`cloacina trigger`: functions of packages that are polled, and start runs."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.enabling import (
    enabling,
    facts_of,
    tell_changed,
    tell_deleted,
    tell_disabled,
    tell_enabled,
)
from cloacina_core.model.polling.enabled import FiredState, PollRecord, TriggerState

if TYPE_CHECKING:
    from cloacina_core.runtime.triggers import Triggers

_MOST_RUNS = 3
_MOST_REASONS = 3
_REPEATED = "what it asked for had its run before"


@click.group()
def trigger() -> None:
    """Start runs when functions of packages say so. Engines poll: cloacina engine run."""


def _triggers(console: Console) -> "Triggers":
    from cloacina_core.runtime.triggers import Triggers  # noqa: PLC0415 - not needed for --help

    view = console.view
    return Triggers(lambda: view.database, console.sources)


@trigger.command("enable")
@enabling
@command_options
@pass_console
def enable_triggers(
    console: Console, *, reference: str, name: str | None, stored_as: str | None, paused: bool
) -> None:
    """Have triggers polled that a package declares: NAME, or all. Again changes nothing.

    REFERENCE is PACKAGE@CHANNEL, or PACKAGE with versions. Each poll calls the release that it
    means then.
    """
    kept = _triggers(console).enable(reference, name, stored_as=stored_as, paused=paused)
    tell_enabled(console, "trigger", kept, facts_of)


@trigger.command("disable")
@click.argument("reference")
@click.argument("name", required=False)
@command_options
@pass_console
def disable_triggers(console: Console, *, reference: str, name: str | None) -> None:
    """Forget triggers that were enabled by REFERENCE: NAME of the package, or all.

    Their cursors and histories go with them, and runs that they started go on. To keep them, pause
    them.
    """
    tell_disabled(console, "trigger", _triggers(console).disable(reference, name))


@trigger.command("list")
@command_options
@pass_console
def list_triggers(console: Console) -> None:
    """List triggers, and when they are polled next."""
    states = _triggers(console).all()
    rows = [
        (
            state.trigger.name,
            state.trigger.reference,
            f"{state.trigger.definition.every.total_seconds():g} s",
            _next(state),
            state.failures,
        )
        for state in states
    ]
    table = console.table(("name", "reference", "every", "next", "failures"), rows)
    console.emit([state.to_json() for state in states], table if rows else "no triggers")


@trigger.command("show")
@click.argument("name")
@command_options
@pass_console
def show_trigger(console: Console, *, name: str) -> None:
    """Show a trigger."""
    state = _triggers(console).get(name)
    console.emit(state.to_json(), facts_of(state))


@trigger.command("pause")
@click.argument("name")
@command_options
@pass_console
def pause_trigger(console: Console, *, name: str) -> None:
    """Have a trigger not be polled until it is resumed. Runs go on."""
    tell_changed(console, "trigger", _triggers(console).pause(name), "paused", facts_of)


@trigger.command("resume")
@click.argument("name")
@command_options
@pass_console
def resume_trigger(console: Console, *, name: str) -> None:
    """Have a trigger polled again, at once."""
    tell_changed(console, "trigger", _triggers(console).resume(name), "on again", facts_of)


@trigger.command("poll-now")
@click.argument("name")
@command_options
@pass_console
def poll_now(console: Console, *, name: str) -> None:
    """Have a trigger polled at once, however often it failed."""
    state = _triggers(console).poll_now(name)
    told = "polled by the next engine that looks"
    tell_changed(console, "trigger", state, told, facts_of)


@trigger.command("delete")
@click.argument("name")
@command_options
@pass_console
def delete_trigger(console: Console, *, name: str) -> None:
    """Forget a trigger, its cursor and history. Runs that it started go on."""
    _triggers(console).delete(name)
    tell_deleted(console, "trigger", name)


@trigger.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--before", metavar="NUMBER", type=int, help="Only polls with a lower number.")
@command_options
@pass_console
def history(console: Console, *, name: str, limit: int, before: int | None) -> None:
    """Show what polls came to, newest first; those that came to the same nothing in one line."""
    records = _triggers(console).history(name, before=before, limit=limit)
    rows = [
        (
            one.number,
            f"{one.last_at:%Y-%m-%d %H:%M:%S}Z",
            one.state.value if one.count == 1 else f"{one.state.value} {one.count} times",
            _runs(one),
            _why(one),
        )
        for one in records
    ]
    table = console.table(("number", "at", "state", "runs", "reason"), rows)
    console.emit([one.to_json() for one in records], table if rows else "it wasn't polled yet")


def _next(state: TriggerState) -> str:
    if state.hangs_since is not None:
        return f"its poll since {state.hangs_since:%Y-%m-%d %H:%M:%S}Z seems to hang"
    return "paused" if state.next_at is None else f"{state.next_at:%Y-%m-%d %H:%M:%S}Z"


def _runs(record: PollRecord) -> str:
    """Return the first runs of a poll, and how many there are of what has none."""
    runs = [one.run_id for one in record.fired if one.run_id]
    others = Counter(one.state.value for one in record.fired if not one.run_id)
    more = len(runs) - _MOST_RUNS
    told = [*runs[:_MOST_RUNS], *([f"and {more} more"] if more > 0 else [])]
    return ", ".join((*told, *(f"{count} {state}" for state, count in others.items())))


def _why(record: PollRecord) -> str:
    """Return why a poll came to nothing, or why what it asked for couldn't be started."""
    reasons = (record.reason, *(one.reason for one in record.fired))
    found = list(dict.fromkeys(filter(None, reasons)))
    if found:
        more = len(found) - _MOST_REASONS
        return "; ".join((*found[:_MOST_REASONS], *([f"{more} more"] if more > 0 else [])))
    return _REPEATED if any(one.state is FiredState.REPEATED for one in record.fired) else ""
