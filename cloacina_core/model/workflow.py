"""What authors write: workflows and their tasks."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from cloacina_core.errors import DefinitionError, Problem
from cloacina_core.foundation.json_value import canonical
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model import fingerprint
from cloacina_core.model.definition import (
    EVERY_KEY,
    MergePolicy,
    TaskDefinition,
    WorkflowDefinition,
)
from cloacina_core.model.graph import find_cycle
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import Rule, all_succeeded, can_hold
from cloacina_core.model.typed import Schema, UnsupportedTypeError, is_record_type, schema_of

P = ParamSpec("P")
R = TypeVar("R")

NO_RETRY = RetryPolicy()
_POLICIES = ("later", "concat", "error")


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
        self.function = function
        self.name: str = name if name is not None else getattr(function, "__name__", "")
        self.after: Sequence[object] = (
            tuple(after) if isinstance(after, list | tuple | set | frozenset) else (after,)
        )
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
        """Whether the function is an `async def`."""
        return inspect.iscoroutinefunction(self.function)

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
    if function is not None:
        return Task(function)
    return TaskDecorator(options)


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
        self._tasks: list[Task[..., Any]] = list(tasks)
        self._definition: WorkflowDefinition | None = None

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
        if function is not None:
            return self.add(Task(function))
        return TaskDecorator(options, self)

    def add(self, added: Task[P, R]) -> Task[P, R]:
        """Add a task made with `task`, and return it."""
        self._tasks.append(added)
        self._definition = None
        return added

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The tasks by name, in the order in which they were added."""
        return {task.name: task for task in self._tasks}

    def problems(self) -> list[Problem]:
        """Return everything that is wrong with the definition."""
        return list(_Check(self).problems())

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


def after_names(task: Task[..., Any]) -> list[str]:
    """Return the names of the tasks before a task; not yet checked."""
    return [_name_of(before) for before in task.after]


def _name_of(thing: object) -> str:
    if isinstance(thing, str):
        return thing
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None)
    return name if isinstance(name, str) else repr(thing)


class _Check:
    """Looks for every fault of a workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._tasks = list(workflow._tasks)  # noqa: SLF001 - the check is part of the workflow
        self._names = {task.name for task in self._tasks}

    def problems(self) -> Iterator[Problem]:
        """Yield every fault."""
        workflow = self._workflow
        wrong_name = name_problem(workflow.name, "workflow")
        if wrong_name:
            yield Problem("bad-name", wrong_name)
        if not self._tasks:
            yield Problem("empty", "the workflow has no tasks")
        yield from _timeout_problems(workflow.timeout, "")
        yield from self._params_problems()
        for key, tag in workflow.tags.items():
            if not isinstance(key, str) or not isinstance(tag, str):
                yield Problem("bad-tag", f"tags map strings to strings, not {key!r} to {tag!r}")
        yield from self._duplicates()
        for task in self._tasks:
            yield from self._task_problems(task)
        yield from self._cycles()

    def _params_problems(self) -> Iterator[Problem]:
        try:
            schema = params_schema(self._workflow.params)
            if schema is not None:
                canonical(schema)
        except (UnsupportedTypeError, NameError, ValueError) as error:
            yield Problem("bad-params", f"params can't be described: {error}")

    def _duplicates(self) -> Iterator[Problem]:
        seen: set[str] = set()
        for task in self._tasks:
            if task.name in seen:
                yield Problem("duplicate-task", "two tasks have this name", f"task {task.name}")
            seen.add(task.name)

    def _task_problems(self, task: Task[..., Any]) -> Iterator[Problem]:
        where = f"task {task.name}"
        wrong_name = name_problem(task.name, "task")
        if wrong_name:
            hint = "; give it one: name=..." if task.name == "<lambda>" else ""
            yield Problem("bad-name", wrong_name + hint, where)
        yield from self._dependency_problems(task, where)
        if not isinstance(task.retry, RetryPolicy):
            yield Problem("bad-retry", f"retry takes a RetryPolicy, not {task.retry!r}", where)
        else:
            for fault in task.retry.problems():
                yield Problem("bad-retry", fault, where)
        yield from _timeout_problems(task.timeout, where)
        yield from _merge_problems(task, where)
        yield from _signature_problems(task, where)

    def _dependency_problems(self, task: Task[..., Any], where: str) -> Iterator[Problem]:
        before = after_names(task)
        for name in before:
            if name == task.name:
                yield Problem("cycle", "it comes after itself", where)
            elif name not in self._names:
                near = nearest(name, self._names)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                yield Problem(
                    "unknown-dependency",
                    f"it comes after {name!r}, which isn't a task{hint}",
                    where,
                )
        for name in sorted({name for name in before if before.count(name) > 1}):
            yield Problem("duplicate-dependency", f"after names {name!r} twice", where)
        yield from _rule_problems(task, before, where)

    def _cycles(self) -> Iterator[Problem]:
        after = {
            task.name: [n for n in after_names(task) if n in self._names and n != task.name]
            for task in self._tasks
        }
        path = find_cycle(after)
        if path:
            yield Problem("cycle", "tasks come after each other: " + " -> ".join(path))


def _timeout_problems(timeout: object, where: str) -> Iterator[Problem]:
    if timeout is None:
        return
    if not isinstance(timeout, timedelta):
        yield Problem("bad-timeout", f"timeout takes a timedelta, not {timeout!r}", where)
    elif timeout <= timedelta(0):
        yield Problem("bad-timeout", "timeout must be longer than nothing", where)


def _merge_problems(task: Task[..., Any], where: str) -> Iterator[Problem]:
    for key, policy in task.merge_by_key().items():
        if policy not in _POLICIES:
            which = "merge" if key == EVERY_KEY else f"merge of key {key!r}"
            yield Problem("bad-merge", f"{which} is {policy!r}; it may be {_POLICIES}", where)


def _rule_problems(task: Task[..., Any], before: list[str], where: str) -> Iterator[Problem]:
    if not isinstance(task.when, Rule):
        yield Problem("bad-rule", f"when takes a rule, not {task.when!r}", where)
        return
    for fault in task.when.problems():
        yield Problem("bad-rule", fault, where)
    strangers = sorted(set(task.when.tasks()) - set(before))
    for name in strangers:
        yield Problem("bad-rule", f"its rule speaks of {name!r}, which isn't in after", where)
    if not strangers and not can_hold(task.when, before):
        yield Problem("unreachable", "its rule can never hold, so it would never run", where)


def _signature_problems(task: Task[..., Any], where: str) -> Iterator[Problem]:
    if not callable(task.function):
        yield Problem("bad-task", f"{task.function!r} can't be called", where)
        return
    try:
        inspect.signature(task.function).bind(None)
    except TypeError:
        yield Problem("bad-task", "the function must take one argument, the context", where)
    except ValueError:  # a builtin without a signature: calling it will tell
        return


def params_schema(params: type | Schema | None) -> Schema | None:
    """Return the JSON Schema of a workflow's params.

    Raises:
        UnsupportedTypeError: a type has no JSON form.
        ValueError: it is neither a record type nor a schema of an object.
    """
    if params is None:
        return None
    if isinstance(params, Mapping):
        if params.get("type") != "object":
            raise ValueError("a params schema describes an object: its type must be 'object'")
        return dict(params)
    if not is_record_type(params):
        raise ValueError(f"params takes a dataclass, TypedDict or JSON Schema, not {params!r}")
    return schema_of(params)


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
        "after": after_names(task),
        "when": task.when.to_json(),
        "retry": task.retry.to_json(),
        "timeout": None if task.timeout is None else task.timeout.total_seconds(),
        "merge": task.merge_by_key(),
        "resources": sorted(task.resources),
    }
    return TaskDefinition(
        name=task.name,
        after=tuple(after_names(task)),
        rule=task.when,
        retry=task.retry,
        timeout=task.timeout,
        merge=task.merge_by_key(),
        resources=task.resources,
        description=inspect.cleandoc(task.function.__doc__ or ""),
        fingerprint=fingerprint.combined(
            canonical(shape),
            fingerprint.of_callable(task.function),
            fingerprint.of_callable(task.on_success),
            fingerprint.of_callable(task.on_failure),
        ),
    )
