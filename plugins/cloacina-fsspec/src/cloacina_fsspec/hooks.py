"""What Cloacina calls: one kind of blob store."""

from collections.abc import Sequence

from cloacina_core.plugin import BlobStore, BlobStoreKind, RuntimeView, hookimpl


@hookimpl
def cloacina_blob_stores() -> Sequence[BlobStoreKind]:
    """Contribute `fsspec:URL`."""
    return [BlobStoreKind("fsspec", _open)]


def _open(_view: RuntimeView, url: str) -> BlobStore:
    from cloacina_fsspec.store import FsspecBlobStore  # noqa: PLC0415 - fsspec is slow to import

    return FsspecBlobStore.at(url)
