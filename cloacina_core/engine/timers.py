"""What is due when. Holds keys, not runs: a timer of an ended run keeps nothing alive."""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import RunId


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
    task: int = 0
    attempt: int = 0
    sleeps: int = 0
    """How often the task had been put to sleep when the timer was set: tells whether it still
    means the sleep, or the call, that it was set for."""


class Timers:
    """Timers in order of their time. Measured on the monotonic clock: setting it moves none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def add(self, delay: timedelta, timer: Timer) -> None:
        """Make a timer due after a delay; at once when it is negative."""
        due = self._clock.monotonic() + delay.total_seconds()
        heapq.heappush(self._heap, (due, next(self._order), timer))

    def seconds_to_next(self) -> float | None:
        """Return how long nothing will be due; None when there are no timers."""
        if not self._heap:
            return None
        return max(0.0, self._heap[0][0] - self._clock.monotonic())

    def due(self) -> Iterator[Timer]:
        """Yield the timers that are due, and forget them."""
        while self._heap and self._heap[0][0] <= self._clock.monotonic():
            yield heapq.heappop(self._heap)[2]
