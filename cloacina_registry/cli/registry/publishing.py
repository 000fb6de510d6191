"""`cloacina registry upload | download`: files go in, and come out as they went in."""

from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.bar import bar
from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import CloacinaError, InputError
from cloacina_core.foundation.private_files import replace
from cloacina_registry.audit.receipt import RECEIPT_SUFFIX
from cloacina_registry.cli.registry.listing import release_json
from cloacina_registry.cli.registry.provisioning import (
    artifact_json,
    provision_of,
    provision_options,
)
from cloacina_registry.registry import Registry, Upload, exact, parse_exact
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX
from cloacina_registry.wheel.archive import MAX_ARCHIVE_BYTES

_FILE = click.Path(path_type=Path)


@click.command("upload")
@click.argument("wheels", metavar="FILE...", type=_FILE, nargs=-1, required=True)
@click.option(
    "--attestation", type=_FILE, help="The signature; found beside the wheel when not given."
)
@provision_options
@command_options
@pass_console
def upload(
    console: Console,
    *,
    wheels: tuple[Path, ...],
    attestation: Path | None,
    folders: tuple[Path, ...],
    offline: bool,
    pythons: tuple[str, ...],
) -> int:
    """Publish wheels. A version is never overwritten; the same file may be uploaded again.

    What they depend on is fetched by digest first, so that no run has to: from the store, from the
    folders, and from the index that pip is configured for.

    Files named `*.release.attestation` are taken as the signatures of the wheels beside them, and
    receipts of another registry are left out, so that `dist/*` can be given.
    """
    beside_wheels = (ENVELOPE_SUFFIX, RECEIPT_SUFFIX)
    chosen = [path for path in wheels if not path.name.endswith(beside_wheels)]
    if attestation is not None and len(chosen) != 1:
        raise InputError("--attestation goes with one wheel; several find theirs beside them")
    if not chosen:
        raise InputError("there is no wheel among these files")
    there = Registry.of(console.view)
    uploads: list[Upload] = []
    status = 0
    for path in chosen:
        try:
            with (
                console.acting_on(path.name),
                bar(console, f"fetching for {path.name}") as progress,
            ):
                provision = provision_of(
                    folders, offline=offline, pythons=pythons, progress=progress
                )
                uploads.append(there.upload(*_files(path, attestation), provision))
        except CloacinaError as error:
            # The others are independent of it: each is taken or refused for itself.
            status = max(status, console.report(error))
    for done in uploads:
        for problem in done.warnings:
            console.warn(f"{done.release}: {problem}")
    text = "\n".join(map(told, uploads)) if uploads else None
    console.emit([upload_json(done) for done in uploads], text)
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


def told(upload: Upload) -> str:
    """Return what came of an upload, for people."""
    release = upload.release
    signers = ", ".join(signer.name for signer in release.signers) or "nobody"
    what = "published" if upload.created else "published before"
    count = len(upload.dependencies)
    with_others = "" if count == 0 else f" with {count} dependenc{'y' if count == 1 else 'ies'}"
    return f"{exact(release)} {what}{with_others}, signed by {signers}, {release.digest}"


def upload_json(upload: Upload) -> dict[str, Any]:
    """Return what came of an upload, as `--json` tells it."""
    return {
        **release_json(upload.release),
        "created": upload.created,
        "dependencies": [artifact_json(one) for one in upload.dependencies],
        "warnings": [problem.to_json() for problem in upload.warnings],
    }


@click.command("transfer")
@click.argument("package")
@click.argument("keys", metavar="KEYNAME...", nargs=-1, required=True)
@click.option("--reason", default="", help="Why, for the log.")
@command_options
@pass_console
def transfer(console: Console, *, package: str, keys: tuple[str, ...], reason: str) -> None:
    """Give a package's name to trusted keys: one of them must sign each further release.

    It belongs to the keys that signed its first release. Where a grant of trust is narrower than
    `*`, that decides in their place.
    """
    there = Registry.of(console.view)
    there.transfer(package, keys, reason)
    owners = there.owners(package)
    told = f"{package} belongs to {', '.join(owners)}"
    console.emit({"package": package, "owners": owners}, told)


@click.command("download")
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
    """Write a release's wheel and its signature, as they were uploaded, and its receipt."""
    stored = Registry.of(console.view).download(*parse_exact(release))
    written = {out / stored.filename: stored.data}
    if stored.attestation is not None:
        written[out / (stored.filename + ENVELOPE_SUFFIX)] = stored.attestation
    if stored.receipt is not None:
        written[out / (stored.filename + RECEIPT_SUFFIX)] = stored.receipt
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, data in written.items():
            replace(path, data)
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}") from error
    console.emit({"files": [str(path) for path in written]}, "\n".join(map(str, written)))
