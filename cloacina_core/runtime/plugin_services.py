"""What plugins have work beside the engine. What it raises is logged and stops nothing."""

import logging
from collections.abc import Callable, Sequence

from cloacina_core.engine.notifier import Notifier
from cloacina_core.plugin.interfaces import EngineService

_log = logging.getLogger(__name__)


class PluginServices:
    """The services of one runtime: started when its engine works, stopped when it doesn't."""

    def __init__(self, services: Sequence[EngineService], notifier: Notifier) -> None:
        """Prepare.

        Args:
            services: what plugins contribute.
            notifier: tells them of events.
        """
        self._services = services
        self._notifier = notifier
        self._started: list[EngineService] = []

    def start(self) -> None:
        """Start them, and have those told of events that could be started."""
        for service in self._services:
            if _is_done(service, service.start):
                self._started.append(service)
                self._notifier.add(service.observe)

    def stop(self) -> None:
        """Stop those that were started, the last one first; they were told of all events."""
        while self._started:
            service = self._started.pop()
            _is_done(service, service.stop)


def _is_done(service: EngineService, action: Callable[[], None]) -> bool:
    try:
        action()
    except Exception:  # noqa: BLE001 - a plugin's fault must not end an engine
        _log.exception("service %r failed in %s", service.name, action.__name__)
        return False
    return True
