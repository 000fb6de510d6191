"""A thin adapter for asyncio: the same schedules, awaited."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cloacina_core.model.schedule.firing import Firing
from cloacina_core.model.schedule.schedule import (
    Backfill,
    FiringRecord,
    PendingBackfill,
    Schedule,
)
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.model.schedule.window import CommonWindow
from cloacina_core.runtime.asynchronous_enabling import AsyncFollowingRules
from cloacina_core.runtime.schedules import Schedules


class AsyncSchedules(AsyncFollowingRules[Schedule, ScheduleState]):
    """Wraps the `Schedules` of a runtime."""

    def __init__(self, schedules: Schedules) -> None:
        super().__init__(schedules)
        self._schedules = schedules

    async def add(
        self, name: str, reference: str, *, cron: str, **options: Any
    ) -> tuple[ScheduleState, bool]:
        """Keep a schedule; arguments are those of `Schedules.add`."""
        return await asyncio.to_thread(self._schedules.add, name, reference, cron=cron, **options)

    async def update(self, name: str, **changes: Any) -> ScheduleState:
        """Change fields of a schedule, see `Schedules.update`."""
        return await asyncio.to_thread(self._schedules.update, name, **changes)

    async def history(self, name: str, **options: Any) -> Sequence[FiringRecord]:
        """Return what became of firings; arguments are those of `Schedules.history`."""
        return await asyncio.to_thread(self._schedules.history, name, **options)

    async def next(self, name: str, **options: Any) -> Sequence[Firing]:
        """Return when a schedule is due next; arguments are those of `Schedules.next`."""
        return await asyncio.to_thread(self._schedules.next, name, **options)

    async def backfill(
        self, name: str, begins: datetime, ends: datetime, **options: Any
    ) -> Backfill:
        """Start runs of firings in the past; arguments are those of `Schedules.backfill`."""
        return await asyncio.to_thread(self._schedules.backfill, name, begins, ends, **options)

    async def backfills(self, name: str) -> Sequence[PendingBackfill]:
        """Return the backfills whose runs aren't all started, see `Schedules.backfills`."""
        return await asyncio.to_thread(self._schedules.backfills, name)

    async def cancel_backfills(
        self, name: str, backfill: str | None = None
    ) -> Sequence[PendingBackfill]:
        """Start no more runs of backfills, see `Schedules.cancel_backfills`."""
        return await asyncio.to_thread(self._schedules.cancel_backfills, name, backfill)

    async def add_window(
        self, name: str, when: str, *, timezone: str = "UTC"
    ) -> tuple[CommonWindow, bool]:
        """Have no schedule start anything at some times, see `Schedules.add_window`."""
        return await asyncio.to_thread(self._schedules.add_window, name, when, timezone=timezone)

    async def windows(self) -> Sequence[CommonWindow]:
        """Return the windows that hold for all schedules, by name."""
        return await asyncio.to_thread(self._schedules.windows)

    async def remove_window(self, name: str) -> None:
        """Forget a window, see `Schedules.remove_window`."""
        await asyncio.to_thread(self._schedules.remove_window, name)
