"""SHA-256 digests, written `sha256:<64 hex digits>`."""

import re
from typing import NewType

Digest = NewType("Digest", str)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> Digest:
    """Return the digest of some bytes."""
    import hashlib  # noqa: PLC0415 - it loads OpenSSL, which authors of workflows don't need

    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_of_text(text: str) -> Digest:
    """Return the digest of a text's UTF-8 bytes."""
    return digest_of(text.encode())


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest.

    Raises:
        ValueError: it isn't written `sha256:<64 lower-case hex digits>`.
    """
    if not _DIGEST.fullmatch(text):
        raise ValueError(f"not a digest: {text[:80]!r}")
    return Digest(text)


def hex_of(digest: Digest) -> str:
    """Return the 64 hex digits of a digest."""
    return digest.removeprefix("sha256:")
