"""What tasks see of the context: who wrote last counts, not who comes last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import fan_of, run_of, workflow_of

from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.views import MergeConflictError, values_of
from cloacina_core.foundation.json_value import JsonValue, decode, encode
from cloacina_core.model.status import TaskStatus

GONE = object()
"""In what a task writes: it deletes the key."""

Changes = Mapping[str, object]


def end(run: RunState, task: str, changes: Changes | None = None) -> None:
    number = run.plan.number[task]
    run.tasks[number].status = TaskStatus.SUCCEEDED
    run.tasks[number].changes = {
        key: None if value is GONE else encode(value) for key, value in (changes or {}).items()
    }


def ended(
    after: Mapping[str, Sequence[str]],
    wrote: Mapping[str, Changes],
    *,
    context: Mapping[str, JsonValue] | None = None,
    merge: Mapping[str, object] | None = None,
) -> RunState:
    """Return a run in which all tasks but the last ended, having written these values."""
    options = {task: {"merge": policy} for task, policy in (merge or {}).items()}
    run = run_of(workflow_of(after, options=options), context=context)
    for task in list(after)[:-1]:
        end(run, task, wrote.get(task))
    return run


def seen(run: RunState, task: str) -> dict[str, JsonValue]:
    """Return the context as a task sees it."""
    view = run.view_before(run.plan.number[task])
    return {key: decode(text) for key, text in values_of(view).items()}


PAIR = {"a": [], "b": [], "c": ["a", "b"]}


def test_the_first_task_sees_what_the_run_was_submitted_with():
    run = ended({"a": []}, {}, context={"day": "monday"})

    assert seen(run, "a") == {"day": "monday"}


def test_a_task_sees_what_all_before_it_wrote():
    run = ended({"a": [], "b": ["a"], "c": ["b"]}, {"a": {"x": 1}, "b": {"y": 2}})

    assert seen(run, "c") == {"x": 1, "y": 2}


def test_a_task_does_not_see_its_siblings():
    run = ended({"a": [], "b": ["a"], "c": ["a"]}, {"a": {"x": 1}, "b": {"y": 2}})

    assert seen(run, "c") == {"x": 1}


def test_of_two_that_wrote_a_key_the_later_in_after_counts():
    wrote = {"a": {"n": "a's"}, "b": {"n": "b's"}}

    assert seen(ended(PAIR, wrote), "c") == {"n": "b's"}
    assert seen(ended({**PAIR, "c": ["b", "a"]}, wrote), "c") == {"n": "a's"}


def test_who_finished_first_does_not_matter():
    run = run_of(workflow_of(PAIR))
    end(run, "b", {"n": "b's"})
    end(run, "a", {"n": "a's"})

    assert seen(run, "c") == {"n": "b's"}


def test_a_newer_value_counts_whatever_the_declared_order():
    """b changed what a wrote; a itself, named later, only has the old value."""
    run = ended({"a": [], "b": ["a"], "c": ["b", "a"]}, {"a": {"n": 1}, "b": {"n": 2}})

    assert seen(run, "c") == {"n": 2}


def test_a_value_that_was_only_passed_on_hides_no_other():
    after = {"a": [], "left": ["a"], "right": ["a"], "c": ["left", "right"]}
    run = ended(after, {"a": {"n": 1}, "left": {"n": 2}}, merge={"c": "error"})

    assert seen(run, "c") == {"n": 2}


def test_what_was_submitted_is_older_than_all_that_was_written():
    run = ended(PAIR, {"a": {"n": 2}}, context={"n": 1}, merge={"c": "error"})

    assert seen(run, "c") == {"n": 2}


def test_a_deleted_key_stays_deleted_behind_the_task_that_deleted_it():
    run = ended({"a": [], "b": ["a"], "c": ["b"]}, {"a": {"n": 1}, "b": {"n": GONE}})

    assert seen(run, "c") == {}


def test_a_deletion_is_newer_than_the_value_it_deleted():
    run = ended({"a": [], "b": ["a"], "c": ["b", "a"]}, {"a": {"n": 1}, "b": {"n": GONE}})

    assert seen(run, "c") == {}


def test_a_deleted_key_may_be_written_again():
    after = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}
    run = ended(after, {"a": {"n": 1}, "b": {"n": GONE}, "c": {"n": 3}})

    assert seen(run, "d") == {"n": 3}


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.SKIPPED])
def test_a_task_that_did_not_succeed_passes_on_what_was_there(status: TaskStatus):
    run = ended({"a": [], "b": ["a"], "c": ["b"]}, {"a": {"n": 1}})
    run.tasks[1].status = status
    run.tasks[1].changes = None

    assert seen(run, "c") == {"n": 1}


def test_a_failed_task_passes_on_values_that_its_own_policy_forbids():
    run = ended({**PAIR, "d": ["c"]}, {"a": {"n": 1}, "b": {"n": 2}}, merge={"c": "error"})
    run.tasks[2].status = TaskStatus.FAILED
    run.tasks[2].changes = None

    assert seen(run, "d") == {"n": 2}


class TestPolicies:
    def test_error_refuses_values_that_differ(self):
        run = ended(PAIR, {"a": {"n": 1}, "b": {"n": 2}}, merge={"c": "error"})

        with pytest.raises(MergeConflictError, match="'n' was written differently by a and b"):
            run.view_before(2)

    def test_error_accepts_values_that_are_the_same(self):
        run = ended(PAIR, {"a": {"n": 1}, "b": {"n": 1}}, merge={"c": "error"})

        assert seen(run, "c") == {"n": 1}

    def test_concat_joins_lists_in_declared_order(self):
        wrote: Mapping[str, Changes] = {"a": {"rows": [1, 2]}, "b": {"rows": [3]}}

        assert seen(ended(PAIR, wrote, merge={"c": "concat"}), "c") == {"rows": [1, 2, 3]}

    def test_concat_joins_lists_that_are_the_same(self):
        """What counts is that two tasks wrote, not what: three ones are three rows."""
        after = {"a": [], "b": [], "x": [], "c": ["a", "b", "x"]}
        run = ended(after, {name: {"rows": [1]} for name in "abx"}, merge={"c": "concat"})

        assert seen(run, "c") == {"rows": [1, 1, 1]}

    def test_concat_takes_empty_lists(self):
        wrote: Mapping[str, Changes] = {"a": {"rows": []}, "b": {"rows": [3]}}

        assert seen(ended(PAIR, wrote, merge={"c": "concat"}), "c") == {"rows": [3]}

    def test_concat_does_not_double_what_was_only_passed_on(self):
        after = {"a": [], "left": ["a"], "right": ["a"], "c": ["left", "right"]}
        run = ended(after, {"a": {"rows": [1]}}, merge={"c": "concat"})

        assert seen(run, "c") == {"rows": [1]}

    @pytest.mark.parametrize("other", ["text", None, {"a": 1}, GONE])
    def test_concat_refuses_what_is_not_a_list(self, other: object):
        run = ended(PAIR, {"a": {"rows": [1]}, "b": {"rows": other}}, merge={"c": "concat"})

        with pytest.raises(MergeConflictError, match="a and b didn't all write lists"):
            run.view_before(2)

    def test_a_list_that_was_joined_is_newer_than_its_parts(self):
        after = {**PAIR, "d": ["b", "c"]}
        run = ended(after, {"a": {"rows": [1]}, "b": {"rows": [2]}}, merge={"c": "concat"})

        assert seen(run, "d") == {"rows": [1, 2]}

    def test_each_key_may_have_its_own_policy(self):
        wrote: Mapping[str, Changes] = {
            "a": {"rows": [1], "n": 1},
            "b": {"rows": [2], "n": 2},
        }
        run = ended(PAIR, wrote, merge={"c": {"rows": "concat"}})

        assert seen(run, "c") == {"rows": [1, 2], "n": 2}

    def test_a_policy_may_hold_for_all_keys_but_some(self):
        wrote: Mapping[str, Changes] = {"a": {"n": 1, "m": 1}, "b": {"n": 2, "m": 2}}
        run = ended(PAIR, wrote, merge={"c": {"*": "error", "n": "later", "m": "later"}})

        assert seen(run, "c") == {"n": 2, "m": 2}

    def test_three_writers_are_joined_or_named_together(self):
        after = {"a": [], "b": [], "x": [], "c": ["x", "a", "b"]}
        wrote: Mapping[str, Changes] = {name: {"rows": [name]} for name in "abx"}

        assert seen(ended(after, wrote, merge={"c": "concat"}), "c") == {"rows": ["x", "a", "b"]}
        with pytest.raises(MergeConflictError, match="x and a and b"):
            ended(after, wrote, merge={"c": "error"}).view_before(3)


class TestEarlyStarts:
    """A task that began early never sees those that ended later, whenever one looks."""

    def test_what_it_did_not_see_when_it_began_it_never_sees(self):
        run = run_of(workflow_of({**PAIR, "d": ["c"]}))
        end(run, "a", {"n": 1})
        run.fix_what_is_seen(2)
        end(run, "c", {"m": 1})
        end(run, "b", {"n": 2, "k": 2})

        assert seen(run, "d") == {"n": 1, "m": 1}

    def test_it_is_the_same_for_those_who_looked_before(self):
        run = run_of(workflow_of({**PAIR, "d": ["c"]}))
        end(run, "a", {"n": 1})
        run.fix_what_is_seen(2)
        end(run, "c", {"m": 1})
        before = seen(run, "d")
        end(run, "b", {"n": 2, "k": 2})

        assert seen(run, "d") == before


def test_a_thousand_writers_of_one_key_are_merged_in_no_time():
    tasks = fan_of(1000)
    run = ended(tasks, {name: {"rows": [name]} for name in tasks}, merge={"last": "concat"})

    assert len(seen(run, "last")["rows"]) == 1000


# What the merge must do, written without regard to cost: the set of all writers of a key that a
# task could know of, without those that another of them came after.


@dataclass(frozen=True)
class Graph:
    after: dict[str, list[str]]
    wrote: dict[str, dict[str, object]]

    def ancestors(self, task: str) -> set[str]:
        before = set(self.after[task])
        return before.union(*(self.ancestors(name) for name in before))

    def last_writers(self, task: str, key: str) -> set[str]:
        writers = {name for name in self.ancestors(task) if key in self.wrote[name]}
        return {
            name for name in writers if not any(name in self.ancestors(other) for other in writers)
        }


KEYS = "xy"


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(2, 7))
    names = [f"t{n}" for n in range(count)]
    after = {
        name: draw(st.permutations(names[:index]).flatmap(_prefixes))
        for index, name in enumerate(names)
    }
    values = st.dictionaries(
        st.sampled_from(KEYS), st.one_of(st.just(GONE), st.integers(0, 2)), max_size=2
    )
    wrote = {name: draw(values) for name in names}
    return Graph(after, wrote)


def _prefixes(items: list[str]) -> st.SearchStrategy[list[str]]:
    return st.integers(0, len(items)).map(lambda length: items[:length])


@given(graphs())
def test_one_last_writer_is_the_one_who_counts(graph: Graph):
    """Also where the tasks before differ in what they saw, and in which order they are declared."""
    run = ended({**graph.after, "end": list(graph.after)}, graph.wrote)
    reference = Graph({**graph.after, "end": list(graph.after)}, {**graph.wrote, "end": {}})

    view = run.view_before(run.plan.number["end"])

    for key in KEYS:
        last = reference.last_writers("end", key)
        if not last:
            assert key not in view
        else:
            expected = {
                None if graph.wrote[name][key] is GONE else encode(graph.wrote[name][key])
                for name in last
            }
            assert view[key].value in expected


@given(graphs())
def test_all_last_writers_differ_or_there_is_no_conflict(graph: Graph):
    after = {**graph.after, "end": list(graph.after)}
    run = ended(after, graph.wrote, merge={"end": "error"})
    reference = Graph(after, {**graph.wrote, "end": {}})
    in_conflict = any(
        len({graph.wrote[name][key] for name in reference.last_writers("end", key)}) > 1
        for key in KEYS
    )

    if in_conflict:
        with pytest.raises(MergeConflictError):
            run.view_before(run.plan.number["end"])
    else:
        run.view_before(run.plan.number["end"])


@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_in_which_tasks_end_changes_nothing(graph: Graph, random: Random):
    def final_in_random_order() -> dict[str, str]:
        run = run_of(workflow_of(graph.after))
        for name in random.sample(list(graph.after), len(graph.after)):
            end(run, name, graph.wrote[name])
        return values_of(run.final_view())

    assert final_in_random_order() == final_in_random_order()
