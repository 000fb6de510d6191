"""A task as data: what to run, with what, until when; and how it ended. Never pickled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import instance_name
from cloacina_core.model.isolation import Isolation
from cloacina_core.model.release import Release
from cloacina_core.model.run import Failure
from cloacina_core.model.spilled import Encoded
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.model.wait import Wait

AttemptKey: TypeAlias = tuple[RunId, int, int]
"""Run, number of the task in the run, number of the attempt.

Tasks are numbered as the workflow declares them, and instances of mapped tasks behind them. Numbers
of instances hold in one engine: what is stored has their names."""

LogEntry: TypeAlias = tuple[int, str, str]
"""Moment in microseconds since 1970, stream, line."""

Tell: TypeAlias = Callable[[AttemptKey, Sequence[LogEntry]], None]
"""Takes what a call said since the last time, while it runs, from any thread; returns at once. What
was told so isn't said again with the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCall:
    """One attempt, to be run anywhere."""

    key: AttemptKey
    workflow: str
    fingerprint: str
    """Of the workflow's definition."""
    task: str
    release: Release | None
    """None for a workflow that isn't packaged."""
    params: Mapping[str, JsonValue]
    context: Mapping[str, Encoded]
    """Encoded values by key. Calls of instances of one map share it: leave it as it is."""
    item: str | None = None
    """Encoded; what the instance of a mapped task is for."""
    index: int | None = None
    """Of the instance, counted from 0; None unless the task is mapped."""
    deadline: datetime | None
    """When the attempt is given up; aware, UTC."""
    is_last: bool
    """Whether the retry policy has no attempt left after this one."""
    max_value_bytes: int
    """How many bytes the changes may have, encoded; values that are spilled apart."""
    waits: tuple[Wait, ...] = ()
    """What earlier calls in this attempt waited for."""
    secrets: tuple[str, ...] = ()
    """The names of those that it may ask for, as the definition of its run was stored."""
    timed_out: Failure | None = None
    """Set when the attempt is over, and only `on_failure` is to be called, with this."""

    @property
    def run_id(self) -> RunId:
        """The id of the run."""
        return self.key[0]

    @property
    def name(self) -> str:
        """The name of the task run: that of the task, or of the instance, as `fetch[3]`."""
        return self.task if self.index is None else instance_name(self.task, self.index)

    @property
    def attempt(self) -> int:
        """The number of the attempt, counted from 1."""
        return self.key[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended."""

    key: AttemptKey
    outcome: AttemptOutcome
    changes: Mapping[str, Encoded | None] | None = None
    """On success, encoded values by key; None for a key that was deleted."""
    failure: Failure | None = None
    may_retry: bool = False
    """Whether the failure is one that the task's retry policy speaks of."""
    callback_error: str | None = None
    """What `on_success` or `on_failure` raised."""
    logs: tuple[LogEntry, ...] = ()
    waits: tuple[Wait, ...] = ()
    """When the call was deferred: all waits of the attempt, the open one last."""
    secrets: tuple[str, ...] = ()
    """The names of those that it asked for."""
    of_callback: bool = False
    """Whether only `on_failure` was called, after the attempt was over."""
    isolation: Isolation | None = None
    """What was between the attempt and others; None when it never came to run."""
    enforced: tuple[str, ...] = ()
    """What its process was kept from: names of `worker.confinement`."""
