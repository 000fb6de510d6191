"""A run as the store holds it: what an engine needs to go on with it."""

from dataclasses import dataclass
from datetime import datetime

from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.run import AttemptResult, RunSummary
from cloacina_core.model.status import TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask:
    """A task of a stored run that has left the waiting state."""

    name: str
    status: TaskStatus
    attempts: tuple[AttemptResult, ...]
    wake_at: datetime | None
    reason: str | None
    unseen: tuple[str, ...] = ()
    """Tasks before it that hadn't ended when it began, or was decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """All that the store knows of a run."""

    summary: RunSummary
    definition: WorkflowDefinition
    params: dict[str, JsonValue]
    context: dict[str, str]
    """As submitted: encoded values by key."""
    outputs: dict[str, dict[str, str | None]]
    """For each task, the encoded values it changed; None for a key it deleted."""
    tasks: dict[str, StoredTask]
    last_seq: int
    engine_deaths: int
