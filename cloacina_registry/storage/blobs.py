"""Bytes, kept under their digest and never trusted again unread: every `get` hashes them anew."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation import private_files as files
from cloacina_core.foundation.digest import Digest, digest_of, hex_of
from cloacina_core.model.blob import StoredBlob
from cloacina_registry.errors import BlobMissingError, TamperedError

_NAME = re.compile(r"[0-9a-f]{64}")
_DRAFT = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]+")


class FileBlobStore:
    """A `BlobStore` in a folder: `sha256/5f/5f2c9a...`, for the owner's eyes alone.

    A file appears under its name only when all of it is on the disk. A process that is killed may
    leave a draft, whose name begins with a dot and which nothing reads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> Digest:
        """Store bytes, durably, and return their digest."""
        digest = digest_of(data)
        path = self._path(digest)
        try:
            if not self._is_unharmed(digest) or not _touch(path):
                _make_folder(path.parent)
                files.replace(path, data)
        except OSError as error:
            raise _unavailable(path, "written", error) from error
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest, after hashing them."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise BlobMissingError(digest) from error
        except OSError as error:
            raise _unavailable(path, "read", error) from error
        found = digest_of(data)
        if found != digest:
            raise TamperedError(f"the stored file {path.name}", digest, found)
        return data

    def has(self, digest: Digest) -> bool:
        """Whether something is stored under a digest."""
        return self._path(digest).is_file()

    def delete(self, digest: Digest) -> None:
        """Remove the bytes of a digest, if there are any."""
        path = self._path(digest)
        try:
            path.unlink()
            files.sync_folder(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unavailable(path, "removed", error) from error

    def blobs(self) -> Iterator[StoredBlob]:
        """Yield what is stored, in the order of the digests."""
        for path, status in self._files(_NAME):
            yield StoredBlob(Digest(f"sha256:{path.name}"), status.st_size, _modified(status))

    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what processes left that were killed while they wrote."""
        drafts = [path for path, status in self._files(_DRAFT) if _modified(status) < before]
        for path in [] if dry_run else drafts:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _unavailable(path, "removed", error) from error
        return len(drafts)

    def _files(self, name: re.Pattern[str]) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the files whose names match, but for those that go meanwhile."""
        try:
            for folder in sorted((self._folder / "sha256").glob("[0-9a-f][0-9a-f]")):
                for path in sorted(folder.iterdir()):
                    if name.fullmatch(path.name) and (status := _status(path)) is not None:
                        yield path, status
        except OSError as error:
            raise _unavailable(self._folder, "listed", error) from error

    def _is_unharmed(self, digest: Digest) -> bool:
        try:
            self.get(digest)
        except (BlobMissingError, TamperedError):
            return False
        return True

    def _path(self, digest: Digest) -> Path:
        name = hex_of(digest)
        # 256 folders: some file systems and most people are slow with a hundred thousand names.
        return self._folder / "sha256" / name[:2] / name


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each for its owner alone and each durably."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=files.FOLDER_MODE, exist_ok=True)
    files.sync_folder(folder.parent)


def _touch(path: Path) -> bool:
    """Make a file young again; False when it is gone."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _modified(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _unavailable(path: Path, verb: str, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{path} can't be {verb}: {error.strerror}",
        hint="look at the free space and the modes of the folder, then try again",
    )
