"""Why a run, or a task of it, isn't further than it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.engine import EngineSummary
from cloacina_core.model.event import EventType
from cloacina_core.model.limit import LimitUse
from cloacina_core.model.status import RunStatus, TaskStatus


class ReasonKind(StrEnum):
    """What something waits for."""

    DEPENDENCY = "dependency"
    """Tasks before it haven't ended."""
    RULE = "rule"
    """Parts of its rule aren't decided."""
    SLOT = "slot"
    """All slots of its engine are taken, or it is about to begin."""
    LIMIT = "limit"
    """A limit has no room: of a task, or on how many runs are live."""
    RATE = "rate"
    """A limit allows no further start for now."""
    QUEUE = "queue"
    """An engine is to take the run."""
    NO_ENGINE = "no_engine"
    """No engine is alive."""
    PAUSED = "paused"
    CANCELLING = "cancelling"
    """It was asked to end, and is waited for."""
    SLEEPING = "sleeping"
    """It asked to wait until a moment, or for a condition."""
    SIGNAL = "signal"
    EVENT = "event"
    """A sent event."""
    CHILDREN = "children"
    """Runs that it asked for haven't ended."""
    RETRY = "retry"
    """Its last attempt failed; another one follows."""
    INSTANCES = "instances"
    """Instances of the mapped task haven't ended."""
    RUNNING = "running"
    """It waits for nothing: an attempt is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What something waits for, and since when."""

    kind: ReasonKind
    message: str
    since: datetime | None = None
    until: datetime | None = None
    """When the wait is over at the latest, if that is known."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    """The single facts, by names that are the same for all reasons of one kind."""

    def __str__(self) -> str:
        since = f", since {iso(self.since)[:19]}Z" if self.since else ""
        until = f", until {iso(self.until)[:19]}Z" if self.until else ""
        return f"{self.message}{since}{until}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the reason as a JSON object."""
        return {
            "kind": self.kind.value,
            "message": self.message,
            "since": self.since and iso(self.since),
            "until": self.until and iso(self.until),
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExplanation:
    """Why a task hasn't ended."""

    task: str
    status: TaskStatus
    """`ready` for one that may begin, though no engine has noted that yet."""
    reason: Reason

    def to_json(self) -> dict[str, JsonValue]:
        """Return the explanation as a JSON object."""
        return {
            "task": self.task,
            "status": self.status.value,
            "reason": self.reason.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a run hasn't ended."""

    run_id: RunId
    status: RunStatus
    reason: Reason | None
    """What all of it waits for; None when only its tasks do, or it has ended."""
    tasks: tuple[TaskExplanation, ...]
    """Those that haven't ended, in declared order."""
    next_command: str
    """What to do, or to look at, next."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the explanation as a JSON object, as `runs explain --json` prints it."""
        return {
            "run_id": self.run_id,
            "status": self.status.value,
            "reason": self.reason and self.reason.to_json(),
            "tasks": [task.to_json() for task in self.tasks],
            "next_command": self.next_command,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimit:
    """A limit on how many runs are live, and who takes its room."""

    shared: str
    """In words, what these runs share."""
    size: int
    live: int
    holders: tuple[RunId, ...]
    """The first of the live ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLimit:
    """A limit that tasks name, and who takes its room."""

    use: LimitUse
    holders: tuple[tuple[RunId, str], ...]
    """The runs and tasks of the first attempts at work."""
    next_start: datetime | None
    """When its rate allows another start; None when it does now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an explanation needs to know besides the run itself."""

    now: datetime
    engines: tuple[EngineSummary, ...] = ()
    """Those that haven't stopped."""
    ahead: int = 0
    """How many runs wait for an engine that come before this one."""
    live_limits: tuple[LiveLimit, ...] = ()
    """Those that the run counts for."""
    task_limits: Mapping[str, TaskLimit] = field(default_factory=dict)
    """Those that its tasks name and that are set, by name."""
    events: Mapping[tuple[EventType, str | None], tuple[datetime, str | None]] = field(
        default_factory=dict
    )
    """When, and why, something happened last: to the run, or to one task."""
