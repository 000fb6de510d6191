"""What vouches for the registry's own words: its log, its receipts, and what it signs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.release import normalized_package
from cloacina_core.plugin import Role, RuntimeView, changes
from cloacina_registry.attesting import Incoming
from cloacina_registry.audit.auditing import Audited, KeptChannel, KeptRelease, audit
from cloacina_registry.audit.checkpoint import Checkpoint
from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.examination import Tell
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.receipt import (
    RECEIVED_EARLIER,
    Receipt,
    ReceivedFiles,
    verify_receipt,
)
from cloacina_registry.audit.signed import RegistryKey
from cloacina_registry.errors import ReceiptError, TrustError
from cloacina_registry.storage.catalog import PAGE_LENGTH, Catalog, StoredRelease
from cloacina_registry.storage.channels import ChannelMoves
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.signed import SignedTrust
from cloacina_registry.trust.statement import Subject
from cloacina_registry.trust.verification import Received

_OF_ADMINS = frozenset({EntryKind.DELETE, EntryKind.TRANSFER})


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some entries of the log, and how to ask for those behind them."""

    entries: Sequence[LogEntry]
    next_after: int | None
    """What to give as `after`; None: there are no more."""


class Evidence:
    """The log of one home, and what is signed with the registry's own key."""

    def __init__(self, view: RuntimeView, key: RegistryKey) -> None:
        self._view = view
        self._key = key

    def private_key(self) -> PrivateKey:
        """Return the key that receipts are signed with.

        Raises:
            KeyFileError: it can't be used.
        """
        return self._key.private()

    def enter_upload(
        self,
        connection: Connection,
        incoming: Incoming,
        key: PrivateKey,
        *,
        actor: str,
        trust_version: int | None,
    ) -> bytes:
        """Write a release that came in into the log, and return the receipt for it.

        Args:
            connection: the transaction that publishes it.
            incoming: the release, and whether it was published or signed further.
            key: see `private_key`.
            actor: who did it.
            trust_version: of the trust document by which it was judged; None: there was none.

        Raises:
            NotAllowedError: whose API key was given may not do that.
            LogTamperedError: the log was damaged.
        """
        self._require(incoming.kind)
        log = AuditLog(connection)
        facts = {**_facts_of(incoming.release), "trust_version": trust_version}
        if incoming.received_earlier:
            earlier = incoming.received_earlier.items()
            facts[RECEIVED_EARLIER] = {key_id: iso(moment) for key_id, moment in earlier}
        entry = log.append(incoming.kind, facts, at=self._view.clock.now(), actor=actor)
        return Receipt.from_log(log, entry).signed_by(key)

    def enter(
        self,
        connection: Connection,
        kind: EntryKind,
        facts: Mapping[str, JsonValue],
        *,
        actor: str,
    ) -> None:
        """Write into the log what is done in a transaction.

        Do it last: all who write wait for each other here, and who holds the log must not wait for
        another who waits for it.

        Args:
            connection: the transaction.
            kind: what is done.
            facts: to what, and how; `package` is what the entry is found by.
            actor: who does it.

        Raises:
            NotAllowedError: whose API key was given may not do that.
            InputError: a fact can't be stored.
            LogTamperedError: the log was damaged.
        """
        self._require(kind)
        AuditLog(connection).append(kind, facts, at=self._view.clock.now(), actor=actor)

    def _require(self, kind: EntryKind) -> None:
        """Refuse what whoever gave an API key may not have done.

        All that is changed is written into the log. So it is refused whichever way it comes, as
        from the command of another plugin.
        """
        role = Role.ADMIN if kind in _OF_ADMINS else Role.PUBLISH
        self._view.require(f"write {kind.value!r} into the log", changes(role))

    def trust_version(self) -> int:
        """Return the newest version of the trust document that the log tells of; 0: of none."""
        with self._view.read() as connection:
            return _trust_version(AuditLog(connection))

    def enter_trust(self, documents: Sequence[SignedTrust], *, actor: str) -> None:
        """Write the versions of the trust document into the log that it doesn't tell of yet.

        Args:
            documents: versions that were in force here, the oldest first.
            actor: who does it.

        Raises:
            LogTamperedError: the log was damaged.
        """
        with self._view.begin() as connection:
            known = _trust_version(AuditLog(connection))
            for trust in documents:
                if trust.version > known:
                    facts = {"trust_version": trust.version, "digest": trust.digest}
                    self.enter(connection, EntryKind.TRUST, facts, actor=actor)

    def received(self, release: StoredRelease) -> Received | None:
        """Return when a release came in, with each of the signatures that it has.

        None: there is no receipt that could be believed.
        """
        if release.receipt is None:
            return None
        try:
            keys = self._key.believed()
            return verify_receipt(release.receipt, _received(release), *keys).received
        except TrustError:
            return None

    def log(
        self,
        *,
        package: str | None = None,
        kind: EntryKind | None = None,
        after: int | None = None,
        limit: int = PAGE_LENGTH,
        newest_first: bool = True,
    ) -> LogPage:
        """Return some entries of the log.

        Args:
            package: only those about this one.
            kind: only those of this kind.
            after: the index of the last entry on the page before.
            limit: how many at most.
            newest_first: in the reverse of the order in which things happened.

        Raises:
            LogTamperedError: one of them can't be read.
        """
        with self._view.read() as connection:
            found = AuditLog(connection).entries(
                limit=limit + 1,
                after=after,
                kind=kind,
                package=None if package is None else normalized_package(package),
                newest_first=newest_first,
            )
        entries = found[:limit]
        return LogPage(entries, entries[-1].index if len(found) > limit else None)

    def checkpoint(self) -> bytes:
        """Return the registry's signed word for what the log is now.

        Raises:
            KeyFileError: the registry's own key can't be used.
            LogTamperedError: the log was damaged.
        """
        key = self._key.private()
        with self._view.read() as connection:
            head = AuditLog(connection).head()
        now = self._view.clock.now()
        return Checkpoint(origin=key.public.key_id, head=head, at=now).signed_by(key)

    def receipt(self, release: StoredRelease) -> bytes:
        """Return a receipt for a release, made anew for the log as it is now.

        Raises:
            ReceiptError: the one that was given at the upload isn't right.
            KeyFileError: the registry's own key can't be used.
            LogTamperedError: what it tells of isn't in the log.
        """
        key = self._key.private()
        if release.receipt is None:
            raise ReceiptError(f"{release} came in without a receipt")
        first = verify_receipt(release.receipt, _received(release), *self._key.believed())
        with self._view.read() as connection:
            return Receipt.from_log(AuditLog(connection), first.entry).signed_by(key)

    def audit(self, checkpoint: Checkpoint | None, tell: Tell) -> Audited:
        """Return what was examined of the log, once all of it is found to be right.

        Args:
            checkpoint: a verified one that was kept elsewhere; None: only what is kept here tells
                of a log that was rewritten.
            tell: told after each page of entries.

        Raises:
            LogTamperedError: something is wrong; `problems` tells what.
            UnknownRegistryKeyError: nothing is, but for receipts whose signer isn't known here.
            KeyFileError: a registry's key can't be read.
        """
        keys = self._key.believed()
        with self._view.read() as connection:
            releases = _kept_releases(Catalog(connection))
            channels = _kept_channels(ChannelMoves(connection))
            return audit(AuditLog(connection), releases, channels, keys, checkpoint, tell)


def _trust_version(log: AuditLog) -> int:
    newest = log.entries(kind=EntryKind.TRUST, limit=1, newest_first=True)
    return int(str(newest[0].facts["trust_version"])) if newest else 0


def _received(release: StoredRelease) -> ReceivedFiles:
    subject = Subject(
        filename=release.filename,
        digest=release.digest,
        package=release.package,
        version=release.version,
    )
    return ReceivedFiles.of(subject, release.attestation)


def _facts_of(release: StoredRelease) -> dict[str, Any]:
    return {
        **_received(release).to_json(),
        "size": release.size,
        "signers": [{"name": one.name, "key_id": one.key_id} for one in release.signers],
    }


def _kept_releases(catalog: Catalog) -> Iterator[KeptRelease]:
    last = None
    while page := catalog.page(package=None, after=last, limit=PAGE_LENGTH, with_deleted=True):
        for release in page:
            yield KeptRelease(_received(release), release.receipt, release.status.value)
        last = page[-1]


def _kept_channels(moves: ChannelMoves) -> Iterator[KeptChannel]:
    for move in moves.current():
        yield KeptChannel(move.package, move.channel, move.revision, move.version, move.digest)
