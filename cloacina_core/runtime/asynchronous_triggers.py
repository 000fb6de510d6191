"""A thin adapter for asyncio: the same triggers, awaited."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cloacina_core.model.polling.enabled import PollRecord, TriggerState
from cloacina_core.runtime.asynchronous_enabling import AsyncEnabling
from cloacina_core.runtime.triggers import Triggers


class AsyncTriggers(AsyncEnabling[TriggerState]):
    """Wraps the `Triggers` of a runtime."""

    def __init__(self, triggers: Triggers) -> None:
        super().__init__(triggers)
        self._triggers = triggers

    async def poll_now(self, name: str) -> TriggerState:
        """Have a trigger polled at once, see `Triggers.poll_now`."""
        return await asyncio.to_thread(self._triggers.poll_now, name)

    async def history(self, name: str, **options: Any) -> Sequence[PollRecord]:
        """Return what polls came to; arguments are those of `Triggers.history`."""
        return await asyncio.to_thread(self._triggers.history, name, **options)
