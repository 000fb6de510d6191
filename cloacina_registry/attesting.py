"""What becomes of a release when its bytes come in again: its evidence grows, or stays as it is.

1. The same bytes are the same release under the same file name alone: what was signed names it.
2. Nothing changes unless a key signed whose signature didn't count before.
3. Signatures that count already stay, and so does the time since when they have been there.
   Those that count no more go.
4. Signatures share one statement. A signature of another statement than the one that still
   counts is refused.
5. What was deleted is published as if for the first time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter

from cloacina_core.errors import Problem
from cloacina_registry.audit.entries import EntryKind
from cloacina_registry.errors import (
    FilenameChangedError,
    FilenameReusedError,
    ReleaseExistsError,
    SignatureError,
)
from cloacina_registry.storage.catalog import ReleaseStatus, StoredRelease
from cloacina_registry.trust.envelope import MAX_SIGNATURES, Envelope, Signature
from cloacina_registry.trust.keys import KeyId
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.statement import Statement, Subject
from cloacina_registry.trust.verification import Received, Signer, counting_signatures


@dataclass(frozen=True, slots=True)
class Incoming:
    """A release as it is to be, and what the log is to tell of it."""

    release: StoredRelease
    kind: EntryKind
    received_earlier: Mapping[KeyId, datetime] = field(default_factory=dict)
    """When signatures came in that it had before, by their keys."""


def come_in_again(
    stored: StoredRelease,
    offered: StoredRelease,
    trust: TrustPolicy,
    now: datetime,
    received: Received | None,
) -> Incoming | None:
    """Return what a release becomes when it is offered again; None: it stays as it is.

    Args:
        stored: as it is.
        offered: as it came in just now, with an envelope that was verified.
        trust: whom we trust.
        now: the present moment.
        received: when the stored one came in; None: nobody can be believed to know.

    Raises:
        ReleaseExistsError: the version, or the file name, is that of something else.
        SignatureError: it can't be added to those that are there.
    """
    if stored.digest != offered.digest:
        raise _taken(stored, offered)
    if stored.filename != offered.filename:
        raise FilenameChangedError(stored.package, stored.version, stored.filename, stored.digest)
    if stored.status is ReleaseStatus.DELETED:
        return Incoming(offered, EntryKind.UPLOAD)
    if offered.attestation is None:
        return None
    envelope = Envelope.parse(offered.attestation, of=offered.filename)
    there = _envelope_of(stored)
    before: dict[Signer, Signature] = {}
    if there is not None:
        before = counting_signatures(there, stored.package, trust, now, received)
    new = counting_signatures(envelope, stored.package, trust, now, None)
    if new.keys() <= before.keys():
        return None
    if there is None or not before:
        signed = replace(stored, attestation=offered.attestation, signers=offered.signers)
        return Incoming(signed, EntryKind.ATTEST)
    if there.signed_bytes != envelope.signed_bytes:
        raise _refused(stored, "it is of another statement than the signatures that are there")
    earlier = {} if received is None else {one.key_id: received.of(one.key_id) for one in before}
    # The signatures that were there come last, so that none is exchanged for a newer one.
    joined = _with_signatures(stored, there, {**new, **before})
    return Incoming(joined, EntryKind.ATTEST, earlier)


def _with_signatures(
    release: StoredRelease, envelope: Envelope, signatures: Mapping[Signer, Signature]
) -> StoredRelease:
    if len(signatures) > MAX_SIGNATURES:
        raise _refused(release, f"there would be more than {MAX_SIGNATURES} signatures")
    signers = tuple(sorted(signatures, key=attrgetter("name")))
    by_name = tuple(signatures[signer] for signer in signers)
    attestation = replace(envelope, signatures=by_name).to_bytes()
    return replace(release, attestation=attestation, signers=signers)


def _envelope_of(release: StoredRelease) -> Envelope | None:
    """Return the envelope that is stored; None: there is none that is about the release."""
    if release.attestation is None:
        return None
    subject = Subject(
        filename=release.filename,
        digest=release.digest,
        package=release.package,
        version=release.version,
    )
    try:
        envelope = Envelope.parse(release.attestation)
        statement = Statement.parse(envelope.payload)
    except SignatureError:
        return None
    return None if list(statement.differences(subject)) else envelope


def _refused(release: StoredRelease, message: str) -> SignatureError:
    return SignatureError(
        f"the signature can't be added to those of {release}",
        hint="download the release with its signature file, sign that, and upload both",
        problems=[Problem("statement", message)],
    )


def _taken(stored: StoredRelease, offered: StoredRelease) -> ReleaseExistsError:
    is_deleted = stored.status is ReleaseStatus.DELETED
    error = FilenameReusedError if is_deleted else ReleaseExistsError
    return error(stored.package, stored.version, published=stored.digest, offered=offered.digest)
