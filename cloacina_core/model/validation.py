"""What can be wrong with a workflow: every fault is found, and named precisely."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Protocol

from cloacina_core.errors import Problem
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, canonical, encode
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model.concurrency import MAX_LIVE, key_problems
from cloacina_core.model.definition import EVERY_KEY
from cloacina_core.model.graph import find_cycle
from cloacina_core.model.retry import LONGEST, RetryPolicy
from cloacina_core.model.rules import Rule, can_hold
from cloacina_core.model.task import Task
from cloacina_core.model.typed import Schema, params_schema

_POLICIES = ("later", "concat", "error")
MAX_RULE_DEPTH = 40
"""Leaves room, within the limit for JSON values, for what stands around a rule in a manifest."""


class Declared(Protocol):
    """What a workflow says of itself, besides its tasks."""

    name: str
    description: str
    params: type | Schema | None
    tags: dict[str, str]
    timeout: timedelta | None
    queue_timeout: timedelta | None
    max_live_runs: int | None
    concurrency_key: str | None
    max_live_per_key: int
    secrets: str | tuple[str, ...]


def find_problems(workflow: Declared, tasks: Sequence[Task[..., Any]]) -> Iterator[Problem]:
    """Yield every fault of a workflow.

    Args:
        workflow: the workflow.
        tasks: all that were added to it, those of one name included.
    """
    wrong_name = name_problem(workflow.name, "workflow")
    if wrong_name:
        yield Problem("bad-name", wrong_name)
    if not tasks:
        yield Problem("empty", "the workflow has no tasks")
    yield from _text_problems("bad-description", "the description", workflow.description, "")
    yield from _timeout_problems(workflow.timeout, "")
    yield from _timeout_problems(workflow.queue_timeout, "", "queue_timeout")
    yield from _params_problems(workflow)
    yield from _live_limit_problems(workflow)
    yield from _secrets_problems(workflow.secrets)
    for key, tag in workflow.tags.items():
        yield from _text_problems("bad-tag", "the key of a tag", key, "")
        yield from _text_problems("bad-tag", f"tag {key!r}", tag, "")
    names = Counter(task.name for task in tasks if isinstance(task.name, str))
    for name in sorted(name for name, count in names.items() if count > 1):
        yield Problem("duplicate-task", "two tasks have this name", f"task {name}")
    known = frozenset(names)
    for task in tasks:
        yield from _task_problems(task, known)
    yield from _cycles(tasks)


def _params_problems(workflow: Declared) -> Iterator[Problem]:
    try:
        canonical(params_schema(workflow.params))
    except (TypeError, NameError, ValueError) as error:
        yield Problem("bad-params", f"params can't be described: {error}")


def _secrets_problems(secrets: str | tuple[str, ...]) -> Iterator[Problem]:
    if isinstance(secrets, str):
        yield Problem("bad-secret", f"secrets takes several names: secrets=[{secrets!r}]")
        return
    for name in dict.fromkeys(secrets):
        if (message := name_problem(name, "secret")) is not None:
            yield Problem("bad-secret", message)
        if secrets.count(name) > 1:
            yield Problem("bad-secret", f"the secret {name!r} is named twice")


def _live_limit_problems(workflow: Declared) -> Iterator[Problem]:
    limits = {
        "max_live_runs": workflow.max_live_runs,
        "max_live_per_key": workflow.max_live_per_key,
    }
    for name, limit in limits.items():
        is_whole = type(limit) is int and 0 < limit <= MAX_LIVE
        if not is_whole and (limit is not None or name == "max_live_per_key"):
            message = f"{name} must be a whole number from 1 to {MAX_LIVE}, not {limit!r}"
            yield Problem("bad-limit", message)
    if workflow.concurrency_key is None:
        return
    try:
        known = (params_schema(workflow.params) or {}).get("properties")
    except (TypeError, NameError, ValueError):
        known = None  # what is wrong with the params is told of them
    for problem in key_problems(workflow.concurrency_key, known):
        yield Problem("bad-concurrency-key", problem)


def _task_problems(task: Task[..., Any], known: frozenset[str]) -> Iterator[Problem]:
    where = f"task {task.name}"
    wrong_name = name_problem(task.name, "task")
    if wrong_name:
        hint = "; give it one: name=..." if task.name == "<lambda>" else ""
        yield Problem("bad-name", wrong_name + hint, where)
    yield from _dependency_problems(task, known, where)
    yield from _rule_problems(task, where)
    yield from _retry_problems(task.retry, where)
    yield from _timeout_problems(task.timeout, where)
    yield from _merge_problems(task, where)
    for tag in task.resources:
        wrong_tag = name_problem(tag, "resource")
        if wrong_tag:
            yield Problem("bad-resource", wrong_tag, where)
    for limit in task.limits:
        wrong_limit = name_problem(limit, "limit")
        if wrong_limit:
            yield Problem("bad-limit", wrong_limit, where)
    yield from _map_problems(task, where)
    yield from _text_problems("bad-description", "the docstring", task.docstring, where)
    yield from _function_problems(task.function, where)
    yield from _callback_problems(task, where)


def _dependency_problems(
    task: Task[..., Any], known: frozenset[str], where: str
) -> Iterator[Problem]:
    before = task.after_names
    for thing, name in zip(task.after, before, strict=True):
        if isinstance(thing, set | frozenset):
            message = "after takes a list, not a set: the order decides merges"
            yield Problem("bad-dependency", message, where)
        elif not isinstance(thing, str) and not callable(thing):
            message = f"after takes tasks, functions and names, not {thing!r}"
            yield Problem("bad-dependency", message, where)
        elif name == task.name:
            yield Problem("cycle", "it comes after itself", where)
        elif name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            message = f"it comes after {name!r}, which isn't a task{hint}"
            yield Problem("unknown-dependency", message, where)
    for name in sorted({name for name in before if before.count(name) > 1}):
        yield Problem("duplicate-dependency", f"after names {name!r} twice", where)


def _cycles(tasks: Sequence[Task[..., Any]]) -> Iterator[Problem]:
    names = {task.name for task in tasks if isinstance(task.name, str)}
    after = {
        task.name: [name for name in task.after_names if name in names and name != task.name]
        for task in tasks
        if isinstance(task.name, str)
    }
    while path := find_cycle(after):
        yield Problem("cycle", "tasks come after each other: " + " -> ".join(path))
        after = {
            name: [before for before in befores if before not in path]
            for name, befores in after.items()
            if name not in path
        }


def _retry_problems(retry: object, where: str) -> Iterator[Problem]:
    if not isinstance(retry, RetryPolicy):
        yield Problem("bad-retry", f"retry takes a RetryPolicy, not {retry!r}", where)
        return
    for fault in retry.problems():
        yield Problem("bad-retry", fault, where)


def _timeout_problems(timeout: object, where: str, name: str = "timeout") -> Iterator[Problem]:
    if timeout is None:
        return
    if not isinstance(timeout, timedelta):
        yield Problem("bad-timeout", f"{name} takes a timedelta, not {timeout!r}", where)
    elif timeout <= timedelta(0):
        yield Problem("bad-timeout", f"{name} must be longer than nothing", where)
    elif timeout > LONGEST:
        message = f"{name} can't be longer than {LONGEST.days} days; None means no limit"
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


def _map_problems(task: Task[..., Any], where: str) -> Iterator[Problem]:
    if task.mapped is not None:
        for fault in task.mapped.problems():
            yield Problem("bad-map", fault, where)
        return
    for option, given in (
        ("max_parallel", task.max_parallel is not None),
        ("map_failures", task.map_failures != "stop"),
    ):
        if given:
            message = f"{option} means nothing without map: the task runs once"
            yield Problem("bad-map", message, where)


def _rule_problems(task: Task[..., Any], where: str) -> Iterator[Problem]:
    before = task.after_names
    if not isinstance(task.when, Rule):
        yield Problem("bad-rule", f"when takes a rule, not {task.when!r}", where)
        return
    for fault in task.when.problems():
        yield Problem("bad-rule", fault, where)
    if _depth(task.when.to_json()) > MAX_RULE_DEPTH:
        message = f"its rule is nested too deep to be stored ({MAX_RULE_DEPTH} levels of JSON fit)"
        yield Problem("bad-rule", message, where)
    strangers = sorted(set(task.when.tasks()) - set(before))
    for name in strangers:
        yield Problem("bad-rule", f"its rule speaks of {name!r}, which isn't in after", where)
    if not strangers and not can_hold(task.when, before):
        yield Problem("unreachable", "its rule can never hold, so it would never run", where)


def _depth(value: JsonValue) -> int:
    if not isinstance(value, dict | list):
        return 0
    items = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, items), default=0)


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
        elif inspect.iscoroutinefunction(callback):
            yield Problem("bad-callback", f"{name} can't be an async function", where)


def _takes(function: Callable[..., object], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature: calling it will tell
        return True
    return True
