"""`cloacina key`: the keys that we sign with."""

from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.passphrase import passphrase_options
from cloacina_registry.trust.keyring import DEFAULT_KEY, KeyEntry, KeyRing


@click.group("key")
def key() -> None:
    """Make and list the keys that packages are signed with."""


@key.command("new")
@click.argument("name", default=DEFAULT_KEY)
@command_options
@pass_console
@passphrase_options(confirm=True)
def new(console: Console, *, name: str, passphrase: str | None) -> None:
    """Make a key NAME, and print its public half.

    Without a passphrase the private half is guarded by the modes of its file alone.
    """
    ring = KeyRing(console.settings.home)
    ring.new(name, passphrase)
    entry = ring.entry(name)
    console.emit(_entry_json(entry), entry.public.to_text())
    guard = "encrypted" if entry.encrypted else "not encrypted, readable by you alone"
    console.say(f"made key {name!r} ({guard}); others trust it by the line above")


@key.command("list")
@command_options
@pass_console
def list_keys(console: Console) -> None:
    """List the keys."""
    entries = KeyRing(console.settings.home).list()
    rows = [(entry.name, _state(entry), entry.public.key_id) for entry in entries]
    table = console.table(("NAME", "PRIVATE HALF", "KEY ID"), rows) if rows else None
    console.emit([_entry_json(entry) for entry in entries], table)
    if not entries:
        console.say("there are no keys yet; make one with: cloacina key new")


@key.command("show")
@click.argument("name", default=DEFAULT_KEY)
@click.option("--public-file", is_flag=True, help="Print the path of its public key file (PEM).")
@command_options
@pass_console
def show(console: Console, *, name: str, public_file: bool) -> None:
    """Print the public half of key NAME, as others are to trust it."""
    entry = KeyRing(console.settings.home).entry(name)
    text = str(entry.public_file) if public_file else entry.public.to_text()
    console.emit(_entry_json(entry), text)


def _state(entry: KeyEntry) -> str:
    return {True: "encrypted", False: "plain", None: "not here"}[entry.encrypted]


def _entry_json(entry: KeyEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "key_id": entry.public.key_id,
        "public": entry.public.to_text(),
        "public_file": str(entry.public_file),
        "encrypted": entry.encrypted,
    }
