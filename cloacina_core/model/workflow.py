"""What authors write: workflows and their tasks."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from cloacina_core.errors import DefinitionError, Problem
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model import fingerprint
from cloacina_core.model.definition import (
    EVERY_KEY,
    MergePolicy,
    TaskDefinition,
    WorkflowDefinition,
)
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import Rule, all_succeeded
from cloacina_core.model.typed import Schema, params_schema
from cloacina_core.model.validation import find_problems

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
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    @property
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
    return TaskDecorator(options) if function is None else _plain_task(function)


def _plain_task(function: Callable[P, R]) -> Task[P, R]:
    if not callable(function):
        raise TypeError(f"options of a task have names, as task(name={function!r})")
    return Task(function)


class TaskDecorator:
    """Makes functions tasks, with the options it was made with."""

    def __init__(self, options: Mapping[str, Any], workflow: "Workflow | None" = None) -> None:
        self._options = options
        self._workflow = workflow

    def __call__(self, function: Callable[P, R]) -> Task[P, R]:
        """Return the function as a task, added to the workflow if there is one."""
        made = Task(function, **self._options)
        return made if self._workflow is None else self._workflow.add(made)


class Workflow:
    """A directed acyclic graph of durable tasks, under a name."""

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        params: type | Schema | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
        tasks: Iterable[Task[..., Any]] = (),
    ) -> None:
        """Begin a workflow.

        Args:
            name: unique in its package.
            description: one line for listings.
            params: what a run is started with: a dataclass, a TypedDict or a JSON Schema object.
                None accepts any object.
            tags: free-form labels.
            timeout: how long a run may take, from its first start.
            tasks: tasks to add at once.
        """
        self.name = name
        self.description = description
        self.params = params
        self.tags = dict(tags or {})
        self.timeout = timeout
        self._tasks: list[Task[..., Any]] = []
        self._definition: WorkflowDefinition | None = None
        for one in tasks:
            self.add(one)

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Any) -> TaskDecorator: ...
    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function a task of this workflow. With or without brackets.

        The function takes the `Context`; it may be `async def`. A mapping it returns is merged into
        the context, None changes nothing more; anything else fails the task.

        Args:
            function: the function, when used without brackets.
            **options: `name` (default: the function's); `after` (tasks before this one, by task or
                name; their order decides merges); `retry` (a `RetryPolicy`; default: never);
                `timeout` (a timedelta for one attempt); `when` (a rule; default: `all_succeeded`);
                `merge` (`"later"`, `"concat"`, `"error"`, or a mapping of key to one of these);
                `on_success(context)` and `on_failure(context, error)`, called when the task has
                succeeded or finally failed, whose own errors are only logged; `resources` (tags
                that an engine must offer).
        """
        if function is None:
            return TaskDecorator(options, self)
        return self.add(_plain_task(function))

    def add(self, added: Task[P, R]) -> Task[P, R]:
        """Add a task made with `task`, and return it."""
        if not isinstance(added, Task):
            raise TypeError(f"{added!r} is no task; make it one with cloacina_core.task")
        self._tasks.append(added)
        self._definition = None
        return added

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The tasks by name, in the order in which they were added."""
        return {task.name: task for task in self._tasks}

    def problems(self) -> list[Problem]:
        """Return everything that is wrong with the definition."""
        return list(find_problems(self, self._tasks))

    def definition(self) -> WorkflowDefinition:
        """Return the workflow as data.

        Raises:
            DefinitionError: something is wrong; `problems` names every fault.
        """
        if self._definition is None:
            problems = self.problems()
            if problems:
                raise DefinitionError(self.name, problems)
            self._definition = _define(self)
        return self._definition

    def __repr__(self) -> str:
        return f"<workflow {self.name}: {len(self._tasks)} tasks>"


def _name_of(thing: object) -> str:
    if isinstance(thing, str):
        return thing
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return name if isinstance(name, str) else repr(thing)


def _define(workflow: Workflow) -> WorkflowDefinition:
    tasks = tuple(_define_task(task) for task in workflow.tasks.values())
    schema = params_schema(workflow.params)
    timeout = "" if workflow.timeout is None else str(workflow.timeout.total_seconds())
    return WorkflowDefinition(
        name=workflow.name,
        description=workflow.description,
        params_schema=schema,
        tags=dict(workflow.tags),
        timeout=workflow.timeout,
        tasks=tasks,
        fingerprint=fingerprint.combined(
            workflow.name, canonical(schema), timeout, *(task.fingerprint for task in tasks)
        ),
    )


def _define_task(task: Task[..., Any]) -> TaskDefinition:
    shape = {
        "name": task.name,
        "after": task.after_names,
        "when": task.when.to_json(),
        "retry": task.retry.to_json(),
        "timeout": None if task.timeout is None else task.timeout.total_seconds(),
        "merge": task.merge_by_key(),
        "resources": sorted(task.resources),
    }
    return TaskDefinition(
        name=task.name,
        after=tuple(task.after_names),
        rule=task.when,
        retry=task.retry,
        timeout=task.timeout,
        merge=task.merge_by_key(),
        resources=task.resources,
        description=str(task.docstring),
        fingerprint=fingerprint.combined(
            canonical(shape),
            fingerprint.of_callable(task.function),
            fingerprint.of_callable(task.on_success),
            fingerprint.of_callable(task.on_failure),
        ),
    )
