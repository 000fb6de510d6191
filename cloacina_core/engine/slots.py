"""Which tasks may start, in which order, and which run now."""

import heapq
import itertools
from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeAlias

from cloacina_core.engine.call import AttemptKey
from cloacina_core.foundation.ids import RunId

Limits: TypeAlias = tuple[str, ...]
"""The names of the limits that a task counts for; none for almost every task."""


class Queued(NamedTuple):
    """A ready task in the queue, compared by its place there."""

    rank: int
    order: int
    run_id: RunId
    task: int
    limits: Limits


class Slots:
    """A queue of ready tasks, by priority and then in order, before a number of slots.

    Tasks whose limits have no room stand aside, however many they are, until there may be some.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._unlimited: list[Queued] = []
        self._ready: dict[Limits, list[Queued]] = {(): self._unlimited}
        self._aside: dict[Limits, list[Queued]] = {}
        self._running: set[AttemptKey] = set()
        self._order = itertools.count()

    def add(self, run_id: RunId, task: int, *, priority: int, limits: Limits = ()) -> None:
        """Queue a ready task."""
        queued = Queued(-priority, next(self._order), run_id, task, limits)
        if not limits:
            heapq.heappush(self._unlimited, queued)
            return
        queues = self._aside if limits in self._aside else self._ready
        heapq.heappush(queues.setdefault(limits, []), queued)

    def next(self, *, lost: int) -> Queued | None:
        """Return the task that is to start now; None when none can.

        Args:
            lost: how many slots are taken by calls that were given up but still run.
        """
        if len(self._running) + lost >= self._size:
            return None
        queue = self._unlimited
        if len(self._ready) > 1:
            queue = min((one for one in self._ready.values() if one), default=queue)
        return heapq.heappop(queue) if queue else None

    def put_aside(self, refused: Iterable[Queued]) -> None:
        """Queue tasks again whose limits have no room; those of the same limits wait with them."""
        for queued in refused:
            if queued.limits not in self._aside:
                self._aside[queued.limits] = self._ready.pop(queued.limits, [])
            heapq.heappush(self._aside[queued.limits], queued)

    def reopen(self) -> None:
        """Consider all tasks again: limits may have room."""
        self._ready |= {limits: queue for limits, queue in self._aside.items() if queue}
        self._aside.clear()

    @property
    def running(self) -> frozenset[AttemptKey]:
        """The attempts that have a slot; may be asked from any thread."""
        return frozenset(self._running)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a slot; those that wait for a limit don't."""
        return sum(map(len, list(self._ready.values())))

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
        self._unlimited.clear()
        self._ready = {(): self._unlimited}
        self._aside.clear()
