"""`cloacina registry yank | delete`: releases that are to be used less, or no more."""

import sys

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_registry.cli.registry.listing import release_json
from cloacina_registry.registry import Registry, exact, parse_exact


@click.command("yank")
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
    console.emit(release_json(changed))
    console.say(f"{changed} is {changed.status.value}")


@click.command("delete")
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
    console.emit(release_json(deleted))
    console.say(f"{deleted} is deleted; runs of it that haven't ended can't go on")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(
            "nobody is there to be asked whether to delete", hint="to delete all the same: --yes"
        )
    click.confirm(question, abort=True, err=True)
