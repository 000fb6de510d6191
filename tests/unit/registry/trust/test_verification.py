"""Every rule of verification, attacked. Numbers are those of the rules in the module."""

import ast
import base64
import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import edwards
from support.signing import NOW, at_level, checked_wheel, make_key, seed, trusted, trusting

import cloacina_registry
from cloacina_core.foundation.digest import digest_of
from cloacina_registry.errors import SignatureError, TrustError, UntrustedSignerError
from cloacina_registry.trust.envelope import Envelope, Signature, pre_authentication_encoding
from cloacina_registry.trust.policy import Grant, TrustLevel, TrustPolicy
from cloacina_registry.trust.signing import add_signature, sign_wheel
from cloacina_registry.trust.statement import Statement, Subject
from cloacina_registry.trust.verification import (
    Received,
    Signer,
    VerifiedRelease,
    VerifiedWheel,
    verify_release,
    verify_wheel,
)

WHEEL = checked_wheel()
SUBJECT = Subject.of(WHEEL)
LEAD, OTHER, STRANGER = make_key(1), make_key(2), make_key(3)
PACKAGE = ("acme-*",)
BOTH = (trusted(LEAD, "lead"), trusted(OTHER, "other"))
TRUST = trusting(*BOTH, packages=PACKAGE)
TWO_OF_TWO = trusting(*BOTH, threshold=2)
DAY = timedelta(days=1)
ENVELOPE = sign_wheel(WHEEL, LEAD)
STATEMENT = Statement.about(WHEEL)


def kinds(error: pytest.ExceptionInfo[TrustError]) -> list[str]:
    return [problem.kind for problem in error.value.problems]


def refuse(
    envelope: bytes | None,
    trust: TrustPolicy = TRUST,
    *,
    subject: Subject = SUBJECT,
    received: Received | None = None,
) -> list[str]:
    """Return the kinds of problems for which both ways of verifying refuse."""
    with pytest.raises(TrustError) as error:
        verify_release(subject, envelope, trust, NOW, received=received)
    if subject is SUBJECT:
        with pytest.raises(type(error.value)) as error_of_wheel:
            verify_wheel(WHEEL, envelope, trust, NOW, received=received)
        assert error_of_wheel.value.problems == error.value.problems
    assert error.value.exit_status == 4
    return kinds(error)


def sign(payload: bytes, *, payload_type: str = "application/vnd.in-toto+json") -> bytes:
    """Return what the lead really signed."""
    return Envelope(payload, (), payload_type).signed_by(LEAD).to_bytes()


def edited(change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(ENVELOPE)
    change(document)
    return json.dumps(document).encode()


def test_a_wheel_signed_by_a_trusted_key_is_verified() -> None:
    verified = verify_wheel(WHEEL, ENVELOPE, TRUST, NOW)

    assert verified.wheel is WHEEL
    assert verified.envelope == ENVELOPE
    assert verified.signers == (Signer("lead", LEAD.public.key_id),)
    assert verified.warnings == ()


def test_a_stored_release_is_verified_by_its_name_and_digest() -> None:
    verified = verify_release(SUBJECT, ENVELOPE, TRUST, NOW)

    assert verified.subject == SUBJECT
    assert verified.signers == (Signer("lead", LEAD.public.key_id),)


# Rule 1: there is an envelope.


def test_a_wheel_without_signature_is_refused() -> None:
    assert refuse(None) == ["signature-missing"]


# Rule 2: the envelope is well-formed.


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"{}",
        ENVELOPE.replace(b'{"keyid"', b'{"keyid":"x","keyid"'),
        ENVELOPE + b" " * 65_536,
        edited(lambda document: document.update(extra=1)),
        edited(lambda document: document.update(signatures=[])),
        edited(lambda document: document.update(signatures=document["signatures"] * 2)),
    ],
    ids=["nothing", "no fields", "key twice", "too large", "extra field", "unsigned", "sig twice"],
)
def test_a_malformed_envelope_is_refused(envelope: bytes) -> None:
    assert set(refuse(envelope)) == {"envelope"}


# Rule 3: a signature that names a known key verifies under it.


def _other_payload(document: dict[str, Any]) -> None:
    evil = replace(STATEMENT, manifest=digest_of(b"evil"))
    document["payload"] = base64.b64encode(evil.to_bytes()).decode()


def _other_payload_type(document: dict[str, Any]) -> None:
    document["payloadType"] = "text/plain"


def _other_signature(document: dict[str, Any]) -> None:
    document["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()


def _name_of_another(document: dict[str, Any]) -> None:
    document["signatures"][0]["sig"] = json.loads(sign_wheel(WHEEL, STRANGER))["signatures"][0][
        "sig"
    ]


@pytest.mark.parametrize(
    "change", [_other_payload, _other_payload_type, _other_signature, _name_of_another]
)
@pytest.mark.parametrize("level", TrustLevel)
def test_a_forged_signature_is_refused_at_every_level(
    change: Callable[[dict[str, Any]], None], level: TrustLevel
) -> None:
    assert refuse(edited(change), at_level(TRUST, level)) == ["signature-invalid"]


def test_every_bit_of_a_signature_counts() -> None:
    envelope = Envelope.parse(ENVELOPE)
    (signature,) = envelope.signatures
    for place in range(64):
        broken = bytearray(signature.signature)
        broken[place] ^= 1
        mangled = replace(envelope, signatures=(replace(signature, signature=bytes(broken)),))

        assert refuse(mangled.to_bytes()) == ["signature-invalid"]


def test_a_forged_signature_is_refused_beside_a_right_one() -> None:
    forged = Signature(bytes(64), OTHER.public.key_id)
    envelope = Envelope.parse(ENVELOPE)
    both = replace(envelope, signatures=(*envelope.signatures, forged))

    assert refuse(both.to_bytes()) == ["signature-invalid"]


@pytest.mark.parametrize("hint", [None, "some other tool's name for it", OTHER.public.key_id])
def test_a_key_id_is_a_hint_and_no_more(hint: str | None) -> None:
    envelope = Envelope.parse(ENVELOPE)
    relabelled = replace(envelope, signatures=(replace(envelope.signatures[0], key_hint=hint),))

    verified = verify_wheel(WHEEL, relabelled.to_bytes(), TRUST, NOW)

    assert [signer.name for signer in verified.signers] == ["lead"]


def test_a_signature_of_the_bare_payload_is_no_signature() -> None:
    # Without the pre-authentication encoding, a payload could be taken for one of another type.
    payload = STATEMENT.to_bytes()
    bare = Envelope(payload, (Signature(LEAD.sign(payload), LEAD.public.key_id),))

    assert refuse(bare.to_bytes()) == ["signature-invalid"]


# Rule 4: a signature of an unknown key doesn't count.


def test_a_signature_of_a_stranger_is_refused() -> None:
    assert refuse(sign_wheel(WHEEL, STRANGER)) == ["signer-untrusted"]


def test_a_stranger_under_the_name_of_nobody_is_refused() -> None:
    envelope = Envelope.parse(sign_wheel(WHEEL, STRANGER))
    anonymous = replace(envelope, signatures=(replace(envelope.signatures[0], key_hint=None),))

    assert refuse(anonymous.to_bytes()) == ["signer-untrusted"]


def test_a_policy_without_keys_refuses_everything() -> None:
    assert refuse(ENVELOPE, TrustPolicy()) == ["signer-untrusted"]
    assert refuse(None, TrustPolicy()) == ["signature-missing"]


def test_a_stranger_beside_a_trusted_key_does_no_harm() -> None:
    envelope = add_signature(WHEEL, ENVELOPE, STRANGER)

    assert [s.name for s in verify_wheel(WHEEL, envelope, TRUST, NOW).signers] == ["lead"]


# Rule 5: a key counts by its dates, and by when the release was received.


def accept(trust: TrustPolicy, received: Received | None) -> list[str]:
    """Return the signers for which both ways of verifying accept the lead's signature."""
    wheel = verify_wheel(WHEEL, ENVELOPE, trust, NOW, received=received)
    release = verify_release(SUBJECT, ENVELOPE, trust, NOW, received=received)
    assert release.signers == wheel.signers
    return [signer.name for signer in wheel.signers]


@pytest.mark.parametrize(
    "dates",
    [
        {"revoked_at": NOW},
        {"revoked_at": NOW + DAY},
        {"revoked_at": NOW, "compromised_at": NOW - DAY},
        {"revoked_at": NOW + DAY, "compromised_at": NOW + DAY},
        {"expires_at": NOW},
        {"retired_at": NOW},
    ],
)
@pytest.mark.parametrize("level", TrustLevel)
def test_what_a_key_signs_that_has_ended_is_no_upload_at_any_level(
    dates: dict[str, Any], level: TrustLevel
) -> None:
    trust = trusting(trusted(LEAD, **dates), packages=PACKAGE, level=level)

    assert refuse(ENVELOPE, trust) == ["key-revoked"]


@pytest.mark.parametrize("end", ["expires_at", "retired_at"])
def test_what_was_received_before_a_key_ended_still_counts(end: str) -> None:
    trust = trusting(trusted(LEAD, **{end: NOW - DAY}))

    assert accept(trust, Received(NOW - DAY - timedelta(microseconds=1))) == ["lead"]
    assert refuse(ENVELOPE, trust, received=Received(NOW - DAY)) == ["key-revoked"]
    assert refuse(ENVELOPE, trust, received=Received(NOW)) == ["key-revoked"]


def test_of_a_revoked_key_nothing_counts_whenever_it_was_received() -> None:
    trust = trusting(trusted(LEAD, revoked_at=NOW))

    assert refuse(ENVELOPE, trust, received=Received(NOW - 1000 * DAY)) == ["key-revoked"]


def test_what_was_received_before_a_key_was_in_wrong_hands_still_counts() -> None:
    trust = trusting(trusted(LEAD, revoked_at=NOW, compromised_at=NOW - DAY))

    assert accept(trust, Received(NOW - DAY - timedelta(microseconds=1))) == ["lead"]
    assert refuse(ENVELOPE, trust, received=Received(NOW - DAY)) == ["key-revoked"]


def test_a_key_that_had_expired_when_it_was_in_wrong_hands_had_expired() -> None:
    trust = trusting(trusted(LEAD, revoked_at=NOW, compromised_at=NOW, expires_at=NOW - 2 * DAY))

    assert refuse(ENVELOPE, trust, received=Received(NOW - DAY)) == ["key-revoked"]


def test_a_release_of_a_revoked_key_is_rescued_by_the_signature_of_another() -> None:
    trust = trusting(trusted(LEAD, "lead", revoked_at=NOW), trusted(OTHER, "other"))
    envelope = add_signature(WHEEL, ENVELOPE, OTHER)

    assert [s.name for s in verify_wheel(WHEEL, envelope, trust, NOW).signers] == ["other"]


# Rule 6: the most specific grant decides.


@pytest.mark.parametrize("packages", [("acme-other",), ("tools-*",), ("acme-etl-*", "acme")])
def test_a_key_of_other_packages_is_refused(packages: tuple[str, ...]) -> None:
    assert refuse(ENVELOPE, trusting(trusted(LEAD), packages=packages)) == ["not-delegated"]


@pytest.mark.parametrize(
    ("theirs", "mine"), [("acme-*", "*"), ("acme-etl", "acme-*"), ("acme-etl", "*")]
)
def test_a_key_with_a_wider_grant_cant_sign_what_was_granted_to_another(
    theirs: str, mine: str
) -> None:
    keys = trusted(LEAD, "lead"), trusted(OTHER, "other")
    grants = (Grant(pattern=mine, keys=("lead",)), Grant(pattern=theirs, keys=("other",)))
    trust = TrustPolicy(keys=keys, grants=grants)

    assert refuse(ENVELOPE, trust) == ["not-delegated"]
    assert verify_wheel(WHEEL, sign_wheel(WHEEL, OTHER), trust, NOW).signers


def test_keys_of_two_grants_dont_add_up() -> None:
    keys = trusted(LEAD, "lead"), trusted(OTHER, "other"), trusted(STRANGER, "third")
    wide = Grant(pattern="*", keys=("lead", "other", "third"), threshold=1)
    narrow = Grant(pattern="acme-etl", keys=("lead", "third"), threshold=2)
    envelope = add_signature(WHEEL, ENVELOPE, OTHER)

    trust = TrustPolicy(keys=keys, grants=(wide, narrow))

    assert refuse(envelope, trust) == ["not-delegated", "threshold"]


def test_a_level_holds_for_its_own_grant_alone() -> None:
    lax = Grant(pattern="acme-*", level=TrustLevel.OFF)
    strict = Grant(pattern="acme-etl", keys=("lead",))

    assert refuse(None, TrustPolicy(keys=BOTH, grants=(lax, strict))) == ["signature-missing"]


def test_the_package_that_counts_is_that_of_the_wheel() -> None:
    # The lead may sign acme-other, says so in the statement, and lays it beside acme-etl.
    trust = trusting(trusted(LEAD), packages=("acme-other",))
    claimed = replace(STATEMENT, subject=replace(SUBJECT, package="acme-other"))

    assert refuse(sign(claimed.to_bytes()), trust) == ["not-delegated"]


# Rule 7: as many different keys count as the policy asks for.


def test_one_signature_doesnt_meet_a_threshold_of_two() -> None:
    assert refuse(ENVELOPE, TWO_OF_TWO) == ["threshold"]


def test_two_right_signatures_of_one_key_under_two_key_ids_are_one() -> None:
    # Ed25519 makes one signature of one message, but nothing stops a signer from making more.
    message = pre_authentication_encoding("application/vnd.in-toto+json", STATEMENT.to_bytes())
    again = edwards.sign_with_nonce(seed(1), 12345, message)
    assert LEAD.public.verifies(again, message)
    assert again != LEAD.sign(message)
    envelope = Envelope.parse(ENVELOPE)
    both = replace(envelope, signatures=(*envelope.signatures, Signature(again, "another")))

    assert refuse(both.to_bytes(), TWO_OF_TWO) == ["threshold"]


def test_a_policy_that_holds_one_key_twice_still_counts_it_once() -> None:
    # No document can say this; a policy put together in code could.
    trust = trusting(trusted(LEAD, "one"), trusted(LEAD, "two"), threshold=2)

    assert refuse(ENVELOPE, trust) == ["threshold"]


def test_every_reason_why_too_few_keys_count_is_told() -> None:
    keys = (*BOTH, trusted(make_key(4), "former", revoked_at=NOW))
    grant = Grant(pattern="*", keys=("lead", "former"), threshold=2)
    trust = TrustPolicy(keys=keys, grants=(grant,))
    envelope = ENVELOPE
    for key in (OTHER, make_key(4), STRANGER):
        envelope = add_signature(WHEEL, envelope, key)

    assert refuse(envelope, trust) == [
        "not-delegated",
        "key-revoked",
        "signer-untrusted",
        "threshold",
    ]


# Rule 8: what was signed is a statement about one release.


def _two_subjects(statement: dict[str, Any]) -> None:
    statement["subject"] *= 2


def _other_predicate(statement: dict[str, Any]) -> None:
    statement["predicateType"] = "https://slsa.dev/provenance/v1"


def _extra_field(statement: dict[str, Any]) -> None:
    statement["predicate"]["channel"] = "stable"


@pytest.mark.parametrize("change", [_two_subjects, _other_predicate, _extra_field])
@pytest.mark.parametrize("level", TrustLevel)
def test_another_statement_is_refused_though_it_is_really_signed(
    change: Callable[[dict[str, Any]], None], level: TrustLevel
) -> None:
    statement = json.loads(STATEMENT.to_bytes())
    change(statement)
    envelope = sign(json.dumps(statement).encode())

    assert refuse(envelope, at_level(TRUST, level)) == ["statement"]


def test_a_payload_of_another_type_is_refused_though_it_is_really_signed() -> None:
    assert refuse(sign(STATEMENT.to_bytes(), payload_type="text/plain")) == ["statement"]


def test_a_payload_isnt_looked_at_before_its_signature_is_right() -> None:
    garbage = Envelope(b"garbage", ()).signed_by(STRANGER).to_bytes()

    assert refuse(garbage) == ["signer-untrusted"]
    assert refuse(sign(b"garbage")) == ["statement"]


# Rule 9: the statement is about this very wheel.


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "acme_etl-1.0-1-py3-none-any.whl"},
        {"digest": digest_of(b"other")},
        {"package": "acme-other"},
        {"version": "1.0.1"},
    ],
    ids=lambda changes: next(iter(changes)),
)
@pytest.mark.parametrize("level", TrustLevel)
def test_a_signature_for_another_wheel_is_refused(
    changes: dict[str, Any], level: TrustLevel
) -> None:
    trust = at_level(TRUST, level)

    assert refuse(ENVELOPE, trust, subject=replace(SUBJECT, **changes)) == ["subject-mismatch"]


def test_the_signature_of_an_older_release_doesnt_fit_a_newer_one() -> None:
    newer = checked_wheel(version="2.0")

    with pytest.raises(SignatureError) as error:
        verify_wheel(newer, ENVELOPE, TRUST, NOW)
    assert set(kinds(error)) == {"subject-mismatch"}


# Rule 10: manifest and lock are those in the wheel.


@pytest.mark.parametrize("changes", [{"manifest": digest_of(b"x")}, {"lock": digest_of(b"x")}])
def test_a_statement_that_is_wrong_about_the_contents_is_refused(changes: dict[str, Any]) -> None:
    envelope = sign(replace(STATEMENT, **changes).to_bytes())

    with pytest.raises(SignatureError) as error:
        verify_wheel(WHEEL, envelope, TRUST, NOW)
    assert kinds(error) == ["subject-mismatch"]


# Level warn.

WARN = at_level(TRUST, TrustLevel.WARN)


@pytest.mark.parametrize(
    ("envelope", "trust", "warnings"),
    [
        (None, WARN, ["signature-missing"]),
        (sign_wheel(WHEEL, STRANGER), WARN, ["signer-untrusted"]),
        (
            ENVELOPE,
            TrustPolicy(keys=BOTH, grants=(Grant(pattern="*", level=TrustLevel.WARN),)),
            ["not-delegated"],
        ),
        (ENVELOPE, trusting(level=TrustLevel.WARN), ["signer-untrusted"]),
    ],
)
def test_at_level_warn_what_nobody_vouches_for_is_taken_with_a_warning(
    envelope: bytes | None, trust: TrustPolicy, warnings: list[str]
) -> None:
    verified = verify_wheel(WHEEL, envelope, trust, NOW)

    assert verified.signers == ()
    assert [warning.kind for warning in verified.warnings] == warnings


def test_at_level_warn_too_few_signers_are_named_with_a_warning() -> None:
    verified = verify_wheel(WHEEL, ENVELOPE, at_level(TWO_OF_TWO, TrustLevel.WARN), NOW)

    assert [signer.name for signer in verified.signers] == ["lead"]
    assert [warning.kind for warning in verified.warnings] == ["threshold"]


def test_at_level_warn_a_trusted_signature_leaves_no_warning() -> None:
    assert verify_wheel(WHEEL, ENVELOPE, WARN, NOW).warnings == ()


# Level off.

OFF = at_level(TRUST, TrustLevel.OFF)


@pytest.mark.parametrize("envelope", [None, sign_wheel(WHEEL, STRANGER)])
def test_at_level_off_what_nobody_vouches_for_is_taken_silently(envelope: bytes | None) -> None:
    verified = verify_wheel(WHEEL, envelope, OFF, NOW)

    assert (verified.signers, verified.warnings) == ((), ())


def test_at_level_off_a_statement_about_another_wheel_is_refused() -> None:
    stranger = sign_wheel(checked_wheel(version="2.0"), STRANGER)

    assert set(refuse(stranger, OFF)) == {"subject-mismatch"}


def test_at_level_off_those_who_signed_are_named() -> None:
    assert [signer.name for signer in verify_wheel(WHEEL, ENVELOPE, OFF, NOW).signers] == ["lead"]


# What comes out.


@pytest.mark.parametrize(
    ("envelope", "trust", "error"),
    [
        (None, TRUST, SignatureError),
        (sign_wheel(WHEEL, STRANGER), TRUST, UntrustedSignerError),
        (ENVELOPE, TWO_OF_TWO, UntrustedSignerError),
        (edited(_other_payload), TRUST, SignatureError),
    ],
)
def test_a_refusal_names_the_wheel_and_says_what_to_do(
    envelope: bytes | None, trust: TrustPolicy, error: type[TrustError]
) -> None:
    with pytest.raises(error, match=r"acme_etl-1\.0-py3-none-any\.whl can't be trusted") as refusal:
        verify_wheel(WHEEL, envelope, trust, NOW)
    assert refusal.value.hint


def test_what_is_verified_cant_be_made_elsewhere() -> None:
    with pytest.raises(TypeError):
        VerifiedWheel(proof=None, wheel=WHEEL, envelope=None, signers=(), warnings=())
    with pytest.raises(TypeError):
        VerifiedRelease(proof=object(), subject=SUBJECT, signers=(), warnings=())


def test_what_is_verified_cant_be_changed_or_made_into_something_else() -> None:
    verified = verify_wheel(WHEEL, ENVELOPE, TRUST, NOW)

    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.wheel = checked_wheel(version="2.0")  # type: ignore[misc]
    with pytest.raises(TypeError):
        replace(verified, proof=None, wheel=checked_wheel(version="2.0"))
    assert copy.copy(verified) == verified


def test_nothing_else_in_the_registry_calls_the_constructors() -> None:
    makers = {
        path.name
        for path in Path(cloacina_registry.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", None))
        in {"VerifiedWheel", "VerifiedRelease"}
    }

    assert makers == {"verification.py"}
