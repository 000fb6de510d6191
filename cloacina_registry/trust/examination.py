"""Every rule of a trust document asked in turn, for people to read: `cloacina trust verify`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cloacina_core.errors import Problem
from cloacina_registry.errors import NoTrustDocumentError
from cloacina_registry.trust.signed import SignedTrust, walk_problems
from cloacina_registry.trust.store import TrustStore


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, and what speaks against the document by it."""

    rule: str
    """As a sentence that is true when there are no problems."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found of a document."""

    trust: SignedTrust
    versions: tuple[int, ...]
    """The versions that were walked, the last of them that of the document."""
    findings: tuple[Finding, ...]

    @property
    def is_right(self) -> bool:
        """Whether nothing speaks against it."""
        return not any(finding.problems for finding in self.findings)


def examine(store: TrustStore, now: datetime) -> Examination:
    """Return what is to be said of a home's document, and of all versions before it.

    Raises:
        NoTrustDocumentError: there is none.
        TrustDocumentError: it can't be read, or one of the versions before it can't.
    """
    trust = store.unexamined()
    if trust is None:
        raise NoTrustDocumentError(store.path.parent)
    before = [older for older in store.history() if older.version < trust.version]
    seen = store.seen()
    unseen = Problem("root-rollback", "it lies there, but was never put in force")
    return _examination(trust, before, [unseen] if seen is None else seen.problems(trust), now)


def examine_offered(store: TrustStore, trust: SignedTrust, now: datetime) -> Examination:
    """Return what is to be said of a document that might take the place of a home's own.

    Raises:
        TrustDocumentError: the home's own can't be used.
    """
    current = store.document()
    follows = current is not None and trust.version > current.version
    before = [current] if current is not None and follows else []
    seen = store.seen()
    return _examination(trust, before, () if seen is None else seen.problems(trust), now)


def _examination(
    trust: SignedTrust,
    before: Sequence[SignedTrust],
    rollbacks: Iterable[Problem],
    now: datetime,
) -> Examination:
    own = tuple(trust.problems())
    walked = [*before, trust]
    findings = (
        Finding("no signature in it is forged", _of("signature-invalid", own)),
        Finding("enough of its own root keys have signed it", _of("root-threshold", own)),
        Finding(
            "each version is signed by the root keys of the one before it",
            tuple(dict.fromkeys(walk_problems(walked[0], walked[1:]))),
        ),
        Finding(
            "nothing newer, and no other of its version, was in force here",
            tuple(rollbacks),
        ),
        Finding("it hasn't expired", tuple(trust.expiry_problems(now))),
    )
    versions = tuple(step.version for step in walked)
    return Examination(trust=trust, versions=versions, findings=findings)


def _of(kind: str, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(problem for problem in problems if problem.kind == kind)
