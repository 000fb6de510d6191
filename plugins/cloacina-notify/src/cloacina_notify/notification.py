"""What is told: of the end of a run, or of a task that waits. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from cloacina_core.plugin import DescribedRun, RunEvent, RunStatus, RunSummary, SignalWait

MOST_LETTERS = 2000
"""Of an error's message; the whole of it is in the store."""


class Occasion(StrEnum):
    """When a destination wants to be told."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting"
    """A task waits for a signal, as for an approval."""

    @property
    def status(self) -> RunStatus | None:
        """The state in which a run ends with it; None when no run ends."""
        return None if self is Occasion.WAITING else RunStatus(self.value)


@dataclass(frozen=True, slots=True)
class Where:
    """Of which runs a destination wants to be told. Names may have `*` and `?`."""

    package: str | None = None
    workflow: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def fits(self, run: DescribedRun) -> bool:
        """Whether a run is one of them. One without a package fits no pattern of packages."""
        package = run.summary.release.package if run.summary.release else None
        return (
            _fits(self.package, package)
            and _fits(self.workflow, run.summary.workflow)
            and all(_fits(pattern, run.tags.get(tag)) for tag, pattern in self.tags)
        )


def _fits(pattern: str | None, found: str | None) -> bool:
    return pattern is None or (found is not None and fnmatchcase(found, pattern))


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that happened once, as it is told."""

    type: str
    """As `run.failed`."""
    about: str
    """The id of the run."""
    number: int
    """Of the event in the run's history."""
    at: datetime
    """When it happened; aware, UTC."""
    data: Mapping[str, Any]

    def id_for(self, destination: str) -> str:
        """Return what the notification is called at a destination: the same at each try.

        It has no dot, by which a signature tells it from what follows.
        """
        text = f"{destination}\n{self.type}\n{self.about}\n{self.number}"
        return f"msg_{sha256(text.encode()).hexdigest()[:32]}"

    def body_for(self, destination: str) -> str:
        """Return the notification as the JSON text that is sent, in ASCII and in one line."""
        told = {
            "id": self.id_for(destination),
            "type": self.type,
            "timestamp": _iso(self.at),
            "data": dict(self.data),
        }
        return json.dumps(told, separators=(",", ":"))


def of_end(event: RunEvent, run: DescribedRun) -> Notification:
    """Return what is told of the end of a run.

    Args:
        event: of its end.
        run: as it stands. It may go on again by now; what is told is its end.
    """
    end = event.type.value.removeprefix("run_")
    facts = _facts(run) | {
        "status": end,
        "finished_at": _iso(event.at),
        "reason": event.reason and event.reason[:MOST_LETTERS],
        "error": _error(run.summary) if end == run.summary.status.value else None,
    }
    return Notification(f"run.{end}", event.run_id, event.seq, event.at, facts)


def of_wait(wait: SignalWait, run: DescribedRun) -> Notification:
    """Return what is told of a task that waits for a signal."""
    facts = _facts(run) | {
        "status": run.summary.status.value,
        "task": wait.task,
        "signal": wait.signal,
        "until": wait.until and _iso(wait.until),
    }
    return Notification("run.waiting", wait.run_id, wait.seq, wait.since, facts)


def of_test(now: datetime) -> Notification:
    """Return what is told to try a destination."""
    return Notification("test", "test", int(now.timestamp() * 1_000_000), now, {})


def _facts(run: DescribedRun) -> dict[str, Any]:
    summary = run.summary
    release = summary.release
    return {
        "run_id": summary.run_id,
        "workflow": summary.workflow,
        "reference": summary.reference,
        "package": release and release.package,
        "version": release and release.version,
        "tags": dict(run.tags),
        "created_at": _iso(summary.created_at),
        "started_at": summary.started_at and _iso(summary.started_at),
    }


def _error(summary: RunSummary) -> dict[str, Any] | None:
    error = summary.error
    if error is None:
        return None
    message = error.message[:MOST_LETTERS]
    return {"type": error.type, "message": message, "task": error.task}


def _iso(moment: datetime) -> str:
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    return naive.isoformat(timespec="microseconds") + "Z"
