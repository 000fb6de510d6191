"""Starts what schedules say, when it is due. Between two firings it sleeps."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from cloacina_core.errors import CloacinaError, IdempotencyConflictError, StoreUnavailableError
from cloacina_core.foundation.ids import RunId
from cloacina_core.store.schedules import OpenFiring, ScheduleStore

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
"""Seconds between looks that nobody asked for: clocks are set, and notifications get lost."""
_SHORTEST_PAUSE = 1.0
"""Seconds between looks that somebody asked for: each write to SQLite looks like one who asks."""
_WAITING_PAUSE = 1.0
"""Seconds between looks whether what a firing waits for has ended."""


class ScheduleService:
    """Decides on firings, and starts their runs. Engines that do so together share the work."""

    def __init__(self, store: ScheduleStore, start: Callable[[OpenFiring], RunId]) -> None:
        """Prepare.

        Args:
            store: of schedules.
            start: accepts the run of a firing, or finds that it was accepted.
        """
        self._store = store
        self._start = start
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloacina-schedules", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wake(self) -> None:
        """Look soon: schedules may have changed. Returns at once."""
        self._woken.set()

    def stop(self) -> None:
        """Stop looking, and wait for the look that is under way."""
        self._stopping.set()
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            pause = _LONGEST_PAUSE
            try:
                pause = self.look()
            except CloacinaError as error:
                _log.warning("can't look what is due: %s", error)
                pause = _WAITING_PAUSE
            except Exception:  # noqa: BLE001 - the next look may do better than none
                _log.exception("can't look what is due")
            pause = max(0.0, min(pause, _LONGEST_PAUSE))
            self._stopping.wait(min(pause, _SHORTEST_PAUSE))
            self._woken.wait(max(0.0, pause - _SHORTEST_PAUSE))

    def is_idle(self) -> bool:
        """Whether nothing is due, and no run is to be started."""
        due = self._store.next_look()
        return not self._store.waits() and (due is None or due > timedelta(0))

    def look(self) -> float:
        """Do what is due; return in how many seconds something may be due again."""
        while self._store.decide():
            if self._stopping.is_set():
                return 0
        for firing in self._store.claim():
            if self._stopping.is_set():
                return 0
            self._begin(firing)
        due = self._store.next_look()
        pause = _LONGEST_PAUSE if due is None else due.total_seconds()
        return min(pause, _WAITING_PAUSE) if self._store.waits() else pause

    def _begin(self, firing: OpenFiring) -> None:
        name = firing.schedule.name
        try:
            self._store.started(firing, self._start(firing))
        except IdempotencyConflictError as error:  # the schedule was changed since it was started
            self._store.started(firing, RunId(error.run_id))
        except StoreUnavailableError as error:  # it stays as it is, for the next look or engine
            _log.warning("the run of schedule %r can't be accepted now: %s", name, error)
        except CloacinaError as error:
            _log.warning("schedule %r can't start a run: %s", name, error)
            self._store.failed(firing, f"{error.code}: {error.message}")
