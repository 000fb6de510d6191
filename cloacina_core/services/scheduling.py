"""Starts what schedules say, when it is due. Between two firings it sleeps."""

import logging
from collections.abc import Callable
from datetime import timedelta

from cloacina_core.foundation.ids import RunId
from cloacina_core.services.beginning import begin_run
from cloacina_core.services.looking import LookingService, Pauses
from cloacina_core.store.schedules import OpenFiring, ScheduleStore

_log = logging.getLogger(__name__)

_PAUSES = Pauses(shortest=1.0, longest=60.0, after_failure=1.0)
"""Each write to SQLite looks like one who asks for a look."""
_WAITING_PAUSE = 1.0
"""Seconds between looks whether what a firing waits for has ended."""


class ScheduleService(LookingService):
    """Decides on firings, and starts their runs. Engines that do so together share the work."""

    def __init__(
        self,
        store: ScheduleStore,
        start: Callable[[OpenFiring], RunId],
        follow: Callable[[], object],
    ) -> None:
        """Prepare.

        Args:
            store: of schedules.
            start: accepts the run of a firing, or finds that it was accepted.
            follow: has declared schedules be what is declared now.
        """
        super().__init__("schedules", "look what is due", _PAUSES)
        self._store = store
        self._start = start
        self._follow = follow

    def is_idle(self) -> bool:
        """Whether nothing is due now, and no run is to be started that no window holds back."""
        moments = self._store.next_look(), self._store.next_start()
        return all(moment is None or moment > timedelta(0) for moment in moments)

    def look(self) -> float:
        """Do what is due; return in how many seconds something may be due again."""
        self._follow()
        while self._store.decide():
            if self.is_stopping:
                return 0
        for firing in self._store.claim():
            if self.is_stopping:
                return 0
            self._begin(firing)
        due, start = self._store.next_look(), self._store.next_start()
        pause = _PAUSES.longest if due is None else due.total_seconds()
        return pause if start is None else min(pause, max(start.total_seconds(), _WAITING_PAUSE))

    def _begin(self, firing: OpenFiring) -> None:
        begin_run(
            firing,
            self._start,
            started=self._store.started,
            failed=self._store.failed,
            whose=f"schedule {firing.schedule.name!r}",
        )
