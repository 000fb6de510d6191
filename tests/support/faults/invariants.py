"""The invariants: what holds after any faults, read from what everybody can read."""

import re
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

from support.faults.engines import Place
from support.faults.ledger import Ledger
from support.faults.workload import DONE, IN_ORDER, ITEMS, WAITING
from support.runs import open_runtime

from cloacina_core.engine.run_state import MAX_ENGINE_DEATHS
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.names import split_instance
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.model.run import AttemptResult, RunResult, TaskResult
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.store.checking import Damage, check
from cloacina_core.store.database import Database

_UNKNOWN = (AttemptOutcome.LOST, AttemptOutcome.RELEASED)
_ENDS = (EventType.RUN_SUCCEEDED, EventType.RUN_FAILED)
_OUTCOMES = (EventType.TASK_SUCCEEDED, EventType.ATTEMPT_FAILED)
_FOLD = {
    EventType.TASK_STARTED: "started",
    EventType.TASK_SUCCEEDED: "succeeded",
    EventType.ATTEMPT_FAILED: "failed",
    EventType.ATTEMPT_LOST: "lost",
    EventType.RELEASED: "released",
    EventType.TASK_CANCELLED: "cancelled",
}
"""What the attempts of a task show of its events; a refused result shows nowhere else."""


@dataclass(frozen=True)
class Aftermath:
    """What faults left, once an engine had all the time it needed."""

    results: dict[str, RunResult]
    events: dict[str, list[RunEvent]]
    damage: list[Damage]
    """What a check of the store finds."""
    ledger: Ledger

    @classmethod
    def read(cls, place: Place) -> "Aftermath":
        """Read all runs of a store."""
        with closing(Database(place.url, SystemClock())) as database:
            damage = list(check(database))
        with open_runtime(place.home, place.url, recover=False) as runtime:
            stored = [summary.run_id for summary in runtime.list(limit=10_000)]
            return cls(
                results={run_id: runtime.get(run_id) for run_id in stored},
                events={run_id: list(runtime.events(run_id)) for run_id in stored},
                damage=damage,
                ledger=place.ledger,
            )

    def attempts(self) -> list[AttemptResult]:
        """Return all attempts at all tasks."""
        return [
            attempt
            for result in self.results.values()
            for task in _all_tasks(result)
            for attempt in task.attempts
        ]

    def lost_by(self, engines: set[str]) -> int:
        """Return how many attempts were live when these engines died."""
        return sum(
            attempt.engine in engines and attempt.outcome is AttemptOutcome.LOST
            for attempt in self.attempts()
        )

    def count(self, event_type: EventType) -> int:
        """Return how often something happened, in all runs."""
        return sum(event.type is event_type for events in self.events.values() for event in events)


def _all_tasks(result: RunResult) -> list[TaskResult]:
    """Return the tasks of a run, and the instances of mapped ones."""
    instances = [one for task in result.tasks.values() for one in task.instances or ()]
    return [*result.tasks.values(), *instances]


def assert_nothing_was_lost_or_done_twice(found: Aftermath) -> None:
    """Assert all that must hold, of each run and of all together."""
    assert found.damage == []
    _assert_each_key_has_the_run_it_was_acknowledged_with(found)
    for run_id, result in found.results.items():
        if result.status is RunStatus.SUCCEEDED:
            _assert_the_result_is_that_of_the_last_attempts(result)
        else:
            _assert_it_was_given_up_rightly(found.events[run_id], result)
        _assert_attempts_are_in_order(result)
        _assert_each_attempt_began_once(found.ledger, result)
        _assert_history_is_dense_and_folds_to_the_state(found.events[run_id], result)


def _assert_each_key_has_the_run_it_was_acknowledged_with(found: Aftermath) -> None:
    """No acknowledged run is missing, no key has two, and nothing is there that nobody wanted."""
    keys = {result.summary.idempotency_key: run_id for run_id, result in found.results.items()}
    assert len(keys) == len(found.results)
    assert keys == found.ledger.accepted()


def _assert_the_result_is_that_of_the_last_attempts(result: RunResult) -> None:
    assert result.context["done"] == DONE
    assert result.context["approved_for"] == result.summary.idempotency_key
    assert result.context["squares"] == [number**2 for number in range(ITEMS)]
    for task in _all_tasks(result):
        assert task.status is TaskStatus.SUCCEEDED
        if task.instances is None:
            assert task.attempts[-1].outcome is AttemptOutcome.SUCCEEDED
        if task.name in DONE:
            assert result.context[task.name] == task.attempts[-1].number


def _assert_it_was_given_up_rightly(events: list[RunEvent], result: RunResult) -> None:
    """Engines died at it, one after the other, and nothing came of it in between.

    It is bad luck, for these engines were killed from outside; but they can't know that. One that
    died after it took the run, and before it wrote anything of it, counts too, and has no event.
    """
    assert result.error is not None
    assert result.error.type == "engine-deaths"
    outcomes = [event.seq for event in events if event.type in _OUTCOMES]
    since = max(outcomes, default=0)
    claims = [event for event in events if event.type is EventType.CLAIMED and event.seq > since]
    # More of them, when one died as it was about to write that it gives the run up.
    deaths = int(re.findall(r"after (\d+) engine deaths", str(claims[-1].reason))[0])
    assert deaths >= MAX_ENGINE_DEATHS
    lost = [event for event in events if event.type is EventType.ATTEMPT_LOST and event.seq > since]
    assert 1 <= len({event.engine for event in lost}) <= deaths


def _assert_attempts_are_in_order(result: RunResult) -> None:
    for task in _all_tasks(result):
        numbers = [attempt.number for attempt in task.attempts]
        assert numbers == list(range(1, len(numbers) + 1))
        outcomes = [attempt.outcome for attempt in task.attempts]
        assert AttemptOutcome.SUCCEEDED not in outcomes[:-1]
        for attempt in task.attempts:
            assert attempt.finished_at is not None
            assert attempt.started_at <= attempt.finished_at
        for earlier, later in pairwise(task.attempts):
            assert earlier.finished_at is not None
            assert earlier.finished_at <= later.started_at, "no two are live together"
    for before, name in IN_ORDER:
        for attempt in _attempts(result.tasks[name]):
            for earlier in _attempts(result.tasks[before]):
                assert earlier.finished_at is not None
                assert earlier.finished_at <= attempt.started_at, "what comes before is recorded"


def _attempts(task: TaskResult) -> list[AttemptResult]:
    return [attempt for one in (task, *(task.instances or ())) for attempt in one.attempts]


def _assert_each_attempt_began_once(ledger: Ledger, result: RunResult) -> None:
    """A task may run again, but always under a new number: that is what a ledger can rely on."""
    begun = {key: count for key, count in ledger.begun().items() if key[0] == result.run_id}
    assert {key[1] for key, count in begun.items() if count > 1} <= set(WAITING)
    recorded = {
        (result.run_id, task.name, attempt.number): attempt
        for task in _all_tasks(result)
        for attempt in task.attempts
    }
    assert set(begun) <= set(recorded)
    ended = {key for key, attempt in recorded.items() if attempt.outcome not in _UNKNOWN}
    assert ended <= set(begun)


def _assert_history_is_dense_and_folds_to_the_state(
    events: list[RunEvent], result: RunResult
) -> None:
    assert [event.seq for event in events] == [number + 1 for number in range(len(events))]
    types = [event.type for event in events]
    assert types[0] is EventType.SUBMITTED
    assert sum(types.count(end) for end in _ENDS) == 1
    after_the_end = types[max(types.index(end) for end in _ENDS if end in types) + 1 :]
    assert set(after_the_end) <= {EventType.COMMIT_REJECTED}

    told: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.task is not None and event.type in _FOLD:
            told[event.task].append(_FOLD[event.type])
    for task in _all_tasks(result):
        assert told[task.name] == _events_of(task)


def _events_of(task: TaskResult) -> list[str]:
    """Return the events that a task's attempts and its end must have left."""
    expected: list[str] = []
    for attempt in task.attempts:
        assert attempt.outcome is not None, "nothing is left live"
        expected += ["started", attempt.outcome.value]
    is_cancelled = task.status is TaskStatus.CANCELLED
    if is_cancelled and expected[-1:] == ["cancelled"]:  # the task, and with it the attempt
        return expected
    if is_cancelled and not expected and split_instance(task.name)[1] is not None:
        return []  # told once, of the mapped task
    if is_cancelled or task.instances is not None:
        expected += [task.status.value]
    return expected
