"""Removes bytes that nobody needs, beside any number of uploads and of others who do the same.

Bytes go when all of this holds:

1. They were put longer ago than the grace period.
2. No release that isn't deleted has them for its wheel, or depends on them.
3. Nobody is about to commit such a release. An upload puts its bytes, and those of the wheels that
   it depends on, before it enters the release, and looks whether they are still there within the
   transaction that does. So that transaction either comes first, and is seen here, or waits for
   this one, and puts the bytes again.

Rule 3 alone would do, whatever the clocks say. Rule 1 spares uploads the trouble.

Drafts go when they are older than the grace period, and than an hour: nothing but its age tells
whether somebody still writes one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloacina_core.model.blob import StoredBlob
from cloacina_core.plugin import BlobStore, RuntimeView
from cloacina_registry.dependencies.catalog import DependencyCatalog
from cloacina_registry.storage.catalog import Catalog

GRACE = timedelta(days=1)
"""How long bytes without a release are left alone unless it is said otherwise."""

_LONGEST_PUT = timedelta(hours=1)
"""By then, whoever began to write a wheel has ended, or been ended."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What was removed, or would be."""

    blobs: Sequence[StoredBlob]
    drafts: int
    """How many puts never ended."""

    @property
    def size(self) -> int:
        """The bytes of the blobs together."""
        return sum(blob.size for blob in self.blobs)


def collect_garbage(
    view: RuntimeView, blobs: BlobStore, before: datetime, *, dry_run: bool
) -> Garbage:
    """Remove what was put before a moment and is needed by no release."""
    with view.read() as connection:
        needed = Catalog(connection).digests() | DependencyCatalog(connection).digests()
    unneeded = [
        blob for blob in blobs.blobs() if blob.put_at < before and blob.digest not in needed
    ]
    if not dry_run:
        unneeded = [blob for blob in unneeded if _remove(view, blobs, blob)]
    given_up = min(before, view.clock.now() - _LONGEST_PUT)
    return Garbage(unneeded, blobs.remove_drafts(given_up, dry_run=dry_run))


def _remove(view: RuntimeView, blobs: BlobStore, blob: StoredBlob) -> bool:
    """Remove bytes; False when a release refers to them by now. A transaction each is short."""
    with view.begin() as connection:
        catalog, dependencies = Catalog(connection), DependencyCatalog(connection)
        catalog.keep_uploads_out()
        dependencies.keep_others_out()
        if catalog.refers_to(blob.digest) or dependencies.refers_to(blob.digest):
            return False
        blobs.delete(blob.digest)
    return True
