"""`cloacina registry audit`: what happened to releases, and proof that the log tells it right."""

import json
from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.bar import bar
from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.digest import digest_of
from cloacina_core.foundation.private_files import replace
from cloacina_registry.audit.checkpoint import Checkpoint
from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.receipt import RECEIPT_SUFFIX, Receipt, verify_receipt
from cloacina_registry.audit.signed import RegistryKey
from cloacina_registry.errors import ReceiptError
from cloacina_registry.registry import Registry, parse_exact
from cloacina_registry.storage.catalog import PAGE_LENGTH
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX, MAX_ENVELOPE_BYTES
from cloacina_registry.trust.keys import PublicKey
from cloacina_registry.wheel.archive import MAX_ARCHIVE_BYTES

_FILE = click.Path(dir_okay=False, path_type=Path)
_OUT = click.option("--out", type=_FILE, help="Write it to this file; otherwise it is printed.")
_KEY_HELP = "The registry's key, as `cloacina key show registry` prints it; "
_IN_TABLE = ("channel", "owner", "reason")
"""The facts beside package and version that a list has room for."""


@click.group("audit")
def audit() -> None:
    """Read the log of what happened to releases, and prove what is in it."""


@audit.command("list")
@click.option("--package", metavar="NAME", help="Only entries about this package.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in EntryKind]),
    metavar="KIND",
    help="Only entries of this kind, as upload or yank.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=PAGE_LENGTH, show_default=True)
@click.option("--after", metavar="INDEX", type=click.IntRange(0), help="Go on behind this entry.")
@click.option("--oldest-first", is_flag=True, help="In the order in which things happened.")
@command_options
@pass_console
def list_entries(
    console: Console,
    *,
    package: str | None,
    kind: str | None,
    limit: int,
    after: int | None,
    oldest_first: bool,
) -> None:
    """List entries of the log, the newest first."""
    page = Registry.of(console.view).evidence.log(
        package=package,
        kind=None if kind is None else EntryKind(kind),
        after=after,
        limit=limit,
        newest_first=not oldest_first,
    )
    table = console.table(("INDEX", "AT", "KIND", "WHAT", "ACTOR"), [_row(e) for e in page.entries])
    console.emit([entry.to_json() for entry in page.entries], table if page.entries else None)
    if page.next_after is not None:
        console.say(f"there are more: --after {page.next_after}")
    elif not page.entries:
        console.say("there are no such entries")


def _row(entry: LogEntry) -> tuple[object, ...]:
    named = [str(entry.facts[name]) for name in ("package", "version") if entry.facts.get(name)]
    others = [str(entry.facts[name]) for name in _IN_TABLE if entry.facts.get(name)]
    what = ", ".join(["==".join(named), *others])
    return entry.index, f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.kind.value, what, entry.actor


@audit.command("verify")
@click.option("--checkpoint", "file", type=_FILE, help="One that was kept elsewhere.")
@click.option("--key", metavar="KEY", help=_KEY_HELP + "this home's if not given.")
@command_options
@pass_console
def verify(console: Console, *, file: Path | None, key: str | None) -> None:
    """Examine the whole log, and every release's receipt; ends with 4 when something is wrong.

    A log that somebody rewrote from the beginning, with all that is kept beside it, is found only
    with a checkpoint that was kept where they couldn't write.
    """
    if key is not None and file is None:
        raise InputError("--key says whose checkpoint it is: it goes with --checkpoint")
    checkpoint = None
    if file is not None:
        data = _read(file, MAX_ENVELOPE_BYTES)
        checkpoint = Checkpoint.verify(data, _public_key(console, key))
    with bar(console, "examining") as progress:
        done = Registry.of(console.view).evidence.audit(checkpoint, progress)
    console.emit(
        {
            "size": done.head.size,
            "root": done.head.root.hex(),
            "receipts": done.receipts,
            "checkpoint": None if checkpoint is None else _checkpoint_json(checkpoint),
        },
        f"entries {done.head.size}, receipts {done.receipts}, nothing wrong",
    )
    if checkpoint is not None:
        console.say(f"the first {checkpoint.head.size} are those of {iso(checkpoint.at)}")


def _checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "size": checkpoint.head.size,
        "root": checkpoint.head.root.hex(),
        "at": iso(checkpoint.at),
    }


@audit.command("checkpoint")
@_OUT
@command_options
@pass_console
def checkpoint(console: Console, *, out: Path | None) -> None:
    """Sign what the log is now, to be kept where the registry can't write."""
    _hand_out(console, Registry.of(console.view).evidence.checkpoint(), out)


@audit.command("prove")
@click.argument("release", metavar="PACKAGE==VERSION")
@_OUT
@command_options
@pass_console
def prove(console: Console, *, release: str, out: Path | None) -> None:
    """Give a new receipt for a release: that it is in the log as it is now, and since when."""
    there = Registry.of(console.view)
    _hand_out(console, there.evidence.receipt(there.show(*parse_exact(release))), out)


@audit.command("check-receipt")
@click.argument("receipt", metavar="RECEIPT", type=_FILE)
@click.option("--wheel", type=_FILE, help="The wheel; found beside the receipt when not given.")
@click.option(
    "--key",
    metavar="KEY",
    help=_KEY_HELP + "this home's, or one that it believes, if not given.",
)
@command_options
@pass_console
def check_receipt(console: Console, *, receipt: Path, wheel: Path | None, key: str | None) -> None:
    """Check a receipt, and the wheel that it is for; neither log nor store are needed."""
    keys = _believed(console, key)
    found = verify_receipt(_read(receipt, MAX_ENVELOPE_BYTES), None, *keys)
    beside = receipt.with_name(receipt.name.removesuffix(RECEIPT_SUFFIX))
    if wheel is None and beside != receipt and beside.is_file():
        wheel = beside
    if wheel is not None:
        _compare(found, wheel)
    entry = found.entry
    package, version = entry.facts.get("package"), entry.facts.get("version")
    console.emit(
        {
            "received_at": iso(found.received_at),
            "entry": entry.to_json(),
            "size": found.head.size,
            "root": found.head.root.hex(),
            "wheel": None if wheel is None else str(wheel),
        },
        f"{package}=={version} came in at {iso(found.received_at)}, "
        f"{entry.facts.get('digest')}, entry {entry.index} of {found.head.size}",
    )
    if wheel is None:
        console.warn("there is no wheel beside it: none was compared")


def _compare(receipt: Receipt, wheel: Path) -> None:
    """Refuse a receipt that isn't for a wheel, or not for the envelope beside the wheel."""
    files = [("digest", wheel, MAX_ARCHIVE_BYTES)]
    envelope = wheel.with_name(wheel.name + ENVELOPE_SUFFIX)
    if envelope.is_file():
        files.append(("attestation", envelope, MAX_ENVELOPE_BYTES))
    problems = [
        Problem("receipt", f"the receipt is for {receipt.entry.facts.get(name)}, not for {found}")
        for name, path, limit in files
        if receipt.entry.facts.get(name) != (found := digest_of(_read(path, limit)))
    ]
    if problems:
        raise ReceiptError(f"this is no receipt of {wheel}", problems=problems)


def _believed(console: Console, text: str | None) -> tuple[PublicKey, ...]:
    if text is not None:
        return (PublicKey.parse(text),)
    # Where no key is known, it is told that there is none, and how to get one.
    return RegistryKey(console.settings.home, None).believed() or (_public_key(console, None),)


def _public_key(console: Console, text: str | None) -> PublicKey:
    if text is not None:
        return PublicKey.parse(text)
    return RegistryKey(console.settings.home, None).public()


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)  # one more than it may have, so that it is refused
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def _hand_out(console: Console, document: bytes, out: Path | None) -> None:
    if out is None:
        console.emit(json.loads(document), document.decode().rstrip())
        return
    try:
        replace(out, document)
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}") from error
    console.emit({"file": str(out)}, str(out))
