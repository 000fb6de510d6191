"""What started a run: somebody who asked, a rule that fired, or a task of another run."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue


class StarterKind(StrEnum):
    """What can start a run."""

    PRINCIPAL = "principal"
    """Somebody who asked for it."""
    SCHEDULE = "schedule"
    BACKFILL = "backfill"
    """A firing of a schedule that was asked for again."""
    SUBSCRIPTION = "subscription"
    TRIGGER = "trigger"
    TASK = "task"
    """A task of another run."""

    @property
    def is_rule(self) -> bool:
        """Whether it goes on starting runs by itself."""
        return self not in {StarterKind.PRINCIPAL, StarterKind.TASK}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedBy:
    """What started a run."""

    kind: StarterKind
    name: str
    """Of the schedule, subscription, trigger or task, or of who asked."""
    at: datetime | None = None
    """When the firing of a schedule or backfill was due."""
    event: str | None = None
    """The id of the sent event that a subscription was for."""
    key: str | None = None
    """What a trigger fired for, if it named that."""
    run_id: RunId | None = None
    """The run of the task."""

    @property
    def short(self) -> str:
        """What a listing says of it."""
        if self.kind is StarterKind.PRINCIPAL:
            return self.name
        return f"{self.kind.value} {self.name}"

    @property
    def what_for(self) -> str | None:
        """What it was for, as text: the moment of a firing, an event, or what a trigger named."""
        return self.event or self.key if self.at is None else iso(self.at)

    def __str__(self) -> str:
        """Return all of it in words."""
        is_backfill = self.kind is StarterKind.BACKFILL
        what = f"a backfill of schedule {self.name}" if is_backfill else self.short
        if self.at is not None:
            return f"{what}, due {self.at:%Y-%m-%dT%H:%M:%SZ}"
        if self.event is not None:
            return f"{what} for event {self.event}"
        if self.key is not None:
            return f"{what} for {self.key!r}"
        return what if self.run_id is None else f"{what} of run {self.run_id}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object; what doesn't apply is null."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "at": None if self.at is None else iso(self.at),
            "event": self.event,
            "key": self.key,
            "run_id": self.run_id,
        }
