"""A run that was submitted: wait for it, look at it."""

import time
from collections.abc import Callable
from typing import Protocol

from cloacina_core.engine.requests import Completion
from cloacina_core.engine.run_state import RunState
from cloacina_core.errors import ResultTimeoutError
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.run import RunResult
from cloacina_core.model.status import RunStatus
from cloacina_core.runtime.following import RunFollower


class Controls(Protocol):
    """What can be done with a run, by its id; see `Runtime`."""

    def cancel(self, run_id: str, *, reason: str | None = None) -> None:
        """Ask for its end."""
        ...

    def pause(self, run_id: str, *, reason: str | None = None) -> None:
        """Start nothing new."""
        ...

    def signal(self, run_id: str, name: str, payload: JsonValue = None) -> None:
        """Send it a signal."""
        ...


class RunHandle:
    """A run, by its id."""

    def __init__(
        self,
        run_id: RunId,
        *,
        read: Callable[[RunId], RunResult],
        follower: RunFollower,
        completion: Completion | None,
        controls: Controls,
    ) -> None:
        self.id = run_id
        self._read = read
        self._follower = follower
        self._completion = completion
        self._controls = controls

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait until the run has ended, and return it with its tasks and context.

        A failed run is a result, not an exception.

        Args:
            timeout: how many seconds to wait; None for ever.

        Raises:
            ResultTimeoutError: it hasn't ended by then; it goes on.
            StoreUnavailableError: the runtime was closed, and the run given back.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._completion is not None:
            if not self._completion.wait(timeout):
                raise ResultTimeoutError(self.id, timeout or 0)
            if self._completion.has_ended:
                return self._completion.run.result()
        # The engine let go of it, or another process works on it: the store tells how it ends.
        if not self._follower.wait(self.id, deadline):
            raise ResultTimeoutError(self.id, timeout or 0)
        return self._read(self.id)

    def status(self) -> RunStatus:
        """Return where the run stands."""
        return self._read(self.id).status

    def cancel(self, *, reason: str | None = None) -> None:
        """Ask for the end of the run, see `Runtime.cancel`; `result` waits for it."""
        self._controls.cancel(self.id, reason=reason)

    def pause(self, *, reason: str | None = None) -> None:
        """Start nothing new, see `Runtime.pause`."""
        self._controls.pause(self.id, reason=reason)

    def signal(self, name: str, payload: JsonValue = None) -> None:
        """Send the run a signal, see `Runtime.signal`."""
        self._controls.signal(self.id, name, payload)

    @property
    def local(self) -> RunState | None:
        """The run in memory, when this process works on it."""
        return self._completion.run if self._completion else None

    def on_end(self, callback: Callable[[], object]) -> bool:
        """Call a function once this process has done with the run; False when it isn't its work."""
        if self._completion is None:
            return False
        self._completion.on_complete(callback)
        return True

    def __repr__(self) -> str:
        return f"<run {self.id}>"
