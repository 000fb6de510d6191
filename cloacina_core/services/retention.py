"""Deletes what was kept long enough: finished runs, what starts them, and the audit."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.period import Period
from cloacina_core.model.status import RunStatus
from cloacina_core.services.looking import LookingService, Pauses
from cloacina_core.store.retention import Expiry, Retention

_log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=10)
"""How long after a sweep the next one begins."""
SHARE = 3
"""How much longer the store is left to others than each transaction of a sweep took."""


def expiries(succeeded: Period, others: Period) -> list[Expiry]:
    """Return what may go, of runs that succeeded and of those that didn't."""
    kept: Mapping[RunStatus, Period] = {
        RunStatus.SUCCEEDED: succeeded,
        RunStatus.FAILED: others,
        RunStatus.CANCELLED: others,
    }
    return [
        Expiry(status, older_than=period.length)
        for status, period in kept.items()
        if period.length is not None
    ]


def sweep(
    retention: Retention,
    wanted: Sequence[Expiry],
    pause: Callable[[float], bool],
    clock: Clock,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Delete what may go, in small transactions with pauses between; return how many runs went.

    Args:
        retention: where to delete.
        wanted: what may go.
        pause: lets some seconds go by; True ends the sweep.
        clock: measures how long a transaction kept others waiting.
        progress: told how many runs went.
    """

    def clear() -> bool:
        """Delete the rows of runs that are gone; False when the sweep was ended meanwhile."""
        while True:
            began = clock.monotonic()
            if not retention.clear():
                return True
            if pause(SHARE * (clock.monotonic() - began)):
                return False

    total = 0
    if not clear():  # what one who died left
        return total
    for expiry in wanted:
        while count := retention.discard(expiry):
            total += count
            if not clear():
                return total
            if progress is not None:
                progress(total)
    _forget_beginnings(retention, wanted, pause)
    if total:
        retention.forget_definitions()
    while retention.forget_blobs():
        pass
    return total


def _forget_beginnings(
    retention: Retention, wanted: Sequence[Expiry], pause: Callable[[float], bool]
) -> None:
    """Delete what starts runs when it was kept as long as runs that succeeded."""
    for expiry in wanted:
        if expiry.status is RunStatus.SUCCEEDED:
            for forget in (
                retention.forget_events,
                retention.forget_firings,
                retention.forget_keys,
            ):
                while forget(expiry) and not pause(0):
                    pass


class RetentionService(LookingService):
    """Sweeps at once, and then now and then. Engines that sweep together share the work."""

    def __init__(
        self,
        retention: Retention,
        wanted: Sequence[Expiry],
        clock: Clock,
        forget: Callable[[], int] = lambda: 0,
    ) -> None:
        """Prepare.

        Args:
            retention: where to delete runs.
            wanted: which of them may go.
            clock: measures how long a transaction kept others waiting.
            forget: deletes some of the entries of the audit that may go, and returns how many.
        """
        seconds = PAUSE.total_seconds()
        pauses = Pauses(shortest=seconds, longest=seconds, after_failure=seconds)
        super().__init__("retention", "delete old runs", pauses)
        self._clock = clock
        self._forget = forget
        self._retention = retention
        self._wanted = wanted

    def look(self) -> float:
        """Delete what may go."""
        sweep(self._retention, self._wanted, self.pause, self._clock)
        while self._forget() and not self.pause(0):
            pass
        return PAUSE.total_seconds()
