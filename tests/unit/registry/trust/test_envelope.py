import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signing import make_key

from cloacina_registry.errors import SignatureError
from cloacina_registry.trust.envelope import (
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    Envelope,
    Signature,
    pre_authentication_encoding,
)

SIGNED = Envelope(b"payload", ()).signed_by(make_key(1)).signed_by(make_key(2))


def document(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(SIGNED.to_bytes())
    return {**whole, **changes}


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def refusal(data: bytes) -> list[str]:
    with pytest.raises(SignatureError) as error:
        Envelope.parse(data)
    assert {problem.kind for problem in error.value.problems} == {"envelope"}
    return [str(problem) for problem in error.value.problems]


def signature(number: int) -> dict[str, str]:
    return {"sig": base64.b64encode(bytes([number]) * 64).decode(), "keyid": f"key {number}"}


def test_the_encoding_is_that_of_the_specification() -> None:
    # The test vector of the DSSE v1 protocol document.
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")

    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_counted_in_bytes() -> None:
    assert pre_authentication_encoding("é", b"\xff\x00") == b"DSSEv1 2 \xc3\xa9 2 \xff\x00"


def test_an_envelope_is_read_as_it_was_written() -> None:
    assert Envelope.parse(SIGNED.to_bytes()) == SIGNED


def test_the_same_envelope_gives_the_same_bytes() -> None:
    again = Envelope(b"payload", ()).signed_by(make_key(1)).signed_by(make_key(2))

    assert again.to_bytes() == SIGNED.to_bytes()


def test_json_written_anew_by_a_tool_on_the_way_is_the_same_envelope() -> None:
    rewritten = json.dumps(dict(reversed(document().items())), indent=4).encode()

    assert Envelope.parse(rewritten) == SIGNED


def test_a_signature_is_of_the_encoding() -> None:
    message = pre_authentication_encoding(PAYLOAD_TYPE, b"payload")

    assert make_key(1).public.verifies(SIGNED.signatures[0].signature, message)


def test_a_key_id_may_be_missing() -> None:
    bare = Envelope(b"payload", (Signature(bytes(64)),))

    assert Envelope.parse(bare.to_bytes()) == bare


def test_an_envelope_of_the_largest_size_is_read() -> None:
    data = SIGNED.to_bytes()

    assert Envelope.parse(data.ljust(MAX_ENVELOPE_BYTES)) == SIGNED
    assert refusal(data.ljust(MAX_ENVELOPE_BYTES + 1)) == ["it has more than 65536 bytes"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"payload": NaN}',
        SIGNED.to_bytes().decode().encode("utf-16"),
        b"\xef\xbb\xbf" + SIGNED.to_bytes(),
        SIGNED.to_bytes() + SIGNED.to_bytes(),
        SIGNED.to_bytes().replace(b'"payload":', b'"payload":"AAAA","payload":', 1),
        SIGNED.to_bytes().replace(b'"sig":', b'"sig":"AAAA","sig":', 1),
        b"[" * 60_000,
        b'{"payload": ' + b"9" * 5000 + b"}",
    ],
    ids=[
        "nothing",
        "not UTF-8",
        "null",
        "a list",
        "no fields",
        "NaN",
        "UTF-16",
        "a byte-order mark",
        "two documents",
        "payload twice",
        "sig twice",
        "nested",
        "a long number",
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    assert refusal(data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "extra: is not a known field"),
        ({"payload": None}, "payload: must be text, not null"),
        ({"payload": "AB=="}, "payload: not the canonical base64 of its bytes"),
        ({"payload": "cGF5bG9hZA"}, "payload: not base64: Incorrect padding"),
        ({"payloadType": 1}, "payloadType: must be text, not a whole number"),
        ({"signatures": {}}, "signatures: must be a list, not an object"),
        ({"signatures": []}, "signatures: there must be 1 to 16 of them, not 0"),
        ({"signatures": ["x"]}, "signatures[0]: must be an object, not text"),
        ({"signatures": [{"keyid": "a"}]}, "signatures[0].sig: is missing"),
        (
            {"signatures": [{**signature(1), "cert": ""}]},
            "signatures[0].cert: is not a known field",
        ),
        (
            {"signatures": [{**signature(1), "keyid": None}]},
            "signatures[0].keyid: must be text, not null",
        ),
        (
            {"signatures": [{"sig": "AAAA"}]},
            "signatures[0].sig: an Ed25519 signature has 64 bytes, not 3",
        ),
        (
            {"signatures": [{"sig": "!"}]},
            "signatures[0].sig: not base64: Only base64 data is allowed",
        ),
    ],
)
def test_a_field_out_of_order_is_named(changes: dict[str, Any], message: str) -> None:
    assert refusal(as_bytes(document(**changes))) == [message]


def test_a_missing_field_is_named() -> None:
    whole = document()
    del whole["payloadType"]

    assert refusal(as_bytes(whole)) == ["payloadType: is missing"]


def test_every_fault_is_told_at_once() -> None:
    faults = refusal(as_bytes(document(payload="!", signatures=[{"sig": "!"}, "x"])))

    assert [fault.split(":")[0] for fault in faults] == [
        "payload",
        "signatures[0].sig",
        "signatures[1]",
    ]


def test_one_key_id_twice_is_refused() -> None:
    twice = [signature(1), {**signature(2), "keyid": "key 1"}]

    assert refusal(as_bytes(document(signatures=twice))) == [
        "signatures: two of them have the same keyid"
    ]


def test_one_signature_under_two_key_ids_is_refused() -> None:
    twice = [signature(1), {**signature(1), "keyid": "key 2"}]

    assert refusal(as_bytes(document(signatures=twice))) == [
        "signatures: two of them have the same sig"
    ]


def test_as_many_signatures_as_fit_are_read_and_no_more() -> None:
    signatures = [signature(number) for number in range(MAX_SIGNATURES + 1)]

    assert len(Envelope.parse(as_bytes(document(signatures=signatures[1:]))).signatures) == 16
    assert refusal(as_bytes(document(signatures=signatures)))


def test_a_refusal_names_what_was_signed_and_doesnt_quote_at_length() -> None:
    data = as_bytes({"x" * 60_000: 1})

    with pytest.raises(SignatureError, match=r"acme_etl-1\.0-py3-none-any\.whl") as error:
        Envelope.parse(data, of="acme_etl-1.0-py3-none-any.whl")
    assert len(str(error.value)) < 1000


def parse_or_refuse(data: bytes) -> None:
    """Any other exception than the documented one is a finding."""
    try:
        envelope = Envelope.parse(data)
    except SignatureError:
        return
    assert Envelope.parse(envelope.to_bytes()) == envelope


@settings(deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    parse_or_refuse(data)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_an_envelope_with_any_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    mangled = bytearray(SIGNED.to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mangled) - 1))
        mangled[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    parse_or_refuse(bytes(mangled))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["AAAA", "A" * 86 + "=="]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sig", "keyid", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(
    fields=st.dictionaries(
        st.sampled_from(["payload", "payloadType", "signatures", "x"]), JSON_VALUES
    )
)
def test_an_envelope_of_any_values_is_read_or_refused(fields: dict[str, Any]) -> None:
    parse_or_refuse(as_bytes(document(**fields)))
