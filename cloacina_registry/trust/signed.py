"""A trust document with its signatures: who made it, and may it take the place of another?

The rules, in the order in which they are asked. The kind of problem stands behind each.

 1. It is a well-formed envelope (see `envelope`) of at most 4 MiB,
    with a payload of this type.                                            envelope
 2. What was signed is a trust document (see `document`).                   trust-document
 3. A signature that names a root key and doesn't verify under it is
    forged: refused, whatever else the envelope holds.                      signature-invalid
 4. As many different ones of its own root keys have signed it as it
    asks for itself. Keys are told apart by their bytes.                    root-threshold
 5. As many root keys of the version before it have signed it as that one
    asks for: it takes those who rule now to hand on the rule.              root-threshold
 6. Its version is higher than that one's.                                  root-rollback
 7. It isn't older than the newest that was seen here, and if it has that
    one's version, it has that one's contents.                              root-rollback
 8. It hasn't expired.                                                      freeze

Rules 5 and 6 are the root rule of TUF (The Update Framework 1.0, 5.3): a chain of versions is
walked step by step, and only the last must not have expired. Versions between two that are at hand
may be missing, as long as rule 5 holds across the gap.

Rule 7 looks at the digest of what was signed. Signatures may be added to a document in force.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn, Self

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.foundation.json_value import NotJsonError, canonical, decode_strict
from cloacina_registry.errors import (
    RootThresholdError,
    SignatureError,
    TrustDocumentError,
    TrustExpiredError,
    TrustRollbackError,
)
from cloacina_registry.trust.document import policy_from_json, policy_to_json
from cloacina_registry.trust.envelope import Envelope
from cloacina_registry.trust.keys import KeyId, SigningKey
from cloacina_registry.trust.policy import Root, TrustPolicy

TRUST_PAYLOAD_TYPE = "application/vnd.cloacina.trust+json"
MAX_TRUST_BYTES = 4 * 1024 * 1024
"""A full one, with 256 grants to 64 keys each, has less than 3 MiB."""

_GET_ANEW = "get it anew from those who hold the root keys, or restore it from a backup"
_ERRORS: tuple[tuple[str, type[TrustDocumentError], str], ...] = (
    ("signature-invalid", TrustDocumentError, f"don't use it: it was changed by hand; {_GET_ANEW}"),
    ("root-rollback", TrustRollbackError, "put the newest in force: cloacina trust apply FILE"),
    ("root-threshold", RootThresholdError, "more root keys must: cloacina trust sign FILE"),
    ("freeze", TrustExpiredError, "who holds root keys says: cloacina trust expires MOMENT"),
)
"""What to raise and to advise, by kind of problem; the first that fits."""


@dataclass(frozen=True, slots=True)
class SignedTrust:
    """A policy in its signed envelope. That it was parsed doesn't mean that it may be used."""

    envelope: Envelope
    policy: TrustPolicy

    @classmethod
    def unsigned(cls, policy: TrustPolicy) -> Self:
        """Return a policy's document, for root keys to sign."""
        payload = canonical(policy_to_json(policy)).encode()
        return cls(Envelope(payload, (), TRUST_PAYLOAD_TYPE), policy)

    @classmethod
    def parse(cls, data: bytes, where: str = "the trust document") -> Self:
        """Return the document that some bytes hold, by rules 1 and 2.

        Args:
            data: the bytes. They may be a draft that nobody has signed yet.
            where: what to call them in errors.

        Raises:
            TrustDocumentError: they break one of these rules.
        """
        try:
            envelope = Envelope.parse(data, of=where, limit=MAX_TRUST_BYTES, least_signatures=0)
            if envelope.payload_type != TRUST_PAYLOAD_TYPE:
                other = f"must be {TRUST_PAYLOAD_TYPE!r}, not {envelope.payload_type[:100]!r}"
                refuse(where, [Problem("envelope", other, "payloadType")])
            document = decode_strict(envelope.payload)
        except SignatureError as error:
            refuse(where, error.problems)
        except NotJsonError as error:
            refuse(where, [Problem("trust-document", str(error))])
        return cls(envelope, policy_from_json(document, where=where))

    @property
    def version(self) -> int:
        """The version of the document."""
        return self.policy.version

    @property
    def digest(self) -> Digest:
        """The digest of what was signed."""
        return digest_of(self.envelope.payload)

    def to_bytes(self) -> bytes:
        """Return it as it is kept in files."""
        return self.envelope.to_bytes()

    def signed_by(self, keys: Iterable[SigningKey]) -> Self:
        """Return it with one more signature of each key that hasn't signed it yet."""
        envelope = self.envelope
        for key in keys:
            if not any(key.public.key_id == old.key_hint for old in envelope.signatures):
                envelope = envelope.signed_by(key)
        return replace(self, envelope=envelope)

    def signers(self, root: Root) -> frozenset[KeyId]:
        """Return which of some root keys have signed it."""
        message, signatures = self.envelope.signed_bytes, self.envelope.signatures
        return frozenset(
            key.key_id
            for key in root.keys
            if any(key.verifies(signature.signature, message) for signature in signatures)
        )

    def problems(self) -> Iterator[Problem]:
        """Yield what speaks against it by itself: rules 3 and 4."""
        yield from self._forgeries(self.policy.root)  # (3)
        yield from self._shortfall(self.policy.root, "its own root keys")  # (4)

    def problems_after(self, older: "SignedTrust") -> Iterator[Problem]:
        """Yield what keeps it from taking the place of another: rules 3, 5 and 6."""
        root = older.policy.root
        yield from self._forgeries(root)  # (3)
        yield from self._shortfall(root, f"the root keys of version {older.version}")  # (5)
        if self.version <= older.version:  # (6)
            message = f"it is version {self.version}, which doesn't come after {older.version}"
            yield Problem("root-rollback", message)

    def expiry_problems(self, now: datetime) -> Iterator[Problem]:
        """Yield that it has expired, if it has: rule 8."""
        expires_at = self.policy.expires_at
        if expires_at is not None and now >= expires_at:
            yield Problem("freeze", f"it expired {iso(expires_at)}")

    def _forgeries(self, root: Root) -> Iterator[Problem]:
        keys = {str(key.key_id): key for key in root.keys}
        for place, signature in enumerate(self.envelope.signatures):
            claimed = keys.get(signature.key_hint or "")
            if claimed and not claimed.verifies(signature.signature, self.envelope.signed_bytes):
                message = f"it names root key {claimed.key_id}, which didn't make it"
                yield Problem("signature-invalid", message, f"signatures[{place}]")

    def _shortfall(self, root: Root, whose: str) -> Iterator[Problem]:
        if (count := len(self.signers(root))) < root.threshold:
            message = f"{count} of {whose} signed it, and {root.threshold} must"
            yield Problem("root-threshold", message)


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest version that was in force here: nothing older is taken again."""

    version: int
    digest: Digest
    """Of what was signed."""

    @classmethod
    def of(cls, trust: SignedTrust) -> Self:
        """Return what to remember of a document."""
        return cls(trust.version, trust.digest)

    def problems(self, trust: SignedTrust) -> Iterator[Problem]:
        """Yield what speaks against a document: rule 7."""
        if trust.version < self.version:
            message = f"it is version {trust.version}, and version {self.version} was seen here"
            yield Problem("root-rollback", message)
        elif trust.version == self.version and trust.digest != self.digest:
            message = f"another version {self.version} was seen here, with other contents"
            yield Problem("root-rollback", message)


def walk_problems(older: SignedTrust, newer: Sequence[SignedTrust]) -> Iterator[Problem]:
    """Yield what keeps some documents from following another, one by one: rules 3 to 6."""
    for trust in newer:
        for problem in (*trust.problems(), *trust.problems_after(older)):
            yield replace(problem, where=f"version {trust.version} {problem.where}".strip())
        older = trust


def refuse_if_any(where: str, problems: Iterable[Problem]) -> None:
    """Refuse a document against which something speaks.

    Raises:
        TrustDocumentError: something does; the class of the error says what.
    """
    if found := tuple(dict.fromkeys(problems)):
        refuse(where, found)


def refuse(where: str, problems: Sequence[Problem]) -> NoReturn:
    """Refuse a document.

    Raises:
        TrustDocumentError: always.
    """
    kinds = {problem.kind for problem in problems}
    for kind, error, hint in _ERRORS:
        if kind in kinds:
            raise error(f"{where} can't be trusted", hint=hint, problems=problems)
    raise TrustDocumentError(f"{where} is damaged", hint=_GET_ANEW, problems=problems)
