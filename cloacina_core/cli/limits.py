"""`cloacina limits`: how many attempts of tasks that name a limit run at a time, or start."""

from typing import TYPE_CHECKING

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.model.limit import Limit

if TYPE_CHECKING:
    from cloacina_core.store.permits import Permits


@click.group()
def limits() -> None:
    """Limit how many attempts of tasks run at a time, or start in a while, over all engines.

    A limit holds for the tasks that name it. One that isn't set lets all of them through.
    """


def _permits(console: Console) -> "Permits":
    from cloacina_core.store.permits import Permits  # noqa: PLC0415 - not needed for --help

    return Permits(console.view.database)


@limits.command("list")
@command_options
@pass_console
def list_limits(console: Console) -> None:
    """List limits, and how they are used."""
    uses = _permits(console).uses()
    rows = [
        (
            use.limit.name,
            "-" if use.limit.size is None else use.limit.size,
            use.at_work,
            use.limit.rate or "-",
            use.started if use.limit.rate else "-",
        )
        for use in uses
    ]
    table = console.table(("name", "size", "at work", "rate", "started"), rows)
    console.emit([use.to_json() for use in uses], table if rows else "no limits")


@limits.command("set")
@click.argument("name")
@click.argument("size", type=int, required=False)
@click.option("--rate", metavar="STARTS/PERIOD", help="How many may start in a while, as 10/1m.")
@command_options
@pass_console
def set_limit(console: Console, *, name: str, size: int | None, rate: str | None) -> None:
    """Let at most SIZE attempts of the tasks that name a limit run at a time.

    What was said of it before is replaced, size and rate. Engines act on it at once; what runs
    already goes on. With size 0, nothing begins.
    """
    limit = Limit.checked(name, size, rate)
    _permits(console).set(limit)
    facts = {"name": name, "size": size, "rate": None if limit.rate is None else str(limit.rate)}
    console.emit({**facts})
    console.say(f"limit {name!r} is set")


@limits.command("remove")
@click.argument("name")
@command_options
@pass_console
def remove_limit(console: Console, *, name: str) -> None:
    """Let all tasks through that name a limit."""
    _permits(console).remove(name)
    console.emit({"name": name})
    console.say(f"limit {name!r} is removed")
