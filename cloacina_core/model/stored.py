"""A run as the store holds it: what an engine needs to go on with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.command import Command
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.run import AttemptResult, RunSummary
from cloacina_core.model.spilled import Encoded
from cloacina_core.model.status import TaskStatus
from cloacina_core.model.wait import Wait


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
    waits: tuple[Wait, ...] = ()
    """What its open attempt asked to wait for."""
    ran: timedelta = timedelta(0)
    """How long the calls of its open attempt took, up to the last wait."""
    instances: int | None = None
    """How many instances a mapped task became; None for others, and before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """All that the store knows of a run."""

    summary: RunSummary
    definition: WorkflowDefinition
    params: dict[str, JsonValue]
    context: dict[str, Encoded]
    """As submitted: encoded values by key."""
    outputs: dict[str, dict[str, Encoded | None]]
    """For each task, the encoded values it changed; None for a key it deleted."""
    tasks: dict[str, StoredTask]
    last_seq: int
    engine_deaths: int
    queued_at: datetime
    """Since when it waited, or waits, for an engine."""
    commands: tuple[Command, ...] = ()
    """What was asked of it and isn't obeyed yet, the oldest first."""
    signals: tuple[Command, ...] = ()
    """Signals that no task has waited for yet, the oldest first."""
    edits: Mapping[str, Mapping[str, Encoded | None]] = field(default_factory=dict)
    """For each task, encoded values that are laid over what it sees."""
