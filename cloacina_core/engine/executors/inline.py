"""Runs calls one after the other, when told to: for tests that must not depend on timing."""

import asyncio
import threading
from collections import deque

from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.executors.interface import Report
from cloacina_core.engine.stop import Stop


class InlineExecutor:
    """Keeps calls until `run_next`, which runs one in the caller's thread.

    A call that runs can't be given up: its caller waits for it.
    """

    def __init__(self, runner: AttemptRunner) -> None:
        self._runner = runner
        self._report: Report | None = None
        self._waiting: deque[TaskCall] = deque()

    def start(self, report: Report) -> None:
        """Begin to accept calls."""
        self._report = report

    def submit(self, call: TaskCall) -> None:
        """Keep a call."""
        self._waiting.append(call)

    def run_next(self) -> bool:
        """Run the oldest call that is kept, and report its outcome; False when there is none.

        Raises:
            KeyboardInterrupt: the user wants to end not the call, but all of it.
        """
        if not self._waiting or self._report is None:
            return False
        outcome = self._run(self._waiting.popleft())
        if outcome.failure is not None and outcome.failure.type == KeyboardInterrupt.__name__:
            raise KeyboardInterrupt
        self._report(outcome)
        return True

    def _run(self, call: TaskCall) -> Outcome:
        if not _is_in_event_loop():
            return self._runner.run(call, Stop())
        # An `async def` task needs a loop of its own, and no thread has two that run.
        outcomes: list[Outcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(self._runner.run(call, Stop())))
        thread.start()
        thread.join()
        return outcomes[0]

    def cancel(self, key: AttemptKey) -> None:
        """Do nothing: what runs can't be told, and what doesn't yet is asked when it is run."""

    def abandon(self, key: AttemptKey) -> None:
        """Forget a call that wasn't run yet."""
        self._waiting = deque(call for call in self._waiting if call.key != key)

    @property
    def lost(self) -> int:
        """Always 0: a call runs to its end."""
        return 0

    def stop(self) -> None:
        """Forget all calls that weren't run yet."""
        self._waiting.clear()


def _is_in_event_loop() -> bool:
    """Whether the caller is called by a coroutine, as all code of a notebook is."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
