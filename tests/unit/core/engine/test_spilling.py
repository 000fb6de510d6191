"""Large values elsewhere, the same results: spilling changes where texts are, and nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import workflow_of

from cloacina_core import Context, Workflow
from cloacina_core.engine.spilling import Spill, ValueTooLargeError
from cloacina_core.errors import BlobMissingError, LostValueError, StoreUnavailableError
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.foundation.json_value import encode
from cloacina_core.model.rules import all_done, value
from cloacina_core.model.spilled import (
    Joined,
    Spilled,
    digests_in,
    digests_in_json,
    encoded_of_json,
    is_list,
    joined,
    plain,
    text_of,
)
from cloacina_core.testing import HarnessResult, WorkflowHarness

LIMIT = 100


class Shelf:
    """A blob store in memory, which counts."""

    def __init__(self) -> None:
        self.held: dict[Digest, bytes] = {}
        self.puts = 0
        self.gets = 0

    def put(self, data: bytes) -> Digest:
        self.puts += 1
        self.held[digest_of(data)] = data
        return digest_of(data)

    def get(self, digest: Digest) -> bytes:
        self.gets += 1
        if digest not in self.held:
            raise BlobMissingError(digest)
        return self.held[digest]

    def has(self, digest: Digest) -> bool:
        return digest in self.held

    def delete(self, digest: Digest) -> None:
        self.held.pop(digest, None)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def spill(shelf: Shelf) -> Spill:
    return Spill(shelf, spill_bytes=LIMIT, max_spilled_bytes=3 * LIMIT)


def test_only_what_is_longer_than_the_limit_goes(spill: Spill, shelf: Shelf):
    values = {"just": "1" * LIMIT, "over": "1" * (LIMIT + 1), "gone": None}

    kept = spill.each(values, "task a")

    assert kept["just"] == values["just"]
    assert kept["gone"] is None
    assert isinstance(kept["over"], Spilled)
    assert kept["over"].text() == values["over"]
    assert (kept["over"].size, kept["over"].where) == (LIMIT + 1, "key 'over' of task a")
    assert shelf.puts == 1


def test_the_limit_is_in_bytes(spill: Spill):
    assert isinstance(spill.one('"' + "ü" * 50 + '"', "it"), Spilled)
    assert isinstance(spill.one('"' + "u" * 50 + '"', "it"), str)


def test_what_is_spilled_already_stays_as_it_is(spill: Spill, shelf: Shelf):
    large = spill.one("1" * 200, "it")

    assert spill.one(large, "it") is large
    assert shelf.puts == 1


def test_a_value_over_the_other_limit_is_refused(spill: Spill, shelf: Shelf):
    with pytest.raises(ValueTooLargeError, match="key 'a' of task b has 301 bytes; the limit is"):
        spill.each({"a": "1" * 301}, "task b")
    assert shelf.puts == 0


def test_a_lost_value_names_itself(spill: Spill, shelf: Shelf):
    large = spill.one("1" * 200, "key 'a' of task b")
    shelf.held.clear()

    with pytest.raises(LostValueError, match="the value of key 'a' of task b is lost: there are"):
        text_of(large or "")


def test_a_value_that_cannot_be_fetched_now_is_not_lost():
    def load(_: Digest) -> bytes:
        raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError, match="away"):
        Spilled(digest_of(b""), 0, is_list=False, where="it", load=load).text()


def test_lists_are_joined_when_they_are_asked_for(spill: Spill, shelf: Shelf):
    large = spill.one(f"[{'1' * 200}]", "it")
    assert large is not None
    ones = "1" * 200

    concat = joined(["[]", large, "[2,3]", large], are_lists=True)
    gathered = joined(["null", concat], are_lists=False)

    assert (is_list(large), is_list(concat), is_list(gathered)) == (True, True, True)
    assert shelf.gets == 0
    assert text_of(concat) == f"[{ones},2,3,{ones}]"
    assert text_of(gathered) == f"[null,[{ones},2,3,{ones}]]"
    assert joined(["[1]", "[]"], are_lists=True) == "[1]"


def test_references_survive_their_way_through_the_store(spill: Spill, shelf: Shelf):
    large = spill.one(f"[{'1' * 200}]", "it")
    assert isinstance(large, Spilled)
    values = {"a": large, "b": Joined(("[1]", Joined((large,), are_lists=False)), are_lists=True)}
    values_and_more: dict[str, Any] = {**values, "c": "1", "d": None}

    stored = plain(values_and_more)

    assert {key: encoded_of_json(stored[key], "it", shelf.get) for key in values} == values
    assert (stored["c"], stored["d"]) == ("1", None)
    assert digests_in(values_and_more) == {large.digest}
    assert set(digests_in_json(stored)) == {large.digest}
    assert digests_in({"c": "1", "d": None}) == set()


def test_a_context_fetches_a_value_once_when_it_is_asked_for(spill: Spill, shelf: Shelf):
    large = spill.one(encode(["a" * 200]), "it")
    assert large is not None
    context = Context.of_texts({"a": large}, params={}, info=Context().info)

    assert "a" in context
    assert list(context) == ["a"]
    assert context.changes() == {}
    assert shelf.gets == 0

    assert context["a"] is context["a"]
    assert shelf.gets == 1
    assert context.changes() == {}
    context["a"].append(2)
    assert context.changes() == {"a": encode(["a" * 200, 2])}


def test_a_value_set_to_what_it_was_is_no_change(spill: Spill, shelf: Shelf):
    large = spill.one(encode(["a" * 200]), "it")
    assert large is not None
    two = joined([large, "[2]"], are_lists=True)
    context = Context.of_texts({"a": large, "b": two}, params={}, info=Context().info)

    context["a"] = ["a" * 200]
    context["b"] = ["a" * 200, 2]
    assert context.changes() == {}

    context["a"] = ["b" * 200]
    context["b"] = [2]
    assert context.changes() == {"a": encode(["b" * 200]), "b": "[2]"}


# Whole runs.

KEYS = ("x", "y")
LENGTHS = st.sampled_from([0, 1, 40, 400])
VALUES = st.one_of(
    st.lists(st.sampled_from(["é" * 150, "b", 3, None]), max_size=3),
    LENGTHS.map(lambda length: "z" * length),
)
POLICIES = st.sampled_from(["later", "concat", "error"])


def writes(changes: Mapping[str, Any], *, reads: bool) -> Any:
    def function(context: Context) -> None:
        if reads:
            context["seen"] = context.to_dict()
        context.update(changes)

    return function


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    names = [f"t{n}" for n in range(draw(st.integers(1, 5)))]
    after: dict[str, list[str]] = {}
    functions, options, rules = {}, {}, {}
    for number, name in enumerate(names):
        after[name] = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        changes = draw(st.dictionaries(st.sampled_from(KEYS), VALUES))
        functions[name] = writes(changes, reads=draw(st.booleans()))
        options[name] = {"merge": draw(st.dictionaries(st.sampled_from(KEYS), POLICIES))}
        if number and draw(st.booleans()):
            options[name]["map"] = draw(st.sampled_from(KEYS))
        if after[name]:
            rules[name] = draw(st.sampled_from([all_done, value("x") == "z" * 400, all_done]))
    return workflow_of(after, functions=functions, options=options, rules=rules)


def result_of(workflow: Workflow, spill_bytes: int, **options: Any) -> HarnessResult:
    with WorkflowHarness(workflow) as harness:
        harness._spill._spill_bytes = spill_bytes
        return harness.run(**options)


@given(workflows(), st.dictionaries(st.sampled_from(KEYS), VALUES))
@settings(max_examples=25, deadline=None)
def test_spilled_and_unspilled_runs_give_the_same_results(
    workflow: Workflow, context: dict[str, Any]
):
    options = {"params": {"all": context}, "context": context, "crash": ["before commit:t0"]}

    spilled, plain_result = (result_of(workflow, limit, **options) for limit in (20, 10_000))

    assert spilled.run.to_json() == plain_result.run.to_json()
    assert [event.to_json() for event in spilled.events] == [
        event.to_json() for event in plain_result.events
    ]
