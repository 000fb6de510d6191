"""A thread that looks for work, does it, and sleeps until there may be more."""

import logging
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass

from cloacina_core.errors import CloacinaError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long a service sleeps between looks, in seconds."""

    shortest: float
    """Also when it is woken: what is asked for meanwhile is looked at together."""
    longest: float
    """Also when nothing is due: clocks are set, and notifications get lost."""
    after_failure: float
    """Of the store, say, which may pass; a fault of ours is met again after the longest pause."""


class LookingService(ABC):
    """Looks at once, when it is woken, and when the last look said that something is due.

    A look that fails is logged, and isn't the last: the next one may do better than none.
    """

    def __init__(self, name: str, purpose: str, pauses: Pauses) -> None:
        """Prepare.

        Args:
            name: of the thread, behind `cloacina-`.
            purpose: what is told that can't be done when a look fails, as "look what is due".
            pauses: how long it sleeps.
        """
        self._purpose = purpose
        self._pauses = pauses
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"cloacina-{name}", daemon=True)

    @abstractmethod
    def look(self) -> float:
        """Do what there is to do; return in how many seconds there may be more."""

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wake(self) -> None:
        """Look soon: there may be something to do. Returns at once."""
        self._woken.set()

    def request_stop(self) -> None:
        """Have it stop after the look that is under way. Returns at once."""
        self._stopping.set()
        self._woken.set()

    def stop(self) -> None:
        """Stop looking, and wait for the look that is under way."""
        self.request_stop()
        self._thread.join()

    @property
    def is_stopping(self) -> bool:
        """Whether a look that is under way should come to its end."""
        return self._stopping.is_set()

    def pause(self, seconds: float) -> bool:
        """Let some time go by within a look; True: it is to stop."""
        return self._stopping.wait(seconds)

    def _run(self) -> None:
        pauses = self._pauses
        while not self._stopping.is_set():
            self._woken.clear()
            pause = pauses.longest
            try:
                pause = self.look()
            except CloacinaError as error:
                _log.warning("can't %s: %s", self._purpose, error)
                pause = pauses.after_failure
            except Exception:  # noqa: BLE001 - see above
                _log.exception("can't %s", self._purpose)
            pause = max(0.0, min(pause, pauses.longest))
            begun = min(pause, pauses.shortest)
            if not self._stopping.wait(begun):
                self._woken.wait(pause - begun)
