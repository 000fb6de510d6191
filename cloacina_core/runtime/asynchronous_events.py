"""A thin adapter for asyncio: the same sent events and subscriptions, awaited."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.sending.sent_event import SentEvent
from cloacina_core.model.sending.subscription import Delivery, SubscriptionState
from cloacina_core.runtime.sent_events import SentEvents, Subscriptions


class AsyncSentEvents:
    """Wraps the `SentEvents` of a runtime."""

    def __init__(self, events: SentEvents) -> None:
        self._events = events

    async def send(
        self, name: str, data: JsonValue = None, *, key: str | None = None
    ) -> tuple[SentEvent, bool]:
        """Tell that something happened, see `SentEvents.send`."""
        return await asyncio.to_thread(self._events.send, name, data, key=key)

    async def get(self, event_id: str) -> SentEvent:
        """Return an event, see `SentEvents.get`."""
        return await asyncio.to_thread(self._events.get, event_id)

    async def all(self, name: str | None = None, **options: Any) -> Sequence[SentEvent]:
        """Return events, newest first; arguments are those of `SentEvents.all`."""
        return await asyncio.to_thread(self._events.all, name, **options)


class AsyncSubscriptions:
    """Wraps the `Subscriptions` of a runtime."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions

    async def add(
        self, name: str, reference: str, *, event: str, **options: Any
    ) -> tuple[SubscriptionState, bool]:
        """Have runs started for events; arguments are those of `Subscriptions.add`."""
        add = self._subscriptions.add
        return await asyncio.to_thread(add, name, reference, event=event, **options)

    async def pause(self, name: str) -> SubscriptionState:
        """Have events not be delivered, see `Subscriptions.pause`."""
        return await asyncio.to_thread(self._subscriptions.pause, name)

    async def resume(self, name: str) -> SubscriptionState:
        """Have events delivered from now on, see `Subscriptions.resume`."""
        return await asyncio.to_thread(self._subscriptions.resume, name)

    async def delete(self, name: str) -> None:
        """Forget a subscription and its history, see `Subscriptions.delete`."""
        await asyncio.to_thread(self._subscriptions.delete, name)

    async def get(self, name: str) -> SubscriptionState:
        """Return a subscription, see `Subscriptions.get`."""
        return await asyncio.to_thread(self._subscriptions.get, name)

    async def all(self) -> Sequence[SubscriptionState]:
        """Return all subscriptions, by name."""
        return await asyncio.to_thread(self._subscriptions.all)

    async def history(self, name: str, **options: Any) -> Sequence[Delivery]:
        """Return what became of events; arguments are those of `Subscriptions.history`."""
        return await asyncio.to_thread(self._subscriptions.history, name, **options)

    async def definition(self, reference: str) -> WorkflowDefinition:
        """Return what the workflow looks like that a reference means now."""
        return await asyncio.to_thread(self._subscriptions.definition, reference)
