"""What plugins may ask the store of: what observers were told, and what nobody tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

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


FAILING_POLLS = 3
"""So many polls of a trigger have to fail in a row to be told of: one often mends itself."""


class Starter(StrEnum):
    """What starts runs by itself, and can fail to."""

    SCHEDULE = "schedule"
    TRIGGER = "trigger"
    SUBSCRIPTION = "subscription"
    POLLS = "polls"
    """Of a trigger, several in a row: they can't say whether a run is to be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStart:
    """A run that was due and can't be started, or a trigger whose polls go on failing."""

    starter: Starter
    name: str
    """Of the schedule, the trigger or the subscription."""
    which: str
    """Of its firings, the moment; of what its polls asked for, POLL/POSITION; the id of the sent
    event; or the number of the poll."""
    reference: str
    """Of the workflow that isn't started."""
    package: str
    workflow: str
    at: datetime
    """When it was given up, on the database's clock."""
    reason: str
    place: tuple[str | int, ...]
    """Where it stands among those of the same moment."""
