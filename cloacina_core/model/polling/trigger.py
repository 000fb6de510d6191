"""Triggers with their code."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from cloacina_core.errors import Problem
from cloacina_core.foundation.period import Period
from cloacina_core.model.context import Context
from cloacina_core.model.polling.definition import MOST_TRIGGERS, OverlapPolicy, TriggerDefinition
from cloacina_core.model.polling.result import Poll, told_by
from cloacina_core.model.task import Task

_USUAL_TIMEOUT = timedelta(seconds=30)
_USUAL_LONGEST_PAUSE = timedelta(minutes=10)


class Trigger:
    """A function that is polled. Calling it calls the function, so tests stay simple."""

    def __init__(
        self,
        function: Callable[..., object],
        *,
        every: str | timedelta,
        name: str | None = None,
        timeout: str | timedelta = _USUAL_TIMEOUT,
        overlap: OverlapPolicy = "allow",
        key_window: str | timedelta | None = None,
        longest_pause: str | timedelta = _USUAL_LONGEST_PAUSE,
    ) -> None:
        if not callable(function):
            raise TypeError("a trigger is a function: @workflow.trigger(every='30s')")
        self.function = function
        self.name = name if name is not None else getattr(function, "__name__", "")
        self.every = _length(every, "every")
        self.timeout = _length(timeout, "timeout")
        self.overlap = overlap
        self.key_window = None if key_window is None else _length(key_window, "key_window")
        self.longest_pause = max(self.every, _length(longest_pause, "longest_pause"))
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> object:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<trigger {self.name}>"

    def definition(self) -> TriggerDefinition:
        """Return the trigger as data, not yet checked."""
        return TriggerDefinition(
            name=self.name,
            every=self.every,
            timeout=self.timeout,
            overlap=self.overlap,
            key_window=self.key_window,
            longest_pause=self.longest_pause,
            description=str(Task(self.function).docstring),
        )

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with it."""
        yield from self.definition().problems()
        if _parameters(self.function) not in (0, 1):
            yield f"trigger {self.name!r:.120} takes the poll, or nothing"

    @functools.cached_property
    def task(self) -> Task[[Context], object]:
        """The trigger as a task: executors run it so. Its context is what a poll is told and says.

        Its name is none that a task can have.
        """
        call = _async_poll if Task(self.function).is_async else _poll
        function: Any = functools.partial(call, self)
        if call is _async_poll:
            function = _Coroutine(function)
        return Task(function, name=task_name(self.name), timeout=self.timeout)


def trigger_problems(triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Yield every fault of the triggers of a workflow."""
    names = [trigger.name for trigger in triggers]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Problem("duplicate-trigger", "two triggers have this name", f"trigger {name}")
    if len(triggers) > MOST_TRIGGERS:
        yield Problem("bad-trigger", f"a workflow has at most {MOST_TRIGGERS} triggers")
    for trigger in triggers:
        for message in trigger.problems():
            yield Problem("bad-trigger", message, f"trigger {trigger.name}")


def task_name(trigger: str) -> str:
    """Return the name by which executors know a trigger: no task has one like it."""
    return f"trigger:{trigger}"


class _Coroutine:
    """A partial `async def` that says so."""

    def __init__(self, function: Callable[[Context], Any]) -> None:
        self._function = function

    async def __call__(self, context: Context) -> object:
        return await self._function(context)


def _poll(trigger: Trigger, context: Context) -> dict[str, Any]:
    poll = Poll(trigger.name, context.get("cursor"), secret=context.info.secret)
    return told_by(trigger.function(*_arguments(trigger, poll)), poll)


async def _async_poll(trigger: Trigger, context: Context) -> dict[str, Any]:
    poll = Poll(trigger.name, context.get("cursor"), secret=context.info.secret)
    returned: Any = trigger.function(*_arguments(trigger, poll))
    return told_by(await returned, poll)


def _arguments(trigger: Trigger, poll: Poll) -> tuple[Poll, ...]:
    return (poll,) if _parameters(trigger.function) else ()


def _parameters(function: Callable[..., object]) -> int:
    """Return how many arguments a function needs, or takes if it needs none."""
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a builtin, which tells nothing
        return 1
    return len([one for one in parameters if one.kind in positional])


def _length(value: object, what: str) -> timedelta:
    if isinstance(value, timedelta):
        return value
    length = Period.parse(value).length if isinstance(value, str) else None
    if length is None:
        raise ValueError(f"{what} takes a length such as '30s' or a timedelta, not {value!r:.40}")
    return length
