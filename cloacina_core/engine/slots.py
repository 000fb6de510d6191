"""Which tasks may start, in which order, and which run now."""

import heapq
import itertools
from collections.abc import Collection

from cloacina_core.engine.call import AttemptKey
from cloacina_core.foundation.ids import RunId


class Slots:
    """A queue of ready tasks, by priority and then in order, before a number of slots."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ready: list[tuple[int, int, RunId, int]] = []
        self._running: set[AttemptKey] = set()
        self._order = itertools.count()

    def add(self, run_id: RunId, task: int, *, priority: int) -> None:
        """Queue a ready task."""
        heapq.heappush(self._ready, (-priority, next(self._order), run_id, task))

    def next(self, *, lost: int) -> tuple[RunId, int] | None:
        """Return the run and the number of the task that is to start now; None when none can.

        Args:
            lost: how many slots are taken by calls that were given up but still run.
        """
        if not self._ready or len(self._running) + lost >= self._size:
            return None
        _, _, run_id, task = heapq.heappop(self._ready)
        return run_id, task

    @property
    def running(self) -> frozenset[AttemptKey]:
        """The attempts that have a slot; may be asked from any thread."""
        return frozenset(self._running)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a slot."""
        return len(self._ready)

    def take(self, key: AttemptKey) -> None:
        """Give an attempt a slot."""
        self._running.add(key)

    def free(self, key: AttemptKey) -> bool:
        """Free the slot of an attempt; False when it has none any more."""
        if key not in self._running:
            return False
        self._running.discard(key)
        return True

    def free_all_of(self, runs: Collection[RunId]) -> list[AttemptKey]:
        """Free the slots of some runs, and return the attempts that had them."""
        keys = [key for key in self._running if key[0] in runs]
        self._running.difference_update(keys)
        return keys

    def forget_ready(self) -> None:
        """Empty the queue."""
        self._ready.clear()
