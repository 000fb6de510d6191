"""A history folds to the state."""

from cloacina_core.model.event import EventType
from cloacina_core.model.history import FoldedRun, FoldedTask
from cloacina_core.model.status import RunStatus, TaskStatus

Told = tuple[EventType, str | None, int | None]


def folded(*events: Told) -> FoldedRun:
    run = FoldedRun()
    for number, (event_type, task, attempt) in enumerate(events, 1):
        run.add(number, event_type, task, attempt)
    return run


BEGUN: list[Told] = [
    (EventType.SUBMITTED, None, None),
    (EventType.CLAIMED, None, None),
    (EventType.TASK_STARTED, "a", 1),
]


def test_a_run_without_events_says_nothing() -> None:
    assert folded() == FoldedRun(None, {}, 0)


def test_a_run_that_begins_is_running() -> None:
    assert folded(*BEGUN) == FoldedRun(
        RunStatus.RUNNING, {"a": FoldedTask(TaskStatus.RUNNING, 1)}, 3
    )


def test_attempts_are_counted_from_their_starts() -> None:
    run = folded(
        *BEGUN,
        (EventType.ATTEMPT_FAILED, "a", 1),
        (EventType.TASK_STARTED, "a", 2),
        (EventType.ATTEMPT_LOST, "a", 2),
    )

    assert run.tasks["a"] == FoldedTask(TaskStatus.READY, 2)


def test_what_changes_no_state_is_passed_over() -> None:
    run = folded(
        *BEGUN,
        (EventType.TASK_SUCCEEDED, "a", 1),
        (EventType.TASK_SKIPPED, "b", None),
        (EventType.RUN_SUCCEEDED, None, None),
        (EventType.COMMIT_REJECTED, "a", 1),
        (EventType.COMMIT_REJECTED, "c", 1),
    )

    assert run.status is RunStatus.SUCCEEDED
    assert run.tasks == {
        "a": FoldedTask(TaskStatus.SUCCEEDED, 1),
        "b": FoldedTask(TaskStatus.SKIPPED, 0),
    }
    assert run.seq == 8
