"""Rules: what they decide, how early, and that they survive being stored."""

import functools
import itertools
import json
import math
import operator
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.foundation.json_value import JsonValue, decode_strict, encode
from cloacina_core.model import rules
from cloacina_core.model.rules import (
    Rule,
    all_done,
    all_succeeded,
    any_succeeded,
    can_hold,
    failed,
    none_failed,
    rule_from_json,
    skipped,
    succeeded,
    value,
)
from cloacina_core.model.status import TaskStatus

S, F, K, C = (
    TaskStatus.SUCCEEDED,
    TaskStatus.FAILED,
    TaskStatus.SKIPPED,
    TaskStatus.CANCELLED,
)
W, R = TaskStatus.WAITING, TaskStatus.RUNNING
FINAL = (S, F, K, C)


@dataclass
class States:
    """Tasks before, as they stand, and the values that they left."""

    by_task: Mapping[str, TaskStatus]
    values: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return len(self.by_task)

    def count(self, status: TaskStatus) -> int:
        return list(self.by_task.values()).count(status)

    def status(self, task: str) -> TaskStatus:
        return self.by_task[task]

    def value(self, key: str) -> JsonValue:
        assert all(status.is_final for status in self.by_task.values()), "asked too early"
        return self.values[key]


def states(*statuses: TaskStatus, **values: JsonValue) -> States:
    return States(dict(zip("abcdef", statuses, strict=False)), values)


NAMED = st.sampled_from([all_succeeded, all_done, any_succeeded, none_failed])
OF_TASK = st.builds(
    lambda make, task: make(task),
    st.sampled_from([succeeded, failed, skipped]),
    st.sampled_from("abc"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)
OF_VALUE = st.builds(
    lambda compare, wanted: compare(value("k"), wanted),
    st.sampled_from(
        [
            *[operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge],
            lambda probe, item: probe.contains(item),
            lambda probe, item: probe.is_in([item, 1]),
            lambda probe, _: probe.exists(),
        ]
    ),
    JSON,
)


def combined(leaves: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(operator.and_, inner, inner)
            | st.builds(operator.or_, inner, inner)
            | st.builds(operator.invert, inner)
        ),
        max_leaves=8,
    )


RULES_OF_ENDINGS = combined(NAMED | OF_TASK)
RULES = combined(NAMED | OF_TASK | OF_VALUE)
STATUSES = st.sampled_from(list(TaskStatus))
THREE = st.tuples(STATUSES, STATUSES, STATUSES)


@pytest.mark.parametrize(
    ("rule", "statuses", "decision"),
    [
        (all_succeeded, (), True),
        (all_succeeded, (S, S), True),
        (all_succeeded, (S, R), None),
        (all_succeeded, (W, F), False),
        (all_succeeded, (W, K), False),
        (all_succeeded, (S, C), False),
        (all_done, (), True),
        (all_done, (S, F, K, C), True),
        (all_done, (S, R), None),
        (any_succeeded, (), False),
        (any_succeeded, (W, S), True),
        (any_succeeded, (W, F), None),
        (any_succeeded, (K, F), False),
        (none_failed, (), True),
        (none_failed, (S, K), True),
        (none_failed, (S, W), None),
        (none_failed, (W, F), False),
        (none_failed, (W, C), False),
        (succeeded("a"), (S, W), True),
        (succeeded("a"), (F, W), False),
        (succeeded("a"), (TaskStatus.SLEEPING, S), None),
        (failed("a"), (F, W), True),
        (failed("a"), (C, W), False),
        (skipped("b"), (W, K), True),
        (skipped("b"), (K, TaskStatus.READY), None),
    ],
)
def test_a_rule_decides_as_soon_as_its_outcome_is_fixed(
    rule: Rule, statuses: tuple[TaskStatus, ...], decision: bool | None
) -> None:
    assert rule.decide(states(*statuses)) is decision


TRUE, FALSE, OPEN = succeeded("a"), failed("a"), succeeded("b")


@pytest.mark.parametrize(
    ("rule", "decision"),
    [
        (TRUE & TRUE, True),
        (TRUE & FALSE, False),
        (TRUE & OPEN, None),
        (FALSE & OPEN, False),
        (OPEN & FALSE, False),
        (OPEN & OPEN, None),
        (TRUE | OPEN, True),
        (OPEN | TRUE, True),
        (FALSE | OPEN, None),
        (FALSE | FALSE, False),
        (~TRUE, False),
        (~FALSE, True),
        (~OPEN, None),
        (~(FALSE | OPEN) | TRUE, True),
        (TRUE & (FALSE | ~FALSE) & ~(OPEN & FALSE), True),
    ],
)
def test_combinations_are_those_of_three_valued_logic(rule: Rule, decision: bool | None) -> None:
    assert rule.decide(states(S, W)) is decision


@given(RULES_OF_ENDINGS, THREE)
def test_an_early_decision_is_never_taken_back(rule: Rule, before: tuple[TaskStatus, ...]) -> None:
    early = rule.decide(states(*before))

    open_places = [FINAL if not status.is_final else (status,) for status in before]
    late = {rule.decide(states(*ending)) for ending in itertools.product(*open_places)}

    assert None not in late
    assert early is None or late == {early}


@given(RULES, st.tuples(*[st.sampled_from(FINAL)] * 3), st.dictionaries(st.just("k"), JSON))
def test_a_rule_survives_being_stored(
    rule: Rule, ending: tuple[TaskStatus, ...], values: dict[str, JsonValue]
) -> None:
    back = rule_from_json(decode_strict(encode(rule.to_json())))

    assert back == rule
    assert back.to_json() == rule.to_json()
    assert back.decide(states(*ending, **values)) is rule.decide(states(*ending, **values))


@given(RULES)
def test_values_are_asked_for_only_when_all_have_ended(rule: Rule) -> None:
    rule.decide(states(S, R, F, k=1))  # States.value asserts it


@given(RULES_OF_ENDINGS)
def test_can_hold_tells_whether_any_ending_makes_the_rule_true(rule: Rule) -> None:
    endings = itertools.product((S, F, K), repeat=3)

    assert can_hold(rule, ["a", "b", "c"]) is any(
        rule.decide(states(*ending)) is True for ending in endings
    )


@pytest.mark.parametrize(
    ("rule", "after", "possible"),
    [
        (succeeded("a") & failed("a"), ["a"], False),
        (any_succeeded, [], False),
        (all_succeeded, [], True),
        (~all_done, ["a", "b"], False),
        (none_failed & failed("b"), ["a", "b"], False),
        (value("x") > 1, [], True),
        (~value("x").exists() & value("x").exists(), ["a"], True),  # values may go either way
        (failed("a") & (value("x") == 1), ["a"], True),
        (succeeded("a") & failed("a") & (value("x") == 1), ["a"], False),
        (succeeded("a") & failed("a"), ["a", "b", "c", "d", "e"], False),
        (succeeded("a") & failed("a"), ["a", "b", "c", "d", "e", "f"], True),  # not looked at
    ],
)
def test_a_rule_that_can_never_hold_is_found(rule: Rule, after: list[str], possible: bool) -> None:
    assert can_hold(rule, after) is possible


@pytest.mark.parametrize(
    ("rule", "found", "holds"),
    [
        (value("x") == 1, 1, True),
        (value("x") == 1.0, 1, True),
        (value("x") == "a", "b", False),
        (value("x") == (1, (2,)), [1, [2]], True),
        (value("x") == None, None, True),  # noqa: E711 - it makes a rule
        (value("x") != 1, 2, True),
        (value("x") < 2, 1, True),
        (value("x") < 2, 2, False),
        (value("x") <= 2, 2, True),
        (value("x") > 2, 2.5, True),
        (value("x") >= 2, 1, False),
        (value("x") > "a", "b", True),
        (value("x") > 1, "b", False),
        (value("x") < 1, None, False),
        (value("x") > [1], [2], False),
        (value("x").is_in([1, "a"]), "a", True),
        (value("x").is_in((1, "a")), 2, False),
        (value("x").is_in(range(3)), 2, True),
        (value("x").contains("a"), ["a"], True),
        (value("x").contains("a"), {"a": 1}, True),
        (value("x").contains("a"), "cat", True),
        (value("x").contains(1), "1", False),
        (value("x").contains(1), 1, False),
        (value("x").contains([]), {"a": 1}, False),
        (value("x").exists(), None, True),
    ],
)
def test_values_are_compared(rule: Rule, found: JsonValue, holds: bool) -> None:
    assert rule.decide(states(S, x=found)) is holds
    assert (~rule).decide(states(S, x=found)) is not holds


@pytest.mark.parametrize(
    "rule",
    [value("x") == 1, value("x") != 1, value("x") < 1, value("x").is_in([1]), value("x").exists()],
)
def test_without_the_key_no_comparison_holds(rule: Rule) -> None:
    assert rule.decide(states(S)) is False


def test_a_value_that_is_compared_later_is_not_changed_by_its_author() -> None:
    wanted = ["a"]
    rule = value("x") == wanted

    wanted.append("b")

    assert rule.decide(states(S, x=["a"])) is True


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: all_done and failed("a"),
        lambda: failed("a") or all_done,
        lambda: not failed("a"),
        lambda: value("x") and failed("a"),
        lambda: 1 < value("x") < 5,
    ],
)
def test_combining_with_words_says_what_to_write_instead(mistake: Any) -> None:
    with pytest.raises(TypeError, match=r"combine rules with & \| ~, not with and, or, not"):
        mistake()


@pytest.mark.parametrize(
    "mistake", [lambda: all_done & cast("Any", "a"), lambda: all_done | cast("Any", value("x"))]
)
def test_a_rule_combines_with_rules_only(mistake: Any) -> None:
    with pytest.raises(TypeError, match="a rule combines with a rule, not with"):
        mistake()


@pytest.mark.parametrize("choices", ["abc", b"abc", {"a": 1}])
def test_choices_are_a_list(choices: Any) -> None:
    with pytest.raises(TypeError, match="is_in takes a list of values"):
        value("x").is_in(choices)


def test_a_task_is_named_by_its_function_too() -> None:
    def extract() -> None: ...

    assert succeeded(extract) == succeeded("extract")
    with pytest.raises(TypeError, match="name a task, by its function or its name, not 5"):
        failed(5)


def test_a_rule_tells_the_tasks_it_speaks_of() -> None:
    rule = succeeded("a") & (failed("b") | ~skipped("c")) & all_done & (value("x") > 1)

    assert list(rule.tasks()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (value("x") == {1, 2}, "value('x') is compared with a value that isn't JSON"),
        (~(all_done & (value("x") > math.inf)), "value('x') is compared with a value"),
        (value(5) > 1, "value() takes the key of a context value, not 5"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_cant_be_compared_is_a_problem(rule: Rule, problem: str) -> None:
    problems = list(rule.problems())

    assert len(problems) == 1
    assert problems[0].startswith(problem)


@pytest.mark.parametrize("combine", [operator.and_, operator.or_])
def test_rules_of_very_many_tasks_stay_flat(combine: Any) -> None:
    names = [f"t{number}" for number in range(2000)]
    rule = functools.reduce(combine, map(failed, names))

    assert rule_from_json(decode_strict(encode(rule.to_json()))) == rule
    assert list(rule.tasks()) == names
    assert rule.decide(States(dict.fromkeys(names, F))) is True


@pytest.mark.parametrize(
    "data",
    [
        None,
        "",
        "all",
        [],
        {},
        {"and": []},
        {"and": ["all_done"]},
        {"and": ["all_done", "nothing"]},
        {"or": "all_done"},
        {"not": ["all_done"]},
        {"succeeded": 5},
        {"running": "a"},
        {"succeeded": "a", "failed": "b"},
        {"not": "all_done", "and": ["all_done", "all_done"]},
        {"value": "x", "is": "=~", "than": 1},
        {"value": 5, "is": "==", "than": 1},
        {"value": "x", "is": "=="},
        {"value": "x", "is": "==", "than": 1, "or": 2},
    ],
)
def test_what_describes_no_rule_is_refused(data: JsonValue) -> None:
    with pytest.raises(ValueError, match="not a rule"):
        rule_from_json(data)


def test_choices_from_a_set_are_stored_alike_in_every_process() -> None:
    program = (
        "from cloacina_core.model.rules import value\n"
        "print(value('x').is_in({'north', 'south', 'east', 'west'}).to_json())"
    )

    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(written) == 1
    assert json.dumps(["east", "north", "south", "west"]).replace('"', "'") in written.pop()


def test_every_rule_that_is_named_has_its_name_in_json() -> None:
    assert [rules.rule_from_json(name) for name in ("all_succeeded", "all_done")] == [
        all_succeeded,
        all_done,
    ]
