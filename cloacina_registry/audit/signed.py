"""What the registry itself signs: JSON in an envelope, by one key of its own.

The key says nothing of packages, and no policy trusts it with any. Whoever holds it can forge
receipts and checkpoints, but no publisher's signature.

A document is refused unless:

1. It is an envelope, within its limits (see `cloacina_registry.trust.envelope`).
2. Its payload is of the type that is asked for: a checkpoint is never taken for a receipt.
3. It has one signature, and a key that is believed made it. When none did, that alone is a
   problem of kind `registry-key`.
4. Its payload is JSON by the strict rules, with exactly the fields that are known.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cloacina_core.errors import Problem
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, canonical, decode_strict
from cloacina_registry.errors import (
    SignatureError,
    TrustError,
    UnknownKeyError,
    UnknownRegistryKeyError,
)
from cloacina_registry.trust.envelope import Envelope
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.keys import PrivateKey, PublicKey
from cloacina_registry.trust.strict import Kinds, field_faults

REGISTRY_KEY = "registry"
"""The name of the registry's own key in the ring of its home."""
UNKNOWN_KEY = UnknownRegistryKeyError.code
"""The kind of the problem that nobody signed who is known here: what was signed may be right."""


class RegistryKey:
    """The registry's own key, which is made when it is first needed."""

    def __init__(self, home: Path, passphrase: str | None) -> None:
        self._ring = KeyRing(home)
        self._passphrase = passphrase

    def private(self) -> PrivateKey:
        """Return the key to sign with.

        One that the registry makes isn't encrypted, for it signs when nobody is there to be asked.
        An operator may have made an encrypted one before.

        Raises:
            KeyFileError: others may read its file, its passphrase is missing or wrong, or it can't
                be read or made.
        """
        return self._ring.load_or_make(REGISTRY_KEY, self._passphrase)

    def believed(self) -> tuple[PublicKey, ...]:
        """Return the keys whose receipts are believed: this one, and those of other homes.

        An operator lays the public halves of the others, with which this home shares a store, into
        `keys/registry/`.

        Raises:
            KeyFileError: one of the files is damaged, or others may change it, or add one.
        """
        own: tuple[PublicKey, ...] = ()
        with contextlib.suppress(UnknownKeyError):  # nothing was ever signed here
            own = (self.public(),)
        return (*own, *self._ring.public_elsewhere(REGISTRY_KEY))

    def public(self) -> PublicKey:
        """Return the half that others check with.

        Raises:
            UnknownKeyError: nothing was ever signed here.
            KeyFileError: its file is damaged, or others may change it.
        """
        return self._ring.public(REGISTRY_KEY)


def sign_document(document: Mapping[str, JsonValue], payload_type: str, key: PrivateKey) -> bytes:
    """Return a document in its signed envelope; the same document gives the same bytes."""
    payload = canonical(document).encode()
    return Envelope(payload, (), payload_type).signed_by(key).to_bytes()


def open_document(
    data: bytes,
    payload_type: str,
    fields: Mapping[str, Kinds],
    keys: Collection[PublicKey],
    *,
    refusal: type[TrustError],
) -> dict[str, JsonValue]:
    """Return the document that some untrusted bytes hold, by the rules of this module.

    Args:
        data: the bytes.
        payload_type: what they are to hold.
        fields: what the document has to have, and nothing else.
        keys: of whom one has to have signed it.
        refusal: what to raise, and how to call its problems.

    Raises:
        TrustError: of the kind `refusal`, when a rule is broken.
    """
    kind = refusal.code
    try:
        envelope = Envelope.parse(data, of=f"the {kind}")  # (1)
    except SignatureError as error:
        problems = [Problem(kind, problem.message, problem.where) for problem in error.problems]
        raise refusal(f"this is no {kind}", problems=problems) from error
    found = list(_faults_outside(envelope, payload_type))
    if not found:
        _require_signer(envelope, keys, refusal)
        try:
            document = decode_strict(envelope.payload)  # (4)
        except NotJsonError as error:
            found = [("payload", str(error))]
        else:
            found = list(field_faults(document, fields))
            if not found:
                return dict(document)
    problems = [Problem(kind, message, where) for where, message in found]
    raise refusal(f"this is no {kind} of the registry", problems=problems)


def _faults_outside(envelope: Envelope, payload_type: str) -> Iterator[tuple[str, str]]:
    if envelope.payload_type != payload_type:  # (2)
        yield "payloadType", f"must be {payload_type!r}, not {envelope.payload_type[:100]!r}"
    elif len(envelope.signatures) != 1:  # (3)
        yield "signatures", f"there must be exactly one, not {len(envelope.signatures)}"


def _require_signer(
    envelope: Envelope, keys: Collection[PublicKey], refusal: type[TrustError]
) -> None:
    (signature,) = envelope.signatures
    if any(key.verifies(signature.signature, envelope.signed_bytes) for key in keys):
        return
    claimed = signature.key_hint
    if claimed in {key.key_id for key in keys}:
        kind, message = refusal.code, f"the registry's key, {claimed}, didn't make it"
    else:
        named = "one that it doesn't name" if claimed is None else claimed[:100]
        kind, message = UNKNOWN_KEY, f"signed by registry key {named}, unknown here"
    problems = [Problem(kind, message, "signatures")]
    raise refusal(f"this is no {refusal.code} of the registry", problems=problems)
