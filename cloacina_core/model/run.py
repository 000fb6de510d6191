"""Runs as they are told to users: the run, its tasks, their attempts."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.isolation import Isolation
from cloacina_core.model.release import Release, Resolution
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus

MAX_FAILED_TOLD = 100
"""How many failed instances of a mapped task are listed unless all are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt, a task or a run failed. A task's exception as data."""

    type: str
    """The exception's class with its module (without `builtins`), or a reason such as `timeout`."""
    message: str
    traceback: str = ""
    """As Python prints it, without the frames of the engine; empty when there was none."""
    task: str | None = None
    """On a run's error: the task that failed first."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the failure as a JSON object."""
        return {
            "type": self.type,
            "message": self.message,
            "traceback": self.traceback,
            "task": self.task,
        }

    def __str__(self) -> str:
        where = f"task {self.task}: " if self.task else ""
        return f"{where}{self.type}: {self.message}" if self.message else f"{where}{self.type}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """One attempt at a task."""

    number: int
    """Counted from 1, without holes."""
    engine: EngineId
    """Who ran it, or ran it last, when it waited in between."""
    started_at: datetime
    finished_at: datetime | None = None
    """None while it runs."""
    outcome: AttemptOutcome | None = None
    """None while it runs."""
    error: Failure | None = None
    isolation: Isolation | None = None
    """What was between it and others; None while it runs, and when nobody heard how it ended."""
    enforced: tuple[str, ...] = ()
    """What its process was kept from, as `no-new-privileges`; nothing when it had none of its own.
    """

    def ended(
        self,
        at: datetime,
        outcome: AttemptOutcome,
        error: Failure | None,
        *,
        isolation: Isolation | None = None,
        enforced: tuple[str, ...] = (),
    ) -> "AttemptResult":
        """Return the attempt as it is after its end."""
        return AttemptResult(
            number=self.number,
            engine=self.engine,
            started_at=self.started_at,
            finished_at=at,
            outcome=outcome,
            error=error,
            isolation=isolation,
            enforced=enforced,
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the attempt as a JSON object."""
        return {
            "number": self.number,
            "engine": self.engine,
            "started_at": iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "outcome": self.outcome and self.outcome.value,
            "error": self.error and self.error.to_json(),
            "isolation": self.isolation and self.isolation.value,
            "enforced": list(self.enforced),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One task of a run."""

    name: str
    status: TaskStatus
    attempts: tuple[AttemptResult, ...] = ()
    reason: str | None = None
    """Why it was skipped or cancelled, or what it waits for."""
    instances: tuple["TaskResult", ...] | None = None
    """Of a mapped task, in the order of its items; None for others, and before it has any."""

    @property
    def error(self) -> Failure | None:
        """The error of the last attempt; of a mapped task that failed, the one it failed by."""
        if self.status is TaskStatus.FAILED and self.failed_instances:
            return min(self.failed_instances, key=_ended_at).error
        return self.attempts[-1].error if self.attempts else None

    @property
    def failed_instances(self) -> tuple["TaskResult", ...]:
        """The instances that failed, in the order of their items."""
        return tuple(one for one in self.instances or () if one.status is TaskStatus.FAILED)

    @property
    def instance_counts(self) -> dict[TaskStatus, int]:
        """How many instances stand how; only states that occur."""
        return dict(Counter(one.status for one in self.instances or ()))

    def to_json(self, *, all_instances: bool = False) -> dict[str, JsonValue]:
        """Return the task as a JSON object.

        Args:
            all_instances: list every instance; otherwise only the first of those that failed.
        """
        listed = self.instances or ()
        if not all_instances:
            listed = self.failed_instances[:MAX_FAILED_TOLD]
        return {
            "name": self.name,
            "status": self.status.value,
            "reason": self.reason,
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "instances": None
            if self.instances is None
            else {
                "count": len(self.instances),
                "by_status": {
                    status.value: count for status, count in self.instance_counts.items()
                },
                "listed": [one.to_json() for one in listed],
            },
        }


def _ended_at(task: TaskResult) -> float:
    finished = task.attempts[-1].finished_at if task.attempts else None
    return math.inf if finished is None else finished.timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The task that asked for a run."""

    run_id: RunId
    task: str
    """The name of the task, or of the instance."""
    waits: bool = True
    """Whether the task waits for the run's end: the run is cancelled and paused with it."""

    @property
    def started(self) -> StartedBy:
        """What started the run that it asked for."""
        return StartedBy(kind=StarterKind.TASK, name=self.task, run_id=self.run_id)

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {"run_id": self.run_id, "task": self.task, "waits": self.waits}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run as listings show it."""

    run_id: RunId
    status: RunStatus
    workflow: str
    reference: str
    """What was asked for."""
    release: Release | None
    """What it was resolved to; None for a workflow that isn't packaged."""
    resolution: Resolution | None = None
    """Why to that release; None for a workflow that isn't packaged."""
    started_by: StartedBy
    priority: int
    idempotency_key: str | None
    concurrency_key: str | None = None
    """What it shares with the runs that aren't live together with it."""
    origin: RunId | None = None
    """The run that this one repeats, wholly or from a task on."""
    parent: Parent | None = None
    """The task that asked for this run; None when people or programs did."""
    depth: int = 0
    """How many runs stand above it: its parent, the parent of that, and so on."""
    engine: EngineId | None
    """Who works on it, or worked on it last."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: Failure | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the run as a JSON object, as `runs list --json` prints it."""
        return {
            "run_id": self.run_id,
            "status": self.status.value,
            "reference": self.reference,
            "workflow": self.workflow,
            "release": self.release and self.release.to_json(),
            "resolution": self.resolution and self.resolution.to_json(),
            "started_by": self.started_by.to_json(),
            "priority": self.priority,
            "idempotency_key": self.idempotency_key,
            "concurrency_key": self.concurrency_key,
            "origin": self.origin,
            "parent": self.parent and self.parent.to_json(),
            "engine": self.engine,
            "created_at": iso(self.created_at),
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "error": self.error and self.error.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """How many runs stand how."""

    live: int = 0
    """Queued, running or paused."""
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def decided(self) -> int:
        """How many ended by themselves, well or badly."""
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A run with its tasks and context, while it goes on or after it ended."""

    summary: RunSummary
    params: Mapping[str, JsonValue]
    context: Mapping[str, JsonValue]
    """The merge of what the last tasks left, in declared order."""
    tasks: Mapping[str, TaskResult]
    """By name, in declared order."""

    @property
    def run_id(self) -> RunId:
        """The id of the run."""
        return self.summary.run_id

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self.summary.status

    @property
    def release(self) -> Release | None:
        """The release that the run is pinned to; None for a workflow that isn't packaged."""
        return self.summary.release

    @property
    def error(self) -> Failure | None:
        """Why the run failed; None otherwise."""
        return self.summary.error

    def to_json(self, *, all_instances: bool = False) -> dict[str, JsonValue]:
        """Return the run as a JSON object, as `run --json` and `runs show --json` print it.

        Args:
            all_instances: list every instance of mapped tasks, not only those that failed.
        """
        return {
            **self.summary.to_json(),
            "params": dict(self.params),
            "context": dict(self.context),
            "tasks": [task.to_json(all_instances=all_instances) for task in self.tasks.values()],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a task printed or logged."""

    task: str
    attempt: int
    at: datetime
    stream: str
    """`stdout`, `stderr`, or the level of a log record in lower case."""
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return the line as a JSON object."""
        return {
            "task": self.task,
            "attempt": self.attempt,
            "at": iso(self.at),
            "stream": self.stream,
            "text": self.text,
        }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
