"""Every rule of signed trust documents, attacked. Numbers are those of the rules in the module."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import edwards
from support.signing import NOW, make_key, seed, trusted

from cloacina_core.foundation.json_value import canonical
from cloacina_registry.errors import (
    RootThresholdError,
    TrustDocumentError,
    TrustExpiredError,
    TrustRollbackError,
)
from cloacina_registry.trust.document import policy_to_json
from cloacina_registry.trust.envelope import Envelope, Signature
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.policy import Root, TrustPolicy
from cloacina_registry.trust.signed import (
    MAX_TRUST_BYTES,
    TRUST_PAYLOAD_TYPE,
    Seen,
    SignedTrust,
    refuse_if_any,
    walk_problems,
)

A, B, C, STRANGER = make_key(1), make_key(2), make_key(3), make_key(9)


def version(number: int, *roots: PrivateKey, threshold: int = 1, **changes: Any) -> TrustPolicy:
    root = Root(tuple(key.public for key in roots), threshold)
    return TrustPolicy(version=number, root=root, **changes)


def signed(policy: TrustPolicy, *keys: PrivateKey) -> SignedTrust:
    return SignedTrust.unsigned(policy).signed_by(keys)


FIRST = signed(version(1, A), A)


def kinds(trust: SignedTrust, after: SignedTrust | None = None) -> list[str]:
    problems = [*trust.problems(), *(trust.problems_after(after) if after else ())]
    return [problem.kind for problem in problems]


def edited(change: Callable[[dict[str, Any]], None], trust: SignedTrust = FIRST) -> bytes:
    document = json.loads(trust.to_bytes())
    change(document)
    return json.dumps(document).encode()


def relabelled(trust: SignedTrust, *hints: str | None) -> SignedTrust:
    signatures = tuple(
        replace(signature, key_hint=hint)
        for signature, hint in zip(trust.envelope.signatures, hints, strict=True)
    )
    return replace(trust, envelope=replace(trust.envelope, signatures=signatures))


def test_a_document_is_read_as_it_was_signed() -> None:
    policy = version(3, A, B, threshold=2, keys=(trusted(C),), expires_at=NOW)
    trust = signed(policy, A, B)

    assert SignedTrust.parse(trust.to_bytes()) == trust
    assert trust.signers(policy.root) == {A.public.key_id, B.public.key_id}
    assert kinds(trust) == []


# Rule 1: a well-formed envelope with a payload of this type.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{}",
        FIRST.to_bytes().replace(b'"payloadType"', b'"payload":"","payloadType"'),
        FIRST.to_bytes() + b" " * MAX_TRUST_BYTES,
        edited(lambda document: document.update(extra=1)),
        edited(lambda document: document.update(signatures=document["signatures"] * 2)),
        edited(lambda document: document.update(payloadType="application/vnd.in-toto+json")),
        canonical(policy_to_json(FIRST.policy)).encode(),
    ],
    ids=["nothing", "binary", "no fields", "twice", "large", "extra", "sigs", "type", "unsigned"],
)
def test_what_is_no_signed_trust_document_is_refused(data: bytes) -> None:
    with pytest.raises(TrustDocumentError, match="is damaged") as error:
        SignedTrust.parse(data)
    assert {problem.kind for problem in error.value.problems} == {"envelope"}
    assert error.value.hint


# Rule 2: what was signed is a trust document.


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"\xff",
        b"[]",
        b'{"version": 1, "version": 1}',
        canonical(policy_to_json(FIRST.policy)).replace('"1"', '"2"').encode(),
    ],
)
def test_what_was_signed_must_be_a_trust_document(payload: bytes) -> None:
    envelope = Envelope(payload, (), TRUST_PAYLOAD_TYPE).signed_by(A)

    with pytest.raises(TrustDocumentError) as error:
        SignedTrust.parse(envelope.to_bytes())
    assert {problem.kind for problem in error.value.problems} == {"trust-document"}


# Rule 3: no signature is forged.


def test_a_changed_document_is_forged() -> None:
    other = SignedTrust.unsigned(version(1, A, keys=(trusted(STRANGER),)))
    payload = base64.b64encode(other.envelope.payload).decode()

    changed = SignedTrust.parse(edited(lambda document: document.update(payload=payload)))

    assert kinds(changed) == ["signature-invalid", "root-threshold"]


def test_a_forged_signature_is_refused_beside_a_right_one() -> None:
    trust = signed(version(1, A, B), A)
    forged = Signature(bytes(64), B.public.key_id)
    both = replace(
        trust, envelope=replace(trust.envelope, signatures=(*trust.envelope.signatures, forged))
    )

    assert kinds(both) == ["signature-invalid"]


def test_a_forged_signature_of_those_who_ruled_before_is_refused() -> None:
    trust = signed(version(2, B), A, B)
    mine, theirs = trust.envelope.signatures
    forged = replace(trust.envelope, signatures=(replace(mine, signature=bytes(64)), theirs))

    assert kinds(replace(trust, envelope=forged)) == []
    assert kinds(replace(trust, envelope=forged), FIRST) == ["signature-invalid", "root-threshold"]


# Rule 4: as many of its own root keys as it asks for.


def test_a_document_that_nobody_signed_is_refused() -> None:
    assert kinds(SignedTrust.unsigned(version(1, A))) == ["root-threshold"]


def test_strangers_dont_count() -> None:
    assert kinds(signed(version(1, A), STRANGER)) == ["root-threshold"]


def test_a_key_that_is_trusted_with_packages_is_no_root_key() -> None:
    assert kinds(signed(version(1, A, keys=(trusted(B),)), B)) == ["root-threshold"]


def test_one_root_key_doesnt_meet_a_threshold_of_two() -> None:
    assert kinds(signed(version(1, A, B, threshold=2), A)) == ["root-threshold"]


def test_two_right_signatures_of_one_root_key_are_one() -> None:
    trust = signed(version(1, A, B, threshold=2), A)
    again = edwards.sign_with_nonce(seed(1), 12345, trust.envelope.signed_bytes)
    assert A.public.verifies(again, trust.envelope.signed_bytes)
    signatures = (*trust.envelope.signatures, Signature(again, "another"))

    both = replace(trust, envelope=replace(trust.envelope, signatures=signatures))

    assert kinds(both) == ["root-threshold"]


def test_a_key_id_is_a_hint_and_no_more() -> None:
    trust = signed(version(1, A, B, threshold=2), A, B)

    assert kinds(relabelled(trust, None, "somebody")) == []


# Rule 5: as many of the root keys before it as that version asks for.


@pytest.mark.parametrize("signers", [(B,), (B, C), (B, STRANGER)])
def test_those_who_dont_rule_cant_take_over(signers: tuple[PrivateKey, ...]) -> None:
    takeover = signed(version(2, B), *signers)

    assert kinds(takeover) == []
    assert kinds(takeover, FIRST) == ["root-threshold"]


def test_those_who_rule_hand_on_the_rule() -> None:
    assert kinds(signed(version(2, B), A, B), FIRST) == []


def test_those_to_whom_the_rule_is_handed_must_take_it() -> None:
    # Otherwise a slip would leave a document that nobody can change any more.
    assert kinds(signed(version(2, B), A), FIRST) == ["root-threshold"]


def test_the_threshold_of_the_version_before_counts() -> None:
    two_of_three = signed(version(2, A, B, C, threshold=2), A, B)

    assert kinds(signed(version(3, A), A), two_of_three) == ["root-threshold"]
    assert kinds(signed(version(3, A), A, C), two_of_three) == []


def test_a_signature_of_another_version_doesnt_fit() -> None:
    stolen = FIRST.envelope.signatures
    trust = SignedTrust.unsigned(version(2, A))

    assert kinds(replace(trust, envelope=replace(trust.envelope, signatures=stolen))) == [
        "signature-invalid",
        "root-threshold",
    ]


# Rule 6: a higher version.


@pytest.mark.parametrize("number", [1, 2])
def test_a_version_that_doesnt_come_after_cant_follow(number: int) -> None:
    newer = signed(version(2, A), A)

    assert kinds(signed(version(number, A, keys=(trusted(B),)), A), newer) == ["root-rollback"]


# Rule 7: nothing older than what was seen.


def test_an_older_version_than_the_one_seen_is_refused() -> None:
    seen = Seen.of(signed(version(2, A), A))

    assert [problem.kind for problem in seen.problems(FIRST)] == ["root-rollback"]


def test_another_document_of_the_version_seen_is_refused() -> None:
    other = signed(version(1, A, keys=(trusted(B),)), A)

    assert [problem.kind for problem in Seen.of(FIRST).problems(other)] == ["root-rollback"]


def test_a_signature_may_be_added_to_what_was_seen() -> None:
    assert list(Seen.of(FIRST).problems(FIRST.signed_by([STRANGER]))) == []


# Rule 8: not expired.


def test_a_document_counts_until_the_moment_it_expires() -> None:
    trust = signed(version(1, A, expires_at=NOW), A)

    assert list(trust.expiry_problems(NOW - timedelta(microseconds=1))) == []
    assert [problem.kind for problem in trust.expiry_problems(NOW)] == ["freeze"]
    assert list(FIRST.expiry_problems(NOW)) == []


# A chain.


def test_a_chain_is_walked_from_root_to_root() -> None:
    second = signed(version(2, B), A, B)
    third = signed(version(3, C), B, C)

    assert list(walk_problems(FIRST, [second, third])) == []


def test_a_missing_version_breaks_a_chain_over_which_the_root_keys_changed() -> None:
    third = signed(version(3, C), B, C)

    (problem,) = walk_problems(FIRST, [third])

    assert (problem.kind, problem.where) == ("root-threshold", "version 3")


def test_a_missing_version_doesnt_matter_while_the_root_keys_stay() -> None:
    assert list(walk_problems(FIRST, [signed(version(5, A), A)])) == []


def test_a_key_that_was_rotated_out_cant_come_back_over_the_chain() -> None:
    without = signed(version(2, B), A, B)
    back = signed(version(3, A), A)

    assert list(walk_problems(FIRST, [back])) == []
    assert [problem.kind for problem in walk_problems(FIRST, [without, back])] == ["root-threshold"]


# Signing.


def test_a_key_signs_once() -> None:
    assert FIRST.signed_by([A]) == FIRST


@pytest.mark.parametrize(
    ("trust", "error"),
    [
        (SignedTrust.unsigned(version(1, A)), RootThresholdError),
        (signed(version(2, A, expires_at=NOW), A), TrustExpiredError),
        (FIRST, TrustRollbackError),
    ],
)
def test_a_refusal_is_told_by_its_reason(
    trust: SignedTrust, error: type[TrustDocumentError]
) -> None:
    seen = Seen.of(signed(version(2, A, expires_at=NOW), A))
    problems = (*trust.problems(), *trust.expiry_problems(NOW))

    with pytest.raises(error, match="X can't be trusted") as refusal:
        refuse_if_any("X", problems or seen.problems(trust))
    assert refusal.value.hint
    assert refusal.value.code == refusal.value.problems[0].kind
