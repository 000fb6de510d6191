"""`cloacina trust`: whose signatures are taken, and for which packages."""

import re
from datetime import datetime
from pathlib import Path

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_registry.trust.document import key_to_json, policy_to_json
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.keys import PublicKey
from cloacina_registry.trust.policy import EVERY_PACKAGE, TrustedKey, TrustLevel
from cloacina_registry.trust.store import TrustStore
from cloacina_registry.trust.strict import parse_moment

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@click.group("trust")
def trust() -> None:
    """Say whose signatures are taken, and for which packages."""


@trust.command("add")
@click.argument("name")
@click.option("--key", "text", metavar="KEY", help="The key, as `cloacina key show` prints it.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the key, in one line or as PEM.",
)
@click.option("--from-keyring", metavar="KEYNAME", help="A key of your own.")
@click.option(
    "--package",
    "packages",
    metavar="PATTERN",
    multiple=True,
    help="Trust it with this package (acme-etl) or these (acme-*) only; may be repeated.",
)
@click.option("--expires", metavar="MOMENT", help="Trust it until then: a date (UTC) or RFC 3339.")
@command_options
@pass_console
def add(
    console: Console,
    *,
    name: str,
    text: str | None,
    file: Path | None,
    from_keyring: str | None,
    packages: tuple[str, ...],
    expires: str | None,
) -> None:
    """Trust a key, and call it NAME.

    For a key that is trusted under this name already, this changes with what.
    """
    home = console.settings.home
    key = TrustStore(home, console.clock).add(
        name,
        _public_key(home, text, file, from_keyring),
        packages or (EVERY_PACKAGE,),
        expires_at=None if expires is None else _moment(expires),
    )
    console.emit(key_to_json(key), f"{name} is trusted with {', '.join(key.packages)}")
    if EVERY_PACKAGE in key.packages:
        console.say("this key may sign every package; --package narrows it")


@trust.command("list")
@command_options
@pass_console
def list_keys(console: Console) -> None:
    """List the keys, and what each is trusted with."""
    policy = _store(console).policy()
    table = console.table(
        ("NAME", "STATE", "PACKAGES", "EXPIRES", "KEY ID"), [_row(key) for key in policy.keys]
    )
    console.emit(policy_to_json(policy), table if policy.keys else None)
    if not policy.keys:
        console.say("nobody is trusted yet; begin with: cloacina trust add NAME --key KEY")


@trust.command("remove")
@click.argument("name")
@command_options
@pass_console
def remove(console: Console, *, name: str) -> None:
    """Take the trust in key NAME back, for ever.

    Releases that only this key signed are refused from now on. The entry stays, as revoked.
    """
    key = _store(console).remove(name)
    console.emit(key_to_json(key), f"{name} is revoked")


@trust.command("policy")
@click.option(
    "--level",
    type=click.Choice([level.value for level in TrustLevel]),
    help="Refuse releases of unknown signers, or only warn.",
)
@click.option("--threshold", type=int, help="How many trusted keys must have signed a release.")
@command_options
@pass_console
def set_policy(console: Console, *, level: str | None, threshold: int | None) -> None:
    """Show how the trusted keys are used, or change it."""
    store = _store(console)
    if level is None and threshold is None:
        policy = store.policy()
    else:
        policy = store.set_rules(
            level=None if level is None else TrustLevel(level), threshold=threshold
        )
    console.emit(
        policy_to_json(policy)["policy"], f"level {policy.level}, threshold {policy.threshold}"
    )
    if policy.level is TrustLevel.WARN:
        console.warn("releases of unknown signers are taken; use this for development only")


def _store(console: Console) -> TrustStore:
    return TrustStore(console.settings.home, console.clock)


def _row(key: TrustedKey) -> tuple[str, ...]:
    expires = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M} UTC"
    return key.name, key.state, ", ".join(key.packages), expires, key.public.key_id


def _public_key(
    home: Path, text: str | None, file: Path | None, from_keyring: str | None
) -> PublicKey:
    if sum(given is not None for given in (text, file, from_keyring)) != 1:
        raise InputError(
            "say which key, in one way", hint="use one of --key, --file and --from-keyring"
        )
    if from_keyring is not None:
        return KeyRing(home).public(from_keyring)
    return PublicKey.parse(text or "" if file is None else _text_of(file))


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} can't be read: {error}") from error


def _moment(text: str) -> datetime:
    try:
        return parse_moment(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no moment: {error}", hint="write it as 2027-01-31, a day in UTC"
        ) from error
