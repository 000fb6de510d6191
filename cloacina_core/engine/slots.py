"""Which tasks may start, in which order, and which run now."""

import heapq
import itertools
import time
from collections.abc import Callable, Collection, Iterable

from cloacina_core.engine.call import AttemptKey
from cloacina_core.engine.queued import Limits, Queued
from cloacina_core.engine.suspects import Suspects
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.slot_ledger import Demand


class Slots:
    """A queue of ready tasks, by priority and then in order, before a number of slots.

    Tasks whose limits have no room stand aside, however many they are, until there may be some.
    Those of runs at which engines died go first, one at a time: see `suspects`.
    """

    def __init__(self, size: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.size = size
        """How many there are. When it falls, what runs goes on, and nothing starts meanwhile."""
        self._unlimited: list[Queued] = []
        self._ready: dict[Limits, list[Queued]] = {(): self._unlimited}
        self._aside: dict[Limits, list[Queued]] = {}
        self._suspects = Suspects(monotonic)
        self._running: set[AttemptKey] = set()
        self._order = itertools.count()

    def add(
        self,
        run_id: RunId,
        task: int,
        *,
        priority: int,
        limits: Limits = (),
        is_suspect: bool = False,
    ) -> None:
        """Queue a ready task."""
        queued = Queued(-priority, next(self._order), run_id, task, limits)
        if is_suspect:
            self._suspects.add(queued)
        else:
            self._queue(queued)

    def _queue(self, queued: Queued) -> None:
        if not queued.limits:
            heapq.heappush(self._unlimited, queued)
            return
        queues = self._aside if queued.limits in self._aside else self._ready
        heapq.heappush(queues.setdefault(queued.limits, []), queued)

    def next(self, *, lost: int) -> Queued | None:
        """Return the task that is to start now; None when none can.

        Args:
            lost: how many slots are taken by calls that were given up but still run.
        """
        if len(self._running) + lost >= self.size:
            return None
        suspect = self._suspects.next(is_alone=not self._running and not lost)
        if suspect is not None or self._suspects.seconds_held() is not None:
            return suspect
        queue = self._unlimited
        if len(self._ready) > 1:
            queue = min((one for one in self._ready.values() if one), default=queue)
        return heapq.heappop(queue) if queue else None

    def put_aside(self, refused: Iterable[Queued]) -> None:
        """Queue tasks again whose limits have no room; those of the same limits wait with them."""
        for queued in refused:
            if queued.run_id in self._suspects:
                self._suspects.put_aside(queued)
                continue
            if queued.limits not in self._aside:
                self._aside[queued.limits] = self._ready.pop(queued.limits, [])
            heapq.heappush(self._aside[queued.limits], queued)

    def reopen(self) -> None:
        """Consider all tasks again: limits may have room."""
        self._ready |= {limits: queue for limits, queue in self._aside.items() if queue}
        self._aside.clear()
        self._suspects.reopen()

    def seconds_held(self) -> float | None:
        """Return how long only a suspect may start, if nothing changes; None when others may."""
        return self._suspects.seconds_held()

    def is_suspect(self, run_id: RunId) -> bool:
        """Whether tasks of a run start alone."""
        return run_id in self._suspects

    def clear(self, run_id: RunId) -> None:
        """Suspect a run no more."""
        if run_id in self._suspects:
            for queued in self._suspects.clear(run_id):
                self._queue(queued)

    @property
    def running(self) -> frozenset[AttemptKey]:
        """The attempts that have a slot; may be asked from any thread."""
        return frozenset(self._running)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a slot; those that wait for a limit don't."""
        return sum(map(len, list(self._ready.values()))) + len(self._suspects)

    def demand(self, *, lost: int, may_start: bool) -> Demand:
        """Return how many slots are taken, and how many could be.

        Args:
            lost: as `next` has it.
            may_start: whether what waits would start.
        """
        held = len(self._running) + lost
        return Demand(self.size, held, held + (self.waiting if may_start else 0))

    def take(self, key: AttemptKey) -> None:
        """Give an attempt a slot."""
        self._running.add(key)
        self._suspects.began(key)

    def free(self, key: AttemptKey) -> bool:
        """Free the slot of an attempt; False when it has none any more."""
        if key not in self._running:
            return False
        self._running.discard(key)
        self._suspects.ended(key)
        return True

    def free_all_of(self, runs: Collection[RunId]) -> list[AttemptKey]:
        """Free the slots of some runs, and return the attempts that had them."""
        keys = [key for key in self._running if key[0] in runs]
        self._running.difference_update(keys)
        self._suspects.forget(runs)
        return keys

    def forget_ready(self) -> None:
        """Empty the queue."""
        self._unlimited.clear()
        self._ready = {(): self._unlimited}
        self._aside.clear()
        self._suspects.forget_waiting()
