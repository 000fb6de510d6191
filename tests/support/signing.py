"""Keys, trust and signed releases for tests. Nothing here is random."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.wheels import build_wheel, wheel_filename

from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.policy import TrustedKey, TrustLevel, TrustPolicy
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


def trusted(key: PrivateKey, name: str = "lead", **changes: Any) -> TrustedKey:
    """Return trust in a key, by default with every package."""
    facts: dict[str, Any] = {"packages": ("*",), "added_at": NOW, **changes}
    return TrustedKey(name=name, public=key.public, **facts)


def trusting(
    *keys: TrustedKey, level: TrustLevel = TrustLevel.STRICT, threshold: int = 1
) -> TrustPolicy:
    """Return a policy with some keys."""
    return TrustPolicy(keys=keys, level=level, threshold=threshold)


def checked_wheel(**changes: Any) -> CheckedWheel:
    """Return a good wheel that nobody has signed."""
    name = wheel_filename(changes.get("name", "acme-etl"), changes.get("version", "1.0"))
    return open_wheel(build_wheel(**changes), name)
