"""A schedule as a store has it: how far it is, and what it follows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.following import Following
from cloacina_core.model.schedule.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """A schedule, and how far it is."""

    schedule: Schedule
    is_paused: bool
    pause_reason: str | None
    """Why, when it wasn't people who paused it."""
    following: Following | None
    """What it was declared by; None: people made it."""
    started: int
    """How many runs it has started."""
    next_at: datetime | None
    """When it is looked at next; None: never again, or it is paused."""
    resting_until: datetime | None
    """When the maintenance window closes that it rests in, as far as an engine has seen."""
    due_since: datetime | None
    """Since when it should have been looked at, its jitter included; None: it is in time."""
    lag: timedelta | None
    """How much later than due the last of its runs was accepted, jitter and windows included."""
    last_failure: str | None
    """Why no run could be started the last time that one was to be; None: it was started."""
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """Of the schedule."""
        return self.schedule.name

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state as a JSON object."""
        return {
            **self.schedule.to_json(),
            "paused": self.is_paused,
            "pause_reason": self.pause_reason,
            "declared_by": None if self.following is None else self.following.to_json(),
            "started": self.started,
            "next_at": None if self.next_at is None else iso(self.next_at),
            "resting_until": None if self.resting_until is None else iso(self.resting_until),
            "due_since": None if self.due_since is None else iso(self.due_since),
            "lag_seconds": None if self.lag is None else self.lag.total_seconds(),
            "last_failure": self.last_failure,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }
