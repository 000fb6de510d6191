"""Conditions on what sent events carry are decided alike, whatever they carry."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.sending.conditions import MAX_LENGTH, Condition

ORDER: JsonValue = {
    "id": 17,
    "total": 99.5,
    "paid": True,
    "note": None,
    "customer": {"name": "Ann", "a.b": 1, "": 2, "x/y~z": 3},
    "lines": [{"sku": "A-1", "count": 2}, {"sku": "B-2", "count": 1}],
    "any": "word",
}


@pytest.mark.parametrize(
    "where",
    [
        None,
        {},
        {"id": 17},
        {"id": 17.0},
        {"total": {">": 99, "<=": 99.5}},
        {"paid": True},
        {"note": None},
        {"note": {"present": True}},
        {"gone": {"present": False}},
        {"customer.name": {"in": ["Bob", "Ann"]}},
        {"customer.name": {">=": "Aa", "<": "B"}},
        {"customer.name": {"!=": "Bob"}},
        {"/customer/a.b": 1},
        {"/customer/": 2},
        {"/customer/x~1y~0z": 3},
        {"lines.1.sku": "B-2"},
        {"/lines/0": {"=": {"count": 2, "sku": "A-1"}}},
        {"lines": {"=": [{"sku": "A-1", "count": 2}, {"sku": "B-2", "count": 1.0}]}},
        {"/any": "word"},
        {"all": []},
        {"any": [{"id": 1}, {"id": 17}]},
        {"not": {"id": 1}},
        {"not": {"gone": 1}},
        {"all": [{"id": 17}, {"any": [{"paid": False}, {"not": {"total": {"<": 99}}}]}]},
    ],
)
def test_a_condition_holds(where: Any) -> None:
    assert Condition.checked(where).holds(ORDER)


@pytest.mark.parametrize(
    "where",
    [
        {"id": "17"},
        {"paid": 1},
        {"id": True},
        {"gone": None},
        {"gone": {"!=": 1}},
        {"gone": {"<": 1}},
        {"note": {"<": 1}},
        {"id": {"<": "2"}},
        {"paid": {">": 0}},
        {"customer": {"<": 1}},
        {"lines.2": {"present": True}},
        {"lines.01.sku": {"present": True}},
        {"lines.-1.sku": {"present": True}},
        {"id.more": {"present": True}},
        {"any": []},
        {"id": 17, "paid": False},
        {"total": {">": 99, "<": 99.5}},
        {"customer.name": {"in": []}},
    ],
)
def test_a_condition_doesnt_hold(where: Any) -> None:
    assert not Condition.checked(where).holds(ORDER)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ([], "where is an object, not list"),
        ({"id": {"~": 1}}, "'~', which is none of: = != <"),
        ({"id": {}}, "has no comparison"),
        ({"id": {"<": True}}, "takes a number or a text"),
        ({"id": {"<": None}}, "takes a number or a text"),
        ({"id": {"in": "abc"}}, "in takes a list"),
        ({"id": {"present": 1}}, "present takes true or false"),
        ({"all": {"id": 1}}, "where.all is a list"),
        ({"any": [1]}, r"where.any\[0\] is an object"),
        ({"a..b": 1}, "a part without a name"),
        ({"": 1}, "1 to 500 characters"),
        ({"/a~2": 1}, "~ stands before 0 or 1"),
        ({"x" * 501: 1}, "1 to 500 characters"),
        ({1: 1}, "a path is a text"),
        ({"id": float("nan")}, "not JSON"),
        ({"id": "x" * MAX_LENGTH}, f"at most {MAX_LENGTH}"),
    ],
)
def test_what_is_wrong_is_told(where: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Condition.checked(where)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Condition.checked({"a": {"<": None}, "any": 3, "not": {"b": {"in": 1}}})

    assert caught.value.message.count(";") == 2


def test_a_condition_has_an_end() -> None:
    where: Any = {"id": 1}
    for _ in range(100_000):
        where = {"not": where}

    with pytest.raises(InputError, match="levels deep"):
        Condition.checked(where)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], {}),
        (["id=17"], {"id": {"=": 17}}),
        (["name=Ann"], {"name": {"=": "Ann"}}),
        (["total >= 99.5"], {"total": {">=": 99.5}}),
        (["total!=1"], {"total": {"!=": 1}}),
        (["formula=a<b"], {"formula": {"=": "a<b"}}),
        (["note"], {"note": {"present": True}}),
        (["!note"], {"note": {"present": False}}),
        (['{"any": [{"id": 1}]}'], {"any": [{"id": 1}]}),
        (["a=1", "b<2"], {"all": [{"a": {"=": 1}}, {"b": {"<": 2}}]}),
    ],
)
def test_texts_of_the_command_line_are_conditions(texts: list[str], expected: Any) -> None:
    assert Condition.from_texts(texts).to_json() == expected


@pytest.mark.parametrize("text", ["cents==5", "cents >> 0", "cents=>0", "cents<>1", "cents!=!1"])
def test_a_comparison_that_is_mistyped_is_refused_unless_it_is_quoted(text: str) -> None:
    with pytest.raises(InputError) as refused:
        Condition.from_texts([text])

    quoted = str(refused.value.hint).partition("is quoted: ")[2]
    (comparison,) = Condition.from_texts([quoted]).to_json().values()
    assert str(next(iter(comparison.values()))) in text


def test_a_text_that_isnt_json_is_refused() -> None:
    with pytest.raises(InputError, match="isn't JSON"):
        Condition.from_texts(["{any"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text("ab.", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner),
    max_leaves=5,
)
CONDITIONS = st.recursive(
    st.dictionaries(
        st.sampled_from(["a", "b", "a.b", "/", "a.0"]),
        st.fixed_dictionaries({"=": VALUES})
        | st.fixed_dictionaries({"<": st.integers(-3, 3)})
        | st.fixed_dictionaries({"present": st.booleans()}),
        max_size=2,
    ),
    lambda inner: (
        st.fixed_dictionaries({"any": st.lists(inner, max_size=2)})
        | st.fixed_dictionaries({"all": st.lists(inner, max_size=2)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=5,
)


@given(where=CONDITIONS, data=VALUES)
def test_a_condition_or_its_opposite_holds(where: Any, data: JsonValue) -> None:
    condition = Condition.checked(where)
    opposite = Condition.checked({"not": where})
    stored = Condition(condition.text)

    assert condition.holds(data) is not opposite.holds(data)
    assert stored.holds(data) is condition.holds(data)
