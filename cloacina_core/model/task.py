"""Tasks: functions, and what they were told about how to run."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from cloacina_core.model.definition import EVERY_KEY, MergePolicy
from cloacina_core.model.mapping import MapFailures, Mapped
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import Rule, all_succeeded

P = ParamSpec("P")
R = TypeVar("R")

NO_RETRY = RetryPolicy()


class Task(Generic[P, R]):
    """A function that is a task. Calling it calls the function, so tests stay simple."""

    def __init__(  # noqa: PLR0913 - what a task can be told; all but the first by name
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        after: object = (),
        retry: RetryPolicy = NO_RETRY,
        timeout: timedelta | None = None,
        when: Rule = all_succeeded,
        merge: MergePolicy | Mapping[str, MergePolicy] = "later",
        on_success: Callable[..., object] | None = None,
        on_failure: Callable[..., object] | None = None,
        resources: Iterable[str] = (),
        limits: Iterable[str] = (),
        map: str | None = None,  # noqa: A002 - the word that authors look for
        max_parallel: int | None = None,
        map_failures: MapFailures = "stop",
    ) -> None:
        if isinstance(function, Task):  # a task of one workflow becomes one of another
            function = function.function
        self.function: Callable[P, R] = function
        self.name: str = name if name is not None else getattr(function, "__name__", "")
        self.after: Sequence[object] = tuple(after) if isinstance(after, list | tuple) else (after,)
        self.retry = retry
        self.timeout = timeout
        self.when = when
        self.merge = merge
        self.on_success = on_success
        self.on_failure = on_failure
        self.resources = (resources,) if isinstance(resources, str) else tuple(resources)
        self.limits = (limits,) if isinstance(limits, str) else tuple(limits)
        self.map = map
        self.max_parallel = max_parallel
        self.map_failures = map_failures
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @functools.cached_property
    def is_async(self) -> bool:
        """Whether calling the function gives a coroutine."""
        if inspect.iscoroutinefunction(self.function):
            return True
        call = type(self.function).__call__ if callable(self.function) else None
        return inspect.iscoroutinefunction(call)  # an object with `async def __call__`

    @property
    def docstring(self) -> object:
        """What the function says of itself: a text, unless its author gave it something else."""
        function: Any = self.function
        while isinstance(function, functools.partial):  # its own docstring tells of `partial`
            function = function.func
        text = getattr(function, "__doc__", None) or ""
        return inspect.cleandoc(text) if isinstance(text, str) else text

    @property
    def after_names(self) -> list[str]:
        """The names of the tasks before it, not yet checked."""
        return [_name_of(before) for before in self.after]

    @property
    def mapped(self) -> Mapped | None:
        """Over what it runs once for each item, not yet checked; None: it runs once."""
        if self.map is None:
            return None
        return Mapped(self.map, self.max_parallel, self.map_failures)

    def merge_by_key(self) -> dict[str, MergePolicy]:
        """Return the merge policy of each key; that of `*` holds for the others."""
        if isinstance(self.merge, Mapping):
            return {EVERY_KEY: "later", **self.merge}
        return {EVERY_KEY: self.merge}


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Any) -> "TaskDecorator": ...
def task(function: Callable[P, R] | None = None, /, **options: Any) -> "Task[P, R] | TaskDecorator":
    """Make a function a task that any workflow can `add`. Options are those of `Workflow.task`."""
    return TaskDecorator(options) if function is None else task_of(function)


def task_of(function: Callable[P, R]) -> Task[P, R]:
    """Return a function as a task without options.

    Raises:
        TypeError: it can't be called: an option was given without its name.
    """
    if not callable(function):
        raise TypeError(f"options of a task have names, as task(name={function!r})")
    return Task(function)


class TaskDecorator:
    """Makes functions tasks, with the options it was made with."""

    def __init__(
        self, options: Mapping[str, Any], add: Callable[[Task[..., Any]], object] | None = None
    ) -> None:
        self._options = options
        self._add = add

    def __call__(self, function: Callable[P, R]) -> Task[P, R]:
        """Return the function as a task, added to the workflow that the decorator came from."""
        made = Task(function, **self._options)
        if self._add is not None:
            self._add(made)
        return made


def _name_of(thing: object) -> str:
    if isinstance(thing, str):
        return thing
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return name if isinstance(name, str) else repr(thing)
