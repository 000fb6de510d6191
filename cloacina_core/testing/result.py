"""How a run under test ended, and all that can be known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.event import RunEvent
from cloacina_core.model.run import Failure, LogLine, RunResult, TaskResult
from cloacina_core.model.status import RunStatus
from cloacina_core.testing.crash_point import CrashPoint


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HarnessResult:
    """A run that has ended, as the store tells it."""

    run: RunResult
    """The same that `Runtime.run` returns."""
    events: tuple[RunEvent, ...]
    """The history of the run, oldest first."""
    logs: tuple[LogLine, ...]
    """What its tasks printed and logged, in order of time."""
    crashes: tuple[CrashPoint, ...]
    """The crashes that its engines suffered, in order."""
    elapsed: timedelta
    """How long it took on the frozen clock."""
    children: tuple[RunResult, ...] = ()
    """The runs that its tasks asked for, in the order of their beginning."""

    @property
    def run_id(self) -> RunId:
        """The id of the run."""
        return self.run.run_id

    @property
    def status(self) -> RunStatus:
        """How it ended; equal to the string of the same name: `result.status == "succeeded"`."""
        return self.run.status

    @property
    def context(self) -> Mapping[str, JsonValue]:
        """The merge of what the last tasks left."""
        return self.run.context

    @property
    def tasks(self) -> Mapping[str, TaskResult]:
        """The tasks by name, in declared order, each with its attempts."""
        return self.run.tasks

    @property
    def error(self) -> Failure | None:
        """Why the run failed; None when it didn't."""
        return self.run.error

    def __repr__(self) -> str:
        tasks = ", ".join(f"{task.name} {task.status}" for task in self.tasks.values())
        error = f"; {self.error}" if self.error else ""
        return f"<run {self.status}: {tasks}{error}>"
