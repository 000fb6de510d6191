"""Keys, trust and signed releases for tests. Nothing here is random."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.wheels import build_wheel, wheel_filename

from cloacina_core.foundation.clock import Clock
from cloacina_registry.trust.keys import PrivateKey, PublicKey
from cloacina_registry.trust.policy import Grant, Root, TrustedKey, TrustLevel, TrustPolicy
from cloacina_registry.trust.store import TrustStore
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class StoppedClock:
    """A clock that moves only when told."""

    def __init__(self, moment: datetime = NOW) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """Return the moment at which it stands."""
        return self.moment

    def monotonic(self) -> float:
        """Return the seconds since it was made."""
        return (self.moment - NOW).total_seconds()

    def move(self, length: timedelta) -> None:
        """Let time pass."""
        self.moment += length


def seed(number: int) -> bytes:
    """Return what a key is made from."""
    return bytes([number]) * 32


def make_key(number: int = 1) -> PrivateKey:
    """Return a key, the same for the same number."""
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(seed(number)))


ROOT = make_key(200)
"""The root key of trust documents in tests."""


def trusted(key: PrivateKey, name: str = "lead", **dates: Any) -> TrustedKey:
    """Return trust in a key; with what, grants say."""
    return TrustedKey(name=name, public=key.public, **{"added_at": NOW, **dates})


def trusting(
    *keys: TrustedKey,
    packages: Sequence[str] = ("*",),
    level: TrustLevel = TrustLevel.STRICT,
    threshold: int = 1,
) -> TrustPolicy:
    """Return a policy that grants all of some keys each of some patterns, `*` by default."""
    names = tuple(key.name for key in keys)
    grants = tuple(
        Grant(pattern=pattern, keys=names, threshold=threshold, level=level) for pattern in packages
    )
    return TrustPolicy(version=1, root=Root((ROOT.public,)), keys=keys, grants=grants)


def at_level(policy: TrustPolicy, level: TrustLevel) -> TrustPolicy:
    """Return a policy with all its grants at a level, which can't be `off` for `*`."""
    return replace(policy, grants=tuple(replace(grant, level=level) for grant in policy.grants))


def put_in_force(
    home: Path,
    change: Callable[[TrustPolicy], TrustPolicy],
    *,
    clock: Clock | None = None,
    roots: Sequence[PrivateKey] = (),
) -> TrustPolicy:
    """Change the trust document of a home, and return what it says then.

    Without one, a first is made, of which `ROOT` is the root key. It signs each change.
    """
    store = TrustStore(home, clock or StoppedClock())

    def rooted(policy: TrustPolicy) -> TrustPolicy:
        return change(policy if policy.version else policy.rotating(add=[ROOT.public]))

    made = store.change(rooted, [ROOT, *roots])
    assert made.draft is None
    return made.policy


def grant_key(
    home: Path, name: str, public: PublicKey, *packages: str, clock: Clock | None = None
) -> TrustPolicy:
    """Trust a key in a home with some patterns of packages, `*` by default."""

    def change(policy: TrustPolicy) -> TrustPolicy:
        policy = policy.adding(TrustedKey(name=name, public=public, added_at=NOW))
        for pattern in packages or ("*",):
            policy = policy.granting_also(pattern, name)
        return policy

    return put_in_force(home, change, clock=clock)


def revoke_key(home: Path, name: str) -> TrustPolicy:
    """Take the trust in a key of a home back."""
    return put_in_force(home, lambda policy: policy.revoking(name, NOW))


def checked_wheel(**changes: Any) -> CheckedWheel:
    """Return a good wheel that nobody has signed."""
    name = wheel_filename(changes.get("name", "acme-etl"), changes.get("version", "1.0"))
    return open_wheel(build_wheel(**changes), name)
