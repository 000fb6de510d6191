"""`cloacina registry`: publish packages, and see what is published."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import CloacinaError, InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.digest import hex_of
from cloacina_registry.registry import PAGE_LENGTH, Registry, Upload, exact, parse_exact
from cloacina_registry.storage.catalog import StoredRelease
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX
from cloacina_registry.trust.files import replace
from cloacina_registry.wheel.archive import MAX_ARCHIVE_BYTES

_FILE = click.Path(path_type=Path)
_SHORT_DIGEST = 12


@click.group("registry")
def registry() -> None:
    """Publish packages, and see what is published."""


@registry.command("upload")
@click.argument("wheels", metavar="FILE...", type=_FILE, nargs=-1, required=True)
@click.option(
    "--attestation", type=_FILE, help="The signature; found beside the wheel when not given."
)
@command_options
@pass_console
def upload(console: Console, *, wheels: tuple[Path, ...], attestation: Path | None) -> int:
    """Publish wheels. A version is never overwritten; the same file may be uploaded again.

    Files named `*.release.attestation` are taken as the signatures of the wheels beside them, so
    that `dist/*` can be given.
    """
    chosen = [path for path in wheels if not path.name.endswith(ENVELOPE_SUFFIX)]
    if attestation is not None and len(chosen) != 1:
        raise InputError("--attestation goes with one wheel; several find theirs beside them")
    if not chosen:
        raise InputError("there is no wheel among these files")
    there = Registry.of(console.view)
    uploads: list[Upload] = []
    status = 0
    for path in chosen:
        try:
            uploads.append(there.upload(*_files(path, attestation)))
        except CloacinaError as error:
            # The others are independent of it: each is taken or refused for itself.
            status = max(status, console.report(error))
    for done in uploads:
        for problem in done.warnings:
            console.warn(f"{done.release}: {problem}")
    text = "\n".join(map(_told, uploads)) if uploads else None
    console.emit([_upload_json(done) for done in uploads], text)
    return status


def _files(path: Path, attestation: Path | None) -> tuple[bytes, str, bytes | None]:
    beside = path.with_name(path.name + ENVELOPE_SUFFIX)
    if attestation is None and beside.is_file():
        attestation = beside
    return _read(path), path.name, None if attestation is None else _read(attestation)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_ARCHIVE_BYTES + 1)  # more needn't be read to be refused
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def _told(upload: Upload) -> str:
    release = upload.release
    signers = ", ".join(signer.name for signer in release.signers) or "nobody"
    what = "published" if upload.created else "published before"
    return f"{exact(release)} {what}, signed by {signers}, {release.digest}"


@registry.command("list")
@click.argument("package", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=PAGE_LENGTH, show_default=True)
@click.option("--after", metavar="PACKAGE==VERSION", help="Go on behind this release.")
@command_options
@pass_console
def list_releases(console: Console, *, package: str | None, limit: int, after: str | None) -> None:
    """List releases, of all packages or of one; of each the newest upload first."""
    page = Registry.of(console.view).page(package=package, after=after, limit=limit)
    console.emit(
        [_release_json(release) for release in page.releases],
        console.table(_HEADERS, [_table_row(release) for release in page.releases]),
    )
    if page.next_after is not None:
        console.say(f"there are more: --after {page.next_after}")
    elif not page.releases and after is None:
        console.say("nothing is published yet; publish with: cloacina registry upload FILE")


_HEADERS = ("PACKAGE", "VERSION", "STATUS", "WORKFLOWS", "SIGNED BY", "UPLOADED", "SIZE", "DIGEST")


def _table_row(release: StoredRelease) -> Sequence[object]:
    return (
        release.package,
        release.version,
        release.status.value,
        ",".join(release.workflows),
        ",".join(signer.name for signer in release.signers) or "-",
        f"{release.uploaded_at:%Y-%m-%d %H:%M}",
        release.size,
        hex_of(release.digest)[:_SHORT_DIGEST],
    )


@registry.command("show")
@click.argument("release", metavar="PACKAGE[==VERSION]")
@command_options
@pass_console
def show(console: Console, *, release: str) -> None:
    """Show what is known of a release; without a version, of the newest."""
    package, version = parse_exact(release) if "=" in release else (release, None)
    found = Registry.of(console.view).show(package, version)
    console.emit(_release_json(found), _described(found))


def _described(release: StoredRelease) -> str:
    signers = (f"{signer.name} ({signer.key_id})" for signer in release.signers)
    yanked = f": {release.yanked_reason}" if release.yanked_reason else ""
    lines = {
        "package": release.package,
        "version": release.version,
        "status": f"{release.status.value}{yanked}",
        "workflows": ", ".join(release.workflows),
        "signed by": ", ".join(signers) or "nobody",
        "uploaded": iso(release.uploaded_at),
        "file": release.filename,
        "size": f"{release.size} bytes",
        "digest": release.digest,
        "needs": f"Cloacina {release.requires_core}, Python {release.requires_python or 'any'}",
    }
    return "\n".join(f"{name:<10} {value}" for name, value in lines.items())


@registry.command("download")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to write to; the working folder when not given.",
)
@command_options
@pass_console
def download(console: Console, *, release: str, out: Path) -> None:
    """Write a release's wheel, and its signature, as they were uploaded."""
    stored = Registry.of(console.view).download(*parse_exact(release))
    written = {out / stored.filename: stored.data}
    if stored.attestation is not None:
        written[out / (stored.filename + ENVELOPE_SUFFIX)] = stored.attestation
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, data in written.items():
            replace(path, data)
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}") from error
    console.emit({"files": [str(path) for path in written]}, "\n".join(map(str, written)))


@registry.command("yank")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option("--reason", default="", help="Why, for those who ask for it.")
@click.option("--undo", is_flag=True, help="Take the yank back.")
@command_options
@pass_console
def yank(console: Console, *, release: str, reason: str, undo: bool) -> None:
    """Have a release run only when its exact version is asked for. Running runs go on."""
    there = Registry.of(console.view)
    package, version = parse_exact(release)
    changed = there.unyank(package, version) if undo else there.yank(package, version, reason)
    console.emit(_release_json(changed))
    console.say(f"{changed} is {changed.status.value}")


@registry.command("delete")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option("--yes", is_flag=True, help="Don't ask.")
@command_options
@pass_console
def delete(console: Console, *, release: str, yes: bool) -> None:
    """Delete a release for good. Its version stays taken; runs of it can't go on."""
    there = Registry.of(console.view)
    found = there.show(*parse_exact(release))
    if not yes:
        _confirm(f"delete {exact(found)}? runs of it can't go on, and the version stays taken")
    deleted = there.delete(found.package, found.version)
    console.emit(_release_json(deleted))
    console.say(f"{deleted} is deleted; runs of it that haven't ended can't go on")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(
            "nobody is there to be asked whether to delete", hint="to delete all the same: --yes"
        )
    click.confirm(question, abort=True, err=True)


def _release_json(release: StoredRelease) -> dict[str, Any]:
    return {
        "package": release.package,
        "version": release.version,
        "status": release.status.value,
        "yanked_reason": release.yanked_reason or None,
        "filename": release.filename,
        "digest": release.digest,
        "size": release.size,
        "requires_python": release.requires_python,
        "requires_core": release.requires_core,
        "workflows": list(release.workflows),
        "signers": [{"name": one.name, "key_id": one.key_id} for one in release.signers],
        "uploaded_at": iso(release.uploaded_at),
    }


def _upload_json(upload: Upload) -> dict[str, Any]:
    return {
        **_release_json(upload.release),
        "created": upload.created,
        "warnings": [problem.to_json() for problem in upload.warnings],
    }
