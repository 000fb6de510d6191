"""`cloacina schedule history | backfill | next`: single firings, past and to come."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import WallMoment
from cloacina_core.cli.schedule_facts import outlook
from cloacina_core.cli.scheduling import TIMING, schedules_of, with_options
from cloacina_core.errors import InputError
from cloacina_core.model.schedule.cron import CronExpression
from cloacina_core.model.schedule.firing import (
    LAST_YEAR,
    Firing,
    FoldPolicy,
    GapPolicy,
    Note,
    Timing,
)
from cloacina_core.model.schedule.schedule import Backfill, PendingBackfill, Schedule
from cloacina_core.model.schedule.window import Window, span_at, spans_of
from cloacina_core.model.schedule.zone import find_zone

_MOST_FIRINGS = 10_000
_MANY_FIRINGS = 100
"""A backfill of more is asked for again: a wrong year is typed as easily as a right one."""
_NOWHERE: Mapping[datetime, str] = MappingProxyType({})

_TOLD = {
    Note.MOVED: "moved: the clock skips {wanted:%H:%M}",
    Note.FIRST_PASS: "the first time that the clock shows it",
    Note.SECOND_PASS: "the second time that the clock shows it",
}


@click.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--before", type=WallMoment(), help="Only firings before this moment.")
@command_options
@pass_console
def history(console: Console, *, name: str, limit: int, before: datetime | None) -> None:
    """Show what became of firings, newest first: runs that were started, and why others weren't.

    Moments are in the schedule's time zone, unless they name an offset.
    """
    found = schedules_of(console)
    if before is not None and before.tzinfo is None:
        before = before.replace(tzinfo=find_zone(found.get(name).schedule.timezone))
    records = found.history(name, before=before, limit=limit)
    rows = [
        (f"{one.at:%Y-%m-%d %H:%M:%S}Z", one.state.value, one.run_id or "", one.reason or "")
        for one in records
    ]
    table = console.table(("at", "state", "run", "reason"), rows)
    console.emit([one.to_json() for one in records], table if rows else "nothing was due yet")


@click.command("backfill")
@click.argument("name")
@click.argument("backfill_id", metavar="[ID]", required=False)
@click.option("--from", "begins", type=WallMoment(), help="The first moment that counts.")
@click.option("--to", "ends", type=WallMoment(), help="The first that doesn't.  [default: now]")
@click.option("--parallel", type=int, default=1, show_default=True, help="Runs live at a time.")
@click.option("--dry-run", is_flag=True, help="Only say what would be started.")
@click.option("--yes", is_flag=True, help="Don't ask, however many they are.")
@click.option("--cancel", is_flag=True, help="Start no more of the backfill ID, or of all.")
@command_options
@pass_console
def backfill(  # noqa: PLR0913 - one for each option
    console: Console,
    *,
    name: str,
    backfill_id: str | None,
    begins: datetime | None,
    ends: datetime | None,
    parallel: int,
    dry_run: bool,
    yes: bool,
    cancel: bool,
) -> None:
    """Start the runs of firings in the past that have none, a few at a time.

    On a terminal, more than 100 are asked for again. Moments are in the schedule's time zone,
    unless they name an offset. `schedule show` lists those that go on, with their IDs.
    """
    found = schedules_of(console)
    if cancel:
        if begins or ends or dry_run:
            raise InputError("--cancel takes no --from, --to or --dry-run: it cancels at once")
        _tell_cancelled(console, name, found.cancel_backfills(name, backfill_id))
        return
    if backfill_id is not None:
        raise InputError("a backfill is named by its ID only to --cancel it")
    if begins is None:
        raise InputError("say from when on, with --from")
    zone = find_zone(found.get(name).schedule.timezone)
    begins, ends = (
        moment if moment.tzinfo else moment.replace(tzinfo=zone)
        for moment in (begins, ends or console.clock.now())
    )
    planned = found.backfill(name, begins, ends, parallel=parallel, dry_run=True)
    console.say(_plan_told(planned))
    if not dry_run:
        if len(planned.firings) > _MANY_FIRINGS and console.is_terminal and not yes:
            click.confirm(f"Start {len(planned.firings)} runs?", abort=True, err=True)
        planned = found.backfill(name, begins, ends, parallel=parallel)
        if planned.firings:
            back = f"cloacina schedule backfill {name} {planned.id} --cancel"
            console.say(f"backfill {planned.id} begins; take it back with: {back}")
    rows = [_row(firing) for firing in planned.firings]
    table = console.table(("local", "utc", ""), rows) if rows else "nothing to start"
    console.emit({**planned.to_json(), "dry_run": dry_run}, table)


def _plan_told(planned: Backfill) -> str:
    """Return in words what a backfill is going to do."""
    first = f", the first {planned.firings[0].local}" if planned.firings else ""
    told = f"{len(planned.firings)} firings, {planned.parallel} at a time{first}"
    told += f"; {planned.started_before} had their runs already"
    if planned.pending_before:
        told += f", {planned.pending_before} are going to get theirs anyway"
    return told


def _tell_cancelled(console: Console, name: str, cancelled: Sequence[PendingBackfill]) -> None:
    console.emit({"schedule": name, "cancelled": [one.to_json() for one in cancelled]})
    for one in cancelled:
        console.say(f"backfill {one.id} starts {one.left} runs less; those that began go on")
    if not cancelled:
        console.say("no runs of backfills were left to start")


@click.command("next")
@click.argument("name", required=False)
@click.option("--cron", metavar="EXPR", help="A cron expression, in place of a schedule.")
@with_options(TIMING)
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
        found = schedules_of(console)
        state = found.get(name)
        timing, zone = state.schedule.timing, find_zone(state.schedule.timezone)
    else:
        state, zone = None, find_zone(timezone or "UTC")
        timing = Timing(
            CronExpression.parse(cron or ""),
            zone,
            gap=None if gap is None else GapPolicy(gap),
            fold=None if fold is None else FoldPolicy(fold),
        )
    moment = after or console.clock.now()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    if state is None:
        firings = list(itertools.islice(timing.firings(moment), count))
        told, kept_from = None, _NOWHERE
    else:
        firings, told = list(found.next(state.name, count=count, after=moment)), outlook(state)
        firings = firings[: told.runs_left]
        windows = [one.window for one in found.windows()]
        kept_from = _kept_from(state.schedule, windows, firings)
    table = console.table(("local", "utc", ""), [_row(firing, kept_from) for firing in firings])
    wanted = count if told is None or told.runs_left is None else min(count, told.runs_left)
    notes = [*timing.expression.notes]
    if len(firings) < wanted:
        notes.append(_end_told(firings, None if state is None else state.schedule.ends_at))
    console.emit(
        {
            "cron": str(timing.expression),
            "timezone": zone.key,
            "notes": notes,
            **({} if told is None else told.to_json()),
            "firings": [
                {**firing.to_json(), "window": kept_from.get(firing.utc)} for firing in firings
            ],
        },
        "\n".join((table, *(() if told is None else told.lines()), *notes)),
    )


def _end_told(firings: Sequence[Firing], ends_at: datetime | None) -> str:
    """Return why there are no more firings than these."""
    why = f"firings are known up to {LAST_YEAR}"
    if ends_at is not None:
        why = f"the schedule ends at {ends_at:%Y-%m-%d %H:%M:%S}Z"
    return f"no more than {len(firings)} firings are left: {why}"


def _kept_from(
    schedule: Schedule, common: Sequence[Window], firings: Sequence[Firing]
) -> Mapping[datetime, str]:
    """Return which firings a maintenance window keeps from starting in time, and which window."""
    if not firings:
        return {}
    first, last = (one.utc + schedule.delay for one in (firings[0], firings[-1]))
    spans = spans_of((*schedule.not_during, *common), first, last)
    found = {one.utc: span_at(spans, one.utc + schedule.delay) for one in firings}
    return {moment: span.what for moment, span in found.items() if span is not None}


def _row(firing: Firing, kept_from: Mapping[datetime, str] = _NOWHERE) -> tuple[str, str, str]:
    told = "" if firing.note is None else _TOLD[firing.note].format(wanted=firing.wanted)
    told = "; ".join(filter(None, (told, kept_from.get(firing.utc))))
    return (
        f"{firing.local:%a %Y-%m-%d %H:%M:%S %z}",
        f"{firing.utc:%Y-%m-%d %H:%M:%S}Z",
        told,
    )
