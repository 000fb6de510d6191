import pytest

from cloacina_registry.trust.strict import (
    OBJECT,
    TEXT,
    WHOLE_NUMBER,
    decode_base64,
    encode_base64,
    field_faults,
    parse_moment,
)

FIELDS = {"name": TEXT, "count": WHOLE_NUMBER, "more": OBJECT}


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xfe", bytes(range(256))])
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data


@pytest.mark.parametrize(
    "text",
    ["AB==", "AA", "AA=", "AA==\n", " AA==", "A-8=", "AA==AA==", "AAB=", "é===", "A=A="],
)
def test_another_spelling_of_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode_base64(text)


def test_an_object_of_exactly_the_fields_has_no_faults() -> None:
    assert list(field_faults({"name": "a", "count": 1, "more": {}}, FIELDS)) == []


def test_every_fault_of_an_object_is_told() -> None:
    faults = dict(field_faults({"name": 1, "count": True, "extra": None}, FIELDS))

    assert faults == {
        "name": "must be text, not a whole number",
        "count": "must be a whole number, not a boolean",
        "more": "is missing",
        "extra": "is not a known field",
    }


def test_an_optional_field_may_be_missing_but_not_be_wrong() -> None:
    optional = frozenset({"count", "more"})

    assert list(field_faults({"name": "a"}, FIELDS, optional=optional)) == []
    assert dict(field_faults({"name": "a", "count": None}, FIELDS, optional=optional)) == {
        "count": "must be a whole number, not null"
    }


def test_what_is_no_object_is_one_fault() -> None:
    assert list(field_faults([], FIELDS)) == [("", "must be an object, not a list")]


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-21T12:00:00", "soon", ""])
def test_a_moment_says_its_offset_from_utc(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text)


def test_a_moment_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="isn't a moment in UTC"):
        parse_moment("0001-01-01T00:00:00+23:59")


def test_a_moment_is_read_into_utc() -> None:
    assert parse_moment("2026-11-21T13:00:00+01:00").isoformat() == "2026-11-21T12:00:00+00:00"
