"""`cloacina registry check | gc`: whether all is there as it came in, and what can go."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from cloacina_core.cli.bar import bar
from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import LENGTH
from cloacina_core.errors import NotAllowedError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.period import Period
from cloacina_registry.environments.environments import Environments
from cloacina_registry.environments.folders import UnusedFolder
from cloacina_registry.registry import Registry
from cloacina_registry.storage.checking import StorageReport
from cloacina_registry.storage.collecting import GRACE, Garbage


@click.command("check")
@command_options
@pass_console
def check(console: Console) -> int:
    """Read and hash all that is stored, and change nothing.

    Ends with 4 when a release can't be handed out as it came in. Bytes that no release refers to
    are told, too; they only take room.
    """
    there = Registry.of(console.view)
    with bar(console, "checking") as progress:
        report = there.check(progress)
    console.emit(_report_json(report), _report_text(console, report))
    if any(finding.kind == "orphan" for finding in report.findings):
        console.say("to remove what no release refers to: cloacina registry gc")
    return 0 if report.is_sound else NotAllowedError.exit_status


def _report_json(report: StorageReport) -> dict[str, Any]:
    return {
        "releases": report.releases,
        "blobs": report.blobs,
        "findings": [finding.to_json() for finding in report.findings],
    }


def _report_text(console: Console, report: StorageReport) -> str:
    if not report.findings:
        return f"{_counted(report.releases, 'release')}, nothing wrong"
    rows = [(finding.kind, finding.where, finding.message) for finding in report.findings]
    return console.table(("KIND", "WHERE", "FOUND"), rows)


@click.command("gc")
@click.option(
    "--older-than",
    type=LENGTH,
    default=str(Period(GRACE)),
    show_default=True,
    help="Leave what is younger than this.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@command_options
@pass_console
def gc(console: Console, *, older_than: timedelta, dry_run: bool) -> None:
    """Remove bytes that no release refers to, and what killed uploads left.

    In this home, the folders of unpacked wheels go, too, that no worker used for so long. They are
    made again when they are needed. Uploads may go on meanwhile. Releases are never removed: for
    that there is delete.
    """
    there = Registry.of(console.view)
    garbage = there.collect_garbage(older_than, dry_run=dry_run)
    before = console.clock.now() - older_than
    unused = Environments.of(console.view, there).unused(before, dry_run=dry_run)
    lines = [f"{blob.digest} {blob.size} bytes" for blob in garbage.blobs]
    lines += [f"{folder.digest} {folder.size} bytes unpacked" for folder in unused]
    lines.append(_summary(garbage, unused, dry_run=dry_run))
    console.emit(_garbage_json(garbage, unused, dry_run=dry_run), "\n".join(lines))


def _summary(garbage: Garbage, unused: Sequence[UnusedFolder], *, dry_run: bool) -> str:
    verb = "would be removed" if dry_run else "removed"
    blobs, drafts = _counted(len(garbage.blobs), "blob"), _counted(garbage.drafts, "draft")
    size = garbage.size + sum(folder.size for folder in unused)
    return f"{blobs}, {_counted(len(unused), 'folder')} and {drafts} {verb}, {size} bytes"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _garbage_json(
    garbage: Garbage, unused: Sequence[UnusedFolder], *, dry_run: bool
) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "blobs": [
            {"digest": blob.digest, "size": blob.size, "put_at": iso(blob.put_at)}
            for blob in garbage.blobs
        ],
        "folders": [
            {"digest": folder.digest, "size": folder.size, "used_at": iso(folder.used_at)}
            for folder in unused
        ],
        "drafts": garbage.drafts,
        "bytes": garbage.size + sum(folder.size for folder in unused),
    }
