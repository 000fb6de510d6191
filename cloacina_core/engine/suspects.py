"""Ready tasks of runs at which engines died: one of them at a time, and at first alone.

Who of those that ran together killed an engine isn't known. Had the innocent to begin together with
the guilty again, they would be given up with it.
"""

import heapq
from collections.abc import Callable, Collection

from cloacina_core.engine.call import AttemptKey
from cloacina_core.engine.queued import Queued
from cloacina_core.foundation.ids import RunId

PATIENCE_SECONDS = 30.0
"""How long nothing else begins because of a suspect: while it waits for what runs to end, and again
once it has begun. What has run that long without a death is taken to be innocent."""


class Suspects:
    """A queue before one place. Used by the engine's thread alone."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Prepare.

        Args:
            monotonic: returns seconds that never go back.
        """
        self._monotonic = monotonic
        self._runs: set[RunId] = set()
        self._waiting: list[Queued] = []
        self._aside: list[Queued] = []
        """Those whose limits have no room."""
        self._running: AttemptKey | None = None
        self._since = 0.0
        """When the one that runs began, or since when the next one waits."""

    def __contains__(self, run_id: RunId) -> bool:
        return run_id in self._runs

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, queued: Queued) -> None:
        """Queue a task of a run that is a suspect from now on."""
        self._runs.add(queued.run_id)
        if not self._waiting and self._running is None:
            self._since = self._monotonic()
        heapq.heappush(self._waiting, queued)

    def next(self, *, is_alone: bool) -> Queued | None:
        """Return the task that is to start now; None when none can.

        Args:
            is_alone: whether nothing else runs.
        """
        if self._running is not None or not self._waiting:
            return None
        if not is_alone and self._seconds_left() > 0:
            return None
        return heapq.heappop(self._waiting)

    def seconds_held(self) -> float | None:
        """Return how long nothing else may begin, if nothing changes; None when it may."""
        if self._running is None and not self._waiting:
            return None
        left = self._seconds_left()
        return left if left > 0 else None

    def _seconds_left(self) -> float:
        return self._since + PATIENCE_SECONDS - self._monotonic()

    def began(self, key: AttemptKey) -> None:
        """Note that an attempt runs, if it is a suspect's."""
        if key[0] in self._runs:
            self._running = key
            self._since = self._monotonic()

    def ended(self, key: AttemptKey) -> None:
        """Note that an attempt doesn't run any more."""
        if key == self._running:
            self._running = None
            self._since = self._monotonic()

    def put_aside(self, queued: Queued) -> None:
        """Have a task wait whose limits have no room: nothing waits for it."""
        self._aside.append(queued)

    def reopen(self) -> None:
        """Consider all tasks again: limits may have room."""
        for queued in self._aside:
            self.add(queued)
        self._aside.clear()

    def clear(self, run_id: RunId) -> list[Queued]:
        """Suspect a run no more, and return those of its tasks that wait."""
        self._runs.discard(run_id)
        if self._running is not None and self._running[0] == run_id:
            self._running = None
        cleared = [one for one in self._waiting + self._aside if one.run_id == run_id]
        self._keep(lambda one: one.run_id != run_id)
        return cleared

    def forget_waiting(self) -> None:
        """Empty the queue."""
        self._keep(lambda _: False)

    def forget(self, runs: Collection[RunId]) -> None:
        """Forget runs that aren't this engine's any more."""
        for run_id in self._runs & set(runs):
            self.clear(run_id)

    def _keep(self, wanted: Callable[[Queued], bool]) -> None:
        self._waiting = list(filter(wanted, self._waiting))
        heapq.heapify(self._waiting)
        self._aside = list(filter(wanted, self._aside))
