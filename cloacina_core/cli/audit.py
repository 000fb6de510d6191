"""`cloacina audit`: who asked for which change, and what became of it."""

from datetime import datetime

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import MOMENT
from cloacina_core.foundation.clock import iso


@click.group()
def audit() -> None:
    """See who asked for which change, when and from where, and what became of it.

    What happened to packages stands also in the log of the registry, which nobody can change
    unnoticed: cloacina registry audit.
    """


@audit.command("list")
@click.option("--who", metavar="NAME", help="Only what this one asked for.")
@click.option("--verb", help="Only this verb; with a dot at its end, all that begin so.")
@click.option("--since", type=MOMENT, help="Only what was asked for since then.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Go on behind this entry of the page before.")
@command_options
@pass_console
def list_entries(
    console: Console,
    *,
    who: str | None,
    verb: str | None,
    since: datetime | None,
    limit: int,
    before: str | None,
) -> None:
    """List what was asked for, newest first."""
    from cloacina_core.foundation.ids import IdFactory  # noqa: PLC0415 - not needed for --help
    from cloacina_core.store.audit import Audit, AuditFilter  # noqa: PLC0415

    wanted = AuditFilter(who=who, verb=verb, since=since)
    kept = Audit(console.view.database, IdFactory(console.clock))
    found = kept.entries(wanted, before=before, limit=limit)
    rows = [
        (
            iso(one.at)[:19] + "Z",
            one.deed.who,
            one.deed.role or "-",
            one.deed.origin,
            one.deed.verb,
            one.deed.target or "",
            one.outcome.value if one.code is None else f"{one.outcome.value}: {one.code}",
        )
        for one in found
    ]
    headers = ("at", "who", "role", "from", "verb", "on", "outcome")
    table = console.table(headers, rows) if rows else "nothing was asked for"
    console.emit([one.to_json() for one in found], table)
    if len(found) == limit:
        console.say(f"there may be more: --before {found[-1].id}")
