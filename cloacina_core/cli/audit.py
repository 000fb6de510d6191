"""`cloacina audit`: who asked for which change, and what became of it."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import MOMENT
from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso

if TYPE_CHECKING:
    from cloacina_core.model.audit import Deed
    from cloacina_core.store.audit import Audit


@click.group()
def audit() -> None:
    """See who asked for which change, when and from where, and what became of it.

    What happened to packages stands also in the log of the registry, which nobody can change
    unnoticed: cloacina registry audit.
    """


@audit.command("list")
@click.option("--who", metavar="NAME", help="Only what this one asked for.")
@click.option("--verb", help="Only this verb; with a dot at its end, all that begin so.")
@click.option("--target", metavar="NAME", help="Only what was done to this.")
@click.option("--since", type=MOMENT, help="Only what was asked for since then.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Go on behind this entry of the page before.")
@click.option("--tenants", is_flag=True, help="Only what was asked of tenants.")
@command_options
@pass_console
def list_entries(
    console: Console,
    *,
    who: str | None,
    verb: str | None,
    target: str | None,
    since: datetime | None,
    limit: int,
    before: str | None,
    tenants: bool,
) -> None:
    """List what was asked for, newest first.

    With the URL of an administrator of tenants, that is also what was asked of them.
    """
    from cloacina_core.store.audit import AuditFilter  # noqa: PLC0415 - not needed for --help

    wanted = AuditFilter(who=who, verb=verb, target=target, since=since)
    kept = _kept(console, of_tenants=tenants)
    found = kept.entries(wanted, before=before, limit=limit)
    rows = [
        (
            iso(one.at)[:19] + "Z",
            one.deed.who,
            one.deed.role or "-",
            one.deed.origin,
            one.deed.verb,
            _on(one.deed),
            one.outcome.value if one.code is None else f"{one.outcome.value}: {one.code}",
        )
        for one in found
    ]
    headers = ("at", "who", "role", "from", "verb", "on", "outcome")
    table = console.table(headers, rows) if rows else "nothing was asked for"
    console.emit([one.to_json() for one in found], table)
    if len(found) == limit:
        console.say(f"there may be more: --before {found[-1].id}")


def _on(deed: "Deed") -> str:
    """Return what something was done to, and which command was passed on to it, if any."""
    facts = deed.facts
    passed_on = [facts[name] for name in ("command", "command_target") if facts.get(name)]
    target = deed.target or ""
    return f"{target}: {' '.join(map(str, passed_on))}" if passed_on else target


def _kept(console: Console, *, of_tenants: bool) -> "Audit":
    """Return the audit that is asked for; a store that isn't there isn't made for that."""
    from cloacina_core.foundation.ids import IdFactory  # noqa: PLC0415 - not needed for --help
    from cloacina_core.store.administration import audit_to_read  # noqa: PLC0415
    from cloacina_core.store.audit import Audit  # noqa: PLC0415

    settings, ids = console.settings, IdFactory(console.clock)
    if settings.database_url.startswith("sqlite"):
        return Audit(console.store.opened(), ids)
    found = audit_to_read(console.store.opened(prepare=False), ids, of_tenants=of_tenants)
    if found is None:
        raise InputError(
            "there is no audit here, neither of a store nor of tenants",
            hint="name the database with --database-url or CLOACINA_DATABASE_URL",
        )
    return found
