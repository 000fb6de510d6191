"""Workflows: tasks under a name, and the same as data."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, overload

from cloacina_core.errors import DefinitionError, Problem
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model import fingerprint
from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.polling.trigger import Trigger, trigger_problems
from cloacina_core.model.task import P, R, Task, TaskDecorator, task_of
from cloacina_core.model.typed import Schema, params_schema
from cloacina_core.model.validation import find_problems


class Workflow:
    """A directed acyclic graph of durable tasks, under a name."""

    def __init__(  # noqa: PLR0913 - what a workflow can be told; all but the first by name
        self,
        name: str,
        *,
        description: str = "",
        params: type | Schema | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
        queue_timeout: timedelta | None = None,
        max_live_runs: int | None = None,
        concurrency_key: str | None = None,
        max_live_per_key: int = 1,
        secrets: Iterable[str] = (),
        tasks: Iterable[Task[..., Any]] = (),
    ) -> None:
        """Begin a workflow.

        Args:
            name: unique in its package.
            description: one line for listings.
            params: what a run is started with: a dataclass, a TypedDict or a JSON Schema object.
                None accepts any object.
            tags: free-form labels.
            timeout: how long a run may take, from its first start. The time that it is paused
                counts.
            queue_timeout: how long a run may wait for an engine; then it fails.
            max_live_runs: how many of its runs are live at a time, over all engines; others stay
                queued. None means no limit.
            concurrency_key: runs that share it aren't live together, whatever their workflow; with
                params in braces, as `"customer:{customer}"`.
            max_live_per_key: how many of those are live at a time.
            secrets: the names of the secrets that its tasks may ask for: `context.secret(NAME)`.
            tasks: tasks to add at once.
        """
        self.name = name
        self.description = description
        self.params = params
        self.tags = dict(tags or {})
        self.timeout = timeout
        self.queue_timeout = queue_timeout
        self.max_live_runs = max_live_runs
        self.concurrency_key = concurrency_key
        self.max_live_per_key = max_live_per_key
        self.secrets = secrets if isinstance(secrets, str) else tuple(secrets)
        self._tasks: list[Task[..., Any]] = []
        self._triggers: list[Trigger] = []
        self._by_name: dict[str, Task[..., Any]] | None = None
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
                `on_success(context)` and `on_failure(context, error)`, called in the attempt that
                succeeds, or that raises when no other one follows, or beside one that ran out of
                time; their own errors are only told as an event; `resources` (tags of what it
                needs; kept and shown, not acted on yet); `limits` (names of limits that its
                attempts count for; `cloacina limits` says how large they are);
                `map` (a key of the context: the task runs once for each element of the list
                there, which it reads as `context.item`); `max_parallel` (how many of these
                instances are under way at a time; default: as many as the engine has slots);
                `map_failures` (`"stop"` at the first instance that fails, the default;
                `"continue"` with all of them, and fail then; or a number: so many may fail).
        """
        if function is None:
            return TaskDecorator(options, self.add)
        return self.add(task_of(function))

    def trigger(
        self, *, every: str | timedelta, **options: Any
    ) -> Callable[[Callable[..., object]], Trigger]:
        """Make a function a trigger: it is polled, and says when runs of this workflow are started.

        It takes a `Poll`, or nothing, and returns `skip()`, `fire()` or a list of `fire()`; it may
        be `async def`. Nothing is polled before an operator enables the trigger.

        Args:
            every: how long from the beginning of a poll to the next, as `"30s"` or a timedelta.
            **options: `name` (default: the function's; unique in the package); `timeout` of a poll
                (default: 30 seconds); `overlap` (`"allow"`, the default, or `"skip"`: not polled
                while a run that it started is live); `key_window` (for how long a key that was
                fired isn't fired again; default: for ever); `longest_pause` (failures in a row
                double the time to the next poll, up to this; default: 10 minutes).
        """

        def add(function: Callable[..., object]) -> Trigger:
            made = Trigger(function, every=every, **options)
            self._triggers.append(made)
            self._definition = None
            return made

        return add

    @property
    def triggers(self) -> Mapping[str, Trigger]:
        """The triggers by name, in the order in which they were added."""
        return {one.name: one for one in self._triggers}

    def holding(self, name: str) -> "Workflow | None":
        """Return the workflow that has the task of a name; None when none has.

        That is this one, or one that has nothing but the poll of a trigger.
        """
        if name in self.tasks:
            return self
        polls = [one.task for one in self._triggers if one.task.name == name]
        return Workflow(self.name, tasks=polls) if polls else None

    def add(self, added: Task[P, R]) -> Task[P, R]:
        """Add a task made with `task`, and return it."""
        if not isinstance(added, Task):
            raise TypeError(f"{added!r} is no task; make it one with cloacina_core.task")
        self._tasks.append(added)
        self._by_name = None
        self._definition = None
        return added

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The tasks by name, in the order in which they were added."""
        if self._by_name is None:
            self._by_name = {task.name: task for task in self._tasks}
        return self._by_name

    def problems(self) -> list[Problem]:
        """Return everything that is wrong with the definition."""
        return [*find_problems(self, self._tasks), *trigger_problems(self._triggers)]

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


def _define(workflow: Workflow) -> WorkflowDefinition:
    tasks = tuple(_define_task(task) for task in workflow.tasks.values())
    schema = params_schema(workflow.params)
    timeout = "" if workflow.timeout is None else str(workflow.timeout.total_seconds())
    if workflow.queue_timeout is not None:
        timeout += f" queue {workflow.queue_timeout.total_seconds()}"
    secrets = tuple(sorted(workflow.secrets))
    live = [workflow.max_live_runs, workflow.concurrency_key, workflow.max_live_per_key]
    return WorkflowDefinition(
        name=workflow.name,
        description=workflow.description,
        params_schema=schema,
        tags=dict(workflow.tags),
        timeout=workflow.timeout,
        queue_timeout=workflow.queue_timeout,
        max_live_runs=workflow.max_live_runs,
        concurrency_key=workflow.concurrency_key,
        max_live_per_key=workflow.max_live_per_key,
        secrets=secrets,
        tasks=tasks,
        fingerprint=fingerprint.combined(
            workflow.name,
            canonical(schema),
            timeout,
            canonical(live),
            canonical(list(secrets)),
            *(task.fingerprint for task in tasks),
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
        "limits": sorted(task.limits),
        "map": task.mapped and task.mapped.to_json(),
    }
    return TaskDefinition(
        name=task.name,
        after=tuple(task.after_names),
        rule=task.when,
        retry=task.retry,
        timeout=task.timeout,
        merge=task.merge_by_key(),
        resources=task.resources,
        limits=tuple(dict.fromkeys(task.limits)),
        mapped=task.mapped,
        description=str(task.docstring),
        fingerprint=fingerprint.combined(
            canonical(shape),
            fingerprint.of_callable(task.function),
            fingerprint.of_callable(task.on_success),
            fingerprint.of_callable(task.on_failure),
        ),
    )
