"""`cloacina schedule`: what is started when."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.enabling import (
    enabling,
    require_changes,
    tell_changed,
    tell_deleted,
    tell_disabled,
    tell_enabled,
)
from cloacina_core.cli.moments import LENGTH, NOTHING, OrNone, WallMoment
from cloacina_core.cli.schedule_facts import lag_of, next_of, text_of
from cloacina_core.cli.schedule_firings import backfill, history, next_firings
from cloacina_core.cli.schedule_windows import window
from cloacina_core.cli.scheduling import (
    TIMING,
    schedules_of,
    with_options,
    without_defaults,
    words_of,
)
from cloacina_core.errors import InputError, NotFoundError
from cloacina_core.model.release import Reference, normalized_package
from cloacina_core.model.schedule.schedule import (
    MOST_CAUGHT_UP,
    MOST_RUNS,
    CatchUp,
    InWindow,
    Overlap,
)
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.model.schedule.zone import find_zone

if TYPE_CHECKING:
    from cloacina_core.runtime.schedules import Schedules

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def schedule() -> None:
    """Start runs when they are due. Engines do it: cloacina engine run."""


for command in (history, backfill, next_firings, window):
    schedule.add_command(command)


_POLICIES = (
    click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="One param."),
    click.option("--params", "file", metavar="FILE", help="Params from a JSON file; - is stdin."),
    click.option(
        "--catch-up",
        type=words_of(CatchUp),
        help="Which firings start that no engine was there for.  [default: latest]",
    ),
    click.option(
        "--catch-up-limit",
        type=click.IntRange(1, MOST_CAUGHT_UP),
        help="How many of them, with all.  [default: 100]",
    ),
    click.option(
        "--catch-up-window",
        type=LENGTH,
        help="Older ones never start.  [default: 1d]",
    ),
    click.option(
        "--overlap",
        type=words_of(Overlap),
        help="What becomes of a firing while an earlier run is live.  [default: allow]",
    ),
    click.option(
        "--jitter",
        type=OrNone(LENGTH, "0"),
        help="Start up to so much later, by the name, or none.",
    ),
    click.option(
        "--start",
        "starts_at",
        type=OrNone(WallMoment()),
        help="Nothing is due before this moment, in the time zone unless it names an offset; none"
        " takes it back.",
    ),
    click.option(
        "--end", "ends_at", type=OrNone(WallMoment()), help="Nothing is due from then on, or none."
    ),
    click.option(
        "--max-runs",
        type=OrNone(click.IntRange(1, MOST_RUNS)),
        help="How many runs to start at all, or none: any.",
    ),
    click.option("--priority", type=int, help="Of the runs.  [default: 0]"),
    click.option(
        "--not-during",
        multiple=True,
        metavar="WINDOW",
        help="Start nothing in this maintenance window: '0 22 * * SAT for 6h'; may be repeated."
        " none: in any.",
    ),
    click.option(
        "--in-window",
        type=words_of(InWindow),
        help="What becomes of firings in a maintenance window.  [default: skip]",
    ),
)


@schedule.command("add")
@click.argument("name")
@click.argument("reference")
@click.option("--cron", metavar="EXPR", required=True, help="When: a cron expression.")
@with_options(TIMING)
@with_options(_POLICIES)
@click.option("--paused", is_flag=True, help="Nothing is due until it is resumed.")
@command_options
@pass_console
def add_schedule(
    console: Console, *, name: str, reference: str, paused: bool, **options: Any
) -> None:
    """Have runs of REFERENCE started. Adding the same schedule again changes nothing.

    The reference is resolved anew at each firing: PACKAGE/WORKFLOW@CHANNEL follows a channel.
    """
    found = schedules_of(console)
    given = _given(options, lambda: _typed(console, reference, options))
    state, is_new = found.add(name, reference, paused=paused, **given)
    notes = list(state.schedule.timing.expression.notes)
    told = {**state.to_json(), "notes": notes, "new": is_new}
    console.emit(told, text_of(state, console.clock.now()))
    console.say(f"schedule {name!r} is {'added' if is_new else 'there already'}")


def _text(console: Console) -> Callable[[ScheduleState], str]:
    """Return what says all of a schedule to people."""
    return partial(text_of, now=console.clock.now())


def _given(options: dict[str, Any], params: Callable[[], Any]) -> dict[str, Any]:
    """Return the options that were given, with moments as moments, and the params."""
    given = {
        key: value
        for key, value in options.items()
        if value not in (None, ()) and key not in {"params", "file"}
    }
    zone = find_zone(given.get("timezone", "UTC"))
    for key in ("starts_at", "ends_at"):
        if isinstance(given.get(key), datetime) and given[key].tzinfo is None:
            given[key] = given[key].replace(tzinfo=zone)
    if given.get("not_during") == ("none",):
        given["not_during"] = ()
    for key in [key for key, value in given.items() if value is NOTHING]:
        given[key] = timedelta(0) if key == "jitter" else None
    if options["params"] or options["file"]:
        given["params"] = params()
    return given


def _typed(console: Console, reference: str, options: dict[str, Any]) -> dict[str, Any]:
    from cloacina_core.cli.params import gather_params  # noqa: PLC0415 - not needed for --help

    definition = schedules_of(console).definition(reference)
    return gather_params(definition, options["params"], options["file"])


@schedule.command("enable")
@enabling
@command_options
@pass_console
def enable_schedules(
    console: Console, *, reference: str, name: str | None, stored_as: str | None, paused: bool
) -> None:
    """Switch on schedules that a package declares: NAME, or all. Again changes nothing.

    REFERENCE is PACKAGE@CHANNEL, or PACKAGE with versions. When it means another release, that
    says when they are due; PACKAGE==VERSION never changes.
    """
    found = schedules_of(console)
    kept = found.enable(reference, name, stored_as=stored_as, paused=paused)
    tell_enabled(console, "schedule", kept, _text(console))


@schedule.command("restore")
@click.argument("name")
@command_options
@pass_console
def restore_schedule(console: Console, *, name: str) -> None:
    """Undo all changes of a schedule that a package declared: as it is declared now."""
    state = schedules_of(console).restore(name)
    tell_changed(console, "schedule", state, "as it is declared", _text(console))


@schedule.command("disable")
@click.argument("reference")
@click.argument("name", required=False)
@command_options
@pass_console
def disable_schedules(console: Console, *, reference: str, name: str | None) -> None:
    """Forget schedules that were enabled by REFERENCE: NAME of the package, or all.

    Their histories go with them, and runs that they started go on. To keep them, pause them.
    """
    tell_disabled(console, "schedule", schedules_of(console).disable(reference, name))


@schedule.command("list")
@command_options
@pass_console
def list_schedules(console: Console) -> None:
    """List schedules, and when they are due next."""
    states, now = schedules_of(console).all(), console.clock.now()
    rows = [
        (
            state.schedule.name,
            state.schedule.reference,
            str(state.schedule.timing.expression),
            state.schedule.timezone,
            next_of(state, now),
            state.started,
            lag_of(state),
        )
        for state in states
    ]
    headers = ("name", "reference", "cron", "timezone", "next", "started", "lag")
    table = console.table(headers, rows)
    console.emit([state.to_json() for state in states], table if rows else "no schedules")


@schedule.command("show")
@click.argument("name")
@command_options
@pass_console
def show_schedule(console: Console, *, name: str) -> None:
    """Show a schedule, and its backfills that go on."""
    found = schedules_of(console)
    state, backfills = found.get(name), found.backfills(name)
    console.emit(
        {
            **state.to_json(),
            "notes": list(state.schedule.timing.expression.notes),
            "backfills": [one.to_json() for one in backfills],
        },
        text_of(state, console.clock.now(), backfills),
    )


@without_defaults
@schedule.command("update")
@click.argument("name")
@click.option("--reference", help="What to run.")
@click.option("--cron", metavar="EXPR", help="When: a cron expression.")
@with_options(TIMING)
@with_options(_POLICIES)
@command_options
@pass_console
def update_schedule(console: Console, *, name: str, **options: Any) -> None:
    """Change a schedule. What was due before still starts; other times hold from now on."""
    require_changes(options)
    found = schedules_of(console)
    now = found.get(name).schedule
    reference = options["reference"] or now.reference
    zone = options["timezone"] or now.timezone
    changes = _given({**options, "timezone": zone}, lambda: _typed(console, reference, options))
    if not options["timezone"]:
        del changes["timezone"]
    tell_changed(console, "schedule", found.update(name, **changes), "changed", _text(console))


def _choice(function: F) -> F:
    """Add the options that choose schedules, to a command that takes `names` and filters."""
    options = (
        click.argument("names", nargs=-1),
        click.option("--all", "everything", is_flag=True, help="All schedules."),
        click.option("--package", help="All schedules of this package."),
        click.option("--dry-run", is_flag=True, help="Only say which would be touched."),
    )
    return with_options(options)(function)


@schedule.command("pause")
@_choice
@command_options
@pass_console
def pause_schedules(console: Console, *, dry_run: bool, **choice: Any) -> None:
    """Have nothing of schedules be due until they are resumed. Runs go on."""
    found = schedules_of(console)
    _each(console, found, dry_run=dry_run, act=found.pause, told="paused", **choice)


@schedule.command("resume")
@_choice
@command_options
@pass_console
def resume_schedules(console: Console, *, dry_run: bool, **choice: Any) -> None:
    """Have schedules go on from now. What would have been due meanwhile isn't made up for."""
    found = schedules_of(console)
    _each(console, found, dry_run=dry_run, act=found.resume, told="on again", **choice)


def _each(
    console: Console,
    found: "Schedules",
    *,
    names: tuple[str, ...],
    everything: bool,
    package: str | None,
    dry_run: bool,
    act: Callable[[str], ScheduleState],
    told: str,
) -> None:
    if sum((bool(names), everything, package is not None)) != 1:
        raise InputError("name schedules, or say --all or --package")
    if names:
        chosen = [found.get(name) for name in names]
    else:
        wanted = None if package is None else normalized_package(package)
        chosen = [state for state in found.all() if wanted in (None, _package_of(state))]
        if not chosen and package is not None:
            raise NotFoundError(
                f"no schedule fits: none is of package {package[:100]!r}",
                hint="see: cloacina schedule list",
            )
    if not dry_run:
        chosen = [_told(console, act, state.schedule.name) for state in chosen]
    console.emit([state.to_json() for state in chosen])
    if not chosen:
        console.say("there are no schedules")
    for state in chosen:
        console.say(f"schedule {state.schedule.name!r} {'would be' if dry_run else 'is'} {told}")


def _told(console: Console, act: Callable[[str], ScheduleState], name: str) -> ScheduleState:
    with console.acting_on(name):
        return act(name)


def _package_of(state: ScheduleState) -> str:
    return Reference.parse(state.schedule.reference).package


@schedule.command("delete")
@click.argument("name")
@command_options
@pass_console
def delete_schedule(console: Console, *, name: str) -> None:
    """Forget a schedule and its history. Runs that it started go on."""
    schedules_of(console).delete(name)
    tell_deleted(console, "schedule", name)
