"""A thin adapter for asyncio: the same sent events and subscriptions, awaited."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.sending.sent_event import SentEvent
from cloacina_core.model.sending.subscription import Delivery, Subscription, SubscriptionState
from cloacina_core.runtime.asynchronous_enabling import AsyncFollowingRules
from cloacina_core.runtime.sent_events import SentEvents
from cloacina_core.runtime.subscriptions import Subscriptions


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


class AsyncSubscriptions(AsyncFollowingRules[Subscription, SubscriptionState]):
    """Wraps the `Subscriptions` of a runtime."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        super().__init__(subscriptions)
        self._subscriptions = subscriptions

    async def add(
        self, name: str, reference: str, *, event: str, **options: Any
    ) -> tuple[SubscriptionState, bool]:
        """Have runs started for events; arguments are those of `Subscriptions.add`."""
        add = self._subscriptions.add
        return await asyncio.to_thread(add, name, reference, event=event, **options)

    async def update(self, name: str, **changes: Any) -> SubscriptionState:
        """Change fields of a subscription, see `Subscriptions.update`."""
        return await asyncio.to_thread(self._subscriptions.update, name, **changes)

    async def history(self, name: str, **options: Any) -> Sequence[Delivery]:
        """Return what became of events; arguments are those of `Subscriptions.history`."""
        return await asyncio.to_thread(self._subscriptions.history, name, **options)
