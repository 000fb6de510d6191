"""The files of a store, as somebody sees them whose acts are checked."""

from collections.abc import Callable, Iterator
from datetime import datetime

from cloacina_core.foundation.digest import Digest
from cloacina_core.model.blob import StoredBlob
from cloacina_core.plugin.interfaces import BlobStore


class CheckedBlobStore:
    """A `BlobStore` that asks before it changes anything."""

    def __init__(self, store: BlobStore, require: Callable[[str], object]) -> None:
        """Check who uses a store of blobs.

        Args:
            store: which keeps them.
            require: raises `RoleTooLowError` when a verb of `VIEW_VERBS` isn't allowed.
        """
        self._store = store
        self._require = require

    def put(self, data: bytes) -> Digest:
        """Store bytes, durably, and return their digest.

        Raises:
            RoleTooLowError: that isn't allowed.
        """
        self._require("view.put_blob")
        return self._store.put(data)

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest, hashed anew."""
        return self._store.get(digest)

    def has(self, digest: Digest) -> bool:
        """Whether something is stored under a digest."""
        return self._store.has(digest)

    def delete(self, digest: Digest) -> None:
        """Remove the bytes of a digest, if there are any.

        Raises:
            RoleTooLowError: that isn't allowed.
        """
        self._require("view.delete_blob")
        self._store.delete(digest)

    def blobs(self) -> Iterator[StoredBlob]:
        """Yield what is stored."""
        return self._store.blobs()

    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what is left of puts that never ended, and return how many there were.

        Raises:
            RoleTooLowError: that isn't allowed.
        """
        if not dry_run:
            self._require("view.delete_blob")
        return self._store.remove_drafts(before, dry_run=dry_run)
