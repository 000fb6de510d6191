"""What the commands share that change the trust document: root keys, and what to say of it."""

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, TypeAlias

from cloacina_core.cli.console import Console
from cloacina_core.cli.passphrase import passphrase_options
from cloacina_core.errors import InputError
from cloacina_registry.errors import KeyFileError
from cloacina_registry.trust.diff import policy_changes
from cloacina_registry.trust.document import key_to_json
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.keys import KeyId, PrivateKey
from cloacina_registry.trust.policy import TrustedKey, TrustLevel, TrustPolicy
from cloacina_registry.trust.store import TrustChange, TrustStore
from cloacina_registry.trust.strict import parse_moment

Passphrase: TypeAlias = Callable[[], str | None]
"""Gives the passphrase, and may ask a person for it."""

root_passphrase_options = passphrase_options(confirm=False, when_needed=True)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def store_of(console: Console) -> TrustStore:
    """Return the trust document of the home."""
    return TrustStore(console.settings.home, console.clock)


def policy_of(store: TrustStore) -> TrustPolicy:
    """Return what the document in force says, though it may have expired."""
    trust = store.document()
    return TrustPolicy() if trust is None else trust.policy


def change_trust(
    console: Console,
    change: Callable[[TrustPolicy], TrustPolicy],
    passphrase: Passphrase,
    *,
    new_roots: Collection[KeyId] = (),
) -> TrustChange:
    """Change the trust document with the root keys that are here.

    Args:
        console: where to tell which don't open.
        change: makes the new policy of the present one.
        passphrase: opens the root keys that are encrypted.
        new_roots: ids of keys that the change makes root keys.
    """
    store = store_of(console)
    ids = policy_of(store).root.key_ids | frozenset(new_roots)
    return store.change(change, open_root_keys(console, ids, passphrase))


def open_root_keys(
    console: Console, ids: Collection[KeyId], passphrase: Passphrase
) -> list[PrivateKey]:
    """Return those keys of the ring that have one of these ids and can be opened."""
    ring = KeyRing(console.settings.home)
    opened: dict[KeyId, PrivateKey] = {}
    for entry in ring.list():
        if entry.encrypted is None or entry.public.key_id not in ids:
            continue
        try:
            key = ring.load_private(entry.name, passphrase() if entry.encrypted else None)
        except KeyFileError as error:
            console.say(f"root key {entry.name!r} isn't used: {error.message}")
        else:
            opened[key.public.key_id] = key
    return [key for key_id, key in opened.items() if key_id in ids]


def emit_change(console: Console, made: TrustChange, facts: dict[str, Any], text: str) -> None:
    """Print what came of a change, and how to go on if it is a draft."""
    told = {
        "version": made.policy.version,
        "in_force": made.draft is None,
        "draft": None if made.draft is None else str(made.draft),
    }
    console.emit({**facts, **told}, text if made.draft is None else f"{text}, in a draft")
    if made.draft is None:
        return
    console.warn(f"version {made.policy.version} of trust isn't in force yet: {made.draft}")
    for problem in made.missing:
        console.say(f"  - {problem}")
    console.say(
        "have it signed where the other root keys are, with: cloacina trust sign FILE\n"
        "then put it in force with: cloacina trust apply FILE"
    )


def say_changes(console: Console, old: TrustPolicy, new: TrustPolicy) -> None:
    """Tell a person what a version says that another one doesn't."""
    for line in policy_changes(old, new):
        console.say(f"  {line}")


def warn_of_level(console: Console, level: TrustLevel) -> None:
    """Warn when releases are taken that nobody vouches for."""
    if level is not TrustLevel.STRICT:
        console.warn("releases of unknown signers are taken; use this for development only")


def key_facts(policy: TrustPolicy, key: TrustedKey, now: datetime) -> dict[str, Any]:
    """Return a key as JSON, with what is derived from its dates and from the grants."""
    return {
        **key_to_json(key),
        "key_id": key.public.key_id,
        "state": key.state(now).value,
        "packages": list(policy.patterns_of(key.name)),
    }


def parse_when(text: str) -> datetime:
    """Return the moment that somebody typed: a day in UTC, or RFC 3339.

    Raises:
        InputError: it is none.
    """
    try:
        return parse_moment(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no moment: {error}", hint="write it as 2027-01-31, a day in UTC"
        ) from error


def future(text: str, now: datetime) -> datetime:
    """Return the moment that somebody typed, which must be one to come.

    Raises:
        InputError: it is none, or has passed.
    """
    moment = parse_when(text)
    if moment <= now:
        raise InputError(f"trust can't last until a moment that has passed: {text}")
    return moment
