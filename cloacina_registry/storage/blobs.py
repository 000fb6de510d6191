"""Bytes, kept under their digest and never trusted again unread: every `get` hashes them anew."""

from pathlib import Path

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.digest import Digest, digest_of, hex_of
from cloacina_registry.errors import BlobMissingError, TamperedError
from cloacina_registry.trust import files


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
        if self._is_unharmed(digest):
            return digest
        path = self._path(digest)
        try:
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


def _unavailable(path: Path, verb: str, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{path} can't be {verb}: {error.strerror}",
        hint="look at the free space and the modes of the folder, then try again",
    )
