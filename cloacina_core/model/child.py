"""Runs that a task asks for: what it asks, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.release import Release
from cloacina_core.model.run import Failure
from cloacina_core.model.status import RunStatus

_TOLD = 3
"""How many of several runs are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One run that a task asks for."""

    reference: str
    """What to run: a reference, or the name of a workflow."""
    fingerprint: str | None = None
    """Of a workflow that was given as an object."""
    params: str | None = None
    """Encoded. The run has them once it has begun; they aren't kept twice."""
    context: str | None = None
    """Values that its first tasks see, encoded; see `params`."""
    run_id: RunId | None = None
    """None before it has begun, and when it couldn't."""
    status: RunStatus | None = None
    """How it ended; None before that."""
    error: Failure | None = None
    """Why it failed, or couldn't begin."""
    may_retry: bool = False
    """Whether a run that couldn't begin may do so another time."""

    def __str__(self) -> str:
        return self.reference

    def to_json(self) -> dict[str, JsonValue]:
        """Return the run as a JSON object."""
        return {
            "reference": self.reference,
            "fingerprint": self.fingerprint,
            "params": self.params,
            "context": self.context,
            "run_id": self.run_id,
            "status": self.status and self.status.value,
            "error": self.error and self.error.to_json(),
            "may_retry": self.may_retry,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Child":
        """Return the run that `to_json` described."""
        status, error = data["status"], data["error"]
        return cls(
            reference=data["reference"],
            fingerprint=data["fingerprint"],
            params=data["params"],
            context=data["context"],
            run_id=data["run_id"],
            status=None if status is None else RunStatus(status),
            error=None if error is None else Failure(**error),
            may_retry=data["may_retry"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """A run that a task asked for, after its end."""

    run_id: RunId
    status: RunStatus
    context: Mapping[str, JsonValue]
    """The merge of what its last tasks left."""
    release: Release | None
    """What it was pinned to; None for a workflow that isn't packaged."""
    error: Failure | None = None


class ChildRunError(RuntimeError):
    """A run that a task asked for failed, was cancelled, or couldn't begin. It can be caught.

    Attributes:
        run_id: of the run; None when it couldn't begin.
        status: how it ended; None when it couldn't begin.
        failure: why it failed; None when it was cancelled.
    """

    def __init__(self, child: Child) -> None:
        self.run_id = child.run_id
        self.status = child.status
        self.failure = child.error
        super().__init__(_why(child))


class ChildRefusedError(ChildRunError):
    """A run that a task asked for can't begin, however often it is tried."""


def raise_failed(children: Sequence[Child]) -> None:
    """Raise for the first of some runs that didn't succeed.

    Raises:
        ChildRunError: there is one.
    """
    for child in children:
        if child.run_id is None and child.error is not None:
            raise ChildRunError(child) if child.may_retry else ChildRefusedError(child)
    for child in children:
        if child.status not in (RunStatus.SUCCEEDED, None):
            raise ChildRunError(child)


def told(children: Sequence[Child]) -> str:
    """Return runs as reasons and events name them."""
    names = [f"{child.run_id} of {child}" if child.run_id else str(child) for child in children]
    if len(names) == 1:
        return f"run {names[0]}"
    more = ", ..." if len(names) > _TOLD else ""
    return f"{len(names)} runs: {', '.join(names[:_TOLD])}{more}"


def _why(child: Child) -> str:
    if child.run_id is None:
        return child.error.message if child.error else f"{child} couldn't begin"
    error = f": {child.error}" if child.error else ""
    return f"run {child.run_id} of {child} {_ENDED.get(child.status, 'ended')}{error}"


_ENDED: Mapping[RunStatus | None, str] = {
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "was cancelled",
}
