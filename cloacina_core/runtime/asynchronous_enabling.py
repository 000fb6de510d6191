"""Thin adapters for asyncio: what schedules, subscriptions and triggers have in common, awaited."""

import asyncio
from collections.abc import Sequence
from typing import Any, Generic

from cloacina_core.model.declared import RuleT
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.runtime.enabling import Enabling, FollowingRules, FollowingStateT, StateT


class AsyncEnabling(Generic[StateT]):
    """Wraps what can be switched on and off."""

    def __init__(self, enabling: Enabling[Any, Any, StateT]) -> None:
        self._enabling = enabling

    async def enable(
        self, reference: str, name: str | None = None, **options: Any
    ) -> Sequence[tuple[StateT, bool]]:
        """Switch on what a package declares; arguments are those of `Enabling.enable`."""
        return await asyncio.to_thread(self._enabling.enable, reference, name, **options)

    async def disable(self, reference: str, name: str | None = None) -> Sequence[str]:
        """Forget what was enabled, see `Enabling.disable`."""
        return await asyncio.to_thread(self._enabling.disable, reference, name)

    async def pause(self, name: str) -> StateT:
        """Have it start nothing until it is resumed, see `Enabling.pause`."""
        return await asyncio.to_thread(self._enabling.pause, name)

    async def resume(self, name: str) -> StateT:
        """Have it go on from now, see `Enabling.resume`."""
        return await asyncio.to_thread(self._enabling.resume, name)

    async def delete(self, name: str) -> None:
        """Forget it and its history, see `Enabling.delete`."""
        await asyncio.to_thread(self._enabling.delete, name)

    async def get(self, name: str) -> StateT:
        """Return it, and how far it is."""
        return await asyncio.to_thread(self._enabling.get, name)

    async def all(self) -> Sequence[StateT]:
        """Return all, by name."""
        return await asyncio.to_thread(self._enabling.all)


class AsyncFollowingRules(AsyncEnabling[FollowingStateT], Generic[RuleT, FollowingStateT]):
    """Wraps rules that follow what is declared."""

    def __init__(self, rules: FollowingRules[RuleT, FollowingStateT]) -> None:
        super().__init__(rules)
        self._rules = rules

    async def restore(self, name: str) -> FollowingStateT:
        """Undo what was changed of a declared one, see `FollowingRules.restore`."""
        return await asyncio.to_thread(self._rules.restore, name)

    async def definition(self, reference: str) -> WorkflowDefinition:
        """Return what the workflow looks like that a reference means now."""
        return await asyncio.to_thread(self._rules.definition, reference)
