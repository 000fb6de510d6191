"""One locked distribution as it is kept."""

from dataclasses import dataclass

from cloacina_core.foundation.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A wheel that a lock names, and that the store has."""

    name: str
    """Normalised."""
    version: str
    filename: str
    digest: Digest
    """Of the whole file; the lock names it."""
    size: int
    """Of the whole file, in bytes."""
    is_pure: bool
    """Whether nothing in it is native code."""
