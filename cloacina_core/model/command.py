"""What is asked of a run that exists already. Kept in the store until an engine has obeyed."""

from dataclasses import dataclass
from enum import StrEnum

from cloacina_core.foundation.ids import RunId


class CommandKind(StrEnum):
    """What is asked for."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    SIGNAL = "signal"
    EVENT = "event"
    """Take a sent event that a task waits for."""
    LATE = "late"
    """Note the result of an attempt that was lost: what an engine asks that lost the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing that is asked of a run."""

    id: str
    run_id: RunId
    kind: CommandKind
    name: str | None = None
    """Of a signal, or a sent event."""
    payload: str | None = None
    """What a signal carries, encoded; of an event, itself and the wait; of a late result, its task
    and attempt."""
    reason: str | None = None
    """Why, in the words of who asks."""
    asked_by: str | None = None
    """Who asks, as `ann@build-7`."""

    def __str__(self) -> str:
        by = f"by {self.asked_by}" if self.asked_by else "by nobody in particular"
        return f"{by}: {self.reason}" if self.reason else by
