"""Whom we trust with what. Pure: records and decisions.

A key is trusted by name. A grant says which of the keys may sign the packages that its pattern
names, how many of them must, and what becomes of releases that they didn't sign. The grant with the
most specific pattern decides alone (see `patterns`): what others say of the package is not asked.

The root keys say who may change all this; they sign the document that it is kept in, and count for
no package.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from cloacina_core.errors import InputError, NotFoundError, Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_registry.errors import KeyConflictError, UnknownKeyError
from cloacina_registry.trust.keys import KeyId, PublicKey
from cloacina_registry.trust.patterns import EVERY_PACKAGE, matches, specificity

MAX_KEYS = 256
"""Bounds the work: a signature without a hint is tried with every key."""
MAX_GRANTS = 256
MAX_GRANTED_KEYS = 64
MAX_RESERVED = 256
MAX_THRESHOLD = 16
"""No envelope holds more signatures."""
MAX_ROOT_KEYS = 8
"""Half of the signatures that an envelope holds: a new version may be signed by all root keys of
the one before it, and by all of its own."""

_SEE_KEYS = "see the keys with: cloacina trust list"


class TrustLevel(StrEnum):
    """What to do with a release whose signer isn't trusted."""

    STRICT = "strict"
    """Refuse it."""
    WARN = "warn"
    """Take it, with a warning; for development. What is forged or revoked is refused even so."""
    OFF = "off"
    """Take it, and say nothing. What is forged or revoked is refused even so."""


class KeyState(StrEnum):
    """What became of a key, by its dates."""

    TRUSTED = "trusted"
    EXPIRED = "expired"
    RETIRED = "retired"
    """Its owner signs with another one; what was received before still counts."""
    REVOKED = "revoked"
    """The trust in it was taken back, for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One key, and from when to when its signatures count. With what it is trusted, grants say."""

    name: str
    public: PublicKey
    added_at: datetime
    expires_at: datetime | None = None
    """What is received from then on doesn't count; None means never."""
    retired_at: datetime | None = None
    """What is received from then on doesn't count; None while it is in use."""
    revoked_at: datetime | None = None
    """When the trust was taken back; None while it holds."""
    compromised_at: datetime | None = None
    """Of a revoked key: what was received before then counts. None: nothing does, whenever it was
    received."""

    def state(self, now: datetime) -> KeyState:
        """Return what became of the key."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.retired_at is not None and now >= self.retired_at:
            return KeyState.RETIRED
        if self.expires_at is not None and now >= self.expires_at:
            return KeyState.EXPIRED
        return KeyState.TRUSTED

    def refusal(self, received_at: datetime | None, now: datetime) -> Problem | None:
        """Return why a right signature of this key doesn't count, or None.

        Args:
            received_at: when the signature is known to have been there; None: since now.
            now: the present moment.
        """
        if self.revoked_at is not None:
            told = f"key {self.name!r} was revoked {iso(self.revoked_at)}"
            if self.compromised_at is None:
                return Problem("key-revoked", told)
            if received_at is None or received_at >= self.compromised_at:
                told += f"; only what was received before {iso(self.compromised_at)} counts"
                return Problem("key-revoked", told)
        for what, end in (("was retired", self.retired_at), ("expired", self.expires_at)):
            if end is not None and (received_at or now) >= end:
                return Problem("key-revoked", f"key {self.name!r} {what} {iso(end)}")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Which keys may sign the packages that a pattern names, and what is done with others."""

    pattern: str
    """Normalised; see `patterns`."""
    keys: tuple[str, ...] = ()
    """Names. Without any, nobody may sign."""
    threshold: int = 1
    """How many different of these keys must have signed a release."""
    level: TrustLevel = TrustLevel.STRICT

    def __post_init__(self) -> None:
        if problem := grant_problem(self.pattern, self.keys, self.threshold, self.level):
            raise ValueError(problem)  # with threshold 0, anything would be trusted


@dataclass(frozen=True, slots=True)
class Root:
    """The keys that sign the trust document itself."""

    keys: tuple[PublicKey, ...] = ()
    threshold: int = 1
    """How many different of them must have signed."""

    @property
    def key_ids(self) -> frozenset[KeyId]:
        """The ids of the keys."""
        return frozenset(key.key_id for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """What a trust document says. Without grants, everything is refused."""

    version: int = 0
    """One more with each change; 0 while there is no document."""
    expires_at: datetime | None = None
    """From when on the document counts for nothing, so that old trust can't be held on to."""
    root: Root = Root()
    keys: tuple[TrustedKey, ...] = ()
    """No two have one name, no two are the same key."""
    grants: tuple[Grant, ...] = ()
    """No two have one pattern."""
    reserved: tuple[str, ...] = ()
    """Patterns of names that are refused to everyone who wasn't granted that very pattern."""

    def by_id(self, key_id: str) -> TrustedKey | None:
        """Return the key with this id."""
        return next((key for key in self.keys if key.public.key_id == key_id), None)

    def named(self, name: str) -> TrustedKey:
        """Return the key of a name.

        Raises:
            UnknownKeyError: no key has the name.
        """
        for key in self.keys:
            if key.name == name:
                return key
        raise UnknownKeyError(name, nearest(name, [key.name for key in self.keys]), hint=_SEE_KEYS)

    def grant_for(self, package: str) -> Grant | None:
        """Return the grant that decides about a package; None: nobody may sign it."""
        naming = [grant for grant in self.grants if matches(grant.pattern, package)]
        return max(naming, key=lambda grant: specificity(grant.pattern), default=None)

    def grant_of(self, pattern: str) -> Grant | None:
        """Return the grant with exactly this pattern."""
        return next((grant for grant in self.grants if grant.pattern == pattern), None)

    def wider_than(self, pattern: str) -> Grant | None:
        """Return the grant that decides about a pattern's packages while it has none itself."""
        # Seen as a name, `acme-etl-*` is named by what names all that it names.
        wider = [
            grant
            for grant in self.grants
            if grant.pattern != pattern and matches(grant.pattern, pattern)
        ]
        return max(wider, key=lambda grant: specificity(grant.pattern), default=None)

    def patterns_of(self, name: str) -> tuple[str, ...]:
        """Return the patterns that are granted to a key."""
        return tuple(grant.pattern for grant in self.grants if name in grant.keys)

    def adding(self, key: TrustedKey) -> Self:
        """Return the policy with one more key; of a known one, the expiry changes if one is given.

        Raises:
            InputError: the name can't be used, or there are too many keys.
            KeyConflictError: the name belongs to another key, the key has another name, or its use
                has ended.
        """
        if problem := name_problem(key.name, "key"):
            raise InputError(problem)
        known = self.by_id(key.public.key_id)
        if known is None:
            self._require_room_for(key.name)
            return replace(self, keys=(*self.keys, key))
        if ended := _end_of_use(known):
            raise KeyConflictError(
                f"this key was {ended}, as {known.name!r}",
                hint="it is never trusted again: have its owner make a new one",
            )
        if known.name != key.name:
            raise KeyConflictError(
                f"this key is trusted already, as {known.name!r}",
                hint=f"change what it is trusted with under its name: "
                f"cloacina trust add {known.name}",
            )
        return self._with_key(replace(known, expires_at=key.expires_at or known.expires_at))

    def retiring(self, name: str, now: datetime) -> Self:
        """Return the policy in which a key signs nothing more. Retiring it twice changes nothing.

        Raises:
            UnknownKeyError: no key has the name.
            KeyConflictError: it was revoked.
        """
        key = self.named(name)
        if key.revoked_at is not None:
            raise KeyConflictError(f"key {name!r} was revoked {iso(key.revoked_at)}")
        return self._with_key(replace(key, retired_at=key.retired_at or now))

    def revoking(self, name: str, now: datetime, *, compromised_at: datetime | None = None) -> Self:
        """Return the policy without trust in a key. Its entry stays, so that it can't come back.

        Args:
            name: the key.
            now: the moment of the revocation, unless it was revoked before.
            compromised_at: what was received before then still counts; None: nothing does.

        Raises:
            InputError: it is said to be compromised from a moment that hasn't come.
            UnknownKeyError: no key has the name.
        """
        key = self.named(name)
        revoked_at = key.revoked_at or now
        if compromised_at is not None and compromised_at > revoked_at:
            raise InputError(
                "a key is compromised before it is revoked, not after",
                hint="to end its use at a moment to come: cloacina trust add NAME --expires MOMENT",
            )
        return self._with_key(replace(key, revoked_at=revoked_at, compromised_at=compromised_at))

    def granting(self, grant: Grant) -> Self:
        """Return the policy with a grant, in place of the one with its pattern.

        Raises:
            InputError: there are too many grants.
            UnknownKeyError: it names a key that there isn't.
        """
        for name in grant.keys:
            self.named(name)
        others = tuple(old for old in self.grants if old.pattern != grant.pattern)
        if len(others) >= MAX_GRANTS:
            raise InputError(f"no more than {MAX_GRANTS} grants can be kept")
        return replace(self, grants=(*others, grant))

    def granting_also(self, pattern: str, name: str) -> Self:
        """Return the policy in which a key is among those that are granted a pattern.

        Raises:
            InputError: there are too many grants, or keys in this one.
            UnknownKeyError: there is no such key.
        """
        grant = self.grant_of(pattern) or Grant(pattern=pattern)
        if name in grant.keys:
            return self
        keys = (*grant.keys, name)
        return self.granting(make_grant(pattern, keys, grant.threshold, grant.level))

    def ungranting(self, pattern: str) -> Self:
        """Return the policy without the grant of a pattern.

        Raises:
            NotFoundError: there is none.
        """
        if self.grant_of(pattern) is None:
            raise NotFoundError(
                f"nobody is granted {pattern!r}", hint="see all with: cloacina trust show"
            )
        return replace(self, grants=tuple(old for old in self.grants if old.pattern != pattern))

    def reserving(self, pattern: str) -> Self:
        """Return the policy with a reserved pattern.

        Raises:
            InputError: there are too many, or it is `*`.
        """
        if pattern == EVERY_PACKAGE:
            raise InputError("not every name can be reserved")
        if pattern in self.reserved:
            return self
        if len(self.reserved) >= MAX_RESERVED:
            raise InputError(f"no more than {MAX_RESERVED} patterns can be reserved")
        return replace(self, reserved=(*self.reserved, pattern))

    def unreserving(self, pattern: str) -> Self:
        """Return the policy in which a pattern isn't reserved.

        Raises:
            NotFoundError: it wasn't.
        """
        if pattern not in self.reserved:
            raise NotFoundError(
                f"{pattern!r} isn't reserved", hint="see all with: cloacina trust show"
            )
        return replace(self, reserved=tuple(old for old in self.reserved if old != pattern))

    def rotating(
        self,
        *,
        add: Sequence[PublicKey] = (),
        remove: Collection[str] = (),
        threshold: int | None = None,
    ) -> Self:
        """Return the policy with other root keys.

        Args:
            add: keys that become root keys.
            remove: ids of root keys that are no longer.
            threshold: how many of them must sign; None: as many as before.

        Raises:
            InputError: too few or too many keys would be left.
            UnknownKeyError: one to remove isn't a root key.
        """
        ids = self.root.key_ids
        for key_id in remove:
            if key_id not in ids:
                raise UnknownKeyError(
                    key_id, (), hint="see the root keys with: cloacina trust show"
                )
        added = {key.key_id: key for key in add if key.key_id not in ids}
        kept = (key for key in self.root.keys if key.key_id not in remove)
        keys = (*kept, *added.values())
        threshold = self.root.threshold if threshold is None else threshold
        if problem := root_problem(len(keys), threshold):
            raise InputError(problem)
        return replace(self, root=Root(keys, threshold))

    def expiring(self, moment: datetime | None) -> Self:
        """Return the policy that counts until a moment; None: without end."""
        return replace(self, expires_at=moment)

    def _with_key(self, key: TrustedKey) -> Self:
        return replace(self, keys=tuple(key if old.name == key.name else old for old in self.keys))

    def _require_room_for(self, name: str) -> None:
        if any(old.name == name for old in self.keys):
            raise KeyConflictError(
                f"another key is called {name!r}",
                hint="choose another name; a name stays with its key, also when it is revoked",
            )
        if len(self.keys) >= MAX_KEYS:
            raise InputError(f"no more than {MAX_KEYS} keys can be kept")


def _end_of_use(key: TrustedKey) -> str | None:
    for what, moment in (("revoked", key.revoked_at), ("retired", key.retired_at)):
        if moment is not None:
            return f"{what} {iso(moment)}"
    return None


def make_grant(
    pattern: str, keys: Sequence[str], threshold: int = 1, level: TrustLevel = TrustLevel.STRICT
) -> Grant:
    """Return a grant.

    Raises:
        InputError: it can't be one.
    """
    keys = tuple(dict.fromkeys(keys))
    if problem := grant_problem(pattern, keys, threshold, level):
        raise InputError(problem)
    return Grant(pattern=pattern, keys=keys, threshold=threshold, level=level)


def grant_problem(
    pattern: str, keys: Sequence[str], threshold: int, level: TrustLevel
) -> str | None:
    """Return what is wrong with a grant of a sound pattern to keys that there are, or None."""
    if len(keys) > MAX_GRANTED_KEYS:
        return f"no more than {MAX_GRANTED_KEYS} keys can share a grant"
    if len(set(keys)) != len(keys):
        return "a key is named twice"
    if not 1 <= threshold <= MAX_THRESHOLD:
        return f"the threshold must be between 1 and {MAX_THRESHOLD}, not {threshold}"
    if threshold > max(1, len(keys)):
        return f"{threshold} keys can't sign what is granted to {len(keys)}"
    if level is TrustLevel.OFF and pattern == EVERY_PACKAGE:
        return "level off can't be for every package; name those that it is for"
    return None


def root_problem(count: int, threshold: int) -> str | None:
    """Return what is wrong with a number of root keys and their threshold, or None."""
    if not 1 <= count <= MAX_ROOT_KEYS:
        return f"there must be 1 to {MAX_ROOT_KEYS} root keys, not {count}"
    if not 1 <= threshold <= count:
        return f"the threshold must be between 1 and the number of root keys, {count}: {threshold}"
    return None
