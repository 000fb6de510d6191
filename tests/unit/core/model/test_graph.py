"""The graph against slow and obvious versions of itself."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.model.graph import Ancestry, find_cycle, levels

Graph = Mapping[str, Sequence[str]]


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> Graph:
    """Return up to ten tasks in any order; acyclic ones come after earlier letters only."""
    names = list("abcdefghij"[: draw(st.integers(0, 10))])
    after = {
        name: draw(st.lists(st.sampled_from(names[:number] if acyclic else names)))
        if number or not acyclic
        else []
        for number, name in enumerate(names)
    }
    return {name: after[name] for name in draw(st.permutations(names))}


def ancestors(after: Graph, task: str) -> set[str]:
    found: set[str] = set()
    ahead = list(after[task])
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead.extend(after[name])
    return found


@given(graphs(acyclic=False))
def test_a_cycle_is_found_exactly_when_a_task_comes_before_itself(after: Graph) -> None:
    path = find_cycle(after)

    assert (path is not None) == any(task in ancestors(after, task) for task in after)
    if path is not None:
        assert path[0] == path[-1]
        assert len(path) > 1
        assert len(set(path)) == len(path) - 1
        assert all(before in after[task] for before, task in pairwise(path))


def test_a_cycle_is_told_in_the_order_of_execution() -> None:
    path = find_cycle({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a"]})

    assert path is not None
    assert "".join(path) in {"abca", "bcab", "cabc"}


@given(graphs(acyclic=True))
def test_each_task_stands_just_below_the_lowest_task_before_it(after: Graph) -> None:
    rows = levels(after)

    row_of = {task: number for number, row in enumerate(rows) for task in row}
    assert row_of.keys() == after.keys()
    assert all(rows)
    for task, before in after.items():
        assert row_of[task] == max((row_of[name] + 1 for name in before), default=0)


@given(graphs(acyclic=True))
def test_within_a_row_tasks_keep_their_order(after: Graph) -> None:
    order = list(after)

    assert all(row == sorted(row, key=order.index) for row in levels(after))


def test_rows_of_a_cycle_are_refused() -> None:
    with pytest.raises(CycleError):
        levels({"a": ["b"], "b": ["a"]})


@given(graphs(acyclic=True))
def test_ancestry_agrees_with_walking_the_graph(after: Graph) -> None:
    ancestry = Ancestry(after)

    for later in after:
        before = {n for n in after if n != later and ancestry.last_of([n, later]) == [later]}
        assert before == ancestors(after, later)


def test_a_long_chain_overflows_no_stack() -> None:
    after = {str(number): [str(number - 1)] if number else [] for number in range(5000)}

    assert find_cycle(after) is None
    assert len(levels(after)) == 5000
    assert Ancestry(after).last_of(["0", "4999"]) == ["4999"]
    assert find_cycle({**after, "0": ["4999"]}) is not None


@given(graphs(acyclic=True), st.data())
def test_the_last_of_some_tasks_come_before_none_of_the_others(
    after: Graph, data: st.DataObject
) -> None:
    tasks = data.draw(st.lists(st.sampled_from(list(after)), unique=True) if after else st.just([]))

    last = Ancestry(after).last_of(tasks)

    assert last == [
        task for task in tasks if not any(task in ancestors(after, other) for other in tasks)
    ]
