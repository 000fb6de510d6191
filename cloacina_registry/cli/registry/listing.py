"""`cloacina registry list | show`: what is published."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import CloacinaError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.digest import hex_of
from cloacina_core.model.starts import Starts
from cloacina_registry.cli.registry.provisioning import artifact_json
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.placement import at_least
from cloacina_registry.registry import Registry, parse_exact
from cloacina_registry.storage.catalog import PAGE_LENGTH, StoredRelease

_SHORT_DIGEST = 12


@click.command("list")
@click.argument("package", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=PAGE_LENGTH, show_default=True)
@click.option("--after", metavar="PACKAGE==VERSION", help="Go on behind this release.")
@command_options
@pass_console
def list_releases(console: Console, *, package: str | None, limit: int, after: str | None) -> None:
    """List releases, of all packages or of one; of each the newest upload first."""
    page = Registry.of(console.view).page(package=package, after=after, limit=limit)
    releases = [_in_force(console, release) for release in page.releases]
    console.emit(
        [release_json(release) for release in releases],
        console.table(_HEADERS, [_table_row(release) for release in releases]),
    )
    if page.next_after is not None:
        console.say(f"there are more: --after {page.next_after}")
    elif not page.releases and after is None:
        console.say("nothing is published yet; publish with: cloacina registry upload FILE")


_HEADERS = (
    *("PACKAGE", "VERSION", "STATUS", "WORKFLOWS", "ISOLATION", "SIGNED BY", "UPLOADED", "SIZE"),
    "DIGEST",
)


def _in_force(console: Console, release: StoredRelease) -> StoredRelease:
    """Return a release as it runs here: the operator may ask for more than it needs."""
    placement = at_least(release.placement, console.settings.isolation)
    return dataclasses.replace(release, placement=placement)


def _table_row(release: StoredRelease) -> Sequence[object]:
    return (
        release.package,
        release.version,
        release.status.value,
        ",".join(release.workflows),
        release.placement.isolation.value,
        ",".join(signer.name for signer in release.signers) or "-",
        f"{release.uploaded_at:%Y-%m-%d %H:%M}",
        release.size,
        hex_of(release.digest)[:_SHORT_DIGEST],
    )


@click.command("show")
@click.argument("release", metavar="PACKAGE[==VERSION]")
@command_options
@pass_console
def show(console: Console, *, release: str) -> None:
    """Show what is known of a release; without a version, of the newest."""
    package, version = parse_exact(release) if "=" in release else (release, None)
    there = Registry.of(console.view)
    found = _in_force(console, there.show(package, version))
    owners = there.owners(found.package)
    kept = there.dependencies.kept(found)
    starts = _starts(there, found)
    about = {
        "owners": owners,
        "dependencies": [artifact_json(one) for one in kept],
        **{
            kind: None if starts is None else [one.to_json() for one in declared]
            for kind, declared in (starts or Starts()).by_kind.items()
        },
    }
    console.emit({**release_json(found), **about}, _described(found, owners, kept, starts))


def _starts(registry: Registry, release: StoredRelease) -> Starts | None:
    """Return what a release declares; None when we don't trust it, and so don't look into it."""
    try:
        return registry.verified(release).wheel.manifest.starts
    except CloacinaError:
        return None


def _described(
    release: StoredRelease,
    owners: Sequence[str],
    dependencies: Sequence[Artifact],
    starts: Starts | None,
) -> str:
    signers = (f"{signer.name} ({signer.key_id})" for signer in release.signers)
    yanked = f": {release.status_reason}" if release.status_reason else ""
    lines = {
        "package": release.package,
        "version": release.version,
        "status": f"{release.status.value}{yanked}",
        "workflows": ", ".join(release.workflows),
        "signed by": ", ".join(signers) or "nobody",
        "owned by": ", ".join(owners) or "nobody",
        "uploaded": iso(release.uploaded_at),
        "file": release.filename,
        "size": f"{release.size} bytes",
        "digest": release.digest,
        "needs": f"Cloacina {release.requires_core}, Python {release.requires_python or 'any'}"
        + (f", {release.platform}" if release.platform else ""),
        "isolation": f"{release.placement.isolation}: {release.placement.reason}",
    }
    if dependencies:
        lines["fetched"] = ", ".join(f"{one.name} {one.version}" for one in dependencies)
    for label, declared in _labelled(starts or Starts()).items():
        if declared:
            lines[label] = "; ".join(map(str, declared))
    return "\n".join(f"{name:<10} {value}" for name, value in lines.items())


def _labelled(starts: Starts) -> Mapping[str, Sequence[object]]:
    return {
        "schedules": starts.schedules,
        "subscribed": starts.subscriptions,
        "triggers": starts.triggers,
    }


def release_json(release: StoredRelease) -> dict[str, Any]:
    """Return a release as `--json` tells it."""
    return {
        "package": release.package,
        "version": release.version,
        "status": release.status.value,
        "status_reason": release.status_reason or None,
        "filename": release.filename,
        "digest": release.digest,
        "size": release.size,
        "requires_python": release.requires_python,
        "requires_core": release.requires_core,
        "platform": release.platform,
        "workflows": list(release.workflows),
        "placement": release.placement.to_json(),
        "signers": [{"name": one.name, "key_id": one.key_id} for one in release.signers],
        "uploaded_at": iso(release.uploaded_at),
    }
