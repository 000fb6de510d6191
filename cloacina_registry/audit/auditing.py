"""Auditing: do the log, the releases with their receipts, and a checkpoint tell one story?

The log is examined by itself (see `examination`). Then, or with it:

1. Each release has a receipt, which is right (see `receipt`).                          receipt
   One whose signer isn't known here says nothing of the log, right or wrong.           registry-key
2. The log had the root that each receipt and the checkpoint tell, at their sizes.      log
3. Each upload that the log tells of is a release of the catalog, with the same bytes.  log
4. Each release has the status that the last entry about it tells, and the signature file
   with which it came in last; each channel points where the last entry about it tells. log
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import iso
from cloacina_registry.audit.checkpoint import Checkpoint
from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.examination import PAGE_LENGTH, Finding, Tell, Witness, examine
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.merkle import TreeHead
from cloacina_registry.audit.receipt import RECEIVING, ReceivedFiles, verify_receipt
from cloacina_registry.audit.signed import UNKNOWN_KEY
from cloacina_registry.errors import (
    MAX_PROBLEMS,
    LogTamperedError,
    ReceiptError,
    UnknownRegistryKeyError,
)
from cloacina_registry.trust.keys import PublicKey


@dataclass(frozen=True, slots=True)
class KeptRelease:
    """A release as the catalog has it, deleted or not."""

    files: ReceivedFiles
    receipt: bytes | None
    status: str

    def __str__(self) -> str:
        return f"{self.files.subject.package} {self.files.subject.version}"


@dataclass(frozen=True, slots=True)
class KeptChannel:
    """A channel as the store has it."""

    package: str
    name: str
    revision: int
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Audited:
    """A log in which nothing was found to be wrong."""

    head: TreeHead
    receipts: int
    """How many releases' receipts were checked against it."""


def audit(
    log: AuditLog,
    releases: Iterable[KeptRelease],
    channels: Iterable[KeptChannel],
    keys: Sequence[PublicKey],
    checkpoint: Checkpoint | None,
    tell: Tell,
) -> Audited:
    """Return what was examined, once all of it is found to be right.

    Args:
        log: seen through one transaction, the same that the releases are seen through.
        releases: all that the catalog has.
        channels: all that there are, as they are.
        keys: the registry's, and those of others that are believed.
        checkpoint: a verified one that was kept elsewhere.
        tell: told after each page of entries.

    Raises:
        LogTamperedError: something is wrong; `problems` tells what, the first `MAX_PROBLEMS`.
        UnknownRegistryKeyError: nothing is, but for receipts whose signer isn't known here.
    """
    witnesses, problems = [], []
    kept = _Kept()
    if checkpoint is not None:
        told = f"the checkpoint of {iso(checkpoint.at)}"
        witnesses.append(Witness(told, checkpoint.head))
    receipts = 0
    for release in releases:
        subject = release.files.subject
        place = subject.package, subject.version, subject.digest
        kept.statuses[place] = release.status
        kept.envelopes[place] = release.files.envelope
        try:
            witnesses.append(_witness(release, keys))
            receipts += 1
        except ReceiptError as error:
            problems += [_of_release(release, problem) for problem in error.problems]
    for channel in channels:
        points_at = channel.revision, channel.version, channel.digest
        kept.channels[channel.package, channel.name] = points_at
    examined = examine(log, witnesses, tell)
    problems = [finding.to_problem() for finding in examined.findings] + problems
    if not examined.findings:
        problems += [finding.to_problem() for finding in _told_otherwise(kept, log)]
    wrong = [problem for problem in problems if problem.kind != UNKNOWN_KEY]
    if wrong:
        raise LogTamperedError(
            _summary(examined.first_wrong, len(wrong)),
            examined.first_wrong,
            wrong[:MAX_PROBLEMS],
        )
    if problems:
        raise UnknownRegistryKeyError(
            "not all receipts can be judged: registries signed them that aren't known here",
            hint="if they share this store: cloacina key show registry there, and lay what it "
            "prints into the folder keys/registry of this home, as NAME.pub",
            problems=problems[:MAX_PROBLEMS],
        )
    return Audited(examined.head, receipts)


def _witness(release: KeptRelease, keys: Sequence[PublicKey]) -> Witness:
    if release.receipt is None:
        problems = [Problem("receipt", "it has no receipt")]
        raise ReceiptError("there is no receipt", problems=problems)
    receipt = verify_receipt(release.receipt, release.files, *keys)
    return Witness(f"the receipt of {release}", receipt.head)


def _of_release(release: KeptRelease, problem: Problem) -> Problem:
    where = f"{release} {problem.where}".rstrip()
    return Problem(problem.kind, problem.message, where)


_STATUSES = {
    EntryKind.UPLOAD: "published",
    EntryKind.YANK: "yanked",
    EntryKind.UNYANK: "published",
    EntryKind.QUARANTINE: "quarantined",
    EntryKind.KILL: "killed",
    EntryKind.RETIRE: "retired",
    EntryKind.RESTORE: "published",
    EntryKind.BROKEN: "broken",
    EntryKind.DELETE: "deleted",
}
"""What becomes of a release by each kind of entry about it."""


@dataclass(slots=True)
class _Kept:
    """What the store says of releases and channels, apart from the log."""

    statuses: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """By package, version and digest."""
    envelopes: dict[tuple[str, str, str], str | None] = field(default_factory=dict)
    """The digest of the signature file, by the same."""
    channels: dict[tuple[str, str], tuple[int, str, str]] = field(default_factory=dict)
    """Revision, version and digest by package and name."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What an entry tells of a thing, beside what the store has."""

    thing: tuple[str, ...]
    what: str
    told: object
    found: object


def _told_otherwise(kept: _Kept, log: AuditLog) -> Iterator[Finding]:
    """Yield entries that tell otherwise than the store does: of each thing the newest counts."""
    judged: set[tuple[str, ...]] = set()
    after = None
    while page := log.entries(after=after, limit=PAGE_LENGTH, newest_first=True):
        for entry in page:
            for one in _told_by(entry, kept):
                if one.thing not in judged and one.found != one.told:
                    told, found = _said(one.told), _said(one.found)
                    message = f"it tells of {one.what} as {told}, the store has {found}"
                    yield Finding(message, entry.index)
                judged.add(one.thing)
        after = page[-1].index


def _told_by(entry: LogEntry, kept: _Kept) -> Iterator[_Told]:
    facts = {name: str(value) for name, value in entry.facts.items()}
    package, version, digest = (facts.get(name, "") for name in ("package", "version", "digest"))
    release = package, version, digest
    if "channel" in facts:
        channel = package, facts["channel"]
        told = int(facts.get("revision", "0")), version, digest
        yield _Told(channel, "@".join(channel), told, kept.channels.get(channel))
        return
    if entry.kind in _STATUSES:
        found = kept.statuses.get(release)
        yield _Told(release, f"{package} {version}", _STATUSES[entry.kind], found)
    if entry.kind in RECEIVING and release in kept.envelopes:
        what = f"the signature file of {package} {version}"
        attestation = entry.facts.get("attestation")
        yield _Told(("envelope", *release), what, attestation, kept.envelopes[release])


def _said(what: object) -> str:
    if isinstance(what, tuple):
        revision, version, _ = what
        return f"version {version} at revision {revision}"
    return "nothing" if what is None else str(what)


def _summary(first_wrong: int | None, count: int) -> str:
    found = "1 thing is wrong" if count == 1 else f"{count} things are wrong"
    first = "" if first_wrong is None else f"; the first wrong entry is {first_wrong}"
    return f"the log was changed after it was written: {found}{first}"
