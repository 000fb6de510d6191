"""Schemas of types, and values converted to them: both must give the same verdict."""

import enum
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    Union,
)
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from cloacina_core.errors import Problem
from cloacina_core.foundation.json_value import decode, encode
from cloacina_core.model.typed import (
    UnsupportedTypeError,
    convert,
    convert_fields,
    is_record_type,
    schema_of,
    to_json,
)

CALENDAR = FormatChecker(formats=["date"])


class Region(enum.Enum):
    NORTH = "north"
    SOUTH = "south"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Row:
    day: date
    amount: Decimal
    region: Region = Region.NORTH
    notes: list[str] = field(default_factory=list)


class Totals(TypedDict):
    total: int
    parts: NotRequired[dict[str, float]]


class Loose(TypedDict, total=False):
    total: Required[int]
    note: str


@dataclass
class Everything:
    rows: list[Row]
    totals: Totals
    best: Row | None = None


KINDS: list[Any] = [
    None,
    bool,
    int,
    float,
    str,
    Any,
    object,
    date,
    datetime,
    time,
    timedelta,
    Decimal,
    UUID,
    Path,
    Region,
    Level,
    Literal["a", 1],
    Literal[True, Level.HIGH],
    list,
    list[int],
    tuple,
    tuple[int, ...],
    tuple[int, str],
    set[int],
    frozenset[Region],
    dict,
    dict[str, list[int]],
    Mapping[str, bool],
    Sequence[date],
    Optional[int],  # noqa: UP045 - the old spelling must work too
    Union[int, str],  # noqa: UP007
    int | list[int] | None,
    bool | float,
    Annotated[int, ["not hashable"]],
    Row,
    Totals,
    Loose,
    Everything,
]

NEAR_MISSES: list[Any] = [
    *[None, True, False, 0, 1, 2, 1.0, 1.5, -1, 2**63 - 1, 1e300, 86_400 * 10**9, "", "a", "north"],
    *["2024-02-29", "2023-02-29", "20240229", "2024-W01-1", "2024-2-9", "\uff12024-01-01"],
    *["2024-02-29T10:30", "2024-02-29T10:30:00.5Z", "2024-02-29T10:30:00+02:00", "2024-02-29\n"],
    *["2024-02-29 10:30", "2024-02-29T24:00", "2024-02-29T10:60", "T10:30", "10:30", "25:00"],
    *["10:30:59.123456-05:30", "10", "10:30:60", "10:30:00.1234567"],
    *[
        "1",
        "1.50",
        "-.5e3",
        "1e999999",
        "1e9999999",
        "NaN",
        "Infinity",
        "1_000",
        " 1",
        "1\n",
        "\u0661",
    ],
    "6f1d4c52-8a55-4e0a-9f6e-0d1f6c7a9b10",
    "6F1D4C528A554E0A9F6E0D1F6C7A9B10",
    "{6f1d4c52-8a55-4e0a-9f6e-0d1f6c7a9b10}",
    "urn:uuid:6f1d4c52-8a55-4e0a-9f6e-0d1f6c7a9b10",
    *[[], [1], [1, 1], [1, "a"], ["a", 1], [1.0], [True], ["north"], [None], [[1]], [{}]],
    *[{}, {"a": 1}, {"a": [1]}, {"a": True}, {"total": 1}, {"total": 1.0, "parts": {"a": 1}}],
    *[{"total": 1, "note": "x"}, {"total": 1, "parts": {"a": "1"}}, {"parts": {}}, {"note": ""}],
    *[{"day": "2024-02-29", "amount": "1"}, {"day": "2023-02-29", "amount": "1"}],
    {"day": "2024-01-01", "amount": "1", "region": "west", "notes": [1]},
    {"day": "2024-01-01", "amount": "1", "more": 1},
    {"rows": [{"day": "2024-01-01", "amount": "1"}], "totals": {"total": 1}, "best": None},
    {"rows": [], "totals": {}, "best": {"day": "2024-01-01"}},
]

VALUES = st.recursive(
    st.sampled_from(NEAR_MISSES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "total", "parts", "note", "rows", "totals", "best"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def schema_accepts(kind: Any, value: Any) -> bool:
    return Draft202012Validator(schema_of(kind), format_checker=CALENDAR).is_valid(value)


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_every_schema_is_one(kind: Any) -> None:
    schema = schema_of(kind)

    Draft202012Validator.check_schema(decode(encode(schema)))


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_a_schema_accepts_exactly_what_can_be_converted(kind: Any) -> None:
    is_valid = Draft202012Validator(schema_of(kind), format_checker=CALENDAR).is_valid

    convertible = [value for value in NEAR_MISSES if not convert(value, kind)[1]]

    assert convertible == [value for value in NEAR_MISSES if is_valid(value)]


@given(st.sampled_from(KINDS), VALUES)
def test_schema_and_conversion_agree_on_any_value(kind: Any, value: Any) -> None:
    assert (not convert(value, kind)[1]) == schema_accepts(kind, value)


@pytest.mark.parametrize("text", ["2023-02-29T10:30", "0000-01-01T00:00", "2024-13-01T00:00"])
def test_a_moment_must_be_in_the_calendar_which_no_schema_says(text: str) -> None:
    assert schema_accepts(datetime, text)
    assert convert(text, datetime) == (
        None,
        (Problem("type", f"{text!r} is not a datetime", "$"),),
    )


ROWS = st.builds(
    Row,
    st.dates(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from(Region),
    st.lists(st.text(max_size=3), max_size=2),
)
TOTALS = st.fixed_dictionaries(
    {"total": st.integers()}, optional={"parts": st.dictionaries(st.text(), st.floats(0, 1))}
)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (date, st.dates()),
        (datetime, st.datetimes(timezones=st.none() | st.just(UTC))),
        (time, st.times()),
        (timedelta, st.timedeltas(timedelta(days=-36500), timedelta(days=36500))),
        (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
        (UUID, st.uuids()),
        (Path, st.sampled_from([Path("a/b"), Path("/")])),
        (Region, st.sampled_from(Region)),
        (set[date], st.sets(st.dates(), max_size=3)),
        (
            frozenset[int | str],
            st.frozensets(st.integers(0, 9) | st.sampled_from("ab"), max_size=3),
        ),
        (tuple[int, ...], st.lists(st.integers()).map(tuple)),
        (tuple[int, date], st.tuples(st.integers(), st.dates())),
        (Row, ROWS),
        (Totals, TOTALS),
        (Everything, st.builds(Everything, st.lists(ROWS), TOTALS, st.none() | ROWS)),
    ],
    ids=repr,
)
def test_a_value_comes_back_from_its_json_form(
    kind: Any, values: st.SearchStrategy[object]
) -> None:
    @given(values)
    def comes_back(value: object) -> None:
        stored = to_json(value)

        assert schema_accepts(kind, stored)
        assert convert(stored, kind) == (value, ())

    comes_back()


def test_sets_of_unlike_values_have_one_json_form() -> None:
    assert to_json({"b", 1, None}) == to_json({None, "b", 1}) == ["b", 1, None]


def test_the_schema_of_a_record_tells_fields_types_and_defaults() -> None:
    assert schema_of(Row)["required"] == ["day", "amount"]
    assert schema_of(Row)["properties"]["region"] == {
        "enum": ["north", "south"],
        "default": "north",
    }
    assert schema_of(Row)["properties"]["notes"]["default"] == []
    assert schema_of(Row)["additionalProperties"] is False
    assert schema_of(Everything)["properties"]["totals"] == schema_of(Totals)


def test_every_problem_is_told_with_its_path() -> None:
    value = {
        "rows": [{"day": "today", "amount": 1}, {"amount": "1", "region": "west", "more": 0}],
        "totals": {"parts": {"a": "x"}},
        "best": {"day": "2024-01-01", "amount": "1", "notes": ["", 5]},
    }

    converted, problems = convert(value, Everything, "params")

    assert converted is None
    assert sorted(map(str, problems)) == [
        "params.best.notes[1]: must be string, not integer",
        "params.rows[0].amount: must be string (Decimal), not integer",
        "params.rows[0].day: 'today' is not a date",
        "params.rows[1].region: must be one of 'north', 'south', not 'west'",
        "params.rows[1]: the field 'day' is missing",
        "params.rows[1]: there is no field 'more'",
        "params.totals.parts.a: must be number, not string",
        "params.totals: the field 'total' is missing",
    ]


def test_kinds_of_problems_tell_them_apart() -> None:
    _, problems = convert({"more": 1, "notes": {}}, Row)

    assert [problem.kind for problem in problems] == [
        "unknown-key",
        "missing-key",
        "missing-key",
        "type",
    ]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("x", int | None, "must be integer, not string"),
        ([], int | str, "fits no choice: must be integer, not array or must be string, not array"),
        ([1], tuple[int, int], "must have 2 items, not 1"),
        (1, Literal[True, "a"], "must be one of True, 'a', not 1"),
        (True, Level, "must be one of 1, 2, not True"),
        ({}, list, "must be array, not object"),
        (None, Row, "must be object, not null"),
        ("x" * 1000, date, f"'{'x' * 79} is not a date"),
        (10**400, float, "must be number, not integer"),
        ([[1]], set[Any], "must have items that a set can hold"),
    ],
)
def test_a_message_tells_what_must_be_and_what_is(value: Any, kind: Any, message: str) -> None:
    assert convert(value, kind) == (None, (Problem("type", message, "$"),))


def test_whole_numbers_with_a_point_are_integers() -> None:
    converted, problems = convert(2.0, int)

    assert (converted, type(converted), problems) == (2, int, ())
    assert convert(1.0, Level)[0] is Level.LOW


def test_a_literal_gives_back_its_own_choice() -> None:
    assert convert(2, Literal[Level.HIGH])[0] is Level.HIGH


def test_what_a_dataclass_checks_itself_is_a_problem_too() -> None:
    @dataclass
    class Window:
        first: int
        last: int

        def __post_init__(self) -> None:
            if self.first > self.last:
                raise ValueError("it ends before it begins")

    _, problems = convert([{"first": 2, "last": 1}], list[Window])

    assert problems == (Problem("invalid", "it ends before it begins", "$[0]"),)


class Pair(NamedTuple):
    one: int
    two: int


@dataclass
class Tree:
    branches: "list[Tree]"


@dataclass
class Holder:
    inner: object
    bad: complex


@dataclass
class Today:
    day: date = field(default_factory=date.today)


@dataclass
class Random:
    inner: list[str] = field(default_factory=lambda: [str(uuid4())])


@dataclass
class Sloppy:
    day: date = None  # type: ignore[assignment]
    count: int = "1"  # type: ignore[assignment]


class Shape(enum.Enum):
    SQUARE = (1, 1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (complex, r"\$: the type <class 'complex'> has no JSON form"),
        (bytes, "has no JSON form"),
        (Pair, "has no JSON form"),
        (list[dict[str, complex]], r"\$\[\]\.\*: the type <class 'complex'>"),
        (Holder, r"\$\.bad: the type <class 'complex'>"),
        (dict[int, str], r"the keys of dict\[int, str\] must be str"),
        (set[Any], r"may not fit in a set"),
        (set, r"may not fit in a set"),
        (set[list[int]], r"may not fit in a set"),
        (frozenset[Everything], r"may not fit in a set"),
        (Shape, r"the choice <Shape.SQUARE: \(1, 1\)> has no JSON form"),
        (Literal[b"a"], "the choice b'a' has no JSON form"),
        (Tree, r"\$\.branches\[\]: Tree holds itself"),
        (Today, r"\$\.day: its default_factory may give another value each time"),
        (Random, r"\$\.inner: its default_factory may give another value each time"),
        (Sloppy, r"the default doesn't fit: \$\.day: must be string \(date\), not null"),
        ("Row", "has no JSON form"),
        (5, "has no JSON form"),
    ],
    ids=repr,
)
def test_a_type_without_a_schema_is_refused_by_place_and_name(kind: Any, message: str) -> None:
    with pytest.raises(UnsupportedTypeError, match=message):
        schema_of(kind)


def test_a_type_that_holds_itself_can_still_be_converted_to() -> None:
    assert convert({"branches": [{"branches": []}]}, Tree)[0] == Tree([Tree([])])


def test_a_record_that_stands_twice_doesnt_hold_itself() -> None:
    assert schema_of(tuple[Row, Row])["prefixItems"] == [schema_of(Row)] * 2


def test_fields_are_converted_with_the_defaults_of_those_not_given() -> None:
    fields = convert_fields({"day": "2024-01-01", "gone": 1}, Row)

    assert fields == {"day": date(2024, 1, 1), "region": Region.NORTH, "notes": []}
    assert convert_fields({"total": 1}, Totals) == {"total": 1}


def test_a_default_that_is_made_is_made_for_each() -> None:
    one, other = (convert_fields({}, Row) for _ in range(2))

    assert one["notes"] is not other["notes"]


def test_fields_of_the_wrong_type_are_all_told() -> None:
    with pytest.raises(ValueError, match="day: 'x' is not a date; amount: must be string"):
        convert_fields({"day": "x", "amount": 1}, Row)


def test_fields_that_init_doesnt_take_are_no_params() -> None:
    @dataclass
    class Area:
        width: int
        size: int = field(init=False, default=0)

    assert list(schema_of(Area)["properties"]) == ["width"]
    assert to_json(Area(2)) == {"width": 2}
    assert convert({"width": 2}, Area) == (Area(2), ())


@pytest.mark.parametrize("kind", [Row, Totals, Loose, Everything])
def test_dataclasses_and_typed_dicts_are_records(kind: Any) -> None:
    assert is_record_type(kind)


@pytest.mark.parametrize("kind", [dict, list[Row], None, int, Row(date(2024, 1, 1), Decimal(1))])
def test_other_types_are_no_records(kind: Any) -> None:
    assert not is_record_type(kind)


POSTPONED = """
from __future__ import annotations
from dataclasses import dataclass, field
from datetime import date
from typing import NotRequired, Required, TypedDict

class Options(TypedDict):
    must: int
    may: NotRequired[str]

class Loose(TypedDict, total=False):
    must: Required[int]
    may: str

@dataclass
class Params:
    options: Options
    loose: Loose
    days: list[date] = field(default_factory=list)
"""


def test_annotations_that_are_text_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("postponed")
    monkeypatch.setitem(sys.modules, "postponed", module)
    exec(compile(POSTPONED, "postponed.py", "exec", dont_inherit=True), vars(module))

    assert schema_of(module.Options)["required"] == ["must"]
    assert schema_of(module.Loose)["required"] == ["must"]
    assert convert(
        {"options": {"must": 1}, "loose": {"must": 2}, "days": ["2024-01-01"]}, module.Params
    ) == (module.Params({"must": 1}, {"must": 2}, [date(2024, 1, 1)]), ())
