"""`cloacina trust add | retire | revoke`: keys of others, and what becomes of them."""

from pathlib import Path

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import CloacinaError, InputError
from cloacina_registry.cli.trust.changing import (
    Passphrase,
    change_trust,
    emit_change,
    future,
    key_facts,
    parse_when,
    policy_of,
    root_passphrase_options,
    store_of,
)
from cloacina_registry.registry import Registry, exact
from cloacina_registry.storage.catalog import ReleaseStatus
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.keys import KeyId, PublicKey
from cloacina_registry.trust.patterns import EVERY_PACKAGE, parse_pattern
from cloacina_registry.trust.policy import TrustedKey, TrustPolicy


@click.command("add")
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
@root_passphrase_options
def add(
    console: Console,
    *,
    name: str,
    text: str | None,
    file: Path | None,
    from_keyring: str | None,
    packages: tuple[str, ...],
    expires: str | None,
    passphrase: Passphrase,
) -> None:
    """Trust a key, and call it NAME.

    It joins the keys that are granted each PATTERN, or gets a grant of its own. For a key that is
    trusted under this name already, this adds to what it is trusted with.
    """
    now = console.clock.now()
    key = TrustedKey(
        name=name,
        public=_public_key(console.settings.home, text, file, from_keyring),
        added_at=now,
        expires_at=None if expires is None else future(expires, now),
    )
    patterns = [parse_pattern(pattern) for pattern in packages or (EVERY_PACKAGE,)]

    def change(policy: TrustPolicy) -> TrustPolicy:
        policy = policy.adding(key)
        for pattern in patterns:
            policy = policy.granting_also(pattern, name)
        return policy

    before = policy_of(store_of(console))
    made = change_trust(console, change, passphrase)
    facts = key_facts(made.policy, made.policy.named(name), now)
    emit_change(console, made, facts, f"{name} is trusted with {', '.join(facts['packages'])}")
    if EVERY_PACKAGE in patterns:
        console.say("this key may sign every package; --package narrows it")
    for pattern in patterns:
        _say_what_ends(console, before, pattern)


def _say_what_ends(console: Console, before: TrustPolicy, pattern: str) -> None:
    wider = before.wider_than(pattern)
    if before.grant_of(pattern) is None and wider is not None and wider.keys:
        console.say(
            f"{pattern} has a grant of its own now: that of {wider.pattern}, to "
            f"{', '.join(wider.keys)}, doesn't count for it any more"
        )


@click.command("retire")
@click.argument("name")
@command_options
@pass_console
@root_passphrase_options
def retire(console: Console, *, name: str, passphrase: Passphrase) -> None:
    """Take nothing more that key NAME signs. What was received before still counts."""
    now = console.clock.now()
    made = change_trust(console, lambda policy: policy.retiring(name, now), passphrase)
    facts = key_facts(made.policy, made.policy.named(name), now)
    emit_change(console, made, facts, f"{name} is retired")


@click.command("revoke")
@click.argument("name")
@click.option(
    "--compromised-at",
    metavar="MOMENT",
    help="What was received before then still counts: a date (UTC) or RFC 3339.",
)
@command_options
@pass_console
@root_passphrase_options
def revoke(
    console: Console, *, name: str, compromised_at: str | None, passphrase: Passphrase
) -> None:
    """Take the trust in key NAME back, for ever.

    Releases that only this key signed are refused from now on. The entry stays, as revoked. Says
    which releases it signed.
    """
    now = console.clock.now()
    since = None if compromised_at is None else parse_when(compromised_at)
    made = change_trust(
        console, lambda policy: policy.revoking(name, now, compromised_at=since), passphrase
    )
    key = made.policy.named(name)
    releases = _releases_signed_with(console, key.public.key_id)
    facts = {**key_facts(made.policy, key, now), "releases": releases}
    emit_change(console, made, facts, f"{name} is revoked")
    if releases:
        console.say(f"it signed {', '.join(releases)}")
    if made.draft is None:
        console.say("what only it vouches for starts no more; attempts that run go on")
    if key.public.key_id in made.policy.root.key_ids:
        console.warn(
            f"{name} is still a root key, which may change trust; put another in its place with: "
            f"cloacina trust rotate --add KEY --remove {name}"
        )


remove = click.Command(
    "remove",
    params=revoke.params,
    callback=revoke.callback,
    help="Another name of `revoke`.",
)


def _releases_signed_with(console: Console, key_id: KeyId) -> list[str] | None:
    """Return the releases that a key signed, as the catalog knows; None if it can't be read."""
    try:
        there = Registry.of(console.view)
        there.note_trust()
        return [
            exact(release)
            for package in there.packages()
            for release in there.releases(package)
            if release.status is not ReleaseStatus.DELETED
            and any(signer.key_id == key_id for signer in release.signers)
        ]
    except CloacinaError as error:  # trust doesn't hang on the store
        console.warn(f"which releases it signed can't be told: {error.message}")
        return None


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
