"""Where `upload` and `fetch` get the wheels that a package depends on, and `registry fetch`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.bar import bar
from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.gathering import Progress, Provision
from cloacina_registry.dependencies.sources import WheelFolders, WheelIndex, WheelSource
from cloacina_registry.dependencies.target import Target
from cloacina_registry.registry import Registry, parse_exact

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


folders_option = click.option(
    "--find-links",
    "folders",
    type=_FOLDER,
    multiple=True,
    help="Look for dependencies in this folder first; may be repeated.",
)
"""The option of the commands that take wheels from folders."""


def provision_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the commands that fetch. Stands above `command_options`."""
    for option in (
        click.option(
            "--python",
            "pythons",
            metavar="VERSION",
            multiple=True,
            help="Fetch for this Python, too, as 3.12; may be repeated.",
        ),
        click.option("--offline", is_flag=True, help="Ask no index."),
        folders_option,
    ):
        function = option(function)
    return function


def provision_of(
    folders: Sequence[Path], *, offline: bool, pythons: Sequence[str], progress: Progress
) -> Provision:
    """Return what the options say of the Pythons, and of the places to look at."""
    targets = {target.python: target for target in map(Target.of_python, pythons)}
    here = Target.here()
    sources: list[WheelSource] = [WheelFolders(folders)]
    if not offline:
        sources.append(WheelIndex())
    return Provision(
        targets=tuple({here.python: here, **targets}.values()), sources=sources, progress=progress
    )


@click.command("fetch")
@click.argument("release", metavar="PACKAGE==VERSION")
@provision_options
@command_options
@pass_console
def fetch(
    console: Console,
    *,
    release: str,
    folders: tuple[Path, ...],
    offline: bool,
    pythons: tuple[str, ...],
) -> None:
    """Fetch what a release depends on, for this Python and others. Uploads do it for themselves.

    A host with another Python, or of another kind, needs other wheels: run it there.
    """
    there = Registry.of(console.view)
    package, version = parse_exact(release)
    with bar(console, "fetching") as progress:
        provision = provision_of(folders, offline=offline, pythons=pythons, progress=progress)
        kept = there.fetch(package, version, provision)
    rows = [(one.name, one.version, one.filename, one.size) for one in kept]
    table = console.table(("NAME", "VERSION", "FILE", "SIZE"), rows)
    console.emit([artifact_json(one) for one in kept], table if kept else None)
    if not kept:
        console.say(f"{package}=={version} depends on nothing")


def artifact_json(artifact: Artifact) -> dict[str, Any]:
    """Return a wheel that a release depends on, as `--json` tells it."""
    return {
        "name": artifact.name,
        "version": artifact.version,
        "filename": artifact.filename,
        "digest": artifact.digest,
        "size": artifact.size,
        "pure": artifact.is_pure,
    }
