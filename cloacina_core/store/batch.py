"""What one flush writes: the transitions of many runs, gathered by statement."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cloacina_core.foundation.ids import RunId

Row: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """Rows to write in one transaction. The names of keys are those of columns.

    Keys that begin with `was_` are guards: what the row must still say for the write to count.
    """

    definitions: list[Row] = field(default_factory=list)
    new_runs: list[Row] = field(default_factory=list)
    run_changes: list[Row] = field(default_factory=list)
    """id, was_status, status, started_at, finished_at, error."""
    payloads: list[Row] = field(default_factory=list)
    new_tasks: list[Row] = field(default_factory=list)
    task_changes: list[Row] = field(default_factory=list)
    """run_id, name, was_status, was_attempts, status, attempts, wake_at, reason."""
    new_attempts: list[Row] = field(default_factory=list)
    attempt_ends: list[Row] = field(default_factory=list)
    """run_id, task, number, finished_at, outcome, error."""
    logs: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.new_runs
            or self.run_changes
            or self.payloads
            or self.new_tasks
            or self.task_changes
            or self.new_attempts
            or self.attempt_ends
            or self.events
        )


class StaleEngineError(Exception):
    """Another engine has declared this one dead: nothing it writes is accepted any more."""


class GuardError(Exception):
    """A row was no longer what the writer thought; nothing of the batch was written."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """An idempotency key that belongs to a run already."""

    run_id: RunId
    request_digest: str
