"""Verification: who answers for these bytes, and do we trust them with this package?

The rules, in the order in which they are asked. The kind of problem stands behind each.

 1. There is an envelope.                                                    signature-missing
 2. It is well-formed and within its limits (see `envelope`).                envelope
 3. A signature counts for the known key that it verifies under. Key ids
    only say which key to try first. One that names a known key and
    doesn't verify is forged: refused, whatever else the envelope holds.     signature-invalid
 4. A signature under which no known key verifies doesn't count.             signer-untrusted
 5. A key doesn't count from the moment it expired or was retired. One that
    was revoked never counts; if it is known since when it was in wrong
    hands, it counts for what was received before then.                      key-revoked
 6. A key that isn't granted this package doesn't count. The grant with the
    most specific pattern decides alone; without any, no key counts.         not-delegated
 7. As many different keys count as the grant asks for, at least one.
    Keys are told apart by their bytes, not by names or key ids.             threshold
 8. What was signed is a statement about one release (see `statement`).      statement
 9. It is about this very wheel: file name, digest, package and version.     subject-mismatch
10. Its digests of manifest and dependency lock are those in the wheel.
    Asked when the wheel is at hand; rule 9 implies it otherwise.            subject-mismatch

Keys that anyone could sign for (key-weak) don't get here: neither a `PublicKey` nor a trust
document can hold one.

For rule 5, an upload is received now. That something was received before must be known from
somewhere else: a signature has no time in it that could be believed.

At the levels `warn` and `off` of the grant, rules 1, 4, 6 and 7 don't refuse: nobody vouches for
the release, yet nothing speaks against it. `warn` leaves a warning, `off` none. The other rules
refuse at every level. A policy without grants refuses everything.

The payload isn't looked at before rule 7 is met, except at the levels `warn` and `off`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, InitVar, dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Final

from cloacina_core.errors import Problem
from cloacina_registry.errors import SignatureError, TrustError, UntrustedSignerError
from cloacina_registry.trust.envelope import PAYLOAD_TYPE, Envelope, Signature
from cloacina_registry.trust.keys import KeyId
from cloacina_registry.trust.policy import Grant, TrustedKey, TrustLevel, TrustPolicy
from cloacina_registry.trust.statement import Statement, Subject
from cloacina_registry.wheel.checked import CheckedWheel

_FORGED = "signature-invalid"
_ABOUT_THE_SIGNER = frozenset({"signer-untrusted", "key-revoked", "not-delegated", "threshold"})
_FORGIVEN = frozenset({"signature-missing", "signer-untrusted", "not-delegated", "threshold"})
_ADVICE = (
    (_FORGED, "don't use it: the file was changed after it was signed, or the signature is forged"),
    ("subject-mismatch", "give the signature file that was made for this wheel"),
    ("statement", "sign the wheel with: cloacina package build"),
    ("signature-missing", "give its signature file too, or sign it with: cloacina package build"),
    ("key-revoked", "have the release signed anew, with a key that is trusted now"),
    ("not-delegated", "see who may sign which packages: cloacina trust show"),
    (
        "signer-untrusted",
        "ask its author for the public key, then: cloacina trust add NAME --key KEY",
    ),
    ("threshold", "have it signed by more of the keys in: cloacina trust show"),
)
"""What to do next, by kind of problem; the first that fits is told."""

_PROOF: Final = object()
"""Known in this module alone, so that verified things are made here and nowhere else."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A trusted key whose signature counted."""

    name: str
    key_id: KeyId


@dataclass(frozen=True, slots=True)
class Received:
    """When a release was received, and which of its signatures came in earlier than the others."""

    at: datetime
    earlier: Mapping[KeyId, datetime] = field(default_factory=dict)
    """By the keys that made them."""

    def of(self, key_id: KeyId) -> datetime:
        """Return when the signature of a key was received."""
        return self.earlier.get(key_id, self.at)


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A release that passed the rules just now. Only this module makes one."""

    _: KW_ONLY
    proof: InitVar[object]
    subject: Subject
    signers: tuple[Signer, ...]
    """Who answers for it, sorted by name; nobody only at the levels `warn` and `off`."""
    warnings: tuple[Problem, ...]
    """At level `warn`, what would have refused it at level `strict`."""

    def __post_init__(self, proof: object) -> None:
        _require_proof(proof)


@dataclass(frozen=True, slots=True)
class VerifiedWheel:
    """A wheel that passed the rules just now. Only this module makes one."""

    _: KW_ONLY
    proof: InitVar[object]
    wheel: CheckedWheel
    envelope: bytes | None
    """The very bytes that were verified, to be stored beside the wheel."""
    signers: tuple[Signer, ...]
    """Who answers for it, sorted by name; nobody only at the levels `warn` and `off`."""
    warnings: tuple[Problem, ...]
    """At level `warn`, what would have refused it at level `strict`."""

    def __post_init__(self, proof: object) -> None:
        _require_proof(proof)

    @property
    def release(self) -> VerifiedRelease:
        """The same without its contents, which may be large."""
        return VerifiedRelease(
            proof=_PROOF,
            subject=Subject.of(self.wheel),
            signers=self.signers,
            warnings=self.warnings,
        )


def _require_proof(proof: object) -> None:
    if proof is not _PROOF:
        raise TypeError("what is verified is made by verify_wheel and verify_release alone")


def verify_wheel(
    wheel: CheckedWheel,
    envelope: bytes | None,
    trust: TrustPolicy,
    now: datetime,
    *,
    received: Received | None = None,
) -> VerifiedWheel:
    """Return a wheel as verified, by all rules of this module.

    Args:
        wheel: what came in.
        envelope: what came in beside it, if anything.
        trust: whom we trust.
        now: the present moment.
        received: when it was received; None: now. The caller answers for this being so.

    Raises:
        SignatureError: the envelope is missing, malformed, forged, or about something else.
        UntrustedSignerError: it is right, but its keys don't count, or not enough of them.
    """
    evidence = _examine(Subject.of(wheel), envelope, trust, _When(now, received))
    if evidence.statement is not None:  # (10)
        _refuse_if_any(wheel.filename, evidence.statement.differences_inside(wheel))
    return VerifiedWheel(
        proof=_PROOF,
        wheel=wheel,
        envelope=envelope,
        signers=evidence.signers,
        warnings=evidence.warnings,
    )


def verify_release(
    subject: Subject,
    envelope: bytes | None,
    trust: TrustPolicy,
    now: datetime,
    *,
    received: Received | None = None,
) -> VerifiedRelease:
    """Return a stored release as verified again, by rules 1 to 9: trust may have changed.

    The caller answers for the subject's digest being that of the bytes it will use.

    Args:
        subject: the release as it was stored.
        envelope: what was stored beside it, if anything.
        trust: whom we trust now.
        now: the present moment.
        received: when it was received; None: now. The caller answers for this being so.

    Raises:
        SignatureError: the envelope is missing, malformed, forged, or about something else.
        UntrustedSignerError: it is right, but its keys don't count, or not enough of them.
    """
    evidence = _examine(subject, envelope, trust, _When(now, received))
    return VerifiedRelease(
        proof=_PROOF, subject=subject, signers=evidence.signers, warnings=evidence.warnings
    )


def counting_signatures(
    envelope: Envelope,
    package: str,
    trust: TrustPolicy,
    now: datetime,
    received: Received | None,
) -> dict[Signer, Signature]:
    """Return the signatures that count for a package by rules 3 to 6, by who made them.

    Each names the key that made it, whatever it claimed before.

    Args:
        envelope: what holds them. What it says isn't looked at.
        package: the normalised name.
        trust: whom we trust.
        now: the present moment.
        received: when they were received; None: now. The caller answers for this being so.
    """
    grant = trust.grant_for(package) or Grant(pattern=package)
    counting, _ = _count(envelope, package, trust, grant, _When(now, received))
    return counting


@dataclass(frozen=True, slots=True)
class _When:
    now: datetime
    received: Received | None

    def received_at(self, key: TrustedKey) -> datetime | None:
        """Return when the signature of a key is known to have been received; None: now."""
        return None if self.received is None else self.received.of(key.public.key_id)


@dataclass(frozen=True, slots=True)
class _Evidence:
    signers: tuple[Signer, ...]
    warnings: tuple[Problem, ...]
    statement: Statement | None


def _examine(subject: Subject, data: bytes | None, trust: TrustPolicy, when: _When) -> _Evidence:
    name = subject.filename
    grant = trust.grant_for(subject.package) or Grant(pattern=subject.package)
    if data is None:  # (1)
        missing = (Problem("signature-missing", "there is no signature file beside it"),)
        return _Evidence((), _warnings(name, missing, grant.level), None)
    envelope = Envelope.parse(data, of=name)  # (2)
    signers, problems = _count(envelope, subject.package, trust, grant, when)  # (3) to (6)
    _refuse_if_any(name, (problem for problem in problems if problem.kind == _FORGED))
    shortfall = tuple(_shortfall(len(signers), grant.threshold, problems))  # (7)
    warnings = _warnings(name, shortfall, grant.level)
    statement = _statement_in(envelope, name)  # (8)
    _refuse_if_any(name, statement.differences(subject))  # (9)
    return _Evidence(tuple(sorted(signers, key=attrgetter("name"))), warnings, statement)


def _count(
    envelope: Envelope, package: str, trust: TrustPolicy, grant: Grant, when: _When
) -> tuple[dict[Signer, Signature], list[Problem]]:
    """Return the signatures that count by their signers, and why the others don't."""
    counting: dict[Signer, Signature] = {}
    problems = []
    for place, signature in enumerate(envelope.signatures):
        where = f"signatures[{place}]"
        key = _key_under_which_it_verifies(signature, envelope.signed_bytes, trust)
        if key is None:
            problems.append(_unverified(signature, trust, where))  # (3), (4)
        elif refusal := key.refusal(when.received_at(key), when.now):
            problems.append(replace(refusal, where=where))  # (5)
        elif key.name not in grant.keys:
            problems.append(_not_granted(key, package, grant, where))  # (6)
        else:
            key_id = key.public.key_id
            counting.setdefault(Signer(key.name, key_id), replace(signature, key_hint=key_id))
    return counting, problems


def _key_under_which_it_verifies(
    signature: Signature, message: bytes, trust: TrustPolicy
) -> TrustedKey | None:
    hinted_first = sorted(trust.keys, key=lambda key: key.public.key_id != signature.key_hint)
    return next(
        (key for key in hinted_first if key.public.verifies(signature.signature, message)), None
    )


def _unverified(signature: Signature, trust: TrustPolicy, where: str) -> Problem:
    hint = signature.key_hint
    if hint is not None and (claimed := trust.by_id(hint)):
        return Problem(_FORGED, f"it names key {claimed.name!r}, which didn't make it", where)
    claim = "it doesn't say by which key" if hint is None else f"it names {hint[:100]!r}"
    return Problem("signer-untrusted", f"no trusted key made it; {claim}", where)


def _not_granted(key: TrustedKey, package: str, grant: Grant, where: str) -> Problem:
    may = ", ".join(grant.keys) or "nobody"
    message = f"key {key.name!r} isn't trusted with {package}: {may} may sign {grant.pattern}"
    return Problem("not-delegated", message, where)


def _shortfall(count: int, threshold: int, problems: list[Problem]) -> Iterator[Problem]:
    """Yield why too few keys count; nothing when enough do."""
    if count >= threshold:
        return
    yield from problems
    if threshold > 1:
        yield Problem("threshold", f"{count} of {threshold} trusted keys have signed it")


def _statement_in(envelope: Envelope, name: str) -> Statement:
    if envelope.payload_type != PAYLOAD_TYPE:
        other = f"its payload is of type {envelope.payload_type[:100]!r}, not {PAYLOAD_TYPE!r}"
        raise _refusal(name, (Problem("statement", other),))
    return Statement.parse(envelope.payload, of=name)


def _warnings(name: str, problems: tuple[Problem, ...], level: TrustLevel) -> tuple[Problem, ...]:
    """Return the warnings that problems are at a level, which doesn't refuse for any of them."""
    if level is TrustLevel.STRICT:
        _refuse_if_any(name, problems)
    _refuse_if_any(name, (problem for problem in problems if problem.kind not in _FORGIVEN))
    return problems if level is TrustLevel.WARN else ()


def _refuse_if_any(name: str, problems: Iterable[Problem]) -> None:
    if found := tuple(problems):
        raise _refusal(name, found)


def _refusal(name: str, problems: tuple[Problem, ...]) -> TrustError:
    kinds = {problem.kind for problem in problems}
    error = UntrustedSignerError if kinds <= _ABOUT_THE_SIGNER else SignatureError
    hint = next(advice for kind, advice in _ADVICE if kind in kinds)
    return error(f"{name} can't be trusted", hint=hint, problems=problems)
