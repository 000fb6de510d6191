"""What is due when. Holds keys, not runs: a timer of an ended run keeps nothing alive."""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import RunId

FEWEST = 1000
"""As long as there are fewer timers, nobody looks which of them mean nothing any more."""


class TimerKind(Enum):
    """What a timer is for."""

    WAKE = auto()
    """A sleeping task is to be tried again."""
    ATTEMPT_DEADLINE = auto()
    RUN_DEADLINE = auto()
    CANCEL_GRACE = auto()
    """A cancelled run has waited long enough for what runs."""
    ROOM = auto()
    """A limit may have room for another start."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One thing that will be due."""

    kind: TimerKind
    run_id: RunId | None = None
    life: int = 0
    """Of the run, when the timer was set: one that is tried again has another."""
    task: int = 0
    attempt: int = 0
    sleeps: int = 0
    """How often the task had been put to sleep when the timer was set: tells whether it still
    means the sleep, or the call, that it was set for."""


class Timers:
    """Timers in order of their time. Measured on the monotonic clock: setting it moves none.

    Those that mean nothing any more are never due, and are forgotten as others are added.
    """

    def __init__(self, clock: Clock, is_current: Callable[[Timer], bool]) -> None:
        """Prepare.

        Args:
            clock: measures the time.
            is_current: whether a timer still means what it was set for; never again once it
                doesn't.
        """
        self._clock = clock
        self._is_current = is_current
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._enough = FEWEST

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._heap)

    def add(self, delay: timedelta, timer: Timer) -> None:
        """Make a timer due after a delay; at once when it is negative."""
        if len(self._heap) >= self._enough:
            self._forget_outdated()
        due = self._clock.monotonic() + delay.total_seconds()
        heapq.heappush(self._heap, (due, next(self._order), timer))

    def _forget_outdated(self) -> None:
        """Drop what means nothing any more; then not again before there are twice as many."""
        self._heap = [entry for entry in self._heap if self._is_current(entry[2])]
        heapq.heapify(self._heap)
        self._enough = max(FEWEST, 2 * len(self._heap))

    def seconds_to_next(self) -> float | None:
        """Return how long nothing will be due; None when there are no timers."""
        if not self._heap:
            return None
        return max(0.0, self._heap[0][0] - self._clock.monotonic())

    def due(self) -> Iterator[Timer]:
        """Yield the timers that are due, and forget them."""
        while self._heap and self._heap[0][0] <= self._clock.monotonic():
            timer = heapq.heappop(self._heap)[2]
            if self._is_current(timer):
                yield timer
