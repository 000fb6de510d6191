import base64
from datetime import timedelta
from typing import Any

import pytest
from support.signing import NOW, make_key, trusted, trusting

from cloacina_registry.errors import TrustDocumentError
from cloacina_registry.trust.document import policy_from_json, policy_to_json
from cloacina_registry.trust.policy import TrustLevel, TrustPolicy

POLICY = trusting(
    trusted(make_key(1), "lead", expires_at=NOW + timedelta(days=365)),
    trusted(make_key(2), "former", packages=("acme-*", "tools"), revoked_at=NOW),
    level=TrustLevel.WARN,
    threshold=2,
)
IDENTITY = base64.b64encode(b"\x01" + bytes(31)).decode()


def document(**changes: Any) -> dict[str, Any]:
    return {**policy_to_json(POLICY), **changes}


def with_first_key(**changes: Any) -> dict[str, Any]:
    first, *others = document()["keys"]
    return document(keys=[{**first, **changes}, *others])


def refusal(value: Any) -> list[str]:
    with pytest.raises(TrustDocumentError) as error:
        policy_from_json(value)
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize("policy", [POLICY, TrustPolicy()])
def test_a_policy_is_read_as_it_was_written(policy: TrustPolicy) -> None:
    assert policy_from_json(policy_to_json(policy)) == policy


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must be an object, not a list"),
        (document(version=2), "version: must be 1; this one is of another Cloacina"),
        (document(version=True), "version: must be a whole number, not a boolean"),
        (document(roots=[]), "roots: is not a known field"),
        (document(policy={"level": "strict"}), "policy.threshold: is missing"),
        (
            document(policy={"level": "off", "threshold": 1}),
            "policy.level: must be one of strict, warn",
        ),
        (
            document(policy={"level": "warn", "threshold": 0}),
            "policy.threshold: must be between 1 and 16, not 0",
        ),
        (document(keys=[1]), "keys[0]: must be an object, not a whole number"),
        (document(keys=[{}] * 257), "keys: there are 257 of them; 256 fit"),
        (with_first_key(extra=1), "keys[0].extra: is not a known field"),
        (
            with_first_key(public="ed25519:AAAA"),
            "keys[0].public: not an Ed25519 public key: it must have 32 bytes, not 3",
        ),
        (with_first_key(packages=[]), "keys[0].packages: there must be 1 to 256 patterns"),
        (
            with_first_key(packages=["Acme"]),
            "keys[0].packages: 'Acme' is no pattern of normalised package names",
        ),
        (
            with_first_key(packages=[1]),
            "keys[0].packages: 1 is no pattern of normalised package names",
        ),
        (
            with_first_key(added_at="2026-11-21"),
            "keys[0].added_at: '2026-11-21' doesn't say its offset from UTC; end it with Z",
        ),
        (
            with_first_key(expires_at="never"),
            "keys[0].expires_at: Invalid isoformat string: 'never'",
        ),
        (with_first_key(state="maybe"), "keys[0].state: must be 'trusted' or 'revoked'"),
        (with_first_key(state="revoked"), "keys[0].state: doesn't agree with revoked_at"),
        (
            with_first_key(revoked_at="2026-11-21T00:00:00Z"),
            "keys[0].state: doesn't agree with revoked_at",
        ),
        (with_first_key(name="former"), "keys: two are called 'former'"),
        (
            with_first_key(public=make_key(2).public.to_text()),
            "keys: 'lead' and 'former' are the same key",
        ),
    ],
)
def test_a_document_of_another_shape_is_refused(value: Any, message: str) -> None:
    assert refusal(value) == [message]


def test_a_name_that_cant_be_one_is_refused() -> None:
    (fault,) = refusal(with_first_key(name="../x"))

    assert fault.startswith("keys[0].name: key name '../x' must be")


def test_a_key_that_anyone_could_sign_for_is_refused() -> None:
    with pytest.raises(TrustDocumentError) as error:
        policy_from_json(with_first_key(public=f"ed25519:{IDENTITY}"))
    assert [(problem.kind, problem.where) for problem in error.value.problems] == [
        ("key-weak", "keys[0].public")
    ]


def test_every_fault_is_told_at_once() -> None:
    faults = refusal({**with_first_key(public="x", state="x", packages=[]), "policy": {"level": 1}})

    assert [fault.split(":")[0] for fault in faults] == [
        "policy.level",
        "policy.threshold",
        "keys[0].public",
        "keys[0].packages",
        "keys[0].state",
    ]
