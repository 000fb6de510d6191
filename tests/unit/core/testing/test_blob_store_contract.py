"""The contract finds each of these faults; a suite that can't fail promises nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloacina_core.errors import (
    BlobDamagedError,
    BlobMissingError,
    CloacinaError,
    StoreUnavailableError,
)
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.plugin import BlobStore, StoredBlob
from cloacina_core.testing import BlobStoreContract


class MemoryStore:
    """A store in the memory of one process, with nothing wrong."""

    def __init__(self) -> None:
        self.kept: dict[Digest, bytes] = {}
        self.put_at: dict[Digest, datetime] = {}
        self.room = 1_000_000_000

    def put(self, data: bytes) -> Digest:
        digest = digest_of(data)
        if len(data) > self.room:
            raise StoreUnavailableError("full")
        self.kept[digest], self.put_at[digest] = data, datetime.now(UTC)
        return digest

    def get(self, digest: Digest) -> bytes:
        data = self.kept.get(digest)
        if data is None:
            raise BlobMissingError(digest)
        if digest_of(data) != digest:
            raise BlobDamagedError(digest)
        return data

    def has(self, digest: Digest) -> bool:
        return digest in self.kept

    def delete(self, digest: Digest) -> None:
        self.kept.pop(digest, None)

    def blobs(self) -> Iterator[StoredBlob]:
        for digest, data in self.kept.items():
            yield StoredBlob(digest, len(data), self.put_at[digest])

    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:
        return 0


class HandsOutAnything(MemoryStore):
    def get(self, digest: Digest) -> bytes:
        if digest not in self.kept:
            raise BlobMissingError(digest)
        return self.kept[digest]


class NeverMends(MemoryStore):
    def put(self, data: bytes) -> Digest:
        return digest_of(data) if digest_of(data) in self.kept else super().put(data)


class WritesInPlace(MemoryStore):
    def put(self, data: bytes) -> Digest:
        self.kept[digest_of(data)], self.put_at[digest_of(data)] = data[:9], datetime.now(UTC)
        return super().put(data)


class DeletesOnce(MemoryStore):
    def delete(self, digest: Digest) -> None:
        del self.kept[digest]


class HidesEmptyOnes(MemoryStore):
    def blobs(self) -> Iterator[StoredBlob]:
        return (blob for blob in super().blobs() if blob.size)


class TakesStoredForDrafts(MemoryStore):
    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:
        self.kept.clear()
        return 0


class Suite(BlobStoreContract):
    """The contract, for a store in memory: what needs a second process is left out."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def opener(self, place: Path) -> Callable[[], BlobStore]:
        return lambda: self.store

    def damage(self, place: Path, digest: Digest) -> None:
        self.store.kept[digest] = b"other bytes"

    def out_of_space(self, place: Path) -> AbstractContextManager[None]:
        return self._little_room()

    @contextmanager
    def _little_room(self) -> Iterator[None]:
        self.store.room = 1000
        yield
        self.store.room = 1_000_000_000


CLAIMS = [
    name
    for name in dir(BlobStoreContract)
    if name.startswith("test_") and name != "test_what_one_process_puts_another_can_get"
]


def failing(kind: type[MemoryStore], place: Path) -> set[str]:
    failed = set()
    for claim in CLAIMS:
        try:
            getattr(Suite(kind()), claim)(place)
        except (AssertionError, CloacinaError, KeyError):
            failed.add(claim)
    return failed


def test_a_good_store_keeps_all_promises(tmp_path: Path) -> None:
    assert failing(MemoryStore, tmp_path) == set()


@pytest.mark.parametrize(
    ("kind", "claim"),
    [
        (HandsOutAnything, "test_changed_bytes_are_never_handed_out"),
        (NeverMends, "test_putting_the_bytes_again_mends_them"),
        (NeverMends, "test_putting_the_same_bytes_again_makes_them_young"),
        (WritesInPlace, "test_a_put_that_fails_leaves_nothing_that_can_be_read"),
        (DeletesOnce, "test_deleting_what_is_not_there_changes_nothing"),
        (HidesEmptyOnes, "test_no_bytes_are_bytes_too"),
        (TakesStoredForDrafts, "test_removing_drafts_leaves_what_was_stored"),
    ],
)
def test_a_broken_store_is_found_out(kind: type[MemoryStore], claim: str, tmp_path: Path) -> None:
    assert claim in failing(kind, tmp_path)
