"""Ed25519 keys (RFC 8032): public ones that are sound, private ones that don't show themselves.

A public key is refused unless:

1. It has 32 bytes (RFC 8032, 5.1.5).
2. Its y coordinate is below the prime of the field. RFC 8032, 5.1.3 demands it; OpenSSL reduces
   the number instead, and one point would have two key ids.
3. The curve has a point with that y. Otherwise it is a slip of the hand: nothing would ever verify.
4. That point isn't of small order, 1, 2, 4 or 8. Under such a key anyone can write signatures
   that verify, without a private key.

There are 14 encodings of small-order points: the eight points, and six more spellings of them with
an unreduced y or a sign where x is zero. Rules 2 and 4 refuse them all. Rule 4 needs no list. With
the curve as -x² + y² = 1 + d·x²·y², doubling shows which y belong to which order:

    order 1         y = 1       the identity
    order 2         y = -1      its double is the identity
    order 4         y = 0       its double has y = -1
    order 8         d·y⁴ + 2y² = 1, since its double has y = 0, which means x² = -y²
"""

from dataclasses import dataclass
from typing import NewType, Protocol, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.digest import digest_of
from cloacina_registry.errors import KeyFileError, PublicKeyError, WeakKeyError
from cloacina_registry.trust.strict import decode_base64, encode_base64

KeyId = NewType("KeyId", str)
"""`sha256:` and the digest of the 32 bytes of a public key: computed, never taken from a file."""

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

_TEXT_PREFIX = "ed25519:"
_PEM_PREFIX = "-----BEGIN "
_ENCRYPTED_PEM = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_MAX_PASSPHRASE_BYTES = 1023  # OpenSSL takes no more

_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_SIGN_BIT = 1 << 255


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that passed the rules of this module.

    Raises:
        PublicKeyError: the bytes aren't a key.
        WeakKeyError: anyone could sign for the key.
    """

    raw: bytes
    """The 32 bytes of RFC 8032."""

    def __post_init__(self) -> None:
        _require_sound(self.raw)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that stands in `ed25519:<base64>` or in PEM (RFC 8410).

        Raises:
            PublicKeyError: the text isn't an Ed25519 public key.
            WeakKeyError: anyone could sign for the key.
        """
        text = text.strip()
        return cls(_raw_of_pem(text) if text.startswith(_PEM_PREFIX) else _raw_of_line(text))

    @property
    def key_id(self) -> KeyId:
        """What the key is called in envelopes and listings."""
        return KeyId(digest_of(self.raw))

    def to_text(self) -> str:
        """Return the key in one line, to be sent to those who shall trust it."""
        return _TEXT_PREFIX + encode_base64(self.raw)

    def to_pem(self) -> bytes:
        """Return the key as PEM (RFC 8410), as other programs read it."""
        return self._key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature of the message was made with the private half of this key."""
        try:
            self._key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)


class SigningKey(Protocol):
    """What signs: a private key, or a device that holds one."""

    @property
    def public(self) -> PublicKey:
        """The half that others may know."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes (RFC 8032)."""
        ...


class PrivateKey:
    """A private key. Neither its text nor its errors show what is in it."""

    __slots__ = ("_key", "public")

    public: PublicKey
    """The half that others may know."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(
            key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
        )

    @classmethod
    def generate(cls) -> Self:
        """Return a new key, from the randomness of the operating system."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: str | None, *, where: str = "the key") -> Self:
        """Return the key of a PKCS#8 PEM document.

        Args:
            pem: the document.
            passphrase: what it was encrypted with; not used when it isn't encrypted.
            where: what to call the document in errors.

        Raises:
            KeyFileError: the passphrase is missing or wrong, or there is no Ed25519 key in it.
        """
        encrypted = is_encrypted(pem)
        if encrypted and passphrase is None:
            raise KeyFileError(
                f"{where} is encrypted, and no passphrase was given",
                hint="put it into the environment variable CLOACINA_PASSPHRASE, or into a file",
            )
        password = _password(passphrase) if encrypted and passphrase is not None else None
        try:
            key = load_pem_private_key(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            # OpenSSL can't always tell a wrong passphrase from damage, so neither can the message.
            reason = "the passphrase is wrong, or the file is damaged" if encrypted else "damaged"
            raise KeyFileError(f"{where} can't be read as a private key: {reason}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(
                f"{where} holds a private key of another kind than Ed25519",
                hint="make one with: cloacina key new NAME",
            )
        return cls(key)

    def to_pem(self, passphrase: str | None) -> bytes:
        """Return the key as PKCS#8 PEM, encrypted when there is a passphrase.

        The key is derived from the passphrase with only 2,048 rounds of PBKDF2, which is what the
        library offers for PKCS#8. A passphrase must bring its own strength: several random words.

        Raises:
            InputError: the passphrase is empty or too long.
        """
        return self._key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, _encryption_with(passphrase)
        )

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes; the same each time (RFC 8032, 5.1.6)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.public.key_id}>"


def is_encrypted(pem: bytes) -> bool:
    """Whether a PEM document says that a passphrase is needed to read it."""
    return pem.lstrip().startswith(_ENCRYPTED_PEM)


def _encryption_with(passphrase: str | None) -> KeySerializationEncryption:
    if passphrase is None:
        return NoEncryption()
    password = _password(passphrase)
    if not password:
        raise InputError(
            "an empty passphrase protects nothing",
            hint="give a longer one, or none to rely on the modes of the file",
        )
    if len(password) > _MAX_PASSPHRASE_BYTES:
        raise InputError(f"a passphrase has at most {_MAX_PASSPHRASE_BYTES} bytes")
    return BestAvailableEncryption(password)


def _password(passphrase: str) -> bytes:
    # What the environment holds need not be UTF-8: PEP 383 brings the original bytes back.
    return passphrase.encode("utf-8", "surrogateescape")


def _require_sound(raw: bytes) -> None:
    if len(raw) != PUBLIC_KEY_BYTES:
        raise PublicKeyError(f"it must have {PUBLIC_KEY_BYTES} bytes, not {len(raw)}")
    y = int.from_bytes(raw, "little") & ~_SIGN_BIT
    if y >= _PRIME:
        raise _weak("its encoding is not canonical")
    if _has_small_order(y):
        raise _weak("its point has small order, so that anyone can sign for it")
    if not _is_on_curve(y):
        raise PublicKeyError("it is no point of the curve")


def _has_small_order(y: int) -> bool:
    y2 = y * y
    return y * (y2 - 1) * (_D * y2 * y2 + 2 * y2 - 1) % _PRIME == 0


def _is_on_curve(y: int) -> bool:
    # x² = (y² - 1) / (d·y² + 1). A quotient is a square when the product is (Euler's criterion).
    x2 = (y * y - 1) * (_D * y * y + 1) % _PRIME
    return pow(x2, (_PRIME - 1) // 2, _PRIME) == 1


def _weak(reason: str) -> WeakKeyError:
    return WeakKeyError(
        "the public key can't be trusted",
        hint="ask its owner for another one: no sound program makes such a key",
        problems=[Problem("key-weak", reason)],
    )


def _raw_of_line(text: str) -> bytes:
    if not text.startswith(_TEXT_PREFIX):
        raise PublicKeyError(f"it must begin with {_TEXT_PREFIX!r} or be PEM")
    try:
        return decode_base64(text.removeprefix(_TEXT_PREFIX))
    except ValueError as error:
        raise PublicKeyError(str(error)) from error


def _raw_of_pem(text: str) -> bytes:
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PublicKeyError("the PEM document isn't a public key, or is damaged") from error
    if not isinstance(key, Ed25519PublicKey):
        raise PublicKeyError("the PEM document holds a key of another kind than Ed25519")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
