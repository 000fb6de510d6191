"""What one flush writes: the transitions of many runs, gathered by statement."""

from collections.abc import Collection, Container
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from cloacina_core.foundation.ids import RunId

Row: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """Rows to write in one transaction.

    The keys of new rows are the names of columns. Rows that change something say which row they
    mean, and with `was_...` what it must still hold for the change to count.
    """

    number: int = 0
    """Its place among the transactions of its engine, counted from 1."""
    definitions: list[Row] = field(default_factory=list)
    new_runs: list[Row] = field(default_factory=list)
    run_changes: list[Row] = field(default_factory=list)
    """run_id, was_engine, was_status, status, engine, engine_deaths, started_at, finished_at,
    error; gives_way, when another run may become live in its place."""
    payloads: list[Row] = field(default_factory=list)
    new_tasks: list[Row] = field(default_factory=list)
    task_changes: list[Row] = field(default_factory=list)
    """in_run, task, was_status, was_attempts, status, attempts, wake_at, reason, unseen, waits,
    instances."""
    new_attempts: list[Row] = field(default_factory=list)
    moved_attempts: list[Row] = field(default_factory=list)
    """in_run, of_task, attempt, was_engine, engine."""
    attempt_ends: list[Row] = field(default_factory=list)
    """in_run, of_task, attempt, was_engine, finished_at, outcome, error, isolation, enforced."""
    given_back: list[Row] = field(default_factory=list)
    """Permits that are needed no more, if there are any: in_run, of_task, of_attempt, of_limit."""
    handled: list[Row] = field(default_factory=list)
    """Commands: in_run, command, handled_at."""
    asked_children: list[Row] = field(default_factory=list)
    """What the runs are asked that a run waits for: in_run, command, what, why, who, at."""
    called_parents: list[Row] = field(default_factory=list)
    """Runs that other engines wait for, and that end: in_run. Written nowhere."""
    taken: list[Row] = field(default_factory=list)
    """Signals and events that were handled before, or are now: in_run, command, taken_by."""
    event_waits: list[Row] = field(default_factory=list)
    blob_uses: list[Row] = field(default_factory=list)
    """in_run, of_kind, of_task, blob. Each says that the blob must be there."""
    logs: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    parents: dict[RunId, RunId] = field(default_factory=dict)
    """Runs that begin with the batch, and the runs that asked for them: whose rows belong to each
    other, and are written together or not at all."""

    def without(self, runs: Container[RunId]) -> "Batch":
        """Return the batch without the rows of some runs."""
        kept = Batch(number=self.number, definitions=self.definitions, parents=self.parents)
        for run_id, part in self.by_run().items():
            if run_id not in runs:
                kept.add(part)
        return kept

    def by_run(self) -> dict[RunId, "Batch"]:
        """Return a batch for each run and those that it asked for, not yet numbered."""
        parts: dict[RunId, Batch] = {}
        for name in _OF_RUNS:
            for row in getattr(self, name):
                head = self.head_of(_run_of(row))
                if head not in parts:
                    parts[head] = Batch(definitions=self.definitions, parents=self.parents)
                getattr(parts[head], name).append(row)
        return parts

    def head_of(self, run_id: RunId) -> RunId:
        """Return the run that a run's rows are written with: itself, or who asked for it."""
        return self.parents.get(run_id, run_id)

    def together_with(self, runs: Collection[RunId]) -> set[RunId]:
        """Return runs and all whose rows are written with theirs."""
        heads = {self.head_of(run_id) for run_id in runs}
        return heads | {child for child, parent in self.parents.items() if parent in heads}

    def runs(self) -> set[RunId]:
        """Return the runs of which the batch has rows."""
        return {_run_of(row) for name in _OF_RUNS for row in getattr(self, name)}

    def add(self, other: "Batch") -> None:
        """Add the rows of another batch, but for its definitions."""
        for name in _OF_RUNS:
            getattr(self, name).extend(getattr(other, name))

    def __bool__(self) -> bool:
        return bool(
            self.new_runs
            or self.run_changes
            or self.payloads
            or self.new_tasks
            or self.task_changes
            or self.new_attempts
            or self.attempt_ends
            or self.handled
            or self.asked_children
            or self.taken
            or self.event_waits
            or self.logs
            or self.events
        )


_OF_ALL = ("number", "definitions", "parents")
_OF_RUNS = tuple(part.name for part in fields(Batch) if part.name not in _OF_ALL)


def _run_of(row: Row) -> RunId:
    return RunId(row.get("run_id") or row.get("in_run") or row["id"])


class StaleEngineError(Exception):
    """Another engine has declared this one dead: nothing it writes is accepted any more."""


class GuardError(Exception):
    """A row was no longer what the writer thought; nothing of the batch was written."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """An idempotency key that belongs to a run already."""

    run_id: RunId
    request_digest: str
