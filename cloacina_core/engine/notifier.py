"""Tells observers what was committed, on a thread of its own: a slow one delays no run."""

import logging
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TypeAlias

from cloacina_core.model.event import RunEvent

Observer: TypeAlias = Callable[[RunEvent], object]

_log = logging.getLogger(__name__)


class Notifier:
    """Hands events to observers one by one; one that raises is logged, and the others go on."""

    def __init__(self) -> None:
        self._observers: tuple[Observer, ...] = ()
        self._events: SimpleQueue[list[RunEvent] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, observer: Observer) -> None:
        """Tell an observer of all that is committed from now on."""
        with self._lock:
            self._observers = (*self._observers, observer)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="cloacina-notifier", daemon=True
                )
                self._thread.start()

    def remove(self, observer: Observer) -> None:
        """Stop telling an observer."""
        with self._lock:
            self._observers = tuple(kept for kept in self._observers if kept is not observer)

    def tell(self, events: Iterable[RunEvent]) -> None:
        """Hand on committed events, in order; they are only looked at when somebody observes."""
        if self._observers:
            self._events.put(list(events))

    def stop(self) -> None:
        """Tell what is left, then end."""
        if self._thread is not None:
            self._events.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (events := self._events.get()) is not None:
            for event in events:
                tell_each(self._observers, event)


def tell_each(observers: Iterable[Observer], event: RunEvent) -> None:
    """Tell one event to each observer."""
    for observer in observers:
        try:
            observer(event)
        except BaseException:  # noqa: BLE001 - an observer changes nothing, whatever it raises
            _log.exception("observer %r failed on event %s", observer, event.type)
