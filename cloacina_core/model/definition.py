"""What a workflow is, as data: enough to plan, list, compare and check it without its code."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, TypeAlias

from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import Rule, rule_from_json

MergePolicy: TypeAlias = Literal["later", "concat", "error"]
"""When two tasks before this one, neither of which comes before the other, wrote a key: the value
of the later in `after` counts, their lists are joined in that order, or the task fails if the
values differ."""

EVERY_KEY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinition:
    """One task, without its code."""

    name: str
    after: tuple[str, ...]
    """The tasks that come before, in the order that decides merges."""
    rule: Rule
    retry: RetryPolicy
    timeout: timedelta | None
    """How long one attempt may take; None means no limit."""
    merge: Mapping[str, MergePolicy]
    """The merge policy of each key; that of `*` holds for the keys not named."""
    resources: tuple[str, ...]
    """Tags of what the task needs. Kept and shown; no engine chooses tasks by them yet."""
    limits: tuple[str, ...] = ()
    """Names of limits that its attempts count for. An operator says how large they are."""
    mapped: Mapped | None = None
    """Over what the task runs once for each item; None: it runs once."""
    description: str
    fingerprint: str
    """Changes when the task's code, closure constants, retry or shape change; hex."""

    def to_json(self) -> dict[str, Any]:
        """Return the definition as a JSON object; lengths of time are in seconds."""
        return {
            "name": self.name,
            "after": list(self.after),
            "when": self.rule.to_json(),
            "retry": self.retry.to_json(),
            "timeout": None if self.timeout is None else self.timeout.total_seconds(),
            "merge": dict(self.merge),
            "resources": list(self.resources),
            "limits": list(self.limits),
            "map": self.mapped and self.mapped.to_json(),
            "description": self.description,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TaskDefinition":
        """Return the definition that `to_json` described."""
        return cls(
            name=data["name"],
            after=tuple(data["after"]),
            rule=rule_from_json(data["when"]),
            retry=RetryPolicy.from_json(data["retry"]),
            timeout=_duration(data["timeout"]),
            merge=dict(data["merge"]),
            resources=tuple(data["resources"]),
            limits=tuple(data["limits"]),
            mapped=data["map"] and Mapped.from_json(data["map"]),
            description=data["description"],
            fingerprint=data["fingerprint"],
        )


@dataclass(frozen=True, kw_only=True)
class WorkflowDefinition:
    """One workflow, without its code."""

    name: str
    description: str
    params_schema: Mapping[str, Any] | None
    """JSON Schema (2020-12) of the params object; None: any object will do."""
    tags: Mapping[str, str]
    timeout: timedelta | None
    """How long a run may take, from its first start; None means no limit."""
    queue_timeout: timedelta | None = None
    """How long a run may wait for an engine; None means no limit."""
    max_live_runs: int | None = None
    """How many of its runs are live at a time; None means no limit."""
    concurrency_key: str | None = None
    """What runs share that aren't live together, with params in braces; None: nothing."""
    max_live_per_key: int = 1
    """How many runs of one key are live at a time."""
    secrets: tuple[str, ...] = ()
    """The names of the secrets that its tasks may ask for, sorted."""
    tasks: tuple[TaskDefinition, ...]
    fingerprint: str
    """Changes when any task's fingerprint, the params schema or the secrets change; hex."""

    @cached_property
    def body(self) -> str:
        """The definition as JSON text; equal definitions have equal text."""
        return canonical(self.to_json())

    @cached_property
    def digest(self) -> Digest:
        """The digest of `body`: what the definition is stored under."""
        return digest_of_text(self.body)

    @cached_property
    def by_name(self) -> Mapping[str, TaskDefinition]:
        """The tasks by their names."""
        return {task.name: task for task in self.tasks}

    def to_json(self) -> dict[str, Any]:
        """Return the definition as a JSON object; lengths of time are in seconds."""
        return {
            "name": self.name,
            "description": self.description,
            "params_schema": self.params_schema,
            "tags": dict(self.tags),
            "timeout": None if self.timeout is None else self.timeout.total_seconds(),
            "queue_timeout": self.queue_timeout and self.queue_timeout.total_seconds(),
            "max_live_runs": self.max_live_runs,
            "concurrency_key": self.concurrency_key,
            "max_live_per_key": self.max_live_per_key,
            "secrets": list(self.secrets),
            "tasks": [task.to_json() for task in self.tasks],
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "WorkflowDefinition":
        """Return the definition that `to_json` described."""
        return cls(
            name=data["name"],
            description=data["description"],
            params_schema=data["params_schema"],
            tags=dict(data["tags"]),
            timeout=_duration(data["timeout"]),
            queue_timeout=_duration(data["queue_timeout"]),
            max_live_runs=data["max_live_runs"],
            concurrency_key=data["concurrency_key"],
            max_live_per_key=data["max_live_per_key"],
            secrets=tuple(data["secrets"]),
            tasks=tuple(TaskDefinition.from_json(task) for task in data["tasks"]),
            fingerprint=data["fingerprint"],
        )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
