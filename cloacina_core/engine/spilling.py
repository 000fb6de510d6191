"""Puts large values where they are kept apart, before anything refers to them."""

from collections.abc import Mapping

from cloacina_core.model.spilled import Encoded, Spilled
from cloacina_core.plugin.interfaces import BlobStore

_MOST_BYTES = 4
"""Of one character in UTF-8."""


class ValueTooLargeError(ValueError):
    """A value, or a task's changes to the context together, are larger than a limit."""


class Spill:
    """Where large values go, and which are large. Used by any thread."""

    def __init__(self, blobs: BlobStore, *, spill_bytes: int, max_spilled_bytes: int) -> None:
        """Prepare.

        Args:
            blobs: keeps the texts.
            spill_bytes: how long a text may be, in bytes, to stay where it is.
            max_spilled_bytes: how long one may be at all.
        """
        self._blobs = blobs
        self._spill_bytes = spill_bytes
        self._max_spilled_bytes = max_spilled_bytes

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
        if not isinstance(value, str) or len(value) * _MOST_BYTES <= self._spill_bytes:
            return value
        data = value.encode()
        if len(data) <= self._spill_bytes:
            return value
        if len(data) > self._max_spilled_bytes:
            raise ValueTooLargeError(
                f"{where} has {len(data)} bytes; the limit is {self._max_spilled_bytes} (setting "
                "max_spilled_bytes). Store large data elsewhere and hand on where it is"
            )
        digest = self._blobs.put(data)
        return Spilled(digest, len(data), value.startswith("["), where, self._blobs.get)
