"""The envelope around what is signed: DSSE v1, read strictly.

The rules, where they go beyond DSSE v1.0.2 (which lets readers be lenient):

1. A bounded number of bytes of JSON, no key twice in an object, no field that DSSE doesn't have.
2. Base64 in its canonical form of the standard alphabet.
3. One to sixteen signatures of 64 bytes, no two of them equal, no two with one key id.
4. A key id is a hint and nothing more. It may be missing.

Signatures cover the pre-authentication encoding, so that no payload can be taken for one of
another type. They don't cover the JSON around it: tools on the way may write that anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from cloacina_core.errors import Problem
from cloacina_core.foundation.json_value import NotJsonError, canonical, decode_strict
from cloacina_registry.errors import SignatureError
from cloacina_registry.trust.keys import SIGNATURE_BYTES, SigningKey
from cloacina_registry.trust.strict import (
    LIST,
    TEXT,
    decode_base64,
    encode_base64,
    field_faults,
)

ENVELOPE_SUFFIX = ".release.attestation"
"""An envelope lies beside its wheel as `<wheel>.release.attestation`. Upload tools take files of
such names for attestations, and send them along with the wheel."""

PAYLOAD_TYPE = "application/vnd.in-toto+json"

MAX_ENVELOPE_BYTES = 64 * 1024
"""Of a release. An honest one has less than 4 KiB, even with all signatures."""
MAX_SIGNATURES = 16
"""Bounds the work: each signature may be tried with each trusted key."""


_LONGEST_MESSAGE = 300  # it may quote the envelope


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (DSSE v1, protocol: PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature in an envelope."""

    signature: bytes
    key_hint: str | None = None
    """Whose it claims to be; a hint for the order of trying, never a proof."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and its signatures. That it was parsed doesn't mean that any signature is right."""

    payload: bytes
    signatures: tuple[Signature, ...]
    payload_type: str = PAYLOAD_TYPE

    @property
    def signed_bytes(self) -> bytes:
        """What the signatures are of."""
        return pre_authentication_encoding(self.payload_type, self.payload)

    def signed_by(self, key: SigningKey) -> "Envelope":
        """Return the envelope with one more signature."""
        signature = Signature(key.sign(self.signed_bytes), key.public.key_id)
        return Envelope(self.payload, (*self.signatures, signature), self.payload_type)

    def to_bytes(self) -> bytes:
        """Return the envelope as JSON; the same envelope gives the same bytes."""
        document = {
            "payload": encode_base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [_signature_json(signature) for signature in self.signatures],
        }
        return canonical(document).encode() + b"\n"

    @classmethod
    def parse(
        cls,
        data: bytes,
        *,
        of: str = "the wheel",
        limit: int = MAX_ENVELOPE_BYTES,
        least_signatures: int = 1,
    ) -> Self:
        """Return the envelope that some untrusted bytes hold.

        Args:
            data: the bytes.
            of: what was signed, for errors to name.
            limit: how many bytes it may have.
            least_signatures: how many it must hold; 0 for a draft that nobody has signed yet.

        Raises:
            SignatureError: they break a rule of this module; each is a problem of kind `envelope`.
        """
        document = _decode(data, of, limit)
        faults = _faults(document, least_signatures)
        if problems := [_problem(message, where) for where, message in faults]:
            raise _refused(of, problems)
        return cls(
            decode_base64(document["payload"]),
            tuple(
                Signature(decode_base64(entry["sig"]), entry.get("keyid"))
                for entry in document["signatures"]
            ),
            document["payloadType"],
        )


def _signature_json(signature: Signature) -> dict[str, str]:
    sig = {"sig": encode_base64(signature.signature)}
    return sig if signature.key_hint is None else {"keyid": signature.key_hint, **sig}


def _decode(data: bytes, of: str, limit: int) -> Any:
    if len(data) > limit:
        raise _refused(of, [_problem(f"it has more than {limit} bytes")])
    try:
        # Decoded here, for json.loads would guess UTF-16 and UTF-32 too.
        return decode_strict(data.decode())
    except UnicodeDecodeError as error:
        raise _refused(of, [_problem("it is not UTF-8")]) from error
    except NotJsonError as error:
        raise _refused(of, [_problem(str(error))]) from error


def _faults(document: Any, least_signatures: int) -> Iterator[tuple[str, str]]:
    """Yield where the document breaks the rules, and how."""
    fields = {"payload": TEXT, "payloadType": TEXT, "signatures": LIST}
    if faults := list(field_faults(document, fields)):
        yield from faults
        return
    yield from _base64_faults(document["payload"], "payload")
    signatures = document["signatures"]
    if not least_signatures <= len(signatures) <= MAX_SIGNATURES:
        wanted = f"{least_signatures} to {MAX_SIGNATURES}"
        yield "signatures", f"there must be {wanted} of them, not {len(signatures)}"
        return
    broken = False
    for index, entry in enumerate(signatures):
        for where, message in _signature_faults(entry):
            broken = True
            yield f"signatures[{index}].{where}".rstrip("."), message
    if not broken:
        yield from _repetitions(signatures)


def _signature_faults(entry: Any) -> Iterator[tuple[str, str]]:
    fields = {"sig": TEXT, "keyid": TEXT}
    if faults := list(field_faults(entry, fields, optional=frozenset({"keyid"}))):
        yield from faults
        return
    if faults := list(_base64_faults(entry["sig"], "sig")):
        yield from faults
    elif (size := len(decode_base64(entry["sig"]))) != SIGNATURE_BYTES:
        yield "sig", f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {size}"


def _base64_faults(text: str, where: str) -> Iterator[tuple[str, str]]:
    try:
        decode_base64(text)
    except ValueError as error:
        yield where, str(error)


def _repetitions(signatures: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    for field in ("sig", "keyid"):
        values = [entry[field] for entry in signatures if field in entry]
        if len(set(values)) != len(values):
            yield "signatures", f"two of them have the same {field}"


def _problem(message: str, where: str = "") -> Problem:
    return Problem("envelope", message[:_LONGEST_MESSAGE], where)


def _refused(of: str, problems: list[Problem]) -> SignatureError:
    return SignatureError(
        f"the signature file of {of} is malformed",
        hint="sign the wheel again; files of other signing tools aren't read",
        problems=problems,
    )
