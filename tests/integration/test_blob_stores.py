"""Every blob store of this repository keeps the public contract."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from support.blob_stores import DatabaseOpener, little_room

from cloacina_core.foundation.digest import Digest, hex_of
from cloacina_core.store import schema
from cloacina_core.testing import BlobStoreContract
from cloacina_registry import tables
from cloacina_registry.storage.blobs import FileBlobStore


class TestFileBlobStore(BlobStoreContract):
    def opener(self, place: Path) -> partial[FileBlobStore]:
        return partial(FileBlobStore, place / "blobs")

    def damage(self, place: Path, digest: Digest) -> None:
        name = hex_of(digest)
        (place / "blobs" / "sha256" / name[:2] / name).write_bytes(b"other bytes")

    def out_of_space(self, place: Path) -> AbstractContextManager[None]:
        return little_room()


class TestReleasesInTheDatabase(BlobStoreContract):
    @pytest.fixture(autouse=True)
    def open_database(self, store_url: str) -> Iterator[None]:
        self.database = DatabaseOpener(store_url, tables.blobs)
        yield
        self.database.close()

    def opener(self, place: Path) -> DatabaseOpener:
        return self.database

    def damage(self, place: Path, digest: Digest) -> None:
        self.database.damage(digest)

    def out_of_space(self, place: Path) -> AbstractContextManager[None]:
        return self.database.out_of_space()


class TestLargeValuesInTheDatabase(TestReleasesInTheDatabase):
    @pytest.fixture(autouse=True)
    def open_database(self, tmp_path: Path) -> Iterator[None]:
        self.database = DatabaseOpener(f"sqlite:///{tmp_path / 'store.db'}", schema.blobs)
        yield
        self.database.close()
