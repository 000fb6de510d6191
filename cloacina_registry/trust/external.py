"""Keys that are kept outside: in a file, a hardware module, or the service of a cloud.

What signs is found by its URI, by securesystemslib: `file2:`, `hsm:`, `awskms:`, `azurekms:`,
`gcpkms:`, `hv:` and others. It comes with the extra `kms`, and is imported when it is used. What
signs outside isn't believed: each signature must verify under the public key that was stated.
"""

from typing import TYPE_CHECKING

from cloacina_registry.errors import SignerError
from cloacina_registry.trust.keys import PublicKey

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

_ED25519 = "ed25519"


class ExternalKey:
    """A key outside, to sign with as with one of our own."""

    def __init__(self, signer: "Signer", public: PublicKey, uri: str) -> None:
        self._signer = signer
        self._uri = uri
        self.public = public

    @classmethod
    def open(cls, uri: str, public: PublicKey) -> "ExternalKey":
        """Return the key that a URI names.

        Args:
            uri: where it is, as securesystemslib writes it.
            public: its public half.

        Raises:
            SignerError: securesystemslib isn't installed, or finds no Ed25519 key there.
        """
        try:
            from securesystemslib.signer import Signer, SSlibKey  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SignerError(
                "signing with a key outside needs securesystemslib",
                hint="install it with: pip install 'cloacina[kms]'",
            ) from error
        key = SSlibKey(public.key_id, _ED25519, _ED25519, {"public": public.raw.hex()})
        try:
            signer = Signer.from_priv_key_uri(uri, key)
        except Exception as error:  # each kind of signer raises what it likes
            raise _unusable(uri, error) from error
        return cls(signer, public, uri)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, once it is found to be right.

        Raises:
            SignerError: it can't be made, or isn't one of the stated public key.
        """
        try:
            signature = bytes.fromhex(self._signer.sign(message).signature)
        except Exception as error:  # each kind of signer raises what it likes
            raise _unusable(self._uri, error) from error
        if not self.public.verifies(signature, message):
            raise SignerError(
                f"what {self._uri} signs doesn't verify under the public key that was stated",
                hint="give the public half of that very key with --public FILE",
            )
        return signature


def _unusable(uri: str, error: Exception) -> SignerError:
    reason = f"{type(error).__name__}: {error}"
    return SignerError(
        f"can't sign with {uri}: {reason}",
        hint="is it the URI of an Ed25519 key, and does --public hold its public half?",
    )
