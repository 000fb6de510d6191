"""`cloacina registry yank | quarantine | kill | retire | restore | delete`: used less, or not."""

import sys

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_registry.cli.registry.listing import release_json
from cloacina_registry.registry import Registry, exact, parse_exact
from cloacina_registry.rollout.withdrawal import Withdrawals
from cloacina_registry.storage.catalog import StoredRelease


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


@click.command("quarantine")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option("--reason", default="", help="Why, for those who ask for it.")
@command_options
@pass_console
def quarantine(console: Console, *, release: str, reason: str) -> None:
    """Have no new run of a release start. Runs that were accepted go on."""
    withdrawals = _withdrawals(console)
    changed = withdrawals.quarantine(*parse_exact(release), reason)
    console.emit(release_json(changed))
    console.say(f"{changed} is quarantined: no new run of it starts, {_live(console, changed)}")
    _warn_of_channels(console, withdrawals, changed)


@click.command("kill")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option("--reason", default="", help="Why, for those who ask for it.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@command_options
@pass_console
def kill(console: Console, *, release: str, reason: str, yes: bool) -> None:
    """Have no new run of a release start, and cancel those that haven't ended."""
    found = Registry.of(console.view).show(*parse_exact(release))
    if not yes:
        live = console.view.runs.live(found.digest)
        _confirm(f"kill {exact(found)}? {live} live runs are cancelled", "kill it")
    withdrawals = _withdrawals(console)
    changed, cancelled = withdrawals.kill(found.package, found.version, reason)
    console.emit({**release_json(changed), "cancelled_runs": cancelled})
    console.say(f"{changed} is killed; {cancelled} runs were asked to end")
    _warn_of_channels(console, withdrawals, changed)


@click.command("retire")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option("--reason", default="", help="Why, for those who ask for it.")
@command_options
@pass_console
def retire(console: Console, *, release: str, reason: str) -> None:
    """Have no new run of a release start. Refused while a run or a channel needs it."""
    changed = _withdrawals(console).retire(*parse_exact(release), reason)
    console.emit(release_json(changed))
    console.say(f"{changed} is retired")


@click.command("restore")
@click.argument("release", metavar="PACKAGE==VERSION")
@command_options
@pass_console
def restore(console: Console, *, release: str) -> None:
    """Publish a release again that was yanked, quarantined, killed, retired or found broken."""
    changed = _withdrawals(console).restore(*parse_exact(release))
    console.emit(release_json(changed))
    console.say(f"{changed} is {changed.status.value}")


def _withdrawals(console: Console) -> Withdrawals:
    return Withdrawals(console.view, Registry.of(console.view))


def _live(console: Console, release: StoredRelease) -> str:
    live = console.view.runs.live(release.digest)
    return f"{live} live runs go on" if live else "and none is live"


def _warn_of_channels(console: Console, withdrawals: Withdrawals, release: StoredRelease) -> None:
    for move in withdrawals.channels_of(release):
        if move.digest == release.digest:
            console.warn(f"{move} points to it: move it with cloacina registry rollback {move}")
        else:
            console.warn(f"{move} tries it out, and stops that when it is asked for the next time")


@click.command("delete")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--force", is_flag=True, help="Also while runs or channels need it.")
@command_options
@pass_console
def delete(console: Console, *, release: str, yes: bool, force: bool) -> None:
    """Delete a release for good. Its version stays taken.

    Refused while a run or a channel needs it; with --force, those runs can't go on.
    """
    there = Registry.of(console.view)
    found = there.show(*parse_exact(release))
    if not yes:
        _confirm(f"delete {exact(found)}? its version stays taken", "delete")
    deleted = _withdrawals(console).delete(found.package, found.version, force=force)
    console.emit(release_json(deleted))
    console.say(f"{deleted} is deleted; runs of it can't go on, nor be repeated")


def _confirm(question: str, what: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(
            f"nobody is there to be asked whether to {what}", hint=f"to {what} all the same: --yes"
        )
    click.confirm(question, abort=True, err=True)
