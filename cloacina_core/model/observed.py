"""What plugins may ask of runs whose events they were told, or found again in the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cloacina_core.foundation.ids import RunId
from cloacina_core.model.run import RunSummary


@dataclass(frozen=True, slots=True)
class DescribedRun:
    """A run as listings show it, with what its workflow says of itself."""

    summary: RunSummary
    tags: Mapping[str, str]
    """Of the workflow, as it was when the run began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalWait:
    """A task that waits for a signal now, as for an approval."""

    run_id: RunId
    seq: int
    """Of the event in the run's history that told of the wait: no other wait has the same."""
    task: str
    """The name of the task, or of the instance."""
    signal: str
    since: datetime
    until: datetime | None
    """When the task goes on without; None: it waits as long as it takes."""
