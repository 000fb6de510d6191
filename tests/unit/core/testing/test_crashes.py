"""Engines that die at named points: whatever happens, each task has one committed outcome."""

import itertools
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloacina_core import Context, RetryPolicy, Workflow
from cloacina_core.errors import InputError
from cloacina_core.testing import CrashPoint, HarnessResult, WorkflowHarness, run_workflow

LEASE = timedelta(seconds=15, microseconds=1)
"""What the next engine waits before it takes a run from a dead one."""

TASKS = ["extract", "check", "count", "load"]
POINTS = [
    f"{side} {step}"
    for side in ("before", "after")
    for step in (
        "submit",
        *(f"start:{task}" for task in TASKS),
        *(f"commit:{task}" for task in TASKS),
        "finish",
    )
]

REPEATED = [point for point in POINTS if point.startswith("before")]
"""What an engine was about to write, the next one writes: each run gets there."""


class Ledger:
    """A workflow, and the effects that its tasks had on the world."""

    def __init__(self, retry: RetryPolicy | None = None) -> None:
        self.entries: list[tuple[str, int]] = []
        self.flow = flow = Workflow("ledger")
        options = {"retry": retry or RetryPolicy()}

        @flow.task(**options)
        def extract(context: Context) -> dict[str, list[int]]:
            self._enter(context)
            return {"rows": [1, 2, 3]}

        @flow.task(after=[extract])
        async def check(context: Context) -> dict[str, bool]:
            self._enter(context)
            return {"is_good": True}

        @flow.task(after=[extract])
        def count(context: Context) -> dict[str, int]:
            self._enter(context)
            return {"count": len(context["rows"])}

        @flow.task(after=[check, count])
        def load(context: Context) -> dict[str, int]:
            self._enter(context)
            return {"loaded": context["count"]}

    def _enter(self, context: Context) -> None:
        self.entries.append((context.task, context.attempt))


def assert_sound(result: HarnessResult, ledger: Ledger) -> None:
    """Hold a run that succeeded against what the engine promises."""
    assert result.status == "succeeded"
    assert result.context == {"rows": [1, 2, 3], "is_good": True, "count": 3, "loaded": 3}
    assert [event.seq for event in result.events] == list(range(1, len(result.events) + 1))
    ends = Counter(event.task for event in result.events if event.type == "task_succeeded")
    assert ends == dict.fromkeys(TASKS, 1)
    assert [event.type.value for event in result.events].count("run_succeeded") == 1
    for task in result.tasks.values():
        *lost, last = task.attempts
        assert [attempt.number for attempt in task.attempts] == list(range(1, len(lost) + 2))
        assert last.outcome == "succeeded"
        assert {attempt.outcome for attempt in lost} <= {"lost"}
        for earlier, later in itertools.pairwise(task.attempts):
            assert earlier.finished_at is not None
            assert earlier.finished_at <= later.started_at
    assert len(ledger.entries) == len(set(ledger.entries)), "one attempt ran twice"


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_point_loses_nothing_and_commits_nothing_twice(point: str) -> None:
    ledger = Ledger()

    result = run_workflow(ledger.flow, crash=point)

    assert_sound(result, ledger)
    assert result.crashes == (CrashPoint.parse(point),)


@given(first=st.sampled_from(POINTS), second=st.sampled_from(REPEATED))
@settings(max_examples=60, deadline=None)
def test_two_crashes_in_one_run_lose_nothing(first: str, second: str) -> None:
    ledger = Ledger()

    result = run_workflow(ledger.flow, crash=[first, second])

    assert_sound(result, ledger)
    assert len(result.crashes) == 2


def test_the_run_goes_on_where_the_store_says_it_was() -> None:
    ledger = Ledger()

    result = run_workflow(ledger.flow, crash="after commit:count")

    assert len(result.tasks["extract"].attempts) == 1
    assert len(result.tasks["count"].attempts) == 1
    assert ledger.entries.count(("count", 1)) == 1


def test_work_that_was_not_recorded_is_done_again() -> None:
    ledger = Ledger()

    result = run_workflow(ledger.flow, crash="before commit:load")

    assert [str(attempt.outcome) for attempt in result.tasks["load"].attempts] == [
        "lost",
        "succeeded",
    ]
    assert ledger.entries[-2:] == [("load", 1), ("load", 2)]


def test_a_task_whose_engine_died_before_its_function_was_called_is_called_once() -> None:
    ledger = Ledger()

    run_workflow(ledger.flow, crash="after start:load")

    assert [task for task, _ in ledger.entries].count("load") == 1


def test_each_engine_has_its_own_id_and_takes_the_run_up_after_the_lease() -> None:
    result = run_workflow(Ledger().flow, crash="before commit:extract")

    first, second = result.tasks["extract"].attempts
    assert first.engine != second.engine
    assert result.elapsed == LEASE
    assert [event.engine for event in result.events if event.type == "claimed"] == [
        first.engine,
        second.engine,
    ]
    assert [event.attempt for event in result.events if event.type == "attempt_lost"] == [1]


def test_a_submission_that_was_lost_is_submitted_again() -> None:
    ledger = Ledger()

    result = run_workflow(ledger.flow, crash="before submit")

    assert_sound(result, ledger)
    assert "attempt_lost" not in [event.type.value for event in result.events]
    assert result.run.summary.created_at == result.events[0].at


def test_a_run_that_ended_before_the_crash_is_left_alone() -> None:
    result = run_workflow(Ledger().flow, crash="after finish")

    assert result.events[-1].type == "run_succeeded"
    assert len([event for event in result.events if event.type == "claimed"]) == 1


def test_a_run_that_kills_three_engines_is_failed() -> None:
    ledger = Ledger()

    result = run_workflow(ledger.flow, crash=["before commit:extract"] * 3)

    assert result.status == "failed"
    assert result.error is not None
    assert result.error.type == "engine-deaths"
    assert [str(attempt.outcome) for attempt in result.tasks["extract"].attempts] == ["lost"] * 3
    assert ledger.entries == [("extract", 1), ("extract", 2), ("extract", 3)]
    assert {task.status.value for task in result.tasks.values()} == {"cancelled"}


def test_a_run_that_gets_on_between_the_deaths_of_engines_is_not_failed() -> None:
    ledger = Ledger()

    result = run_workflow(ledger.flow, crash=[f"before commit:{task}" for task in TASKS])

    assert_sound(result, ledger)
    assert len(result.crashes) == 4


def test_the_death_of_an_engine_is_no_failure_of_the_task() -> None:
    ledger = Ledger(RetryPolicy(max_attempts=2))

    result = run_workflow(
        ledger.flow,
        fail={"extract": [None, OSError("disk"), None]},
        crash="before commit:extract#1",
    )

    outcomes = [str(attempt.outcome) for attempt in result.tasks["extract"].attempts]
    assert outcomes == ["lost", "failed", "succeeded"]


def test_a_crash_can_be_bound_to_one_attempt() -> None:
    ledger = Ledger(RetryPolicy(max_attempts=3))

    result = run_workflow(
        ledger.flow, fail={"extract": [OSError("disk"), None]}, crash="before commit:extract#2"
    )

    outcomes = [str(attempt.outcome) for attempt in result.tasks["extract"].attempts]
    assert outcomes == ["failed", "lost", "succeeded"]


def test_a_task_that_sleeps_when_its_engine_dies_wakes_at_its_time() -> None:
    ledger = Ledger(RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=5)))

    result = run_workflow(
        ledger.flow, fail={"extract": [OSError("disk"), None]}, crash="after commit:extract#1"
    )

    assert result.elapsed == timedelta(minutes=5)
    assert [str(attempt.outcome) for attempt in result.tasks["extract"].attempts] == [
        "failed",
        "succeeded",
    ]


def test_the_timeout_of_a_run_counts_from_its_first_engine() -> None:
    ledger = Ledger()
    ledger.flow.timeout = timedelta(minutes=1)

    result = run_workflow(
        ledger.flow, slow={"load": timedelta(seconds=50)}, crash="before commit:extract"
    )

    assert result.error is not None
    assert result.error.type == "timeout"
    assert result.elapsed == timedelta(minutes=1)


def test_a_point_that_is_never_reached_is_told() -> None:
    with pytest.raises(InputError, match="never reached crash point 'after start:load#2'") as told:
        run_workflow(Ledger().flow, crash=["after submit", "after start:load#2"])

    assert "'after submit'" in str(told.value.hint)


def test_a_harness_survives_the_crashes_of_its_runs() -> None:
    ledger = Ledger()

    with WorkflowHarness(ledger.flow) as harness:
        crashed = harness.run(crash=CrashPoint("before", "commit", "load"))
        quiet = harness.run()

    assert crashed.status == quiet.status == "succeeded"
    assert len(crashed.crashes) == 1
    assert quiet.crashes == ()
