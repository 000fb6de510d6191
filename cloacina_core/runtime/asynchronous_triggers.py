"""A thin adapter for asyncio: the same triggers, awaited."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cloacina_core.model.polling.enabled import PollRecord, TriggerState
from cloacina_core.runtime.triggers import Triggers


class AsyncTriggers:
    """Wraps the `Triggers` of a runtime."""

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers

    async def enable(
        self, reference: str, name: str | None = None, **options: Any
    ) -> Sequence[tuple[TriggerState, bool]]:
        """Have triggers polled; arguments are those of `Triggers.enable`."""
        return await asyncio.to_thread(self._triggers.enable, reference, name, **options)

    async def disable(self, reference: str, name: str | None = None) -> Sequence[str]:
        """Forget triggers that were enabled, see `Triggers.disable`."""
        return await asyncio.to_thread(self._triggers.disable, reference, name)

    async def pause(self, name: str) -> TriggerState:
        """Have a trigger not be polled, see `Triggers.pause`."""
        return await asyncio.to_thread(self._triggers.pause, name)

    async def resume(self, name: str) -> TriggerState:
        """Have a trigger polled again, see `Triggers.resume`."""
        return await asyncio.to_thread(self._triggers.resume, name)

    async def poll_now(self, name: str) -> TriggerState:
        """Have a trigger polled at once, see `Triggers.poll_now`."""
        return await asyncio.to_thread(self._triggers.poll_now, name)

    async def delete(self, name: str) -> None:
        """Forget a trigger, see `Triggers.delete`."""
        await asyncio.to_thread(self._triggers.delete, name)

    async def get(self, name: str) -> TriggerState:
        """Return a trigger, see `Triggers.get`."""
        return await asyncio.to_thread(self._triggers.get, name)

    async def all(self) -> Sequence[TriggerState]:
        """Return all triggers, by name."""
        return await asyncio.to_thread(self._triggers.all)

    async def history(self, name: str, **options: Any) -> Sequence[PollRecord]:
        """Return what polls came to; arguments are those of `Triggers.history`."""
        return await asyncio.to_thread(self._triggers.history, name, **options)
