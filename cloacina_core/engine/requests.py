"""What other threads ask of an engine, and how they wait for the answer."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cloacina_core.engine.call import AttemptKey, LogEntry, Outcome
from cloacina_core.engine.run_state import RunState
from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.latch import Latch
from cloacina_core.model.command import Command
from cloacina_core.model.run import RunSummary

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""How often one who waits looks whether the engine is still there to answer."""


class EngineStoppedError(StoreUnavailableError):
    """The engine stopped before it could answer; whether it did what was asked isn't known."""

    code = "engine-stopped"
    exit_status = 7


class Completion:
    """Lets threads wait for the end of a run."""

    __slots__ = ("_callbacks", "_done", "_lock", "has_ended", "run")

    def __init__(self, run: RunState) -> None:
        self.run = run
        self.has_ended = False
        """Whether the end of the run is durable; the engine may let go of it without."""
        self._done = Latch()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []

    def wait(self, seconds: float | None) -> bool:
        """Wait until the engine has let go of the run; False when the time was not enough."""
        return self._done.wait(seconds)

    def on_complete(self, callback: Callable[[], object]) -> None:
        """Call a function once the engine has let go of the run; at once when it has already."""
        with self._lock:
            if not self._done.is_set:
                self._callbacks.append(callback)
                return
        callback()

    def complete(self, *, has_ended: bool) -> None:
        """Wake all who wait; what their callbacks raise is logged."""
        with self._lock:
            self.has_ended = has_ended
            self._done.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 - it changes nothing any more
                _log.exception("a callback at the end of run %s failed", self.run.run_id)


class Reply:
    """The answer to a request; what was asked is durable before it is given."""

    __slots__ = ("_done", "_error", "existing")

    def __init__(self) -> None:
        self._done = Latch()
        self._error: Exception | None = None
        self.existing: RunId | None = None
        """The run that the submission's idempotency key belongs to already."""

    def accept(self) -> None:
        """Answer: done."""
        self._done.set()

    def refuse(self, error: Exception) -> None:
        """Answer: not done, and why."""
        self._error = error
        self._done.set()

    def wait(self, is_alive: Callable[[], bool]) -> None:
        """Wait for the answer.

        Raises:
            EngineStoppedError: there will be none.
            CloacinaError: the request was refused.
        """
        while not self._done.wait(_LOOK_SECONDS if is_alive() else 0):
            if not is_alive() and not self._done.is_set:
                raise EngineStoppedError("the engine stopped before it answered")
        if self._error is not None:
            raise self._error


@dataclass(slots=True, eq=False)
class Submission:
    """Accept a run."""

    run: RunState
    request_digest: str | None
    reply: Reply = field(default_factory=Reply)
    completion: Completion = field(init=False)

    def __post_init__(self) -> None:
        self.completion = Completion(self.run)


@dataclass(slots=True, eq=False)
class TakeUp:
    """Go on with a run that was claimed for this engine."""

    run: RunState
    commands: tuple[Command, ...] = ()
    """What it was asked while nobody worked on it."""
    queued_at: datetime | None = None
    """Since when it waited, when it was queued."""
    reply: Reply = field(default_factory=Reply)
    completion: Completion = field(init=False)

    def __post_init__(self) -> None:
        self.completion = Completion(self.run)


@dataclass(frozen=True, slots=True)
class Look:
    """Look in the store for commands to this engine's runs."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a call said while it runs."""

    key: AttemptKey
    lines: Sequence[LogEntry]


@dataclass(frozen=True, slots=True)
class Births:
    """A call that ended with a wait for runs, and these runs, which begin together with it."""

    outcome: Outcome
    runs: tuple[RunState, ...]


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run has ended that a task of another may wait for."""

    run: RunSummary


@dataclass(frozen=True, slots=True)
class LookForEnds:
    """Look in the store whether runs have ended that tasks wait for."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Give all runs back, and stop."""

    reply: Reply = field(default_factory=Reply)


@dataclass(frozen=True, slots=True)
class Drain:
    """See whether any attempt still runs."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Have another number of slots."""

    slots: int


Stimulus: TypeAlias = (
    Submission
    | TakeUp
    | Look
    | LookForEnds
    | Stop
    | Drain
    | Resize
    | Outcome
    | Births
    | RunEnded
    | Told
)
"""All that can happen to an engine, but for time going by."""
