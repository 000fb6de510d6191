"""The history of a run: what happened, in order."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.ids import RunId


class EventType(StrEnum):
    """What can happen in the life of a run."""

    SUBMITTED = "submitted"
    CLAIMED = "claimed"
    """An engine took the run: at once, or after another engine died."""
    TASK_STARTED = "task_started"
    TASK_EXPANDED = "task_expanded"
    """A mapped task became so many instances."""
    TASK_SUCCEEDED = "task_succeeded"
    ATTEMPT_FAILED = "attempt_failed"
    """The attempt failed or ran out of time; another one will follow."""
    TASK_FAILED = "task_failed"
    TASK_SKIPPED = "task_skipped"
    TASK_CANCELLED = "task_cancelled"
    TASK_DEFERRED = "task_deferred"
    """The task waits, and its slot is free: the reason says until when, or for which signal."""
    TASK_RESUMED = "task_resumed"
    """The wait is over; the task is called again, in the same attempt."""
    CHILD_STARTED = "child_started"
    """The task asked for another run, which has begun."""
    CHILD_ENDED = "child_ended"
    """A run that the task waited for has ended. Told when all that it waits for have."""
    ATTEMPT_LOST = "attempt_lost"
    """The engine died during the attempt."""
    RELEASED = "released"
    """The engine stopped in good order and gave the run back."""
    COMMIT_REJECTED = "commit_rejected"
    """A late result was refused: its attempt was no longer the current one."""
    SECRETS_READ = "secrets_read"
    CALLBACK_FAILED = "callback_failed"
    SIGNAL_RECEIVED = "signal_received"
    """A signal came; it is kept until a task waits for it."""
    SIGNAL_TAKEN = "signal_taken"
    """A task took a signal that it waited for."""
    EVENT_TAKEN = "event_taken"
    """A task took a sent event that it waited for."""
    CANCEL_REQUESTED = "cancel_requested"
    """Nothing more starts; what runs is told, and given up after a grace."""
    PAUSED = "paused"
    """Nothing more starts; what runs goes on to its end."""
    RESUMED = "resumed"
    """The run goes on after a pause."""
    QUEUED = "queued"
    """The run, which was paused, waits for an engine to go on with it."""
    RETRIED = "retried"
    """The run, which had ended, waits for an engine to go on with it."""
    TASK_RESET = "task_reset"
    """The task is run again, because the run is retried."""
    RUN_SUCCEEDED = "run_succeeded"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One entry of a run's history."""

    run_id: RunId
    seq: int
    """Counted from 1 within the run, without holes."""
    at: datetime
    """On the database's clock; aware, UTC."""
    type: EventType
    task: str | None = None
    attempt: int | None = None
    engine: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the event as a JSON object, as `runs events --json` prints it."""
        return {
            "run_id": self.run_id,
            "seq": self.seq,
            "at": iso(self.at),
            "type": self.type.value,
            "task": self.task,
            "attempt": self.attempt,
            "engine": self.engine,
            "reason": self.reason,
        }
