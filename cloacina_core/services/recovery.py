"""Goes on with runs whose engine is gone, and with those that were only recorded."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from cloacina_core.errors import CloacinaError

_log = logging.getLogger(__name__)


class RecoveryService:
    """Looks for such runs at once, and then twice in each lease."""

    def __init__(self, take_up_all: Callable[[], None], lease: timedelta) -> None:
        self._take_up_all = take_up_all
        self._pause = lease.total_seconds() / 2
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloacina-recovery", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, and wait for the look that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._take_up_all()
            except CloacinaError as error:
                _log.warning("can't look for runs to take up: %s", error)
            except Exception:  # noqa: BLE001 - the next look may do better than none
                _log.exception("can't look for runs to take up")
            if self._stopping.wait(self._pause):
                return
