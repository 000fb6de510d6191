"""What is told: of the end of a run, of a task that waits, or of what can't be started. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from cloacina_core.plugin import (
    DescribedRun,
    FailedStart,
    RunEvent,
    RunStatus,
    RunSummary,
    SignalWait,
    Starter,
)

MOST_LETTERS = 2000
"""Of an error's message; the whole of it is in the store."""


class Occasion(StrEnum):
    """When a destination wants to be told."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting"
    """A task waits for a signal, as for an approval."""
    SCHEDULE_FAILED = "schedule-failed"
    """A run that was due can't be started."""
    TRIGGER_FAILED = "trigger-failed"
    """One that a trigger asked for can't be."""
    SUBSCRIPTION_FAILED = "subscription-failed"
    """One for a sent event can't be."""
    TRIGGER_FAILING = "trigger-failing"
    """The polls of a trigger go on failing."""

    @property
    def status(self) -> RunStatus | None:
        """The state in which a run ends with it; None when no run ends."""
        return RunStatus(self.value) if self.value in _ENDS else None

    @property
    def starter(self) -> Starter | None:
        """What can't start a run, or can't say whether it is to; None where there is a run."""
        return _STARTERS.get(self)


_ENDS = ("succeeded", "failed", "cancelled")
_STARTERS = {
    Occasion.SCHEDULE_FAILED: Starter.SCHEDULE,
    Occasion.TRIGGER_FAILED: Starter.TRIGGER,
    Occasion.SUBSCRIPTION_FAILED: Starter.SUBSCRIPTION,
    Occasion.TRIGGER_FAILING: Starter.POLLS,
}


@dataclass(frozen=True, slots=True)
class Where:
    """Of which runs a destination wants to be told. Names may have `*` and `?`."""

    package: str | None = None
    workflow: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def fits(self, run: DescribedRun) -> bool:
        """Whether a run is one of them. One without a package fits no pattern of packages."""
        package = run.summary.release.package if run.summary.release else None
        return self._fits(package, run.summary.workflow, run.tags)

    def fits_start(self, failed: FailedStart) -> bool:
        """Whether what couldn't be started is one of them; nobody knows its tags."""
        return self._fits(failed.package, failed.workflow, {})

    def _fits(self, package: str | None, workflow: str, tags: Mapping[str, str]) -> bool:
        return (
            _fits(self.package, package)
            and _fits(self.workflow, workflow)
            and all(_fits(pattern, tags.get(tag)) for tag, pattern in self.tags)
        )


def _fits(pattern: str | None, found: str | None) -> bool:
    return pattern is None or (found is not None and fnmatchcase(found, pattern))


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that happened once, as it is told."""

    type: str
    """As `run.failed`."""
    about: str
    """The id of the run, or what can't start one, as `schedule/nightly`."""
    key: str
    """Tells it from others of its type about the same: the number of an event in a history."""
    at: datetime
    """When it happened; aware, UTC."""
    data: Mapping[str, Any]

    def id_for(self, destination: str) -> str:
        """Return what the notification is called at a destination: the same at each try.

        It has no dot, by which a signature tells it from what follows.
        """
        text = f"{destination}\n{self.type}\n{self.about}\n{self.key}"
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
    return Notification(f"run.{end}", event.run_id, str(event.seq), event.at, facts)


def of_wait(wait: SignalWait, run: DescribedRun) -> Notification:
    """Return what is told of a task that waits for a signal."""
    facts = _facts(run) | {
        "status": run.summary.status.value,
        "task": wait.task,
        "signal": wait.signal,
        "until": wait.until and _iso(wait.until),
    }
    return Notification("run.waiting", wait.run_id, str(wait.seq), wait.since, facts)


def of_failed_start(failed: FailedStart) -> Notification:
    """Return what is told of a run that can't be started, or of polls that go on failing."""
    (occasion,) = (one for one, starter in _STARTERS.items() if starter is failed.starter)
    what, _, how = occasion.value.partition("-")
    facts = {
        what: failed.name,
        "which": failed.which,
        "reference": failed.reference,
        "package": failed.package,
        "workflow": failed.workflow,
        "reason": failed.reason[:MOST_LETTERS],
    }
    key = f"{failed.which} {_iso(failed.at)}"
    return Notification(f"{what}.{how}", f"{what}/{failed.name}", key, failed.at, facts)


def of_test(now: datetime) -> Notification:
    """Return what is told to try a destination."""
    return Notification("test", "test", _iso(now), now, {})


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
