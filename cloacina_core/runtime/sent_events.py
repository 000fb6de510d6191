"""Sent events, as programs use them."""

import copy
from collections.abc import Callable, Sequence
from functools import partial

from cloacina_core.errors import OutcomeUnknownError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import EngineId, IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.sending.sent_event import (
    SentEvent,
    checked_event_key,
    checked_event_name,
    encoded_data,
)
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.services.delivering import DeliveryService
from cloacina_core.store.database import Database
from cloacina_core.store.event_waits import EventWaits
from cloacina_core.store.sent_events import SentEventStore
from cloacina_core.store.subscriptions import OpenDelivery, SubscriptionStore


class SentEvents:
    """What happened elsewhere, as it was told to a store. Safe to use from any thread."""

    def __init__(
        self,
        store: Callable[[], SentEventStore],
        clock: Clock,
        *,
        max_bytes: int,
        by: Callable[[], str] = who_asks,
    ) -> None:
        """Prepare.

        Args:
            store: returns the store.
            clock: tells the time, for ids.
            max_bytes: how much an event may carry, encoded.
            by: tells who asks.
        """
        self._opened = store
        self._ids = IdFactory(clock)
        self._max_bytes = max_bytes
        self._by = by

    def asking_as(self, by: Callable[[], str]) -> "SentEvents":
        """Return what sends for somebody else."""
        events = copy.copy(self)
        vars(events)["_by"] = by
        return events

    def send(
        self, name: str, data: JsonValue = None, *, key: str | None = None
    ) -> tuple[SentEvent, bool]:
        """Tell that something happened; it is durable when this returns.

        It starts a run of each workflow that is subscribed to it, and lets each run go on that
        waits for it.

        Args:
            name: of the event, as `orders.paid`.
            data: what it carries.
            key: sending again with the same name and key changes nothing.

        Returns:
            The event as it is kept, and whether it is new.

        Raises:
            InputError: the name, the data or the key can't be used.
            EventKeyConflictError: the key stands for other data.
            StoreError: the event couldn't be stored, and wasn't.
        """
        checked = checked_event_name(name)
        text = encoded_data(data, max_bytes=self._max_bytes)
        found, event_id = checked_event_key(key), self._ids.command_id()
        store, sender = self._opened(), self._by()
        try:
            return store.send(event_id, checked, text, key=found, sent_by=sender)
        except OutcomeUnknownError:  # sent again, it is found to be there already, if it is
            return store.send(event_id, checked, text, key=found, sent_by=sender)

    def get(self, event_id: str) -> SentEvent:
        """Return an event by its id, or the unique beginning of that.

        Raises:
            UnknownEventError: there is none, or there are several.
        """
        return self._opened().get(event_id)

    def all(
        self, name: str | None = None, *, before: str | None = None, limit: int = 50
    ) -> Sequence[SentEvent]:
        """Return events, newest first.

        Args:
            name: only those of this name.
            before: the last id of the page before.
            limit: how many at most.
        """
        return self._opened().all(name, before=before, limit=limit)


def open_events(
    database: Database,
    clock: Clock,
    sources: Sources,
    *,
    max_bytes: int,
    engine: Callable[[], EngineId],
    submit: Callable[..., RunHandle] | None,
) -> tuple[SentEvents, Subscriptions, DeliveryService]:
    """Return the sent events and subscriptions of a store, and what brings them together.

    Args:
        database: of the store.
        clock: tells the time.
        sources: where workflows come from.
        max_bytes: how much an event may carry, encoded.
        engine: returns the id of the engine here.
        submit: accepts a run; None: others start the runs of subscriptions.
    """
    events = SentEventStore(database)
    service = DeliveryService(
        SubscriptionStore(database),
        EventWaits(database, clock),
        engine=engine,
        start=None if submit is None else partial(_start, submit),
    )
    return (
        SentEvents(lambda: events, clock, max_bytes=max_bytes),
        Subscriptions(lambda: database, sources),
        service,
    )


def _start(submit: Callable[..., RunHandle], delivery: OpenDelivery) -> RunId:
    """Accept the run of a delivery, or find that it was accepted."""
    subscription, event = delivery.subscription, delivery.event
    handle = submit(
        delivery.starter,
        subscription.reference,
        subscription.params_for(event.data),
        context={"event": {**event.told, "subscription": subscription.name}},
        idempotency_key=delivery.key,
        priority=subscription.priority,
    )
    return RunId(handle.id)
