"""Mapped tasks: whatever the order of ends, whoever dies when, the result is the same."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import run_of, workflow_of

from cloacina_core import Context, RetryPolicy, Workflow
from cloacina_core.engine import planner
from cloacina_core.engine.planner import Decision, Expand, Ready, Sleep
from cloacina_core.engine.run_state import RunState
from cloacina_core.errors import InputError
from cloacina_core.foundation.ids import EngineId
from cloacina_core.foundation.json_value import encode
from cloacina_core.model.run import AttemptResult, Failure
from cloacina_core.model.status import AttemptOutcome, TaskStatus
from cloacina_core.testing import HarnessResult, run_workflow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RETRY = RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=1), jitter=0.0)

Pick = Callable[[int], int]
"""Chooses one of so many."""


class Walk:
    """Takes a run to its end by the planner alone: a choice says who ends next."""

    def __init__(self, run: RunState, fates: list[str], pick: Pick) -> None:
        self.run = run
        self._fates = fates
        """Of each instance: `good`, `late` (good at the second attempt) or `bad`."""
        self._pick = pick
        self._ready: deque[int] = deque()
        self._running: list[int] = []
        self.most_under_way = 0
        self.decisions = 0

    def to_the_end(self) -> None:
        """Let everything happen that will."""
        self._take(planner.begin(self.run))
        while self._ready or self._running:
            while self._ready:
                self._start(self._ready.popleft())
            self.most_under_way = max(self.most_under_way, len(self._running))
            self._end(self._running.pop(self._pick(len(self._running))))

    def _take(self, decisions: list[Decision]) -> None:
        self.decisions += len(decisions)
        for decision in decisions:
            match decision:
                case Ready(number):
                    self._ready.append(number)
                case Sleep(number):
                    self._take(planner.wake(self.run, number))

    def _start(self, number: int) -> None:
        task = self.run.tasks[number]
        if task.status is not TaskStatus.READY:  # it was cancelled in the queue
            return
        task.status = TaskStatus.RUNNING
        attempt = AttemptResult(number=len(task.attempts) + 1, engine=EngineId("e"), started_at=NOW)
        task.attempts.append(attempt)
        self._running.append(number)
        self._take(planner.attempt_started(self.run, number))

    def _end(self, number: int) -> None:
        task = self.run.tasks[number]
        item, index = self.run.item_before(number)
        fate = "good" if index is None else self._fates[index]
        is_good = fate == "good" or (fate == "late" and len(task.attempts) > 1)
        outcome = AttemptOutcome.SUCCEEDED if is_good else AttemptOutcome.FAILED
        error = None if is_good else Failure(type="OSError", message=str(item))
        task.attempts[-1] = replace(
            task.attempts[-1], finished_at=NOW, outcome=outcome, error=error
        )
        if not is_good:
            failed = planner.attempt_failed(self.run, number, may_retry=True, now=NOW, chance=0.0)
            self._take(failed)
            return
        if index is not None:
            task.changes = {"rows": f"[{item}]", f"key_{index % 3}": encode(index)}
        self._take(planner.attempt_succeeded(self.run, number))


def run_with(fates: list[str], **options: Any) -> RunState:
    flow = workflow_of(
        {"fetch": [], "total": ["fetch"]},
        options={"fetch": {"map": "files", "retry": RETRY, **options}},
    )
    return run_of(flow, context={"files": [f"file {n}" for n in range(len(fates))]})


FATES = st.lists(st.sampled_from(["good", "late", "bad"]), max_size=12)
FAILURES = st.one_of(st.just("continue"), st.integers(min_value=12, max_value=20))
LIMITS = st.one_of(st.none(), st.integers(min_value=1, max_value=5))


@settings(max_examples=50)
@given(fates=FATES, failures=FAILURES, limit=LIMITS, order=st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_who_ends_first(
    fates: list[str], failures: Any, limit: int | None, order: Any
):
    options = {"map_failures": failures, "max_parallel": limit}
    expected, walked = run_with(fates, **options), run_with(fates, **options)
    walk = Walk(walked, fates, order.randrange)

    Walk(expected, fates, lambda _count: 0).to_the_end()
    walk.to_the_end()

    assert walked.status is expected.status
    assert walked.result().context == expected.result().context
    assert _told(walked) == _told(expected)
    if limit is not None:
        assert walk.most_under_way <= limit


def _told(run: RunState) -> list[tuple[str, str, str | None]]:
    tasks = run.result().tasks.values()
    everything = [one for task in tasks for one in (task, *(task.instances or ()))]
    return [(one.name, one.status.value, one.reason) for one in everything]


@settings(max_examples=50)
@given(fates=FATES, tolerated=st.integers(0, 3), limit=LIMITS, order=st.randoms())
def test_a_map_that_stops_leaves_nothing_undecided(
    fates: list[str], tolerated: int, limit: int | None, order: Any
):
    run = run_with(fates, map_failures=tolerated or "stop", max_parallel=limit)

    Walk(run, fates, order.randrange).to_the_end()

    result = run.result()
    counts = result.tasks["fetch"].instance_counts
    assert run.unfinished == 0
    assert sum(counts.values()) == len(fates)
    assert all(status.is_final for status in counts)
    is_too_much = fates.count("bad") > tolerated
    assert (result.tasks["fetch"].status is TaskStatus.FAILED) == is_too_much
    assert (TaskStatus.CANCELLED in counts) <= is_too_much


@pytest.mark.parametrize("size", [10, 1000])
def test_the_decisions_are_few_for_each_instance(size: int):
    fates = ["good"] * size
    run = run_with(fates, max_parallel=4)
    walk = Walk(run, fates, lambda _count: 0)

    walk.to_the_end()

    others = 5  # the mapped task and the one behind it begin and end, and the run ends
    assert walk.decisions == 2 * size + others
    assert isinstance(planner.begin(run_with(fates))[0], Expand)


FLOW = Workflow("mapped")


@FLOW.task
def files(_context: Context) -> dict[str, list[str]]:
    return {"files": ["a", "b", "c"]}


@FLOW.task(after=[files], map="files", max_parallel=2, retry=RETRY)
def fetch(context: Context) -> dict[str, object]:
    if context.item == "b" and context.attempt == 1:
        raise ConnectionError("at first")
    return {"rows": context.item.upper(), "index": context.index}


@FLOW.task(after=[fetch])
def total(context: Context) -> dict[str, str]:
    return {"total": "".join(context["rows"])}


LEFT = {
    "files": ["a", "b", "c"],
    "rows": ["A", "B", "C"],
    "index": [0, 1, 2],
    "total": "ABC",
}
POINTS = [
    f"{side} {step}:{name}"
    for side in ("before", "after")
    for step in ("start", "commit")
    for name in ("fetch[0]", "fetch[1]", "fetch[2]")
]


@pytest.mark.parametrize("point", [*POINTS, "before start:fetch", "before commit:total"])
def test_a_crash_at_any_point_changes_nothing(point: str):
    assert_sound(run_workflow(FLOW, crash=point))


@settings(max_examples=8, deadline=None)
@given(points=st.lists(st.sampled_from(POINTS), min_size=2, max_size=2, unique=True))
def test_nor_do_two_crashes(points: list[str]):
    assert_sound(run_with_crashes(points))


def run_with_crashes(points: list[str]) -> HarnessResult:
    """Run with crashes at two points, in the order in which a run comes to them."""
    try:
        return run_workflow(FLOW, crash=points)
    except InputError:  # the second lies before the first
        return run_workflow(FLOW, crash=points[::-1])


def assert_sound(result: HarnessResult) -> None:
    assert result.status == "succeeded"
    assert result.context == LEFT
    assert [event.seq for event in result.events] == list(range(1, len(result.events) + 1))
    ended = [event.task for event in result.events if event.type == "task_succeeded"]
    assert sorted(map(str, ended)) == [
        "fetch",
        "fetch[0]",
        "fetch[1]",
        "fetch[2]",
        "files",
        "total",
    ]
    assert [event.type.value for event in result.events].count("task_expanded") == 1
