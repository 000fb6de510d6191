import base64
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signing import NOW, ROOT, make_key, trusted

from cloacina_registry.errors import TrustDocumentError
from cloacina_registry.trust.document import policy_from_json, policy_to_json
from cloacina_registry.trust.policy import Grant, Root, TrustLevel, TrustPolicy

DAY = timedelta(days=1)
POLICY = TrustPolicy(
    version=7,
    expires_at=NOW + DAY,
    root=Root((ROOT.public, make_key(1).public), 2),
    keys=(
        trusted(make_key(1), "lead", expires_at=NOW + 365 * DAY, retired_at=NOW + DAY),
        trusted(make_key(2), "former", revoked_at=NOW, compromised_at=NOW - DAY),
    ),
    grants=(
        Grant(pattern="*", keys=("lead", "former"), threshold=2),
        Grant(pattern="scratch-*", level=TrustLevel.OFF),
    ),
    reserved=("acme-*", "tools"),
)
LEAST = TrustPolicy(version=1, root=Root((ROOT.public,)))
IDENTITY = base64.b64encode(b"\x01" + bytes(31)).decode()
PEM = make_key(3).public.to_pem().decode()
FIRST_PUBLIC = make_key(1).public.to_text()


def document(**changes: Any) -> dict[str, Any]:
    return {**policy_to_json(POLICY), **changes}


def with_first(what: str, **changes: Any) -> dict[str, Any]:
    first, *others = document()[what]
    return document(**{what: [{**first, **changes}, *others]})


def with_root(**changes: Any) -> dict[str, Any]:
    return document(root={**document()["root"], **changes})


def refusal(value: Any) -> list[str]:
    with pytest.raises(TrustDocumentError) as error:
        policy_from_json(value)
    assert error.value.hint
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize("policy", [POLICY, LEAST])
def test_a_policy_is_read_as_it_was_written(policy: TrustPolicy) -> None:
    assert policy_from_json(policy_to_json(policy)) == policy


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must be an object, not a list"),
        (document(api="2"), "api: must be '1'; this one is of another Cloacina"),
        (document(version=True), "version: must be a whole number, not a boolean"),
        (document(version=0), "version: must be at least 1, not 0"),
        (document(roots=[]), "roots: is not a known field"),
        (document(expires_at=""), "expires_at: Invalid isoformat string: ''"),
    ],
)
def test_a_document_of_another_shape_is_refused(value: Any, message: str) -> None:
    assert refusal(value) == [message]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (document(root={}), "root.keys: is missing"),
        (with_root(name="x"), "root.name: is not a known field"),
        (with_root(keys=[]), "root: there must be 1 to 8 root keys, not 0"),
        (with_root(keys=["x"] * 9), "root: there must be 1 to 8 root keys, not 9"),
        (
            with_root(threshold=3),
            "root: the threshold must be between 1 and the number of root keys, 2: 3",
        ),
        (
            with_root(threshold=0),
            "root: the threshold must be between 1 and the number of root keys, 2: 0",
        ),
        (with_root(keys=[FIRST_PUBLIC] * 2), "root.keys: a key stands there twice"),
        (with_root(keys=[FIRST_PUBLIC, 1]), "root.keys[1]: must be text"),
    ],
)
def test_root_keys_that_cant_be_told_apart_or_cant_sign_are_refused(
    value: Any, message: str
) -> None:
    assert refusal(value)[0] == message


def test_one_root_key_in_two_spellings_is_refused() -> None:
    # Otherwise it would be two of a threshold of two.
    spelled = [make_key(3).public.to_text(), PEM]

    assert refusal(with_root(keys=spelled)) == [f"root.keys[1]: must be written as {spelled[0]}"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (document(keys=[1]), "keys[0]: must be an object, not a whole number"),
        (document(keys=[{}] * 257), "keys: there are 257 of them; 256 fit"),
        (with_first("keys", extra=1), "keys[0].extra: is not a known field"),
        (with_first("keys", state="trusted"), "keys[0].state: is not a known field"),
        (
            with_first("keys", public="ed25519:AAAA"),
            "keys[0].public: not an Ed25519 public key: it must have 32 bytes, not 3",
        ),
        (
            with_first("keys", added_at="2026-11-21"),
            "keys[0].added_at: '2026-11-21' doesn't say its offset from UTC; end it with Z",
        ),
        (
            with_first("keys", expires_at="never"),
            "keys[0].expires_at: Invalid isoformat string: 'never'",
        ),
        (
            with_first("keys", compromised_at="2026-11-21T00:00:00Z"),
            "keys[0].compromised_at: is there, and revoked_at isn't",
        ),
        (
            with_first(
                "keys", compromised_at="2026-11-21T00:00:01Z", revoked_at="2026-11-21T00:00:00Z"
            ),
            "keys[0].compromised_at: is later than revoked_at",
        ),
        (
            with_first("keys", public=make_key(2).public.to_text()),
            "keys: 'lead' and 'former' are the same key",
        ),
    ],
)
def test_keys_that_arent_as_they_must_be_are_refused(value: Any, message: str) -> None:
    assert refusal(value)[0] == message


def test_two_keys_of_one_name_are_refused() -> None:
    value = with_first("keys", name="former")
    value["grants"] = []

    assert refusal(value) == ["keys: two are called 'former'"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (document(grants=[[]]), "grants[0]: must be an object, not a list"),
        (document(grants=[{}] * 257), "grants: there are 257 of them; 256 fit"),
        (with_first("grants", extra=1), "grants[0].extra: is not a known field"),
        (
            with_first("grants", pattern="Acme"),
            "grants[0].pattern: 'Acme' is no pattern of normalised package names",
        ),
        (
            with_first("grants", level="lax"),
            "grants[0].level: must be one of strict, warn, off",
        ),
        (
            with_first("grants", level="off"),
            "grants[0]: level off can't be for every package; name those that it is for",
        ),
        (
            with_first("grants", threshold=0),
            "grants[0]: the threshold must be between 1 and 16, not 0",
        ),
        (
            with_first("grants", threshold=3),
            "grants[0]: 3 keys can't sign what is granted to 2",
        ),
        (with_first("grants", keys=["lead", "lead"]), "grants[0]: a key is named twice"),
        (with_first("grants", keys=["leat"]), "grants[0].keys: 'leat' is the name of no key"),
        (with_first("grants", keys=[["lead"]]), "grants[0].keys: ['lead'] is the name of no key"),
        (with_first("grants", pattern="scratch-*"), "grants: two have the same pattern"),
    ],
)
def test_grants_that_arent_as_they_must_be_are_refused(value: Any, message: str) -> None:
    assert refusal(value) == [message]


@pytest.mark.parametrize(
    ("reserved", "message"),
    [
        ([1], "reserved: 1 is no pattern of normalised package names"),
        (["a", "a"], "reserved: a pattern stands there twice"),
        (["*"], "reserved: not every name can be reserved"),
        (["a"] * 257, "reserved: there are 257 of them; 256 fit"),
    ],
)
def test_reserved_names_that_arent_as_they_must_be_are_refused(
    reserved: list[Any], message: str
) -> None:
    assert refusal(document(reserved=reserved)) == [message]


def test_a_name_that_cant_be_one_is_refused() -> None:
    value = with_first("keys", name="../x")
    value["grants"] = []

    (fault,) = refusal(value)

    assert fault.startswith("keys[0].name: key name '../x' must be")


@pytest.mark.parametrize("where", ["keys[0].public", "root.keys[0]"])
def test_a_key_that_anyone_could_sign_for_is_refused(where: str) -> None:
    weak = f"ed25519:{IDENTITY}"
    value = with_root(keys=[weak, FIRST_PUBLIC])
    if where.startswith("keys"):
        value = with_first("keys", public=weak)

    with pytest.raises(TrustDocumentError) as error:
        policy_from_json(value)
    assert [(problem.kind, problem.where) for problem in error.value.problems] == [
        ("key-weak", where)
    ]


def test_every_fault_is_told_at_once() -> None:
    value = {**with_first("keys", public="x", added_at="x"), "version": -1, "reserved": [1]}
    value["grants"][0]["level"] = "x"
    value["root"]["threshold"] = 9

    assert [fault.split(":")[0] for fault in refusal(value)] == [
        "version",
        "root",
        "keys[0].public",
        "keys[0].added_at",
        "grants[0].level",
        "reserved",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 20) | st.text(max_size=5) | st.just("lead"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PLACES: list[tuple[str | int, ...]] = [
    *((field,) for field in policy_to_json(POLICY)),
    *(("root", field) for field in policy_to_json(POLICY)["root"]),
    *(("keys", 1, field) for field in policy_to_json(POLICY)["keys"][1]),
    *(("grants", 0, field) for field in policy_to_json(POLICY)["grants"][0]),
    *((field, 0) for field in ("keys", "grants", "reserved")),
]


@settings(deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_any_value_in_any_place_is_read_or_refused_but_never_a_crash(
    place: tuple[str | int, ...], new: object
) -> None:
    value: Any = document()
    *way, last = place
    part = value
    for step in way:
        part = part[step]
    part[last] = new

    try:
        policy = policy_from_json(value)
    except TrustDocumentError as refusal:
        kinds = {problem.kind for problem in refusal.problems}
    else:
        is_stable = policy_from_json(policy_to_json(policy)) == policy
        kinds = {"trust-document" if is_stable else "unstable"}

    assert kinds == {"trust-document"}
