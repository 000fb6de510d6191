"""Puts large values where they are kept apart, before anything refers to them."""

from collections.abc import Mapping
from typing import Protocol

from cloacina_core.foundation.digest import Digest
from cloacina_core.model.spilled import Encoded, Spilled

_MOST_BYTES = 4
"""Of one character in UTF-8."""


class ValueTooLargeError(ValueError):
    """A value, or a task's changes to the context together, are larger than a limit."""


class Texts(Protocol):
    """Keeps bytes by their digest, as a `BlobStore` does."""

    def put(self, data: bytes) -> Digest:
        """Store bytes, durably, and return their digest."""
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest, hashed anew."""
        ...


class Spill:
    """Where large values go, and which are large. Used by any thread."""

    def __init__(self, blobs: Texts, *, spill_bytes: int, max_spilled_bytes: int) -> None:
        """Prepare.

        Args:
            blobs: keeps the texts.
            spill_bytes: how long a text may be, in bytes, to stay where it is.
            max_spilled_bytes: how long one may be at all.
        """
        self._blobs = blobs
        self.spill_bytes = spill_bytes
        self.max_spilled_bytes = max_spilled_bytes

    def each(self, values: Mapping[str, Encoded | None], of: str) -> dict[str, Encoded | None]:
        """Return values by key with the large ones stored, durably, and references in their place.

        Args:
            values: encoded; None for a key that is deleted.
            of: whose they are, as `task load of run 01h...`.

        Raises:
            ValueTooLargeError: a value is longer than the limit.
            StoreUnavailableError: it can't be stored now.
        """
        return {key: self.one(value, f"key {key!r} of {of}") for key, value in values.items()}

    def one(self, value: Encoded | None, where: str) -> Encoded | None:
        """Return a value, or a reference to it; see `each`."""
        if not isinstance(value, str) or len(value) * _MOST_BYTES <= self.spill_bytes:
            return value
        data = value.encode()
        if len(data) <= self.spill_bytes:
            return value
        if len(data) > self.max_spilled_bytes:
            raise ValueTooLargeError(
                f"{where} has {len(data)} bytes; the limit is {self.max_spilled_bytes} (setting "
                "max_spilled_bytes). Store large data elsewhere and hand on where it is"
            )
        return self.keep(value, data, where)

    def keep(self, text: str, data: bytes, where: str) -> Spilled:
        """Store a text, whatever its length, and return a reference to it; see `each`.

        Args:
            text: the text.
            data: the same in UTF-8.
            where: whose value it is.
        """
        digest = self._blobs.put(data)
        return Spilled(digest, len(data), text.startswith("["), where, self._blobs.get)
