"""Runs, their tasks and their history, as users are told of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloacina_core.foundation.digest import digest_of
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.foundation.json_value import decode, encode
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.model.release import Release
from cloacina_core.model.run import (
    MAX_FAILED_TOLD,
    AttemptResult,
    Failure,
    LogLine,
    RunResult,
    RunSummary,
    TaskResult,
)
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
RELEASE = Release(
    source="registry", package="acme", version="1", digest=digest_of(b""), workflows=("nightly",)
)
FAILURE = Failure(type="ValueError", message="bad row", traceback="Traceback ...", task="load")


def summary(**facts: Any) -> RunSummary:
    plain: dict[str, Any] = {
        "run_id": RunId("01h"),
        "status": RunStatus.QUEUED,
        "workflow": "nightly",
        "reference": "acme/nightly",
        "release": None,
        "started_by": StartedBy(kind=StarterKind.PRINCIPAL, name="ann"),
        "priority": 0,
        "idempotency_key": None,
        "engine": None,
        "created_at": NOON,
        "started_at": None,
        "finished_at": None,
        "error": None,
    }
    return RunSummary(**{**plain, **facts})


def test_a_queued_run_is_told_with_what_isnt_known_yet() -> None:
    told = summary().to_json()

    assert told["status"] == "queued"
    assert told["created_at"] == "2024-01-01T12:00:00.000000Z"
    assert [name for name, value in told.items() if value is None] == [
        "release",
        "resolution",
        "idempotency_key",
        "concurrency_key",
        "origin",
        "parent",
        "engine",
        "started_at",
        "finished_at",
        "error",
    ]


def test_a_failed_run_is_told_in_full() -> None:
    attempt = AttemptResult(
        number=1,
        engine=EngineId("02x"),
        started_at=NOON,
        finished_at=NOON + timedelta(seconds=1.5),
        outcome=AttemptOutcome.FAILED,
        error=FAILURE,
    )
    result = RunResult(
        summary=summary(status=RunStatus.FAILED, release=RELEASE, started_at=NOON, error=FAILURE),
        params={"day": "2024-01-01"},
        context={"rows": [1]},
        tasks={"load": TaskResult(name="load", status=TaskStatus.FAILED, attempts=(attempt,))},
    )

    told = result.to_json()

    assert decode(encode(told)) == told
    assert told["release"] == RELEASE.to_json()
    assert told["error"]["task"] == "load"
    assert told["tasks"][0]["attempts"][0]["finished_at"] == "2024-01-01T12:00:01.500000Z"
    assert (result.run_id, result.status, result.release) == ("01h", RunStatus.FAILED, RELEASE)
    assert result.error == result.tasks["load"].error == FAILURE


def test_a_task_without_attempts_has_no_error() -> None:
    assert TaskResult(name="load", status=TaskStatus.SKIPPED, reason="...").error is None


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (FAILURE, "task load: ValueError: bad row"),
        (Failure(type="timeout", message=""), "timeout"),
        (Failure(type="ValueError", message="bad row"), "ValueError: bad row"),
    ],
)
def test_a_failure_is_told_in_one_line(failure: Failure, text: str) -> None:
    assert str(failure) == text


def test_an_event_is_told_with_the_time_of_the_database() -> None:
    event = RunEvent(run_id=RunId("01h"), seq=3, at=NOON, type=EventType.TASK_STARTED, task="load")

    assert event.to_json() == {
        "run_id": "01h",
        "seq": 3,
        "at": "2024-01-01T12:00:00.000000Z",
        "type": "task_started",
        "task": "load",
        "attempt": None,
        "engine": None,
        "reason": None,
    }


def test_a_line_of_log_is_told_with_its_attempt() -> None:
    line = LogLine(task="load", attempt=2, at=NOON, stream="stderr", text="slow")

    assert line.to_json()["attempt"] == 2
    assert decode(encode(line.to_json()))["at"] == "2024-01-01T12:00:00.000000Z"


def test_what_never_changes_again_is_final() -> None:
    assert {status.value for status in RunStatus if status.is_final} == {
        "succeeded",
        "failed",
        "cancelled",
    }
    assert {status.value for status in TaskStatus if status.is_final} == {
        "succeeded",
        "failed",
        "skipped",
        "cancelled",
    }


def instance(number: int, status: TaskStatus, minute: int = 0) -> TaskResult:
    error = FAILURE if status is TaskStatus.FAILED else None
    attempt = AttemptResult(
        number=number + 1,
        engine=EngineId("02x"),
        started_at=NOON,
        finished_at=NOON + timedelta(minutes=minute),
        error=error and replace(error, message=f"of {number}"),
    )
    return TaskResult(name=f"load[{number}]", status=status, attempts=(attempt,))


def mapped(*instances: TaskResult) -> TaskResult:
    return TaskResult(name="load", status=TaskStatus.FAILED, instances=instances)


def test_a_mapped_task_is_told_by_counts_and_failures() -> None:
    good, bad = instance(0, TaskStatus.SUCCEEDED), instance(1, TaskStatus.FAILED)
    task = mapped(good, bad, instance(2, TaskStatus.SUCCEEDED))

    assert task.to_json()["instances"] == {
        "count": 3,
        "by_status": {"succeeded": 2, "failed": 1},
        "listed": [bad.to_json()],
    }
    everything = task.to_json(all_instances=True)
    assert [one["name"] for one in everything["instances"]["listed"]] == [
        "load[0]",
        "load[1]",
        "load[2]",
    ]
    assert good.to_json()["instances"] is None


def test_of_many_failures_the_first_are_listed() -> None:
    task = mapped(*(instance(number, TaskStatus.FAILED) for number in range(MAX_FAILED_TOLD + 1)))

    told = task.to_json()["instances"]

    assert told["count"] == MAX_FAILED_TOLD + 1
    assert [one["name"] for one in told["listed"]][-1] == f"load[{MAX_FAILED_TOLD - 1}]"


def test_the_error_of_a_mapped_task_is_its_first_failure() -> None:
    late, early = instance(0, TaskStatus.FAILED, 2), instance(1, TaskStatus.FAILED, 1)

    error = mapped(late, early).error

    assert error is not None
    assert error.message == "of 1"
    assert mapped().error is None
