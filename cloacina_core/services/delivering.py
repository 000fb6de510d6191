"""Brings sent events to whom they are for: to runs that wait, and to subscribed workflows."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from cloacina_core.errors import CloacinaError
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.services.beginning import begin_run
from cloacina_core.services.looking import LookingService, Pauses
from cloacina_core.store.event_waits import EventWaits
from cloacina_core.store.subscriptions import OpenDelivery, SubscriptionStore

_log = logging.getLogger(__name__)

_PAUSES = Pauses(shortest=0.5, longest=30.0, after_failure=1.0)
"""Each write to SQLite looks like one who asks for a look."""
_CLAIMED_PAUSE = 1.0
"""Seconds between looks whether somebody who has claimed deliveries is gone."""


class DeliveryService(LookingService):
    """Starts the runs of subscriptions. Engines that do so together share the work."""

    def __init__(
        self,
        subscriptions: SubscriptionStore,
        waits: EventWaits,
        *,
        engine: Callable[[], EngineId],
        start: Callable[[OpenDelivery], RunId] | None,
    ) -> None:
        """Prepare.

        Args:
            subscriptions: of the store.
            waits: of the store.
            engine: returns the id of the engine here, for whose runs it looks at new waits.
            start: accepts the run of a delivery, or finds that it was accepted; None: others start
                them.
        """
        super().__init__("deliveries", "bring sent events to whom they are for", _PAUSES)
        self._subscriptions = subscriptions
        self._waits = waits
        self._engine = engine
        self._start = start

    def is_idle(self) -> bool:
        """Whether no run is to be started."""
        return self._start is None or not self._subscriptions.waits()

    def look(self) -> float:
        """Do what there is to do; return in how many seconds there may be more."""
        if not self._waits.is_anything_open():
            return _PAUSES.longest
        self._waits.look(self._engine())
        if self._start is None:
            return _PAUSES.longest
        while claimed := self._subscriptions.claim():
            for deliveries in claimed:
                if self.is_stopping or not self._begin_each(deliveries, self._start):
                    return 0 if self.is_stopping else _PAUSES.after_failure
        return _CLAIMED_PAUSE if self._subscriptions.waits() else _PAUSES.longest

    def _begin_each(
        self, deliveries: Sequence[OpenDelivery], start: Callable[[OpenDelivery], RunId]
    ) -> bool:
        """Start the runs of one subscription in order; False when the store isn't there."""
        for delivery in deliveries:
            if self.is_stopping or not self._begin(delivery, start):
                break
        else:
            if deliveries:
                self._subscriptions.let_go(deliveries[0].subscription.name)
            return True
        with suppress(CloacinaError):
            self._subscriptions.let_go(deliveries[0].subscription.name)
        return False

    def _begin(self, delivery: OpenDelivery, start: Callable[[OpenDelivery], RunId]) -> bool:
        """Start one run; False when a later look, or another engine, has to."""
        return begin_run(
            delivery,
            start,
            started=self._subscriptions.started,
            failed=self._subscriptions.failed,
            whose=f"subscription {delivery.subscription.name!r}",
        )
