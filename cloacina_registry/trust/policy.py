"""Whom we trust with what. Pure: records and decisions.

A key is trusted with packages by pattern: `*` is every package, `acme-etl` that one alone, and
`acme-*` those whose names begin with `acme-`. A key with several patterns is trusted with all that
any of them names; patterns of other keys change nothing.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from packaging.utils import canonicalize_name

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_registry.errors import (
    KeyConflictError,
    UnknownKeyError,
)
from cloacina_registry.trust.keys import PublicKey

EVERY_PACKAGE = "*"

MAX_KEYS = 256
"""Bounds the work: a signature without a hint is tried with every key."""
MAX_PATTERNS = 256
MAX_THRESHOLD = 16
"""No envelope holds more signatures."""

_PATTERN = re.compile(r"\*|[a-z0-9]+(-[a-z0-9]+)*(-\*)?")


class TrustLevel(StrEnum):
    """What to do with a release whose signer isn't trusted."""

    STRICT = "strict"
    """Refuse it."""
    WARN = "warn"
    """Take it, with a warning; for development. What is forged or revoked is refused even so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One key, and what it is trusted with."""

    name: str
    public: PublicKey
    packages: tuple[str, ...]
    """Patterns; see the module."""
    added_at: datetime
    expires_at: datetime | None = None
    """From when on nothing signed with it is taken, whenever it was signed: a signature has no
    time that could be believed. None means never."""
    revoked_at: datetime | None = None
    """When the trust was taken back, for ever; None while it holds."""

    @property
    def state(self) -> str:
        """`trusted` or `revoked`."""
        return "trusted" if self.revoked_at is None else "revoked"

    def covers(self, package: str) -> bool:
        """Whether a pattern of the key names the package."""
        return any(matches(pattern, package) for pattern in self.packages)

    def refusal(self, package: str, now: datetime) -> Problem | None:
        """Return why a right signature of this key doesn't count for a package, or None."""
        if self.revoked_at is not None:
            return Problem("key-revoked", f"key {self.name!r} was revoked {iso(self.revoked_at)}")
        if self.expires_at is not None and now >= self.expires_at:
            return Problem("key-revoked", f"key {self.name!r} expired {iso(self.expires_at)}")
        if not self.covers(package):
            trusted_with = ", ".join(self.packages)
            return Problem(
                "not-delegated",
                f"key {self.name!r} is trusted with {trusted_with}, but not with {package}",
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """The trusted keys and how they are used. Without keys, everything is refused."""

    keys: tuple[TrustedKey, ...] = ()
    """No two have one name, no two are the same key."""
    level: TrustLevel = TrustLevel.STRICT
    threshold: int = 1
    """How many different trusted keys must have signed a release."""

    def __post_init__(self) -> None:
        if problem := threshold_problem(self.threshold):  # with 0, anything would be trusted
            raise ValueError(f"threshold {problem}")

    def by_id(self, key_id: str) -> TrustedKey | None:
        """Return the key with this id."""
        return next((key for key in self.keys if key.public.key_id == key_id), None)

    def adding(self, key: TrustedKey) -> Self:
        """Return the policy with one more key; of a known one, its packages and expiry change.

        Raises:
            InputError: the name can't be used, or there are too many keys.
            KeyConflictError: the name belongs to another key, the key has another name, or it was
                revoked.
        """
        if problem := name_problem(key.name, "key"):
            raise InputError(problem)
        known = self.by_id(key.public.key_id)
        if known is None:
            self._require_room_for(key.name)
            return replace(self, keys=(*self.keys, key))
        if known.revoked_at is not None:
            raise KeyConflictError(
                f"this key was revoked {iso(known.revoked_at)}, as {known.name!r}",
                hint="a revoked key is never trusted again: have its owner make a new one",
            )
        if known.name != key.name:
            raise KeyConflictError(
                f"this key is trusted already, as {known.name!r}",
                hint=f"change what it is trusted with under its name: "
                f"cloacina trust add {known.name}",
            )
        return self._with(replace(known, packages=key.packages, expires_at=key.expires_at))

    def revoking(self, name: str, now: datetime) -> Self:
        """Return the policy without trust in a key. Its entry stays, so that it can't come back.

        Revoking a key twice changes nothing.

        Raises:
            UnknownKeyError: no key has the name.
        """
        key = self.named(name)
        return self if key.revoked_at is not None else self._with(replace(key, revoked_at=now))

    def named(self, name: str) -> TrustedKey:
        """Return the key of a name.

        Raises:
            UnknownKeyError: no key has the name.
        """
        for key in self.keys:
            if key.name == name:
                return key
        names = [key.name for key in self.keys]
        raise UnknownKeyError(
            name, nearest(name, names), hint="see who is trusted with: cloacina trust list"
        )

    def _with(self, key: TrustedKey) -> Self:
        return replace(self, keys=tuple(key if old.name == key.name else old for old in self.keys))

    def _require_room_for(self, name: str) -> None:
        if any(old.name == name for old in self.keys):
            raise KeyConflictError(
                f"another key is called {name!r}",
                hint="choose another name; a name stays with its key, also when it is revoked",
            )
        if len(self.keys) >= MAX_KEYS:
            raise InputError(f"no more than {MAX_KEYS} keys can be kept")


def matches(pattern: str, package: str) -> bool:
    """Whether a pattern names a package."""
    if pattern == EVERY_PACKAGE:
        return True
    if pattern.endswith("-*"):
        return package.startswith(pattern[:-1])
    return package == pattern


def is_pattern(text: str) -> bool:
    """Whether a text is a pattern whose name is normalised."""
    return _PATTERN.fullmatch(text) is not None


def parse_pattern(text: str) -> str:
    """Return a pattern with its name normalised (PEP 503), as packages are compared.

    Raises:
        InputError: it is no pattern.
    """
    stem, star = (text[:-1], "*") if text.endswith("*") else (text, "")
    pattern = canonicalize_name(stem) + star
    if not is_pattern(pattern):
        raise InputError(
            f"{text!r} is no pattern of package names",
            hint="give a name as acme-etl, the beginning of names as acme-*, or * for all",
        )
    return pattern


def threshold_problem(threshold: int) -> str | None:
    """Return what is wrong with a threshold, or None."""
    if 1 <= threshold <= MAX_THRESHOLD:
        return None
    return f"must be between 1 and {MAX_THRESHOLD}, not {threshold}"
