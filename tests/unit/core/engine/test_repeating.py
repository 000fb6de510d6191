"""Which tasks are run again."""

from collections.abc import Mapping, Sequence

import pytest
from support.runs import run_of, workflow_of

from cloacina_core.engine.repeating import take_over, to_repeat
from cloacina_core.engine.run_state import RunState
from cloacina_core.model.status import TaskStatus

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def ended(after: Mapping[str, Sequence[str]], **endings: str) -> RunState:
    """Return a run whose tasks ended so; those not named succeeded."""
    run = run_of(workflow_of(after))
    for name, number in run.plan.number.items():
        run.tasks[number].status = TaskStatus(endings.get(name, "succeeded"))
    return run


def names(run: RunState, *beginning: str) -> list[str]:
    repeated = to_repeat(run, [run.plan.number[name] for name in beginning])
    return [run.plan.tasks[number].name for number in sorted(repeated)]


def test_what_did_not_succeed_is_run_again_and_what_was_skipped_behind_it() -> None:
    run = ended({**DIAMOND, "e": ["d"]}, b="failed", d="skipped", e="skipped")

    assert names(run) == ["b", "d", "e"]


def test_what_was_skipped_for_another_reason_stays_skipped() -> None:
    assert names(ended(DIAMOND, b="skipped", d="succeeded")) == []


@pytest.mark.parametrize("status", ["cancelled", "waiting", "running"])
def test_what_has_no_outcome_is_run_again(status: str) -> None:
    assert names(ended(DIAMOND, d=status)) == ["d"]


def test_a_success_behind_a_failure_is_kept() -> None:
    assert names(ended(DIAMOND, b="failed")) == ["b"]


def test_everything_behind_the_beginning_is_run_again() -> None:
    assert names(ended(DIAMOND), "b") == ["b", "d"]


def test_the_outcomes_of_the_others_are_taken_over() -> None:
    origin = ended(DIAMOND)
    origin.tasks[0].changes = {"n": "1"}
    run = run_of(workflow_of(DIAMOND))

    take_over(run, origin, {3})

    assert [task.status for task in run.tasks] == ["succeeded", "succeeded", "succeeded", "waiting"]
    assert run.unfinished == 1
    assert run.view_before(3)["n"].value == "1"
