"""Receipts: the registry's signed word that it took a release in, and when.

Ed25519 has no time in it: a signature alone doesn't tell whether it was made before its key was
stolen. A receipt gives it a time, as far as the registry's own key is believed. It holds the log's
entry of the upload, and the proof that this entry was in the log.

A receipt is refused unless:

1. It is signed as a receipt by the registry's key, or by one that is believed as well
   (see `cloacina_registry.audit.signed`).                                 receipt, registry-key
2. Its entry, root and proof are well-formed, and the entry is of an upload or of a new
   signature.                                                                             receipt
3. Its entry is about this very release: package, version, file name, the digest of the
   wheel and that of the envelope beside it.                                              receipt
4. Its entry is in the tree with its root, by its proof.                                  log

That the root is one that the log had, rules 1 to 4 can't tell: `audit verify` asks the log.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.foundation.json_value import JsonValue
from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.merkle import TreeHead, parse_hash, proves_inclusion
from cloacina_registry.audit.signed import open_document, sign_document
from cloacina_registry.errors import LogTamperedError, ReceiptError
from cloacina_registry.trust.keys import KeyId, PrivateKey, PublicKey
from cloacina_registry.trust.statement import Subject
from cloacina_registry.trust.strict import LIST, OBJECT, TEXT, WHOLE_NUMBER, parse_moment
from cloacina_registry.trust.verification import Received

RECEIPT_SUFFIX = ".receipt.json"
"""A receipt lies beside its wheel as `<wheel>.receipt.json`."""
RECEIPT_TYPE = "application/vnd.cloacina.receipt.v1+json"

RECEIVING = frozenset({EntryKind.UPLOAD, EntryKind.ATTEST})
"""The kinds of entries by which a release with its signature came in."""

RECEIVED_EARLIER = "received_earlier"
"""The fact of an entry that tells when signatures came in that the release had before."""

_FIELDS = {"entry": OBJECT, "size": WHOLE_NUMBER, "root": TEXT, "proof": LIST}
_LONGEST_PROOF = 63  # of a tree whose size fits in 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFiles:
    """What came in: a wheel, and the envelope beside it."""

    subject: Subject
    envelope: Digest | None
    """Of the envelope's bytes; None: it was taken unsigned."""

    @classmethod
    def of(cls, subject: Subject, envelope: bytes | None) -> Self:
        """Return what is said of a wheel with the envelope beside it."""
        return cls(subject=subject, envelope=None if envelope is None else digest_of(envelope))

    def to_json(self) -> dict[str, Any]:
        """Return the facts that the log's entry has to have."""
        return {
            "package": self.subject.package,
            "version": self.subject.version,
            "filename": self.subject.filename,
            "digest": self.subject.digest,
            "attestation": self.envelope,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a receipt says. That it was made doesn't mean that anybody signed it."""

    entry: LogEntry
    head: TreeHead
    """What the log was when the receipt was given."""
    proof: tuple[bytes, ...]
    """That the entry was in it."""

    @property
    def received_at(self) -> datetime:
        """When the release came in, with all the signatures that it has."""
        return self.entry.at

    @property
    def received(self) -> Received:
        """When the release came in, and each of its signatures."""
        return Received(self.entry.at, _earlier(self.entry.facts))

    @classmethod
    def from_log(cls, log: AuditLog, entry: LogEntry) -> Self:
        """Return the receipt for an entry of the log, as the log is now.

        Raises:
            LogTamperedError: the log doesn't hold the entry.
        """
        head = log.head()
        proof = log.inclusion(entry.index, head.size)
        receipt = cls(entry=entry, head=head, proof=tuple(proof))
        if not receipt.is_proved:  # a wrong receipt, once signed, would speak against ourselves
            raise LogTamperedError(f"entry {entry.index} can't be proved to be in the log")
        return receipt

    @property
    def is_proved(self) -> bool:
        """Whether the proof shows that the entry is in the tree."""
        return proves_inclusion(self.proof, self.entry.leaf, self.entry.index, self.head)

    def signed_by(self, key: PrivateKey) -> bytes:
        """Return the receipt in its signed envelope."""
        return sign_document(self.to_json(), RECEIPT_TYPE, key)

    def to_json(self) -> dict[str, Any]:
        """Return what is signed, as JSON."""
        return {
            "entry": self.entry.to_json(),
            "size": self.head.size,
            "root": self.head.root.hex(),
            "proof": [node.hex() for node in self.proof],
        }


def verify_receipt(data: bytes, release: ReceivedFiles | None, *keys: PublicKey) -> Receipt:
    """Return the receipt that some untrusted bytes hold, by all rules of this module.

    Args:
        data: the bytes.
        release: what it has to be of; None: of anything, the caller looks at the entry.
        keys: the registry's, and those of others that are believed.

    Raises:
        ReceiptError: a rule is broken; the problem's kind is that of the rule.
    """
    document = open_document(data, RECEIPT_TYPE, _FIELDS, keys, refusal=ReceiptError)  # (1)
    try:
        receipt = _parsed(document)  # (2)
    except ValueError as error:
        raise _refused([Problem("receipt", str(error))]) from error
    if release is not None:
        problems = list(_differences(receipt.entry.facts, release.to_json()))  # (3)
        if problems:
            raise _refused(problems)
    if not receipt.is_proved:  # (4)
        raise _refused([Problem("log", "its proof doesn't lead from its entry to its root")])
    return receipt


def _parsed(document: Mapping[str, JsonValue]) -> Receipt:
    proof = document["proof"]
    if len(proof) > _LONGEST_PROOF or not all(type(node) is str for node in proof):
        raise ValueError(f"its proof must be at most {_LONGEST_PROOF} hashes")
    entry = LogEntry.from_json(document["entry"])
    if entry.to_json() != document["entry"]:
        raise ValueError("its entry isn't written in its only form")
    _earlier(entry.facts)
    if entry.kind not in RECEIVING:
        raise ValueError(f"its entry is of kind {entry.kind}, by which no release came in")
    return Receipt(
        entry=entry,
        head=TreeHead(document["size"], parse_hash(document["root"])),
        proof=tuple(map(parse_hash, proof)),
    )


def _earlier(facts: Mapping[str, JsonValue]) -> dict[KeyId, datetime]:
    """Return when signatures came in that were there before, by their keys.

    Raises:
        ValueError: that can't be told from the facts.
    """
    moments = facts.get(RECEIVED_EARLIER, {})
    if not isinstance(moments, dict) or not all(type(one) is str for one in moments.values()):
        raise ValueError(f"its {RECEIVED_EARLIER} must be moments by key ids")
    return {KeyId(key_id): parse_moment(moment) for key_id, moment in moments.items()}


def _differences(
    said: Mapping[str, JsonValue], found: Mapping[str, JsonValue]
) -> Iterator[Problem]:
    for name, value in found.items():
        if name not in said or said[name] != value:
            message = f"the receipt is for {str(said.get(name))[:200]!r}, not for {value!r}"
            yield Problem("receipt", message, name)


def _refused(problems: list[Problem]) -> ReceiptError:
    return ReceiptError("this is no receipt of the release", problems=problems)
