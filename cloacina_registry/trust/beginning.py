"""The first trust document of a home: one key may sign everything, trust included."""

from datetime import datetime

from cloacina_registry.trust.keys import SigningKey
from cloacina_registry.trust.patterns import EVERY_PACKAGE
from cloacina_registry.trust.policy import TrustedKey, TrustPolicy
from cloacina_registry.trust.store import TrustStore


def begin_trust(store: TrustStore, key: SigningKey, name: str, now: datetime) -> TrustPolicy:
    """Put the first document of a home in force, and return what it says.

    Args:
        store: that of the home.
        key: becomes the root key, and is trusted with every package.
        name: what to call it.
        now: the moment at which it is trusted.

    Raises:
        InputError: the name can't be used.
        TrustDocumentError: it can't be written.
    """

    def first(nothing: TrustPolicy) -> TrustPolicy:
        rooted = nothing.rotating(add=[key.public])
        trusting = rooted.adding(TrustedKey(name=name, public=key.public, added_at=now))
        return trusting.granting_also(EVERY_PACKAGE, name)

    return store.change(first, [key]).policy
