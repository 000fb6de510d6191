"""What a history says of the state: the fold of a run's events."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cloacina_core.model.event import EventType
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus

_RUN: Mapping[EventType, RunStatus] = {
    EventType.SUBMITTED: RunStatus.QUEUED,
    EventType.CLAIMED: RunStatus.RUNNING,
    EventType.PAUSED: RunStatus.PAUSED,
    EventType.RESUMED: RunStatus.RUNNING,
    EventType.QUEUED: RunStatus.QUEUED,
    EventType.RETRIED: RunStatus.QUEUED,
    EventType.RUN_SUCCEEDED: RunStatus.SUCCEEDED,
    EventType.RUN_FAILED: RunStatus.FAILED,
    EventType.RUN_CANCELLED: RunStatus.CANCELLED,
}
_TASK: Mapping[EventType, TaskStatus] = {
    EventType.TASK_STARTED: TaskStatus.RUNNING,
    EventType.TASK_EXPANDED: TaskStatus.RUNNING,
    EventType.TASK_DEFERRED: TaskStatus.SLEEPING,
    EventType.SIGNAL_TAKEN: TaskStatus.READY,
    EventType.CHILD_ENDED: TaskStatus.READY,
    EventType.TASK_RESUMED: TaskStatus.RUNNING,
    EventType.TASK_RESET: TaskStatus.WAITING,
    EventType.TASK_SUCCEEDED: TaskStatus.SUCCEEDED,
    EventType.ATTEMPT_FAILED: TaskStatus.SLEEPING,
    EventType.ATTEMPT_LOST: TaskStatus.READY,
    EventType.RELEASED: TaskStatus.READY,
    EventType.TASK_FAILED: TaskStatus.FAILED,
    EventType.TASK_SKIPPED: TaskStatus.SKIPPED,
    EventType.TASK_CANCELLED: TaskStatus.CANCELLED,
}
OUTCOMES: Mapping[TaskStatus, frozenset[AttemptOutcome | None]] = {
    TaskStatus.READY: frozenset({AttemptOutcome.LOST, AttemptOutcome.RELEASED, None}),
    TaskStatus.RUNNING: frozenset({None}),
    TaskStatus.SLEEPING: frozenset({AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT, None}),
    TaskStatus.SUCCEEDED: frozenset({AttemptOutcome.SUCCEEDED}),
    TaskStatus.FAILED: frozenset({AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT}),
}
"""How the last attempt of a task ended, where the task's state says it."""


@dataclass(slots=True)
class FoldedTask:
    """One task, as the events tell."""

    status: TaskStatus
    attempts: int = 0
    """How many began."""


@dataclass(slots=True)
class FoldedRun:
    """A run, as the events tell that came so far."""

    status: RunStatus | None = None
    tasks: dict[str, FoldedTask] = field(default_factory=dict)
    """Those that have left the waiting state."""
    seq: int = 0
    """The number of the last event."""

    def add(self, seq: int, event_type: EventType, task: str | None, attempt: int | None) -> None:
        """Take the next event."""
        self.seq = seq
        if task is None:
            self.status = _RUN.get(event_type, self.status)
            return
        status = _TASK.get(event_type)
        if status is None:
            return
        folded = self.tasks.setdefault(task, FoldedTask(status))
        folded.status = status
        if event_type is EventType.TASK_STARTED:
            folded.attempts = attempt or 0
