"""What a task reads and writes, and what of it counts as changed."""

import copy
import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.errors import ContextValueError
from cloacina_core.foundation.digest import digest_of
from cloacina_core.foundation.json_value import MAX_DEPTH, encode
from cloacina_core.model.context import MAX_KEY_LENGTH, Context, Params, TaskInfo
from cloacina_core.model.release import Release

RELEASE = Release(
    source="registry", package="acme", version="1", digest=digest_of(b""), workflows=("nightly",)
)


@dataclass
class Row:
    day: date
    amount: int


class Options(TypedDict):
    day: date


class Key(enum.StrEnum):
    ROWS = "rows"


def stored(**values: Any) -> Context:
    """Return a context as an attempt gets it: over values that were stored before."""
    texts = {key: encode(value) for key, value in values.items()}
    return Context.of_texts(texts, params={}, info=TaskInfo())


def test_nothing_is_changed_at_first() -> None:
    assert stored(a=1, b=[]).changes() == {}
    assert Context().changes() == {}


@pytest.mark.parametrize(
    "read",
    [
        lambda context: context["rows"],
        lambda context: context.get("rows"),
        lambda context: context.get("rows", type=list[int]),
        lambda context: list(context.items()),
        lambda context: context.to_dict(),
        lambda context: "rows" in context,
        repr,
    ],
)
def test_reading_changes_nothing(read: Callable[[Context], object]) -> None:
    context = stored(rows=[1, 2])

    read(context)

    assert context.changes() == {}


def test_a_value_that_was_set_is_changed() -> None:
    context = stored(a=1)

    context["a"] = 2
    context["b"] = {"c": (None, "é")}

    assert context.changes() == {"a": "2", "b": '{"c":[null,"é"]}'}


def test_a_value_that_was_mutated_in_place_is_changed() -> None:
    context = stored(rows=[{"n": 1}], other=[])

    context["rows"][0]["n"] = 2

    assert context.changes() == {"rows": '[{"n":2}]'}


@pytest.mark.parametrize("same", [1, 1.0, True])
def test_setting_a_value_to_what_it_was_is_no_change(same: object) -> None:
    context = stored(a=same)

    context["a"] = same

    assert context.changes() == {}


def test_values_that_are_equal_to_python_but_not_to_json_are_changes() -> None:
    context = stored(a=1, b=1)

    context["a"] = 1.0
    context["b"] = True

    assert context.changes() == {"a": "1.0", "b": "true"}


def test_a_value_that_was_changed_back_is_no_change() -> None:
    context = stored(rows=[1])

    context["rows"].append(2)
    context["rows"].pop()

    assert context.changes() == {}


def test_a_deleted_key_is_changed_to_nothing() -> None:
    context = stored(a=1, b=2)

    del context["a"]
    context.pop("b")

    assert context.changes() == {"a": None, "b": None}
    assert dict(context) == {}


def test_a_key_that_was_deleted_and_set_again_is_judged_by_its_value() -> None:
    context = stored(a=1, b=2)

    del context["a"], context["b"]
    context["a"], context["b"] = 1, 3

    assert context.changes() == {"b": "3"}
    assert dict(context) == {"a": 1, "b": 3}


def test_a_key_that_came_and_went_leaves_no_trace() -> None:
    context = stored()

    context["a"] = 1
    del context["a"]

    assert context.changes() == {}


def test_a_context_made_from_values_has_all_of_them_changed() -> None:
    assert Context({"a": 1}).changes() == {"a": "1"}


KEYS = st.sampled_from("abc")
ACTIONS = st.lists(
    st.tuples(st.just("set"), KEYS, st.integers(0, 2))
    | st.tuples(st.just("delete") | st.just("read"), KEYS, st.none())
)


@given(st.dictionaries(KEYS, st.integers(0, 2)), ACTIONS)
def test_a_context_behaves_as_a_dict_and_knows_what_differs(
    before: dict[str, int], actions: list[tuple[str, str, Any]]
) -> None:
    context, model = stored(**before), dict(before)

    for action, key, number in actions:
        if action == "set":
            context[key] = model[key] = number
        elif action == "delete" and key in model:
            del context[key], model[key]
        else:
            assert context.get(key, "none") == model.get(key, "none")
        assert (dict(context), len(context)) == (model, len(model))

    differing = {key: str(model[key]) for key in model if before.get(key) != model[key]}
    gone = dict.fromkeys(before.keys() - model.keys())
    assert context.changes() == {**differing, **gone}


def test_keys_come_in_the_order_they_were_stored_then_set() -> None:
    context = stored(b=1, a=2)

    context["z"], context["c"], context["b"] = 1, 1, 1

    assert list(context) == ["b", "a", "z", "c"]


def test_a_context_can_be_read_and_emptied_while_walked() -> None:
    context = stored(a=1, b=2)
    context["c"] = 3

    for key in context:
        assert context["a" if key == "c" else "b"]
        if key == "c":
            del context["c"]

    assert list(context) == ["a", "b"]


def test_a_missing_key_is_told_as_by_a_dict() -> None:
    context = stored(a=1)
    del context["a"]

    for missing in ("a", "b"):
        assert missing not in context
        assert context.get(missing) is None
        assert context.get(missing, 5, type=int) == 5
        with pytest.raises(KeyError, match=missing):
            context[missing]
        with pytest.raises(KeyError, match=missing):
            del context[missing]


@pytest.mark.parametrize("key", ["", "x" * (MAX_KEY_LENGTH + 1), 5, None, b"a", "a\x00", "\ud800"])
def test_a_key_that_cant_be_stored_is_refused_at_once(key: Any) -> None:
    context = Context()

    with pytest.raises(ContextValueError):
        context[key] = 1

    assert not context


def test_the_longest_key_fits() -> None:
    key = "é" * MAX_KEY_LENGTH

    assert Context({key: 1}).changes() == {key: "1"}


def test_a_key_loses_its_class() -> None:
    context = Context({Key.ROWS: 1})

    assert [type(key) for key in context] == [str]
    assert context[Key.ROWS] == context["rows"] == 1


@pytest.mark.parametrize(
    ("value", "path"),
    [(math.nan, "rows"), ([{"day": date(2024, 1, 1)}], "rows[0].day"), ({"a": {1: 1}}, "rows.a")],
)
def test_a_value_that_cant_be_stored_is_told_by_its_path(value: object, path: str) -> None:
    context = Context({"rows": value})

    with pytest.raises(ContextValueError) as caught:
        context.changes()

    assert caught.value.path == path


def test_a_value_is_converted_to_the_type_asked_for() -> None:
    context = stored(rows=[{"day": "2024-01-01", "amount": 2}])

    rows = context.get("rows", type=list[Row])

    assert rows == [Row(date(2024, 1, 1), 2)]


def test_a_converted_value_is_a_copy() -> None:
    context = stored(rows=[1])

    context.get("rows", type=list[int]).append(2)

    assert context["rows"] == [1]


def test_a_value_of_another_type_is_refused_with_every_fault() -> None:
    context = stored(rows=[{"day": "x", "amount": "2"}, {"day": "2024-01-01"}])

    with pytest.raises(ContextValueError) as caught:
        context.get("rows", type=list[Row])

    for fault in ("rows[0].day", "rows[0].amount", "rows[1]: the field 'amount' is missing"):
        assert fault in str(caught.value)


def test_a_context_can_be_updated_from_a_mapping() -> None:
    context = stored(a=1)

    context.update({"a": 2}, b=3)

    assert context.to_dict() == {"a": 2, "b": 3}
    assert context == {"a": 2, "b": 3}


def test_params_are_read_as_items_and_as_attributes() -> None:
    params = Context(params={"day": "2024-01-01"}).params

    assert params["day"] == params.day == "2024-01-01"
    assert dict(params) == {"day": "2024-01-01"}
    assert len(params) == 1
    assert repr(params) == "Params({'day': '2024-01-01'})"


def test_a_missing_param_is_told_with_those_there_are() -> None:
    params = Params({"day": 1, "region": 2})

    with pytest.raises(AttributeError, match="no param 'dya'; params are: day, region"):
        _ = params.dya
    with pytest.raises(AttributeError, match="no param 'x'; params are: none"):
        _ = Params({}).x
    with pytest.raises(KeyError):
        params["dya"]
    assert not hasattr(params, "__missing__")


def test_params_cant_be_changed() -> None:
    given = {"day": 1}
    params: Any = Params(given)
    given["day"] = 2

    with pytest.raises(AttributeError):
        params.day = 2
    with pytest.raises(TypeError):
        params["day"] = 2
    assert params.day == 1


def test_params_can_be_copied() -> None:
    params = Params({"day": [1]})

    assert copy.copy(params) == copy.deepcopy(params) == params


def test_params_become_the_record_they_are_declared_with() -> None:
    context = Context(params={"day": date(2024, 1, 1), "amount": 1})

    assert context.params_as(Row) == Row(date(2024, 1, 1), 1)
    assert Context(params={"day": date(2024, 1, 1)}).params_as(Options)["day"].year == 2024


def test_a_context_knows_whose_it_is() -> None:
    deadline = datetime(2024, 1, 1, tzinfo=UTC)
    context = Context(
        info=TaskInfo(
            run_id="r1",
            workflow="nightly",
            task="extract",
            attempt=2,
            deadline=deadline,
            release=RELEASE,
            cancelled=lambda: True,
        )
    )

    assert (context.run_id, context.task, context.attempt) == ("r1", "extract", 2)
    assert (context.deadline, context.release) == (deadline, RELEASE)
    assert context.cancelled()


def test_a_context_of_a_test_is_that_of_a_local_run() -> None:
    context = Context()

    assert (context.run_id, context.attempt, context.deadline) == ("local", 1, None)
    assert not context.cancelled()


def test_the_idempotency_token_is_the_same_for_every_attempt() -> None:
    tokens = {
        Context(info=TaskInfo(run_id="r1", task="load", attempt=n)).idempotency_token
        for n in (1, 2)
    }

    assert tokens == {"r1/load"}


def test_a_context_of_a_test_may_have_an_item() -> None:
    first, third = Context(item={"day": "2024-01-01", "amount": 1}), Context(item=None, index=2)

    assert (first.item, first.index) == ({"day": "2024-01-01", "amount": 1}, 0)
    assert (third.item, third.index) == (None, 2)
    assert first.item_as(Row) == Row(date(2024, 1, 1), 1)
    assert list(first) == []


def test_an_item_of_another_type_is_told() -> None:
    with pytest.raises(ContextValueError, match="amount") as refusal:
        Context(item={"day": "2024-01-01", "amount": "many"}).item_as(Row)

    assert refusal.value.path == "item"


def test_a_task_that_is_not_mapped_has_no_item() -> None:
    context = Context(info=TaskInfo(task="load"))

    for name in ("item", "index"):
        with pytest.raises(AttributeError, match="task 'load' isn't mapped"):
            getattr(context, name)


def test_each_instance_has_its_own_idempotency_token() -> None:
    context = Context(info=TaskInfo(run_id="r1", task="load", index=3))

    assert context.idempotency_token == "r1/load[3]"


def instance_of(texts: dict[str, str]) -> Context:
    return Context.of_texts(texts, params={}, info=TaskInfo(index=0), item="1")


def test_what_an_instance_sets_is_a_change_though_it_was_so_before() -> None:
    context = instance_of({"rows": "1", "read": "2", "list": "[]", "gone": "3"})

    context["rows"] = 1
    assert context["read"] == 2
    context["list"].append(4)
    context["gone"] = 3
    del context["gone"]

    assert context.changes() == {"rows": "1", "list": "[4]", "gone": None}


def test_a_value_of_an_instance_has_room_for_the_list_around_it() -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    context = instance_of({})

    context["deep"] = deep
    assert context.changes()["deep"] == encode(deep)
    context["deep"] = [deep]
    with pytest.raises(ContextValueError, match="levels deep"):
        context.changes()
    encode(context["deep"])
