"""One verdict on what can be stored, the same for every database."""

import dataclasses
import enum
import json
import math
from collections import OrderedDict
from datetime import date
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.foundation.json_value import (
    MAX_DEPTH,
    NotJsonError,
    canonical,
    decode,
    decode_strict,
    encode,
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
SCALARS = (
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)


class Point(NamedTuple):
    x: int
    y: int


class Level(enum.IntEnum):
    HIGH = 3


class Region(enum.StrEnum):
    NORTH = "north"


class Loud(str):
    """Text that shows itself as something else than it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return "harmless"


class Modest(int):
    """A number that claims to be a smaller one."""

    __slots__ = ()

    def __int__(self) -> int:
        return 1


class Hidden(dict[str, object]):
    """A dict that shows `json` other items than it holds."""

    def items(self) -> Any:
        return [("shown", math.nan)]


@dataclasses.dataclass
class Row:
    day: str


def nested(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


@given(VALUES)
def test_a_value_comes_back_as_it_went_in(value: Any) -> None:
    back = decode(encode(value))

    assert back == value
    assert encode(back) == encode(value)  # and 1 is still 1, not 1.0 or True


@given(VALUES)
def test_what_encode_writes_is_accepted_from_outside(value: Any) -> None:
    assert encode(decode_strict(encode(value))) == encode(value)
    assert encode(decode_strict(encode(value).encode())) == encode(value)


@given(
    st.text('[]{}",:0123456789.eE+-\\ux \ntruefalsn', max_size=40)
    | VALUES.map(json.dumps)
    | st.text(max_size=20).map(json.dumps)
)
def test_whatever_is_accepted_from_outside_can_be_stored(text: str) -> None:
    try:
        value = decode_strict(text)
    except NotJsonError:
        return
    assert decode(encode(value)) == value


@given(st.binary(max_size=30))
def test_bytes_from_outside_are_refused_in_one_way_only(data: bytes) -> None:
    try:
        value = decode_strict(data)
    except NotJsonError:
        return
    assert json.loads(data.decode()) == value


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (math.nan, "$", "nan is not JSON"),
        ({"a": [0, -math.inf]}, "$.a[1]", "-inf is not JSON"),
        (2**63, "$", "64 bits"),
        ({"n": -(2**63) - 1}, "$.n", "64 bits"),
        (["a\x00b"], "$[0]", "NUL"),
        ({"a": {"b\x00": 1}}, "$.a", "NUL"),
        ({"a": "\ud800"}, "$.a", "lone surrogate"),
        ({"\udfff": 1}, "$", "lone surrogate"),
        ({"a": {1: 2}}, "$.a", "the key 1 is int, not a string"),
        ({"rows": [{}, {"day": date(2024, 1, 1)}]}, "$.rows[1].day", "store value.isoformat()"),
        ([b"x"], "$[0]", "store text, for example base64"),
        ({1, 2}, "$", "store sorted(value)"),
        ((Row("x"),), "$[0]", "store dataclasses.asdict(value)"),
        (object(), "$", "object is not a JSON value"),
        (1j, "$", "complex is not a JSON value"),
    ],
)
def test_a_broken_rule_is_told_with_its_path(value: Any, path: str, reason: str) -> None:
    with pytest.raises(NotJsonError) as caught:
        encode(value)

    assert caught.value.path == path
    assert reason in caught.value.reason
    with pytest.raises(NotJsonError):
        canonical(value)


def test_the_path_begins_where_the_caller_says() -> None:
    with pytest.raises(NotJsonError, match=r"^rows\[0\]\.day: "):
        encode([{"day": math.nan}], where="rows")


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_the_outermost_integers_fit(number: Any) -> None:
    assert decode(encode(number)) == number


def test_the_deepest_value_fits_and_one_level_more_does_not() -> None:
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(NotJsonError, match="more than 64 levels deep"):
        encode(nested(MAX_DEPTH + 1))
    with pytest.raises(NotJsonError, match="more than 64 levels deep"):
        decode_strict("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop

    with pytest.raises(NotJsonError, match="more than 64 levels deep"):
        encode(loop)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Level.HIGH, "3"),
        ([Region.NORTH], '["north"]'),
        ({Region.NORTH: 1}, '{"north":1}'),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (Point(1, 2), "[1,2]"),
        ((1, (2,)), "[1,[2]]"),
    ],
)
def test_subclasses_of_the_json_types_are_stored_as_their_base(value: Any, text: str) -> None:
    assert encode(value) == text


@pytest.mark.parametrize("value", [Loud("a\x00b"), Modest(2**70), Hidden(a=1)])
def test_a_subclass_is_judged_by_what_is_written_not_by_what_it_shows(value: Any) -> None:
    with pytest.raises(NotJsonError):
        encode([value])


def test_canonical_text_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": [1, {"d": 0, "c": 0}], "a": "é"}) == '{"a":"é","b":[1,{"c":0,"d":0}]}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":1,"b":{"c":1,"c":1}}', "the key 'c' stands twice in one object"),
        ("[NaN]", "NaN is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
        ("1e400", "inf is not JSON"),
        ("9223372036854775808", "64 bits"),
        ("9" * 5000, "not JSON"),
        ('"\\u0000"', "NUL"),
        ('"\\ud800"', "lone surrogate"),
        ("[" * 100_000, "64 levels deep"),
        ("", "not JSON"),
        ("[1,]", "not JSON"),
        ("1 2", "not JSON"),
        ("\ufeff1", "not JSON"),
        (b"\xff", "not JSON"),
        (b"\xef\xbb\xbf1", "not JSON"),
        ("[1]".encode("utf-16"), "not JSON"),
        ("[1]".encode("utf-32-le"), "not JSON"),
    ],
)
def test_text_from_outside_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(NotJsonError) as caught:
        decode_strict(text)

    assert reason in caught.value.reason
