"""Stored bytes are never trusted unread: whoever gets them hashes them anew."""

from cloacina_core.errors import BlobDamagedError
from cloacina_core.errors import BlobMissingError as AnyBlobMissingError
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.plugin import BlobStore
from cloacina_registry.errors import BlobMissingError, TamperedError


def read_blob(blobs: BlobStore, digest: Digest) -> bytes:
    """Return the bytes of a digest, hashed here too: a store may be anybody's.

    Raises:
        TamperedError: what is there has another digest.
        BlobMissingError: nothing is there.
        StoreUnavailableError: they can't be read now.
    """
    try:
        data = blobs.get(digest)
    except (TamperedError, BlobMissingError):
        raise
    except BlobDamagedError as error:
        raise TamperedError(f"the stored file {digest}", digest, "something else") from error
    except AnyBlobMissingError as error:
        raise BlobMissingError(digest) from error
    found = digest_of(data)
    if found != digest:
        raise TamperedError(f"the stored file {digest}", digest, found)
    return data
