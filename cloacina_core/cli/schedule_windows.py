"""`cloacina schedule window`: times in which no schedule of the store starts anything."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.scheduling import schedules_of
from cloacina_core.model.schedule.never import is_kept

if TYPE_CHECKING:
    from cloacina_core.runtime.schedules import Schedules


@click.group()
def window() -> None:
    """Maintenance windows that hold for all schedules."""


@window.command("add")
@click.argument("name")
@click.argument("when")
@click.option("--timezone", metavar="ZONE", default="UTC", show_default=True)
@command_options
@pass_console
def add_window(console: Console, *, name: str, when: str, timezone: str) -> None:
    """Have no schedule start anything WHEN: '0 22 * * SAT for 6h'. Again changes nothing.

    A cron expression says when it opens, and the length for how long. Each schedule says whether
    its firings in it are skipped, or the last one is put off to its end. Runs go on. It warns of
    schedules that start nothing any more.
    """
    found = schedules_of(console)
    kept, is_new = found.add_window(name, when, timezone=timezone)
    silenced = _silenced(found, console.clock.now())
    console.emit(
        {**kept.to_json(), "new": is_new, "silenced": silenced},
        f"{kept.name}: {kept.when} ({kept.timezone})",
    )
    console.say(f"window {name!r} is {'added' if is_new else 'there already'}")
    if silenced:
        which = ", ".join(silenced)
        console.warn(f"windows leave these schedules no firing that starts a run: {which}")


def _silenced(schedules: "Schedules", now: datetime) -> list[str]:
    """Return the schedules that windows keep from ever starting anything, but for those over."""
    common = [one.window for one in schedules.windows()]
    return [
        state.name
        for state in schedules.all()
        if (state.is_paused or state.next_at is not None)
        and is_kept(state.schedule, now, (*state.schedule.not_during, *common))
    ]


@window.command("list")
@command_options
@pass_console
def list_windows(console: Console) -> None:
    """List the windows that hold for all schedules."""
    windows = schedules_of(console).windows()
    rows = [(one.name, one.when, one.timezone) for one in windows]
    table = console.table(("name", "when", "timezone"), rows) if rows else "no windows"
    console.emit([one.to_json() for one in windows], table)


@window.command("remove")
@click.argument("name")
@command_options
@pass_console
def remove_window(console: Console, *, name: str) -> None:
    """Forget a window. Schedules that rest in it go on at once."""
    schedules_of(console).remove_window(name)
    console.emit({"name": name})
    console.say(f"window {name!r} is removed")
