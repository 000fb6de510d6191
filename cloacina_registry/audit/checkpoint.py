"""Checkpoints: the registry's signed word for what its log was at a moment.

Whoever keeps one where the registry can't write can show later whether the log was rewritten or cut
off since: a log that was honest begins with the same entries, and has the same root at that size.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import iso
from cloacina_registry.audit.merkle import TreeHead, parse_hash
from cloacina_registry.audit.signed import open_document, sign_document
from cloacina_registry.errors import CheckpointError
from cloacina_registry.trust.keys import KeyId, PrivateKey, PublicKey
from cloacina_registry.trust.strict import TEXT, WHOLE_NUMBER, parse_moment

CHECKPOINT_TYPE = "application/vnd.cloacina.checkpoint.v1+json"

_FIELDS = {"origin": TEXT, "size": WHOLE_NUMBER, "root": TEXT, "at": TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log was at a moment."""

    origin: KeyId
    """Which log: the id of the key of its registry."""
    head: TreeHead
    at: datetime

    def signed_by(self, key: PrivateKey) -> bytes:
        """Return the checkpoint in its signed envelope."""
        document = {
            "origin": self.origin,
            "size": self.head.size,
            "root": self.head.root.hex(),
            "at": iso(self.at),
        }
        return sign_document(document, CHECKPOINT_TYPE, key)

    @classmethod
    def verify(cls, data: bytes, key: PublicKey) -> Self:
        """Return the checkpoint that some untrusted bytes hold.

        Raises:
            CheckpointError: they don't hold one that the key's holder signed, of the log that goes
                by the key; each fault is a problem of kind `checkpoint`, or `registry-key` when
                another key signed.
        """
        document = open_document(data, CHECKPOINT_TYPE, _FIELDS, [key], refusal=CheckpointError)
        try:
            found = cls(
                origin=KeyId(document["origin"]),
                head=TreeHead(document["size"], parse_hash(document["root"])),
                at=parse_moment(document["at"]),
            )
        except ValueError as error:
            raise _refused(str(error)) from error
        if found.origin != key.key_id:
            raise _refused(f"it is of another log, {found.origin[:100]!r}")
        if found.head.size < 0:
            raise _refused("its size is negative")
        return found


def _refused(message: str) -> CheckpointError:
    return CheckpointError(
        "this is no checkpoint of the registry", problems=[Problem("checkpoint", message)]
    )
