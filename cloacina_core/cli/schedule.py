"""`cloacina schedule`: what is started when."""

import itertools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import LENGTH, WallMoment
from cloacina_core.errors import InputError
from cloacina_core.foundation.period import Period
from cloacina_core.model.schedule.cron import CronExpression
from cloacina_core.model.schedule.firing import Firing, FoldPolicy, GapPolicy, Note, Timing
from cloacina_core.model.schedule.schedule import CatchUp, Overlap
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.model.schedule.zone import find_zone

if TYPE_CHECKING:
    from cloacina_core.runtime.schedules import Schedules

F = TypeVar("F", bound=Callable[..., Any])

_MOST_FIRINGS = 10_000

_TOLD = {
    Note.MOVED: "moved: the clock skips {wanted:%H:%M}",
    Note.FIRST_PASS: "the first time that the clock shows it",
    Note.SECOND_PASS: "the second time that the clock shows it",
}


@click.group()
def schedule() -> None:
    """Start runs when they are due. Engines do it: cloacina engine run."""


def _schedules(console: Console) -> "Schedules":
    from cloacina_core.plugin.manager import Plugins  # noqa: PLC0415 - not needed for --help
    from cloacina_core.runtime.schedules import Schedules  # noqa: PLC0415
    from cloacina_core.runtime.sources import Sources  # noqa: PLC0415

    plugins = Plugins.of_environment(console.settings.blocked_plugins)
    view = console.view
    return Schedules(lambda: view.database, Sources(view, plugins), console.clock)


def _words(policy: Iterable[Any]) -> click.Choice[str]:
    return click.Choice([word.value for word in policy])


_TIMING = (
    click.option("--timezone", metavar="ZONE", help="As Europe/Berlin.  [default: UTC]"),
    click.option(
        "--gap",
        type=_words(GapPolicy),
        help="What becomes of times that the clock skips."
        "  [default: first-after for fixed times, else skip]",
    ),
    click.option(
        "--fold",
        type=_words(FoldPolicy),
        help="What becomes of times that the clock shows twice."
        "  [default: first for fixed times, else both]",
    ),
)
_POLICIES = (
    click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="One param."),
    click.option("--params", "file", metavar="FILE", help="Params from a JSON file; - is stdin."),
    click.option(
        "--catch-up",
        type=_words(CatchUp),
        help="Which firings start that no engine was there for.  [default: latest]",
    ),
    click.option("--catch-up-limit", type=int, help="How many of them, with all.  [default: 100]"),
    click.option(
        "--catch-up-window",
        type=LENGTH,
        help="Older ones never start.  [default: 1d]",
    ),
    click.option(
        "--overlap",
        type=_words(Overlap),
        help="What becomes of a firing while an earlier run is live.  [default: allow]",
    ),
    click.option("--jitter", type=LENGTH, help="Start up to so much later, by the name."),
    click.option("--start", "starts_at", type=WallMoment(), help="Nothing is due before."),
    click.option("--end", "ends_at", type=WallMoment(), help="Nothing is due from then on."),
    click.option("--max-runs", type=int, help="How many runs to start at all."),
    click.option("--priority", type=int, help="Of the runs.  [default: 0]"),
)


def _with(options: Iterable[Callable[[F], F]]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(list(options)):
            function = option(function)
        return function

    return add


@schedule.command("add")
@click.argument("name")
@click.argument("reference")
@click.option("--cron", metavar="EXPR", required=True, help="When: a cron expression.")
@_with(_TIMING)
@_with(_POLICIES)
@click.option("--paused", is_flag=True, help="Nothing is due until it is resumed.")
@command_options
@pass_console
def add_schedule(
    console: Console, *, name: str, reference: str, paused: bool, **options: Any
) -> None:
    """Have runs of REFERENCE started. Adding the same schedule again changes nothing.

    The reference is resolved anew at each firing: PACKAGE/WORKFLOW@CHANNEL follows a channel.
    """
    found = _schedules(console)
    given = _given(options, lambda: _typed(console, reference, options))
    state, is_new = found.add(name, reference, paused=paused, **given)
    console.emit({**state.to_json(), "new": is_new}, _text(state))
    console.say(f"schedule {name!r} is {'added' if is_new else 'there already'}")


def _given(options: dict[str, Any], params: Callable[[], Any]) -> dict[str, Any]:
    """Return the options that were given, with moments as moments, and the params."""
    given = {
        key: value
        for key, value in options.items()
        if value is not None and key not in {"params", "file"}
    }
    zone = find_zone(given.get("timezone", "UTC"))
    for key in ("starts_at", "ends_at"):
        if key in given and given[key].tzinfo is None:
            given[key] = given[key].replace(tzinfo=zone)
    if options["params"] or options["file"]:
        given["params"] = params()
    return given


def _typed(console: Console, reference: str, options: dict[str, Any]) -> dict[str, Any]:
    from cloacina_core.cli.params import gather_params  # noqa: PLC0415 - not needed for --help

    definition = _schedules(console).definition(reference)
    return gather_params(definition, options["params"], options["file"])


@schedule.command("enable")
@click.argument("reference")
@click.argument("name", required=False)
@click.option("--as", "stored_as", metavar="STORED_NAME", help="[default: PACKAGE.NAME]")
@click.option("--paused", is_flag=True, help="Nothing is due until they are resumed.")
@command_options
@pass_console
def enable_schedules(
    console: Console, *, reference: str, name: str | None, stored_as: str | None, paused: bool
) -> None:
    """Switch on schedules that a package declares: NAME, or all. Again changes nothing.

    REFERENCE is PACKAGE@CHANNEL, or PACKAGE with versions. When it means another release, that
    says when they are due; PACKAGE==VERSION never changes.
    """
    found = _schedules(console)
    kept = found.enable(reference, name, stored_as=stored_as, paused=paused)
    console.emit(
        [{**state.to_json(), "new": is_new} for state, is_new in kept],
        "\n\n".join(_text(state) for state, _ in kept),
    )
    for state, is_new in kept:
        word = "enabled" if is_new else "there already"
        console.say(f"schedule {state.schedule.name!r} is {word}")


@schedule.command("disable")
@click.argument("reference")
@click.argument("name", required=False)
@command_options
@pass_console
def disable_schedules(console: Console, *, reference: str, name: str | None) -> None:
    """Forget schedules that were enabled by REFERENCE: NAME of the package, or all.

    Their histories go with them, and runs that they started go on. To keep them, pause them.
    """
    names = _schedules(console).disable(reference, name)
    console.emit([{"name": one} for one in names])
    for one in names:
        console.say(f"schedule {one!r} is disabled")


@schedule.command("list")
@command_options
@pass_console
def list_schedules(console: Console) -> None:
    """List schedules, and when they are due next."""
    states = _schedules(console).all()
    rows = [
        (
            state.schedule.name,
            state.schedule.reference,
            str(state.schedule.timing.expression),
            state.schedule.timezone,
            _next(state),
            state.started,
        )
        for state in states
    ]
    headers = ("name", "reference", "cron", "timezone", "next", "started")
    table = console.table(headers, rows)
    console.emit([state.to_json() for state in states], table if rows else "no schedules")


@schedule.command("show")
@click.argument("name")
@command_options
@pass_console
def show_schedule(console: Console, *, name: str) -> None:
    """Show a schedule."""
    state = _schedules(console).get(name)
    console.emit(state.to_json(), _text(state))


@schedule.command("update")
@click.argument("name")
@click.option("--reference", help="What to run.")
@click.option("--cron", metavar="EXPR", help="When: a cron expression.")
@_with(_TIMING)
@_with(_POLICIES)
@command_options
@pass_console
def update_schedule(console: Console, *, name: str, **options: Any) -> None:
    """Change a schedule. It goes on from now: what isn't decided yet isn't made up for."""
    found = _schedules(console)
    now = found.get(name).schedule
    reference = options["reference"] or now.reference
    options["timezone"] = options["timezone"] or now.timezone
    given = _given(options, lambda: _typed(console, reference, options))
    changes = {key: _plain(value) for key, value in given.items()}
    state = found.update(name, **changes)
    console.emit(state.to_json(), _text(state))
    console.say(f"schedule {name!r} is changed")


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    return value.isoformat() if isinstance(value, datetime) else value


@schedule.command("pause")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All schedules.")
@command_options
@pass_console
def pause_schedules(console: Console, *, names: tuple[str, ...], everything: bool) -> None:
    """Have nothing of schedules be due until they are resumed. Runs go on."""
    found = _schedules(console)
    _each(console, found, names, everything=everything, act=found.pause, told="paused")


@schedule.command("resume")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All schedules.")
@command_options
@pass_console
def resume_schedules(console: Console, *, names: tuple[str, ...], everything: bool) -> None:
    """Have schedules go on from now. What would have been due meanwhile isn't made up for."""
    found = _schedules(console)
    _each(console, found, names, everything=everything, act=found.resume, told="on again")


def _each(
    console: Console,
    found: "Schedules",
    names: tuple[str, ...],
    *,
    everything: bool,
    act: Callable[[str], ScheduleState],
    told: str,
) -> None:
    if bool(names) == everything:
        raise InputError("name schedules, or say --all")
    chosen = [state.schedule.name for state in found.all()] if everything else names
    states = [act(name) for name in chosen]
    console.emit([state.to_json() for state in states])
    for name in chosen:
        console.say(f"schedule {name!r} is {told}")


@schedule.command("delete")
@click.argument("name")
@command_options
@pass_console
def delete_schedule(console: Console, *, name: str) -> None:
    """Forget a schedule and its history. Runs that it started go on."""
    _schedules(console).delete(name)
    console.emit({"name": name})
    console.say(f"schedule {name!r} is deleted")


@schedule.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--before", type=WallMoment(), help="Only firings before this moment; UTC.")
@command_options
@pass_console
def history(console: Console, *, name: str, limit: int, before: datetime | None) -> None:
    """Show what became of firings, newest first: runs that were started, and why others weren't."""
    if before is not None and before.tzinfo is None:
        before = before.replace(tzinfo=find_zone("UTC"))
    records = _schedules(console).history(name, before=before, limit=limit)
    rows = [
        (f"{one.at:%Y-%m-%d %H:%M:%S}Z", one.state.value, one.run_id or "", one.reason or "")
        for one in records
    ]
    table = console.table(("at", "state", "run", "reason"), rows)
    console.emit([one.to_json() for one in records], table if rows else "nothing was due yet")


@schedule.command("backfill")
@click.argument("name")
@click.option("--from", "begins", type=WallMoment(), help="The first moment that counts.")
@click.option("--to", "ends", type=WallMoment(), help="The first that doesn't.  [default: now]")
@click.option("--parallel", type=int, default=1, show_default=True, help="Runs live at a time.")
@click.option("--dry-run", is_flag=True, help="Only say what would be started.")
@click.option("--cancel", is_flag=True, help="Start no more of what was asked for before.")
@command_options
@pass_console
def backfill(
    console: Console,
    *,
    name: str,
    begins: datetime | None,
    ends: datetime | None,
    parallel: int,
    dry_run: bool,
    cancel: bool,
) -> None:
    """Start the runs of firings in the past that have none, a few at a time.

    Moments are in the schedule's time zone, unless they name an offset.
    """
    found = _schedules(console)
    if cancel:
        count = found.cancel_backfills(name)
        console.emit({"schedule": name, "cancelled": count})
        console.say(f"{count} firings start no runs any more; runs that began go on")
        return
    if begins is None:
        raise InputError("say from when on, with --from")
    zone = find_zone(found.get(name).schedule.timezone)
    begins, ends = (
        moment if moment.tzinfo else moment.replace(tzinfo=zone)
        for moment in (begins, ends or console.clock.now())
    )
    planned = found.backfill(name, begins, ends, parallel=parallel, dry_run=True)
    first = f", the first {planned.firings[0].local}" if planned.firings else ""
    console.say(
        f"{len(planned.firings)} firings, {parallel} at a time{first}; "
        f"{planned.started_before} had their runs already"
    )
    if not dry_run:
        planned = found.backfill(name, begins, ends, parallel=parallel)
    rows = [_row(firing) for firing in planned.firings]
    table = console.table(("local", "utc", ""), rows) if rows else "nothing to start"
    console.emit({**planned.to_json(), "dry_run": dry_run}, table)


@schedule.command("next")
@click.argument("name", required=False)
@click.option("--cron", metavar="EXPR", help="A cron expression, in place of a schedule.")
@_with(_TIMING)
@click.option(
    "--from",
    "after",
    type=WallMoment(),
    help="Tell what is due behind this moment; in the time zone, unless it names an offset."
    "  [default: now]",
)
@click.option(
    "--count",
    type=click.IntRange(1, _MOST_FIRINGS),
    default=5,
    show_default=True,
    help="How many to tell.",
)
@command_options
@pass_console
def next_firings(
    console: Console,
    *,
    name: str | None,
    cron: str | None,
    timezone: str | None,
    gap: str | None,
    fold: str | None,
    after: datetime | None,
    count: int,
) -> None:
    """Tell when a schedule, or a cron expression, is due next."""
    if (name is None) == (cron is None):
        raise InputError("name a schedule, or give --cron")
    if name is not None:
        if timezone or gap or fold:
            raise InputError("a schedule has a time zone and policies of its own")
        found = _schedules(console)
        known = found.get(name).schedule
        timing, zone = known.timing, find_zone(known.timezone)
    else:
        zone = find_zone(timezone or "UTC")
        timing = Timing(
            CronExpression.parse(cron or ""),
            zone,
            gap=None if gap is None else GapPolicy(gap),
            fold=None if fold is None else FoldPolicy(fold),
        )
    moment = after or console.clock.now()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    if name is None:
        firings = list(itertools.islice(timing.firings(moment), count))
    else:
        firings = list(found.next(name, count=count, after=moment))
    console.emit(
        {
            "cron": str(timing.expression),
            "timezone": zone.key,
            "firings": [firing.to_json() for firing in firings],
        },
        console.table(("local", "utc", ""), [_row(firing) for firing in firings]),
    )


def _row(firing: Firing) -> tuple[str, str, str]:
    told = "" if firing.note is None else _TOLD[firing.note].format(wanted=firing.wanted)
    return (
        f"{firing.local:%a %Y-%m-%d %H:%M:%S %z}",
        f"{firing.utc:%Y-%m-%d %H:%M:%S}Z",
        told,
    )


def _next(state: ScheduleState) -> str:
    if state.is_paused:
        return f"paused: {state.pause_reason}" if state.pause_reason else "paused"
    return "never again" if state.next_at is None else f"{state.next_at:%Y-%m-%d %H:%M:%S}Z"


def _text(state: ScheduleState) -> str:
    known = state.schedule
    catch_up = f"{known.catch_up.value}, within {Period(known.catch_up_window)}"
    lines = (
        ("name", known.name),
        ("reference", known.reference),
        ("cron", f"{known.timing.expression} ({known.timezone})"),
        ("next", _next(state)),
        ("started", f"{state.started} runs"),
        ("catch-up", catch_up),
        ("overlap", known.overlap.value),
    )
    return "\n".join(f"{label:<10}{value}" for label, value in (*lines, *_following_lines(state)))


def _following_lines(state: ScheduleState) -> Iterable[tuple[str, str]]:
    following = state.following
    if following is None:
        return
    yield "declared", f"{following.schedule}, by {following.version} of {following.reference}"
    if following.overridden:
        yield "changed", f"{', '.join(following.overridden)}: not as declared"
