"""Auditing: do the log, the releases with their receipts, and a checkpoint tell one story?

The log is examined by itself (see `examination`). Then, or with it:

1. Each release has a receipt, which is right (see `receipt`).                          receipt
2. The log had the root that each receipt and the checkpoint tell, at their sizes.      log
3. Each upload that the log tells of is a release of the catalog, with the same bytes.  log
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import iso
from cloacina_registry.audit.checkpoint import Checkpoint
from cloacina_registry.audit.entries import EntryKind
from cloacina_registry.audit.examination import PAGE_LENGTH, Finding, Tell, Witness, examine
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.merkle import TreeHead
from cloacina_registry.audit.receipt import ReceivedFiles, verify_receipt
from cloacina_registry.errors import MAX_PROBLEMS, LogTamperedError, ReceiptError
from cloacina_registry.trust.keys import PublicKey


@dataclass(frozen=True, slots=True)
class KeptRelease:
    """A release as the catalog has it, deleted or not."""

    files: ReceivedFiles
    receipt: bytes | None

    def __str__(self) -> str:
        return f"{self.files.subject.package} {self.files.subject.version}"


@dataclass(frozen=True, slots=True)
class Audited:
    """A log in which nothing was found to be wrong."""

    head: TreeHead
    receipts: int
    """How many releases' receipts were checked against it."""


def audit(
    log: AuditLog,
    releases: Iterable[KeptRelease],
    key: PublicKey | None,
    checkpoint: Checkpoint | None,
    tell: Tell,
) -> Audited:
    """Return what was examined, once all of it is found to be right.

    Args:
        log: seen through one transaction, the same that the releases are seen through.
        releases: all that the catalog has.
        key: the registry's; None: it has none, and so there can't be a receipt.
        checkpoint: a verified one that was kept elsewhere.
        tell: told after each page of entries.

    Raises:
        LogTamperedError: something is wrong; `problems` tells what, the first `MAX_PROBLEMS`.
    """
    witnesses, problems = [], []
    known: set[tuple[str, str, str]] = set()
    if checkpoint is not None:
        told = f"the checkpoint of {iso(checkpoint.at)}"
        witnesses.append(Witness(told, checkpoint.head))
    receipts = 0
    for release in releases:
        subject = release.files.subject
        known.add((subject.package, subject.version, subject.digest))
        try:
            witnesses.append(_witness(release, key))
            receipts += 1
        except ReceiptError as error:
            problems += [_of_release(release, problem) for problem in error.problems]
    examined = examine(log, witnesses, tell)
    problems = [finding.to_problem() for finding in examined.findings] + problems
    if not examined.findings:
        problems += [finding.to_problem() for finding in _uploads_unknown_to(known, log)]
    if problems:
        raise LogTamperedError(
            _summary(examined.first_wrong, len(problems)),
            examined.first_wrong,
            problems[:MAX_PROBLEMS],
        )
    return Audited(examined.head, receipts)


def _witness(release: KeptRelease, key: PublicKey | None) -> Witness:
    if release.receipt is None or key is None:
        reason = "it has no receipt" if key is not None else "the registry has no key"
        raise ReceiptError("there is no receipt", problems=[Problem("receipt", reason)])
    receipt = verify_receipt(release.receipt, release.files, key)
    return Witness(f"the receipt of {release}", receipt.head)


def _of_release(release: KeptRelease, problem: Problem) -> Problem:
    where = f"{release} {problem.where}".rstrip()
    return Problem(problem.kind, problem.message, where)


def _uploads_unknown_to(known: set[tuple[str, str, str]], log: AuditLog) -> Iterator[Finding]:
    after = None
    while page := log.entries(kind=EntryKind.UPLOAD, after=after, limit=PAGE_LENGTH):
        for entry in page:
            package, version, digest = (
                str(entry.facts.get(name)) for name in ("package", "version", "digest")
            )
            if (package, version, digest) not in known:
                message = f"it tells of {package} {version}, which the catalog doesn't have so"
                yield Finding(message, entry.index)
        after = page[-1].index


def _summary(first_wrong: int | None, count: int) -> str:
    found = "1 thing is wrong" if count == 1 else f"{count} things are wrong"
    first = "" if first_wrong is None else f"; the first wrong entry is {first_wrong}"
    return f"the log was changed after it was written: {found}{first}"
