"""What stored rules follow, as if a release had declared them."""

from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.following import Following


def following(reference: str, name: str, version: str = "1.0") -> Following:
    """Return what a rule follows that a release of this version declared."""
    digest = digest_of(version.encode())
    return Following(
        name=name, reference=reference, version=version, digest=digest, is_pinned=False
    )
