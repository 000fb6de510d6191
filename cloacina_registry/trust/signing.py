"""Signing a wheel: the statement about it, in an envelope."""

from datetime import datetime

from cloacina_registry.errors import SignatureError
from cloacina_registry.trust.envelope import MAX_SIGNATURES, Envelope
from cloacina_registry.trust.keys import SigningKey
from cloacina_registry.trust.statement import Statement, Subject
from cloacina_registry.wheel.checked import CheckedWheel


def sign_wheel(wheel: CheckedWheel, key: SigningKey, *, created: datetime | None = None) -> bytes:
    """Return the envelope to lay beside a wheel.

    Args:
        wheel: what is signed.
        key: whose signature it gets.
        created: the moment to state. Without it, signing the same wheel with the same key again
            gives the same bytes.
    """
    statement = Statement.about(wheel, created=created)
    return Envelope(statement.to_bytes(), ()).signed_by(key).to_bytes()


def add_signature(wheel: CheckedWheel, envelope: bytes, key: SigningKey) -> bytes:
    """Return an envelope with one more signature, for policies that ask for several signers.

    Signing again with a key that has signed changes nothing.

    Args:
        wheel: what is signed; the envelope must be about it, or the signer would sign unseen.
        envelope: what lies beside it.
        key: whose signature is added.

    Raises:
        SignatureError: the envelope is malformed, full, or about another wheel.
    """
    signed = Envelope.parse(envelope)
    statement = Statement.parse(signed.payload)
    if problems := [
        *statement.differences(Subject.of(wheel)),
        *statement.differences_inside(wheel),
    ]:
        raise SignatureError(f"the signature file is not about {wheel.filename}", problems=problems)
    if any(signature.key_hint == key.public.key_id for signature in signed.signatures):
        return envelope
    if len(signed.signatures) >= MAX_SIGNATURES:
        raise SignatureError(f"the signature file holds {MAX_SIGNATURES} signatures already")
    return signed.signed_by(key).to_bytes()
