"""`cloacina trust rotate | expires | sign | apply`: the document itself, and its root keys."""

import stat
from pathlib import Path

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_core.foundation import private_files as files
from cloacina_core.foundation.clock import iso
from cloacina_registry.cli.trust.changing import (
    Passphrase,
    change_trust,
    emit_change,
    future,
    open_root_keys,
    policy_of,
    root_passphrase_options,
    say_changes,
    store_of,
)
from cloacina_registry.errors import UnknownKeyError
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.keys import PublicKey
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.signed import MAX_TRUST_BYTES, SignedTrust

_FILE = click.Path(path_type=Path)
_NEVER = "never"


@click.command("rotate")
@click.option(
    "--add", "added", metavar="KEYNAME|PUB", multiple=True, help="Make this key a root key."
)
@click.option(
    "--remove", "removed", metavar="KEYNAME|ID", multiple=True, help="Have it be one no more."
)
@click.option("--threshold", type=int, help="How many root keys must sign the document.")
@command_options
@pass_console
@root_passphrase_options
def rotate(
    console: Console,
    *,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    passphrase: Passphrase,
) -> None:
    """Change the root keys, which sign the trust document.

    The new version must be signed by the root keys of the old one and by its own. In a home without
    a trust document, this begins one.
    """
    if not added and not removed and threshold is None:
        raise InputError("say what to change", hint="use --add, --remove or --threshold")
    before = policy_of(store_of(console))
    ring = KeyRing(console.settings.home)
    add = [_public_key(text, before, ring) for text in added]
    remove = [_key_id(text, before) for text in removed]
    made = change_trust(
        console,
        lambda policy: policy.rotating(add=add, remove=remove, threshold=threshold),
        passphrase,
        new_roots=[key.key_id for key in add],
    )
    root = made.policy.root
    emit_change(
        console,
        made,
        {"root": [key.key_id for key in root.keys], "threshold": root.threshold},
        f"{root.threshold} of {len(root.keys)} root keys must sign trust",
    )


def _public_key(text: str, policy: TrustPolicy, ring: KeyRing) -> PublicKey:
    if ":" in text:
        return PublicKey.parse(text)
    try:
        return policy.named(text).public
    except UnknownKeyError:
        return ring.public(text)


def _key_id(text: str, policy: TrustPolicy) -> str:
    return text if ":" in text else policy.named(text).public.key_id


@click.command("expires")
@click.argument("moment", metavar="MOMENT|never")
@command_options
@pass_console
@root_passphrase_options
def expires(console: Console, *, moment: str, passphrase: Passphrase) -> None:
    """Have the trust document count until MOMENT: a date (UTC) or RFC 3339.

    After that nothing is taken until a newer version is put in force.
    """
    until = None if moment == _NEVER else future(moment, console.clock.now())
    made = change_trust(console, lambda policy: policy.expiring(until), passphrase)
    told = _NEVER if until is None else iso(until)
    facts = {"expires_at": None if until is None else told}
    emit_change(console, made, facts, f"trust expires {told}")


@click.command("sign")
@click.argument("file", type=_FILE, required=False)
@command_options
@pass_console
@root_passphrase_options
def sign(console: Console, *, file: Path | None, passphrase: Passphrase) -> None:
    """Sign the draft of the next version, or the one in FILE, with the root keys that are here.

    Says first what it changes. It isn't put in force.
    """
    store = store_of(console)
    trust = store.draft() if file is None else read_trust(file)
    if trust is None:
        raise InputError(
            "there is no draft of a trust document here", hint="name the file that was sent to you"
        )
    current = policy_of(store)
    ids = trust.policy.root.key_ids | current.root.key_ids
    console.say(f"version {trust.version} of trust, after version {current.version}:")
    say_changes(console, current, trust.policy)
    signed = store.signed_further(trust, open_root_keys(console, ids, passphrase))
    path = file or store.draft_path
    write_trust(path, signed)
    missing = store.missing(signed)
    console.emit(
        {
            "file": str(path),
            "version": signed.version,
            "signers": sorted(signed.signers(signed.policy.root) | signed.signers(current.root)),
            "complete": not missing,
            "missing": [problem.to_json() for problem in missing],
        },
        str(path),
    )
    for problem in missing:
        console.say(f"  - {problem}")
    if not missing:
        console.say("enough have signed it; put it in force with: cloacina trust apply")


@click.command("apply")
@click.argument("paths", metavar="[FILE]...", type=_FILE, nargs=-1)
@click.option(
    "--root",
    "roots",
    metavar="KEYID",
    multiple=True,
    help="A root key that it must have; the first time, name all of them.",
)
@command_options
@pass_console
def apply(console: Console, *, paths: tuple[Path, ...], roots: tuple[str, ...]) -> None:
    """Put the draft in force, or the trust document in FILE that somebody else made.

    Of several versions the newest is put in force; the others show that it follows from the one
    that is in force here.
    """
    store = store_of(console)
    draft = None if paths else store.draft()
    documents = [read_trust(path) for path in paths] if draft is None else [draft]
    if not documents:
        raise InputError("there is no draft here", hint="name the file to put in force")
    made = store.apply(documents, expected_roots=roots)
    console.emit(
        {
            "version": made.version,
            "expires_at": None if made.expires_at is None else iso(made.expires_at),
            "root": sorted(made.root.key_ids),
            "threshold": made.root.threshold,
        },
        f"version {made.version} of trust is in force",
    )


def read_trust(path: Path) -> SignedTrust:
    """Return the trust document in a file that somebody gave us.

    Raises:
        InputError: it can't be read.
        TrustDocumentError: it isn't one.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TRUST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise InputError(f"{path} can't be read: {error}") from error
    return SignedTrust.parse(data, str(path))


def write_trust(path: Path, trust: SignedTrust) -> None:
    """Put a trust document in the place of the one in a file, which stays readable as it was.

    Raises:
        InputError: it can't be written.
    """
    try:
        files.replace(path, trust.to_bytes(), stat.S_IMODE(path.stat().st_mode))
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from error
