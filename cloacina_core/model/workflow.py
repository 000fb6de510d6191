"""What authors write: workflows and their tasks."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from cloacina_core.errors import DefinitionError, Problem
from cloacina_core.foundation.json_value import NotJsonError, canonical, encode
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model import fingerprint
from cloacina_core.model.definition import (
    EVERY_KEY,
    MergePolicy,
    TaskDefinition,
    WorkflowDefinition,
)
from cloacina_core.model.graph import find_cycle
from cloacina_core.model.retry import LONGEST, RetryPolicy
from cloacina_core.model.rules import Rule, all_succeeded, can_hold
from cloacina_core.model.typed import Schema, is_record_type, schema_of

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
        if isinstance(function, Task):  # a task of one workflow becomes one of another
            function = function.function
        self.function = function
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
        return _is_async(self.function)

    def merge_by_key(self) -> dict[str, MergePolicy]:
        """Return the merge policy of each key; that of `*` holds for the others."""
        if isinstance(self.merge, Mapping):
            return {EVERY_KEY: "later", **self.merge}
        return {EVERY_KEY: self.merge}


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # an object with `async def __call__`
    )


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


def _names_a_task(thing: object) -> bool:
    return isinstance(thing, str | Task) or (callable(thing) and hasattr(thing, "__name__"))


def _not_a_dependency(thing: object) -> str:
    if isinstance(thing, set | frozenset):
        return "after takes a list, not a set: the order decides merges"
    return f"after takes tasks, functions and names, not {thing!r}"


class _Check:
    """Looks for every fault of a workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._tasks = list(workflow._tasks)  # noqa: SLF001 - the check is part of the workflow
        self._names = {task.name for task in self._tasks if isinstance(task.name, str)}

    def problems(self) -> Iterator[Problem]:
        """Yield every fault."""
        workflow = self._workflow
        wrong_name = name_problem(workflow.name, "workflow")
        if wrong_name:
            yield Problem("bad-name", wrong_name)
        if not self._tasks:
            yield Problem("empty", "the workflow has no tasks")
        yield from _text_problems("bad-description", "the description", workflow.description, "")
        yield from _timeout_problems(workflow.timeout, "")
        yield from self._params_problems()
        for key, tag in workflow.tags.items():
            yield from _text_problems("bad-tag", "the key of a tag", key, "")
            yield from _text_problems("bad-tag", f"tag {key!r}", tag, "")
        yield from self._duplicates()
        for task in self._tasks:
            yield from self._task_problems(task)
        yield from self._cycles()

    def _params_problems(self) -> Iterator[Problem]:
        try:
            canonical(params_schema(self._workflow.params))
        except (TypeError, NameError, ValueError) as error:
            yield Problem("bad-params", f"params can't be described: {error}")

    def _duplicates(self) -> Iterator[Problem]:
        seen: set[str] = set()
        for task in self._tasks:
            if not isinstance(task.name, str):
                continue
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
        for tag in task.resources:
            wrong_tag = name_problem(tag, "resource")
            if wrong_tag:
                yield Problem("bad-resource", wrong_tag, where)
        yield from _text_problems("bad-description", "the docstring", _documentation(task), where)
        yield from _function_problems(task.function, where)
        yield from _callback_problems(task, where)

    def _dependency_problems(self, task: Task[..., Any], where: str) -> Iterator[Problem]:
        before = after_names(task)
        for thing, name in zip(task.after, before, strict=True):
            if not _names_a_task(thing):
                yield Problem("bad-dependency", _not_a_dependency(thing), where)
            elif name == task.name:
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
            if isinstance(task.name, str)
        }
        while path := find_cycle(after):
            yield Problem("cycle", "tasks come after each other: " + " -> ".join(path))
            after = {
                name: [before for before in befores if before not in path]
                for name, befores in after.items()
                if name not in path
            }


def _timeout_problems(timeout: object, where: str) -> Iterator[Problem]:
    if timeout is None:
        return
    if not isinstance(timeout, timedelta):
        yield Problem("bad-timeout", f"timeout takes a timedelta, not {timeout!r}", where)
    elif timeout <= timedelta(0):
        yield Problem("bad-timeout", "timeout must be longer than nothing", where)
    elif timeout > LONGEST:
        message = f"timeout can't be longer than {LONGEST.days} days; None means no limit"
        yield Problem("bad-timeout", message, where)


def _text_problems(kind: str, what: str, text: object, where: str) -> Iterator[Problem]:
    if not isinstance(text, str):
        yield Problem(kind, f"{what} must be a string, not {text!r}", where)
        return
    try:
        encode(text)
    except NotJsonError as error:
        yield Problem(kind, f"{what} can't be stored: {error.reason}", where)


def _merge_problems(task: Task[..., Any], where: str) -> Iterator[Problem]:
    for key, policy in task.merge_by_key().items():
        yield from _text_problems("bad-merge", "a key of merge", key, where)
        if policy not in _POLICIES:
            which = "merge" if key == EVERY_KEY else f"merge of key {key!r}"
            yield Problem("bad-merge", f"{which} is {policy!r}; it may be {_POLICIES}", where)


def _rule_problems(task: Task[..., Any], before: list[str], where: str) -> Iterator[Problem]:
    if not isinstance(task.when, Rule):
        yield Problem("bad-rule", f"when takes a rule, not {task.when!r}", where)
        return
    faults = list(task.when.problems())
    for fault in faults:
        yield Problem("bad-rule", fault, where)
    if not faults:
        try:
            encode(task.when.to_json())
        except NotJsonError as error:
            yield Problem("bad-rule", f"its rule can't be stored: {error.reason}", where)
    strangers = sorted(set(task.when.tasks()) - set(before))
    for name in strangers:
        yield Problem("bad-rule", f"its rule speaks of {name!r}, which isn't in after", where)
    if not strangers and not can_hold(task.when, before):
        yield Problem("unreachable", "its rule can never hold, so it would never run", where)


def _function_problems(function: Any, where: str) -> Iterator[Problem]:
    if not callable(function):
        yield Problem("bad-task", f"{function!r} can't be called", where)
    elif not _takes(function, 1):
        yield Problem("bad-task", "the function must take one argument, the context", where)
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield Problem("bad-task", "the function can't yield; return a mapping or None", where)


def _callback_problems(task: Task[..., Any], where: str) -> Iterator[Problem]:
    for name, callback, arguments in (
        ("on_success", task.on_success, ("context",)),
        ("on_failure", task.on_failure, ("context", "error")),
    ):
        if callback is None:
            continue
        if not callable(callback) or not _takes(callback, len(arguments)):
            message = f"{name} takes a function of ({', '.join(arguments)}), not {callback!r}"
            yield Problem("bad-callback", message, where)
        elif _is_async(callback):
            yield Problem("bad-callback", f"{name} can't be an async function", where)


def _takes(function: Callable[..., object], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature: calling it will tell
        return True
    return True


def _documentation(task: Task[..., Any]) -> object:
    function: Any = task.function
    while isinstance(function, functools.partial):  # its own docstring tells of `partial`
        function = function.func
    text = getattr(function, "__doc__", None) or ""
    return inspect.cleandoc(text) if isinstance(text, str) else text


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
        description=str(_documentation(task)),
        fingerprint=fingerprint.combined(
            canonical(shape),
            fingerprint.of_callable(task.function),
            fingerprint.of_callable(task.on_success),
            fingerprint.of_callable(task.on_failure),
        ),
    )
