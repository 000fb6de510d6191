"""Where an engine is made to crash: before or after one of the transactions that it writes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from cloacina_core.errors import InputError
from cloacina_core.foundation.ids import EngineId
from cloacina_core.foundation.names import split_instance
from cloacina_core.model.status import AttemptOutcome, RunStatus
from cloacina_core.store.batch import Batch
from cloacina_core.store.database import Database
from cloacina_core.store.writing import RunWriter

Side: TypeAlias = Literal["before", "after"]
Step: TypeAlias = Literal["submit", "start", "commit", "finish"]

NOTATION = (
    "'before' or 'after', then 'submit', 'start:TASK', 'commit:TASK' or 'finish'; "
    "a number as in 'start:TASK#2' means only that attempt, and 'start:TASK[3]' only that instance"
)
_POINT = re.compile(
    r"(?P<side>before|after) (?:(?P<of_run>submit|finish)"
    r"|(?P<of_task>start|commit):(?P<task>[^#\s]+)(?:#(?P<attempt>[1-9][0-9]*))?)"
)
_UNKNOWN = (AttemptOutcome.LOST.value, AttemptOutcome.RELEASED.value)


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """A moment of a run at which its engine dies, as by `kill -9`.

    An engine acts on nothing that isn't written, so all that a crash can change is whether one of
    its transactions was written or not:

    - `submit`: the run is accepted.
    - `start:TASK`: an attempt at the task begins. Its function is called after that.
    - `commit:TASK`: the outcome of an attempt is recorded, with what it changed in the context.
      `before commit` is the crash after which a function's effects on the world are there and
      nothing in the store tells of them: the task will be run again.
    - `finish`: the run ends.

    One transaction may hold several of these: the first tasks start with the submission, the next
    ones with the commit of the one before them, and the last commit finishes the run.

    Written `before submit`, `after start:extract`, `before commit:extract#2`, `after finish`.
    """

    side: Side
    """Whether the transaction is lost (`before`) or is the engine's last act (`after`)."""
    step: Step
    task: str | None = None
    """For `start` and `commit`; one instance of a mapped task is written `fetch[3]`."""
    attempt: int | None = None
    """For `start` and `commit`: only this attempt, counted from 1; None means any."""

    @classmethod
    def parse(cls, text: str) -> "CrashPoint":
        """Return the crash point that is written so.

        Raises:
            InputError: it isn't one.
        """
        match = _POINT.fullmatch(text)
        if match is None:
            raise InputError(f"{text!r} isn't a crash point", hint=f"write {NOTATION}")
        attempt = match["attempt"]
        return cls(
            side=cast(Side, match["side"]),
            step=cast(Step, match["of_run"] or match["of_task"]),
            task=match["task"],
            attempt=None if attempt is None else int(attempt),
        )

    def is_in(self, batch: Batch) -> bool:
        """Whether a transaction holds the step that is meant."""
        match self.step:
            case "submit":
                return bool(batch.new_runs)
            case "start":
                return any(self._is_of(row["task"], row["number"]) for row in batch.new_attempts)
            case "commit":
                return any(
                    self._is_of(row["of_task"], row["attempt"])
                    for row in batch.attempt_ends
                    if row["outcome"] not in _UNKNOWN
                )
            case "finish":
                return any(RunStatus(row["status"]).is_final for row in batch.run_changes)

    def _is_of(self, task: str, attempt: int) -> bool:
        is_meant = self.task in (task, split_instance(task)[0])
        return is_meant and self.attempt in (None, attempt)

    def __str__(self) -> str:
        task = "" if self.task is None else f":{self.task}"
        attempt = "" if self.attempt is None else f"#{self.attempt}"
        return f"{self.side} {self.step}{task}{attempt}"


class EngineKilledError(BaseException):
    """Ends an engine on the spot. No `except Exception` of the engine stands in its way."""


class Crashes:
    """The crashes that a run is to suffer. Each happens once, when its point is first reached."""

    def __init__(self, points: Iterable[CrashPoint]) -> None:
        self.pending = list(points)
        """Those that didn't happen yet."""
        self.happened: list[CrashPoint] = []
        """Those that did, in order."""

    def strike(self, side: Side, batch: Batch) -> None:
        """Crash if it is time.

        Raises:
            EngineKilledError: it was.
        """
        for point in self.pending:
            if point.side == side and point.is_in(batch):
                self.pending.remove(point)
                self.happened.append(point)
                raise EngineKilledError(str(point))


class CrashingWriter(RunWriter):
    """Writes like every writer, and crashes before or after it wrote."""

    def __init__(self, database: Database, crashes: Crashes) -> None:
        super().__init__(database)
        self._crashes = crashes

    def write(self, batch: Batch, engine: EngineId) -> None:
        """Write a batch, unless the engine is to die first."""
        self._crashes.strike("before", batch)
        super().write(batch, engine)
        self._crashes.strike("after", batch)
