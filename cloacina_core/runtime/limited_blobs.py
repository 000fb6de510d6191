"""Uploads of a tenant, within the quota of what it may store."""

from collections.abc import Callable, Iterator
from datetime import datetime

from cloacina_core.foundation.digest import Digest
from cloacina_core.model.blob import StoredBlob
from cloacina_core.plugin.interfaces import BlobStore
from cloacina_core.store.database import Database
from cloacina_core.store.tenancy import require_storage


class LimitedBlobStore:
    """A `BlobStore` that takes no more than a tenant's store has room for."""

    def __init__(
        self, store: BlobStore, database: Callable[[], Database], *, is_in_database: bool
    ) -> None:
        """Limit a store of blobs.

        Args:
            store: which keeps them.
            database: returns the store whose tenant it is.
            is_in_database: whether the blobs lie in the database, whose size has them in it.
        """
        self._store = store
        self._database = database
        self._is_in_database = is_in_database

    def put(self, data: bytes) -> Digest:
        """Store bytes, durably, and return their digest.

        Raises:
            OverQuotaError: there is no room for them.
        """
        require_storage(self._database(), len(data), self._elsewhere)
        return self._store.put(data)

    def _elsewhere(self) -> int:
        """Return how many bytes lie outside of the database."""
        return 0 if self._is_in_database else sum(blob.size for blob in self._store.blobs())

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest, hashed anew."""
        return self._store.get(digest)

    def has(self, digest: Digest) -> bool:
        """Whether something is stored under a digest."""
        return self._store.has(digest)

    def delete(self, digest: Digest) -> None:
        """Remove the bytes of a digest, if there are any."""
        self._store.delete(digest)

    def blobs(self) -> Iterator[StoredBlob]:
        """Yield what is stored."""
        return self._store.blobs()

    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what is left of puts that never ended, and return how many there were."""
        return self._store.remove_drafts(before, dry_run=dry_run)
