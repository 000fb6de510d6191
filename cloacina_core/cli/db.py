"""`cloacina db`: back up, check, upgrade and prune a store. No plugin is loaded for it."""

import time
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloacina_core.cli.bar import bar
from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import LENGTH, MOMENT
from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.size import shown_size
from cloacina_core.model.status import RunStatus

if TYPE_CHECKING:
    from cloacina_core.store.facts import StoreFacts
    from cloacina_core.store.migrations.runner import Revision
    from cloacina_core.store.retention import Expiry

FINAL = [status.value for status in RunStatus if status.is_final]


@click.group()
def db() -> None:
    """Back up, check, upgrade and prune a store."""


@db.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@command_options
@pass_console
def backup(console: Console, *, path: Path, force: bool) -> None:
    """Copy an SQLite store into the file PATH while engines go on writing.

    The copy is one moment of the store, checked, and readable by its owner only. For PostgreSQL,
    the command to use instead is told, with exit status 2.
    """
    from cloacina_core.store.backup import back_up  # noqa: PLC0415 - not needed for --help

    with bar(console, "copying") as progress:
        size = back_up(console.store.opened(), path, force=force, progress=progress)
    console.emit({"path": str(path), "bytes": size}, f"{path} ({shown_size(size)})")


@db.command()
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Stop after so many findings.",
)
@command_options
@pass_console
def check(console: Console, *, limit: int) -> int:
    """Look for damage, and change nothing; ends with 1 when some is found.

    Engines may go on writing meanwhile.
    """
    from cloacina_core.store.checking import check as find_damage  # noqa: PLC0415 - see above

    count = 0

    database = console.store.opened()
    with bar(console, "checking") as progress:

        def told(done: int, total: int) -> None:
            nonlocal count
            count = done
            progress(done, total)

        with closing(find_damage(database, told)) as found:
            findings = list(islice(found, limit))
    is_complete = len(findings) < limit
    value: JsonValue = {
        "runs": count,
        "complete": is_complete,
        "findings": [damage.to_json() for damage in findings],
    }
    rows = [(damage.kind, damage.run_id or "", damage.message, damage.mend) for damage in findings]
    text = f"{count} runs, nothing wrong"
    if findings:
        text = console.table(("kind", "run", "found", "mend"), rows)
    console.emit(value, text)
    if not is_complete:
        console.say(f"stopped after {limit} findings; there may be more: --limit")
    return 1 if findings else 0


@db.command()
@click.option("--plan", is_flag=True, help="Only show what would be done, with its SQL.")
@command_options
@pass_console
def upgrade(console: Console, *, plan: bool) -> None:
    """Bring a store to the schema of this version.

    Where no API keys are asked for, every command that opens a store does so by itself; this one
    shows it, or does nothing else. Where they are, an admin has to call it.
    """
    database = console.store.opened(prepare=False)
    missing = database.missing_migrations()
    if not plan and missing:
        database.prepare(beside_tenants=True)
    console.emit([_revision_json(revision) for revision in missing], _told(missing, plan=plan))


def _told(missing: "list[Revision]", *, plan: bool) -> str:
    if not missing:
        return "the schema is current"
    if plan:
        return "\n\n".join(f"-- {item.version}: {item.title}\n{item.sql}" for item in missing)
    return "\n".join(f"applied {item.version}: {item.title}" for item in missing)


def _revision_json(revision: "Revision") -> JsonValue:
    return {"version": revision.version, "title": revision.title, "sql": revision.sql}


@db.command()
@command_options
@pass_console
def info(console: Console) -> None:
    """Show a store's versions, its size, and how many runs it has."""
    from cloacina_core.store.facts import facts_of  # noqa: PLC0415 - not needed for --help

    facts = facts_of(console.store.opened())
    rows: list[tuple[str, object]] = [
        ("url", facts.url),
        ("database", facts.software),
        ("schema", facts.schema_version),
        (facts.durability, facts.synchronous),
        ("size", _size(facts)),
    ]
    if facts.disk is not None:
        rows.append(("disk", f"{shown_size(facts.disk.free)} free, {facts.disk.kind or 'unknown'}"))
    rows += [(f"runs {status.value}", facts.runs.get(status, 0)) for status in RunStatus]
    oldest = facts.oldest_live
    rows.append(("oldest live run", iso(oldest) if oldest else "none"))
    rows += [(f"engines {version}", count) for version, count in facts.engines.items()]
    width = max(len(name) for name, _ in rows)
    console.emit(_info_json(facts), "\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def _size(facts: "StoreFacts") -> str:
    free = f", {shown_size(facts.free_within)} of it free" if facts.free_within else ""
    return shown_size(facts.size) + free


def _info_json(facts: "StoreFacts") -> JsonValue:
    return {
        "url": facts.url,
        "database": facts.software,
        "schema": facts.schema_version,
        facts.durability: facts.synchronous,
        "bytes": facts.size,
        "bytes_free_within": facts.free_within,
        "disk": facts.disk and {"kind": facts.disk.kind, "bytes_free": facts.disk.free},
        "runs": {status.value: facts.runs.get(status, 0) for status in RunStatus},
        "oldest_live_run": iso(facts.oldest_live) if facts.oldest_live else None,
        "engines": dict(facts.engines),
    }


@db.command()
@click.option("--before", type=MOMENT, help="Runs that ended before then.")
@click.option("--older-than", type=LENGTH, help="Runs that ended so long ago, as 30d or 12h.")
@click.option(
    "--status", type=click.Choice(FINAL), multiple=True, help="Only runs in this state; repeatable."
)
@click.option("--dry-run", is_flag=True, help="Only count them.")
@command_options
@pass_console
def prune(
    console: Console,
    *,
    before: datetime | None,
    older_than: timedelta | None,
    status: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Delete finished runs with all that is theirs, for good.

    Without a time, those that were kept as long as the settings `retention` and
    `retention_failed` say. Engines may go on writing meanwhile.
    """
    from cloacina_core.services.retention import sweep  # noqa: PLC0415 - not needed for --help
    from cloacina_core.store.retention import Retention  # noqa: PLC0415

    wanted = _expiries(console, before, older_than, status)
    retention = Retention(console.store.opened())
    count = sum(retention.count(expiry) for expiry in wanted)
    if not dry_run:
        with bar(console, "deleting") as progress:
            total = count
            count = sweep(
                retention,
                wanted,
                _pause,
                console.clock,
                lambda done: progress(done, max(done, total)),
            )
    what = "would be deleted" if dry_run else "deleted"
    console.emit({"runs": count, "dry_run": dry_run}, f"{count} runs {what}")


def _expiries(
    console: Console,
    before: datetime | None,
    older_than: timedelta | None,
    status: tuple[str, ...],
) -> "list[Expiry]":
    from cloacina_core.services.retention import expiries  # noqa: PLC0415 - see above
    from cloacina_core.store.retention import Expiry  # noqa: PLC0415

    chosen = [RunStatus(name) for name in status or FINAL]
    if before is not None and older_than is not None:
        raise InputError("--before and --older-than say the same", hint="use one of them")
    if before is None and older_than is None:
        settings = console.settings
        kept = expiries(settings.retention, settings.retention_failed)
        return [expiry for expiry in kept if expiry.status in chosen]
    return [Expiry(name, before=before, older_than=older_than) for name in chosen]


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False
