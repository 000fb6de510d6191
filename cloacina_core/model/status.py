"""The states of runs, tasks and attempts."""

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands. The last three are final."""

    QUEUED = "queued"
    """Accepted and durable; no engine has taken it yet."""
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether a run in this state never changes again."""
        return self in _FINAL_RUN


class TaskStatus(StrEnum):
    """Where one task of a run stands. The last four are final."""

    WAITING = "waiting"
    """Its rule can't be decided yet."""
    READY = "ready"
    """It may start; no slot is free yet."""
    RUNNING = "running"
    SLEEPING = "sleeping"
    """It waits for a set time, to be tried again or because it asked to, or for a signal."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether a task in this state never changes again."""
        return self in _FINAL_TASK


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """Its engine died before the outcome was recorded."""
    RELEASED = "released"
    """Its engine stopped in good order and gave the run back."""
    CANCELLED = "cancelled"
    DEFERRED = "deferred"
    """It waits, and goes on later. What a call may come to; no attempt ends so."""


_FINAL_RUN = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
_FINAL_TASK = frozenset(
    {TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}
)
