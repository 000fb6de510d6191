"""Bytes under their digest, on any file system that fsspec reaches."""

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from fsspec.core import url_to_fs

from cloacina_core.errors import (
    BlobDamagedError,
    BlobMissingError,
    ConfigurationError,
    StoreUnavailableError,
)
from cloacina_core.plugin import Digest, StoredBlob, digest_of

_NAME = re.compile(r"[0-9a-f]{64}")


class FsspecBlobStore:
    """A `BlobStore` below a folder, or a prefix, of a file system.

    A file is written below `drafts` and moved to its name, so that it is never seen by half.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._blobs = f"{root.rstrip('/')}/sha256"
        self._drafts = f"{root.rstrip('/')}/drafts"

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the store at a URL, as `s3://acme-cloacina/packages`.

        Raises:
            ConfigurationError: fsspec can't use the URL.
        """
        try:
            # What another process wrote or removed must be seen at once: no listing is cached.
            filesystem, root = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        except (ValueError, TypeError, ImportError) as error:
            raise ConfigurationError(
                f"fsspec can't use the URL of setting blob_store: {error}",
                hint="write fsspec:URL, as fsspec:s3://bucket/folder, and install what it needs",
            ) from error
        if "://" not in url:
            raise ConfigurationError(
                "setting blob_store: fsspec takes a URL",
                hint="for a folder of this host write file:FOLDER",
            )
        return cls(filesystem, root)

    def put(self, data: bytes) -> Digest:
        """Store bytes, and return their digest.

        They are written even when they are there: to see whether they are unharmed would cost as
        much, and so they are young again.
        """
        digest = digest_of(data)
        path, draft = self._path(digest), f"{self._drafts}/{secrets.token_hex(16)}"
        with self._talking_about("written"):
            self._filesystem.makedirs(self._drafts, exist_ok=True)
            self._filesystem.makedirs(self._blobs, exist_ok=True)
            try:
                self._filesystem.pipe_file(draft, data)
                self._filesystem.mv(draft, path)
            except BaseException:
                with contextlib.suppress(Exception):  # `remove_drafts` does it later
                    self._filesystem.rm_file(draft)
                raise
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest, after hashing them."""
        with self._talking_about("read"):
            try:
                data: bytes = self._filesystem.cat_file(self._path(digest))
            except FileNotFoundError as error:
                raise BlobMissingError(digest) from error
        if digest_of(data) != digest:
            raise BlobDamagedError(digest)
        return data

    def has(self, digest: Digest) -> bool:
        """Whether something is stored under a digest."""
        with self._talking_about("looked for"):
            return bool(self._filesystem.isfile(self._path(digest)))

    def delete(self, digest: Digest) -> None:
        """Remove the bytes of a digest, if there are any."""
        with self._talking_about("removed"), contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(self._path(digest))

    def blobs(self) -> Iterator[StoredBlob]:
        """Yield what is stored; when each was put takes a question of its own on some systems."""
        for path, size in self._files(self._blobs):
            name = path.rpartition("/")[2]
            if _NAME.fullmatch(name) and (modified := self._modified(path)) is not None:
                yield StoredBlob(Digest(f"sha256:{name}"), size, modified)

    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what processes left that were killed while they wrote."""
        count = 0
        for path, _ in self._files(self._drafts):
            modified = self._modified(path)
            if modified is None or modified >= before:
                continue
            count += 1
            if not dry_run:
                with self._talking_about("removed"), contextlib.suppress(FileNotFoundError):
                    self._filesystem.rm_file(path)
        return count

    def _files(self, folder: str) -> list[tuple[str, int]]:
        """Return the files below a folder, and their sizes."""
        with self._talking_about("listed"):
            try:
                found = self._filesystem.find(folder, detail=True)
            except FileNotFoundError:
                return []
        return sorted((path, info["size"]) for path, info in found.items())

    def _modified(self, path: str) -> datetime | None:
        """Return when a file was written; None when it is gone."""
        with self._talking_about("looked at"):
            try:
                moment: datetime = self._filesystem.modified(path)
            except FileNotFoundError:
                return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _path(self, digest: Digest) -> str:
        return f"{self._blobs}/{digest.removeprefix('sha256:')}"

    @contextmanager
    def _talking_about(self, verb: str) -> Iterator[None]:
        """Tell failures as Cloacina does; each file system has its own."""
        try:
            yield
        except (BlobMissingError, FileNotFoundError):
            raise
        except Exception as error:
            raise StoreUnavailableError(
                f"packages can't be {verb} in {self._blobs}: {type(error).__name__}: {error}",
                hint="look whether the place is there and may be written, then try again",
            ) from error
