"""`cloacina schedule`: when work is due."""

import itertools
from datetime import datetime

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import WallMoment
from cloacina_core.model.schedule.cron import CronExpression
from cloacina_core.model.schedule.firing import Firing, FoldPolicy, GapPolicy, Note, Timing
from cloacina_core.model.schedule.zone import find_zone

_MOST_FIRINGS = 10_000

_TOLD = {
    Note.MOVED: "moved: the clock skips {wanted:%H:%M}",
    Note.FIRST_PASS: "the first time that the clock shows it",
    Note.SECOND_PASS: "the second time that the clock shows it",
}


@click.group()
def schedule() -> None:
    """Say when work is due."""


@schedule.command("next")
@click.option("--cron", "expression", metavar="EXPR", required=True, help="A cron expression.")
@click.option(
    "--timezone", metavar="ZONE", default="UTC", show_default=True, help="As Europe/Berlin."
)
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
@click.option(
    "--gap",
    type=click.Choice([policy.value for policy in GapPolicy]),
    help="What to do with times that the clock skips."
    "  [default: first-after for fixed times, else skip]",
)
@click.option(
    "--fold",
    type=click.Choice([policy.value for policy in FoldPolicy]),
    help="What to do with times that the clock shows twice."
    "  [default: first for fixed times, else both]",
)
@command_options
@pass_console
def next_firings(
    console: Console,
    *,
    expression: str,
    timezone: str,
    after: datetime | None,
    count: int,
    gap: str | None,
    fold: str | None,
) -> None:
    """Tell when a cron expression is due next. Nothing needs to be stored for it."""
    zone = find_zone(timezone)
    timing = Timing(
        CronExpression.parse(expression),
        zone,
        gap=None if gap is None else GapPolicy(gap),
        fold=None if fold is None else FoldPolicy(fold),
    )
    moment = after or console.clock.now()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    firings = list(itertools.islice(timing.firings(moment), count))
    rows = [
        (f"{one.local:%a %Y-%m-%d %H:%M:%S %z}", f"{one.utc:%Y-%m-%d %H:%M:%S}Z", _told(one))
        for one in firings
    ]
    console.emit(
        {
            "cron": str(timing.expression),
            "timezone": zone.key,
            "firings": [firing.to_json() for firing in firings],
        },
        console.table(("local", "utc", ""), rows),
    )


def _told(firing: Firing) -> str:
    return "" if firing.note is None else _TOLD[firing.note].format(wanted=firing.wanted)
