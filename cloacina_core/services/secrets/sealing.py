"""Seals texts, and opens them again: AES-256 in Galois/Counter Mode (NIST SP 800-38D).

1.  A key is 32 random bytes. Its id is made of it by SHA-256, with a word of our own before it: a
    key can't stand under another's id, and the id tells nothing of the key.
2.  Each seal has a nonce of its own, 96 random bits. Nothing is derived from names or counters,
    which a restored backup would repeat.
3.  The place and the key's id are authenticated together with the text, each part behind its
    length. The place of a secret is its store, its name and its revision: a ciphertext that was
    carried to another store, or put under another name or revision, doesn't open. That of the
    inventory is no secret's.
4.  The tag has its full 128 bits. What is shorter than a tag, or has a nonce of another length, is
    refused before anything is computed.
5.  What doesn't open isn't told apart: a changed byte, a wrong key and a moved row are one error,
    and nothing of the text comes out.
6.  Neither keys nor texts are in the texts of errors, or in what objects print of themselves.
"""

import hashlib
from collections.abc import Callable
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloacina_core.store.secrets import Sealed

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_KEY_ID_LENGTH = 16
_KEY_ID_WORD = b"cloacina-secret-key-1:"

Place: TypeAlias = tuple[str, ...]
"""Where a sealed text stands, which begins with the format of that text."""

PLACE_OF_INVENTORY: Place = ("cloacina-secret-inventory-1",)


def place_of_secret(store: str, name: str, revision: int) -> Place:
    """Return the place of a secret.

    Args:
        store: the id of the store.
        name: of the secret.
        revision: of the secret.
    """
    return ("cloacina-secret-1", store, name, str(revision))


class NotOpenedError(Exception):
    """A ciphertext isn't what was sealed for this place with this key."""


class MasterKey:
    """A key that seals and opens. It prints its id only."""

    __slots__ = ("_cipher", "_key", "id")

    def __init__(self, key: bytes) -> None:
        """Take a key.

        Raises:
            ValueError: it has another length than 32 bytes.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._cipher = AESGCM(key)
        self.id = hashlib.sha256(_KEY_ID_WORD + key).hexdigest()[:_KEY_ID_LENGTH]

    @property
    def raw(self) -> bytes:
        """The bytes, for whoever keeps keys."""
        return self._key

    def seal(self, place: Place, text: str, chance: Callable[[int], bytes]) -> Sealed:
        """Return a text sealed.

        Args:
            place: where it is to open.
            text: what to seal.
            chance: returns so many bytes that nobody can guess.
        """
        nonce = chance(NONCE_BYTES)
        associated = _associated(place, self.id)
        return Sealed(self.id, nonce, self._cipher.encrypt(nonce, text.encode(), associated))

    def open(self, place: Place, sealed: Sealed) -> str:
        """Return the text that was sealed.

        Raises:
            NotOpenedError: it isn't what was sealed for this place with this key.
        """
        if len(sealed.nonce) != NONCE_BYTES or len(sealed.ciphertext) < TAG_BYTES:
            raise NotOpenedError
        associated = _associated(place, sealed.key_id)
        try:
            return self._cipher.decrypt(sealed.nonce, sealed.ciphertext, associated).decode()
        except InvalidTag:
            raise NotOpenedError from None

    def __repr__(self) -> str:
        return f"<master key {self.id}>"


def _associated(place: Place, key_id: str) -> bytes:
    parts = [part.encode() for part in (*place, key_id)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
