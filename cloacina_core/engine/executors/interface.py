"""What an executor is."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.stop import Stop

Report: TypeAlias = Callable[[Outcome], None]
"""Takes an outcome, from any thread. Called once for each call; for one that was abandoned, when it
ends after all."""


class Runner(Protocol):
    """Runs one attempt to its end. Methods are called from any thread, and never raise."""

    def run(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run an attempt, and return how it ended."""
        ...

    async def run_async(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run an attempt on the running event loop; called if `wants_loop` says so."""
        ...

    def wants_loop(self, call: TaskCall) -> bool:
        """Whether the attempt may share an event loop with others."""
        ...


class Executor(Protocol):
    """Runs calls. Methods are called from the engine's thread and return at once.

    `abandon` is called from any thread, and more than once.
    """

    def start(self, report: Report) -> None:
        """Begin to accept calls."""
        ...

    def submit(self, call: TaskCall) -> None:
        """Run a call, and report its outcome when it ended."""
        ...

    def cancel(self, key: AttemptKey) -> None:
        """Ask a call to end: its outcome is still waited for, and its slot still taken.

        The task is told through `context.cancelled()`; a coroutine is cancelled.
        """
        ...

    def abandon(self, key: AttemptKey) -> None:
        """Give up a call: nobody waits for its outcome any more.

        The task is told through `context.cancelled()`; a coroutine is cancelled. A thread can't be
        ended from outside: it counts as lost until it returns.
        """
        ...

    @property
    def lost(self) -> int:
        """How many slots are taken by calls that were given up but still run."""
        ...

    def stop(self) -> None:
        """Accept nothing more and let go of idle threads. Doesn't wait for running calls."""
        ...
