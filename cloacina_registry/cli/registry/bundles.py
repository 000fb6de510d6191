"""`cloacina registry export | import`: releases go to another site in one file."""

from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import ConflictError, InputError
from cloacina_core.foundation.digest import digest_of
from cloacina_core.foundation.private_files import replace
from cloacina_registry.bundle import (
    MAX_BUNDLE_BYTES,
    Gathered,
    admit_all,
    gather,
    read_bundle,
    write_bundle,
)
from cloacina_registry.cli.registry.provisioning import folders_option
from cloacina_registry.cli.registry.publishing import told, upload_json
from cloacina_registry.dependencies.sources import WheelFolders
from cloacina_registry.registry import Registry, parse_exact
from cloacina_registry.storage.catalog import ReleaseStatus

_FILE = click.Path(path_type=Path, dir_okay=False)
_DEFAULT_OUT = Path("releases.bundle.zip")


@click.command("export")
@click.argument("releases", metavar="PACKAGE==VERSION...", nargs=-1, required=True)
@click.option("--out", type=_FILE, default=_DEFAULT_OUT, show_default=True, help="The file.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@command_options
@pass_console
def export(console: Console, *, releases: tuple[str, ...], out: Path, force: bool) -> None:
    """Write releases with their signatures into one file, for a site without a network.

    The wheels that they depend on go with them, for all Pythons that they were fetched for.
    """
    if out.exists() and not force:
        raise ConflictError(f"there is {out} already", hint="name another file, or use --force")
    there = Registry.of(console.view)
    wanted = [parse_exact(release) for release in releases]
    gathered = gather(there, wanted)
    data = write_bundle(gathered.bundle)
    try:
        replace(out, data)
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}") from error
    releases_named = [release.filename for release in gathered.bundle.releases]
    names = [*releases_named, *sorted(gathered.bundle.dependencies)]
    console.emit(_export_json(out, data, gathered), "\n".join([str(out), *names]))
    for package, version in wanted:
        if (release := there.show(package, version)).status is ReleaseStatus.YANKED:
            console.warn(f"{release} is yanked here; where it is imported it won't be")
    for missing in gathered.missing:
        console.warn(f"{missing} was never fetched, and isn't in the file")


def _export_json(out: Path, data: bytes, gathered: Gathered) -> dict[str, Any]:
    return {
        "path": str(out),
        "size": len(data),
        "digest": digest_of(data),
        "files": [
            {"name": name, "size": len(content), "digest": digest_of(content)}
            for release in gathered.bundle.releases
            for name, content in release.files()
        ],
        "dependencies": [
            {"name": name, "size": len(content), "digest": digest_of(content)}
            for name, content in sorted(gathered.bundle.dependencies.items())
        ],
        "missing": list(gathered.missing),
    }


@click.command("import")
@click.argument("file", type=_FILE)
@folders_option
@command_options
@pass_console
def import_(console: Console, *, file: Path, folders: tuple[Path, ...]) -> int:
    """Publish the releases in a file of `registry export`: all of them, or none.

    What they depend on has to be in the file, in the store, or in the folders: no index is asked.
    Each is checked as an upload is, and has to be signed by somebody whom this home trusts.
    """
    there = Registry.of(console.view)
    admitted, refused = admit_all(
        there, read_bundle(_read(file), file.name), [WheelFolders(folders)]
    )
    if refused:
        status = max(console.report(error) for error in refused)
        console.say("nothing was imported")
        return status
    uploads = there.publish(admitted)
    console.acted_on(done.release.filename for done in uploads)
    for done in uploads:
        for problem in done.warnings:
            console.warn(f"{done.release}: {problem}")
    console.emit([upload_json(done) for done in uploads], "\n".join(map(told, uploads)))
    return 0


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BUNDLE_BYTES + 1)  # more needn't be read to be refused
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
