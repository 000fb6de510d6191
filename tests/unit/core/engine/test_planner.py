"""What happens next in a run: states in, decisions out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.runs import chain_of, fan_of, run_of, workflow_of

from cloacina_core.engine import planner
from cloacina_core.engine.planner import End, Finish, Ready, Sleep
from cloacina_core.engine.run_state import RunState
from cloacina_core.foundation.ids import EngineId
from cloacina_core.foundation.json_value import JsonValue, encode
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import (
    Rule,
    Upstream,
    all_done,
    all_succeeded,
    any_succeeded,
    failed,
    none_failed,
    skipped,
    succeeded,
    value,
)
from cloacina_core.model.run import AttemptResult, Failure
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.workflow import Workflow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def number(run: RunState, task: str) -> int:
    return run.plan.number[task]


def begin_attempt(run: RunState, task: str) -> None:
    state = run.tasks[number(run, task)]
    run.fix_what_is_seen(number(run, task))
    state.status = TaskStatus.RUNNING
    state.attempts.append(
        AttemptResult(number=len(state.attempts) + 1, engine=EngineId("e"), started_at=NOW)
    )


def end_attempt(run: RunState, task: str, outcome: AttemptOutcome, at: datetime = NOW) -> None:
    state = run.tasks[number(run, task)]
    error = None
    if outcome is not AttemptOutcome.SUCCEEDED:
        error = Failure(type="OSError", message=f"{task} broke")
    state.attempts[-1] = AttemptResult(
        number=len(state.attempts),
        engine=EngineId("e"),
        started_at=NOW,
        finished_at=at,
        outcome=outcome,
        error=error,
    )


def succeed(run: RunState, task: str, **changes: JsonValue) -> list[planner.Decision]:
    begin_attempt(run, task)
    end_attempt(run, task, AttemptOutcome.SUCCEEDED)
    run.tasks[number(run, task)].changes = {key: encode(value) for key, value in changes.items()}
    return planner.attempt_succeeded(run, number(run, task))


def fail(
    run: RunState, task: str, *, may_retry: bool = False, at: datetime = NOW
) -> list[planner.Decision]:
    begin_attempt(run, task)
    end_attempt(run, task, AttemptOutcome.FAILED, at)
    return planner.attempt_failed(run, number(run, task), may_retry=may_retry, now=NOW, chance=0.0)


def told(run: RunState, decisions: list[planner.Decision]) -> list[str]:
    """Return decisions as `ready b`, `skipped c`, `run succeeded`."""
    words = []
    for decision in decisions:
        match decision:
            case Ready(task):
                words.append(f"ready {run.plan.tasks[task].name}")
            case Sleep(task, _):
                words.append(f"sleep {run.plan.tasks[task].name}")
            case End(task, status, _):
                words.append(f"{status.value} {run.plan.tasks[task].name}")
            case Finish(status, _):
                words.append(f"run {status.value}")
    return words


def run_with(after: dict[str, list[str]], **rules: Rule) -> RunState:
    return run_of(workflow_of(after, rules=rules))


def test_a_run_begins_with_the_tasks_that_nothing_comes_before():
    run = run_with({"a": [], "b": [], "c": ["a"]})

    decisions = planner.begin(run)

    assert told(run, decisions) == ["ready a", "ready b"]


def test_success_makes_the_next_task_ready():
    run = run_with({"a": [], "b": ["a"]})
    planner.begin(run)

    decisions = succeed(run, "a")

    assert told(run, decisions) == ["succeeded a", "ready b"]


def test_a_task_waits_for_all_before_it():
    run = run_with({"a": [], "b": [], "c": ["a", "b"]})
    planner.begin(run)

    first = succeed(run, "a")
    second = succeed(run, "b")

    assert told(run, first) == ["succeeded a"]
    assert told(run, second) == ["succeeded b", "ready c"]


def test_the_last_success_ends_the_run():
    run = run_with({"a": []})
    planner.begin(run)

    decisions = succeed(run, "a")

    assert told(run, decisions) == ["succeeded a", "run succeeded"]


def test_failure_skips_all_that_comes_behind_and_fails_the_run():
    run = run_with({"a": [], "b": ["a"], "c": ["b"]})
    planner.begin(run)

    decisions = fail(run, "a")

    assert told(run, decisions) == ["failed a", "skipped b", "skipped c", "run failed"]


def test_a_skipped_task_tells_which_task_before_it_is_the_reason():
    run = run_with({"a": [], "b": ["a"], "c": ["b"]})
    planner.begin(run)

    fail(run, "a")

    assert run.tasks[1].reason == "its rule can't hold: a failed"
    assert run.tasks[2].reason == "its rule can't hold: b skipped"


def test_a_reason_names_three_tasks_at_most():
    before = [f"a{n}" for n in range(5)]
    run = run_with({**{name: [] for name in before}, "z": before}, z=value("x").exists())
    planner.begin(run)

    for name in before:
        fail(run, name)

    assert run.tasks[5].reason == "its rule can't hold: a0 failed, a1 failed, a2 failed, ..."


def test_a_rule_that_cannot_hold_any_more_skips_at_once():
    run = run_with({"a": [], "slow": [], "c": ["a", "slow"]})
    planner.begin(run)

    decisions = fail(run, "a")

    assert told(run, decisions) == ["failed a", "skipped c"]


def test_a_rule_that_holds_already_starts_its_task_early():
    run = run_with({"a": [], "slow": [], "c": ["a", "slow"]}, c=any_succeeded)
    planner.begin(run)

    early = succeed(run, "a")
    late = succeed(run, "slow")

    assert told(run, early) == ["succeeded a", "ready c"]
    assert told(run, late) == ["succeeded slow"]


@pytest.mark.parametrize(
    ("rule", "outcome", "decision"),
    [
        (all_done, "failed", "ready c"),
        (none_failed, "failed", "skipped c"),
        (none_failed, "skipped", "ready c"),
        (failed("b"), "failed", "ready c"),
        (failed("b"), "succeeded", "skipped c"),
        (succeeded("b"), "succeeded", "ready c"),
        (skipped("b"), "skipped", "ready c"),
        (~succeeded("b"), "failed", "ready c"),
        (failed("b") | skipped("b"), "skipped", "ready c"),
        (value("rows") > 0, "succeeded", "ready c"),
        (value("rows") > 5, "succeeded", "skipped c"),
        (value("absent") > 5, "succeeded", "skipped c"),
    ],
)
def test_rules_decide_by_how_the_tasks_before_ended(rule: Rule, outcome: str, decision: str):
    run = run_with({"a": [], "b": ["a"], "c": ["b"]}, c=rule)
    planner.begin(run)

    if outcome == "skipped":
        decisions = fail(run, "a")
    else:
        succeed(run, "a")
        decisions = succeed(run, "b", rows=3) if outcome == "succeeded" else fail(run, "b")

    assert decision in told(run, decisions)


def test_a_task_may_be_skipped_when_the_run_begins():
    run = run_of(workflow_of({"a": [], "b": []}, rules={"b": value("go").exists()}))

    decisions = planner.begin(run)

    assert told(run, decisions) == ["ready a", "skipped b"]


def test_a_run_whose_tasks_are_all_skipped_has_succeeded():
    run = run_with({"a": []}, a=value("go").exists())

    decisions = planner.begin(run)

    assert told(run, decisions) == ["skipped a", "run succeeded"]


def test_a_rule_may_ask_for_values_that_the_run_was_submitted_with():
    workflow = workflow_of({"a": []}, rules={"a": value("mode") == "full"})
    run = run_of(workflow, context={"mode": "full"})

    decisions = planner.begin(run)

    assert told(run, decisions) == ["ready a"]


def test_a_conflict_of_values_that_a_rule_asks_for_fails_the_task():
    workflow = workflow_of(
        {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]},
        rules={"c": value("n") > 0},
        options={"c": {"merge": "error"}},
    )
    run = run_of(workflow)
    planner.begin(run)
    succeed(run, "a", n=1)

    decisions = succeed(run, "b", n=2)

    assert told(run, decisions) == ["succeeded b", "failed c", "skipped d", "run failed"]
    finish = decisions[-1]
    assert isinstance(finish, Finish)
    assert finish.error is not None
    assert finish.error.task == "c"
    assert finish.error.message == ("merge conflict: key 'n' was written differently by a and b")


def test_the_error_of_a_run_is_that_of_the_task_that_failed_first():
    run = run_with({"a": [], "b": []})
    planner.begin(run)
    fail(run, "b", at=NOW)

    decisions = fail(run, "a", at=NOW + timedelta(seconds=1))

    finish = decisions[-1]
    assert isinstance(finish, Finish)
    assert finish.error == Failure(type="OSError", message="b broke", task="b")


class TestRetries:
    @staticmethod
    def run(**policy: Any) -> RunState:
        retry = RetryPolicy(first_delay=timedelta(seconds=10), jitter=0.0, **policy)
        run = run_of(workflow_of({"a": [], "b": ["a"]}, options={"a": {"retry": retry}}))
        planner.begin(run)
        return run

    def test_a_failed_attempt_lets_the_task_sleep(self):
        run = self.run(max_attempts=2)

        decisions = fail(run, "a", may_retry=True)

        assert decisions == [Sleep(0, NOW + timedelta(seconds=10))]
        assert run.tasks[0].wake_at == NOW + timedelta(seconds=10)

    def test_a_task_that_wakes_is_ready(self):
        run = self.run(max_attempts=2)
        fail(run, "a", may_retry=True)

        decisions = planner.wake(run, 0)

        assert decisions == [Ready(0)]
        assert run.tasks[0].wake_at is None

    def test_only_sleeping_tasks_wake(self):
        run = self.run(max_attempts=2)

        assert planner.wake(run, 0) == []

    def test_the_last_attempt_ends_the_task(self):
        run = self.run(max_attempts=2)
        fail(run, "a", may_retry=True)
        planner.wake(run, 0)

        decisions = fail(run, "a", may_retry=True)

        assert told(run, decisions) == ["failed a", "skipped b", "run failed"]

    def test_a_failure_that_is_not_worth_it_ends_the_task(self):
        run = self.run(max_attempts=9)

        decisions = fail(run, "a", may_retry=False)

        assert told(run, decisions)[0] == "failed a"

    def test_attempts_that_engines_lost_do_not_count(self):
        run = self.run(max_attempts=2)
        for _ in range(5):
            begin_attempt(run, "a")
            end_attempt(run, "a", AttemptOutcome.LOST)
            run.tasks[0].status = TaskStatus.READY

        decisions = fail(run, "a", may_retry=True)

        assert told(run, decisions) == ["sleep a"]


class TestTakingUp:
    def test_what_ran_is_ready_again_and_what_sleeps_sleeps_on(self):
        run = run_with({"ran": [], "asleep": [], "waits": ["ran"], "done": []})
        planner.begin(run)
        succeed(run, "done")
        begin_attempt(run, "ran")
        run.tasks[1].status = TaskStatus.SLEEPING

        decisions = planner.take_up(run)

        assert told(run, decisions) == ["ready ran"]
        assert run.tasks[1].status is TaskStatus.SLEEPING

    def test_a_task_whose_rule_was_fixed_by_then_is_found(self):
        """A crash may lose a decision, but never the outcome that it follows from."""
        run = run_with({"a": [], "b": ["a"]})
        planner.begin(run)
        run.tasks[0].status = TaskStatus.SUCCEEDED
        run.count_ending(0)

        decisions = planner.take_up(run)

        assert told(run, decisions) == ["ready b"]

    def test_a_run_whose_last_task_ended_is_finished(self):
        run = run_with({"a": []})
        planner.begin(run)
        run.tasks[0].status = TaskStatus.SUCCEEDED
        run.count_ending(0)

        decisions = planner.take_up(run)

        assert told(run, decisions) == ["run succeeded"]

    def test_a_run_that_three_engines_died_of_is_given_up(self):
        run = run_with({"a": [], "b": ["a"]})
        planner.begin(run)
        run.engine_deaths = 3

        decisions = planner.take_up(run)

        assert told(run, decisions) == ["cancelled a", "cancelled b", "run failed"]
        finish = decisions[-1]
        assert isinstance(finish, Finish)
        assert finish.error is not None
        assert finish.error.type == "engine-deaths"

    def test_two_deaths_are_forgiven(self):
        run = run_with({"a": []})
        planner.begin(run)
        run.engine_deaths = 2

        assert told(run, planner.take_up(run)) == ["ready a"]


def test_ending_early_cancels_what_has_not_ended():
    run = run_with({"done": [], "ready": [], "waits": ["ready"]})
    planner.begin(run)
    succeed(run, "done")

    decisions = planner.end_early(run, RunStatus.CANCELLED, None, "no longer wanted")

    assert told(run, decisions) == ["cancelled ready", "cancelled waits", "run cancelled"]
    assert run.tasks[0].status is TaskStatus.SUCCEEDED
    assert run.tasks[2].reason == "no longer wanted"


class CountingRule(Rule):
    """`all_succeeded`, and how often it was asked."""

    asked = 0

    def decide(self, upstream: Upstream) -> bool | None:
        CountingRule.asked += 1
        return all_succeeded.decide(upstream)

    def to_json(self) -> JsonValue:
        return "all_succeeded"


def walk(run: RunState) -> int:
    """Run to the end, every task succeeding; return how often rules were asked."""
    CountingRule.asked = 0
    pending = planner.begin(run)
    while pending:
        decision = pending.pop()
        if isinstance(decision, Ready):
            pending += succeed(run, run.plan.tasks[decision.task].name)
    return CountingRule.asked


@pytest.mark.parametrize("width", [10, 1000])
def test_the_cost_of_a_fan_grows_with_its_edges(width: int):
    tasks = fan_of(width)
    run = run_with(tasks, **dict.fromkeys(tasks, CountingRule()))
    edges = sum(len(before) for before in tasks.values())

    asked = walk(run)

    assert run.unfinished == 0
    assert asked <= edges + len(tasks)


@pytest.fixture(scope="module")
def long_chain() -> Workflow:
    tasks = chain_of(5000)
    return workflow_of(tasks, rules=dict.fromkeys(tasks, CountingRule()))


def test_a_chain_of_5000_tasks_needs_no_deep_stack(long_chain: Workflow):
    run = run_of(long_chain)

    asked = walk(run)

    assert run.unfinished == 0
    assert asked <= 2 * 5000
    assert run.result().context == {}


def test_5000_tasks_are_skipped_one_after_the_other_without_a_deep_stack(long_chain: Workflow):
    run = run_of(long_chain)
    planner.begin(run)

    decisions = fail(run, "t0")

    assert told(run, decisions)[-2:] == ["skipped t4999", "run failed"]
