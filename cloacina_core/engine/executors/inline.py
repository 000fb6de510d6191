"""Runs calls one after the other, when told to: for tests that must not depend on timing."""

from collections import deque

from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.call import AttemptKey, TaskCall
from cloacina_core.engine.executors.interface import Report


class InlineExecutor:
    """Keeps calls until `run_next`, which runs one in the caller's thread."""

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
        """Run the oldest call that is kept, and report its outcome; False when there is none."""
        if not self._waiting or self._report is None:
            return False
        call = self._waiting.popleft()
        self._report(self._runner.run(call, bool))
        return True

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
