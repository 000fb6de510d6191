"""How a run is told when it ended, or as it stands."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cloacina_core.cli.console import Console
from cloacina_core.cli.progress import MARKS, instances_told
from cloacina_core.foundation.json_value import JsonValue, encode
from cloacina_core.foundation.names import every_instance
from cloacina_core.model.isolation import Isolation
from cloacina_core.model.run import RunResult, RunSummary, TaskResult
from cloacina_core.model.status import RunStatus

MAX_VALUE_LENGTH = 100
"""How much of a context value a person is shown."""

MAX_FAILED_SHOWN = 10
"""How many failed instances of a mapped task a person is shown unless they ask for all."""


def exit_status(result: RunResult) -> int:
    """Return the exit status that a run's end asks for."""
    return 0 if result.status is RunStatus.SUCCEEDED else 1


def told(
    console: Console,
    result: RunResult,
    *,
    all_instances: bool = False,
    children: Sequence[RunSummary] = (),
    starter: bool = False,
) -> str:
    """Return a run in plain text.

    Args:
        console: draws the table.
        result: the run.
        all_instances: show every instance of mapped tasks, not only those that failed.
        children: runs that it asked for, to be told with it.
        starter: tell what started it.
    """
    lines = [headline(result.summary)]
    if starter:
        lines.append(f"started by {result.summary.started_by}")
    rows = [
        row for task in result.tasks.values() for row in _rows(task, all_instances=all_instances)
    ]
    lines += ["", console.table(("task", "status", "attempts", "took", ""), rows)]
    lines += _isolations(result)
    if children:
        rows = [(_asker(child), child.run_id, child.status, child.reference) for child in children]
        lines += ["", console.table(("asked for by", "run", "status", "what"), rows)]
    if result.error is not None:
        lines += ["", f"error: {result.error}"]
        if result.error.traceback:
            lines += ["", result.error.traceback.rstrip()]
    if result.context:
        lines += ["", "context (--json prints all of it):"]
        lines += [f"  {key} = {_short(value)}" for key, value in result.context.items()]
    return "\n".join(lines)


def _isolations(result: RunResult) -> Iterator[str]:
    """Yield what was between tasks and others, if that wasn't the same for all: some had workers.

    Tasks that had the same are told together.
    """
    tasks: dict[tuple[Isolation, tuple[str, ...]], list[str]] = {}
    for task in result.tasks.values():
        name = task.name if task.instances is None else every_instance(task.name)
        for one in task.instances or (task,):
            last = one.attempts[-1] if one.attempts else None
            if last is not None and last.isolation is not None:
                tasks.setdefault((last.isolation, last.enforced), []).append(name)
    if all(isolation is not Isolation.WORKER for isolation, _ in tasks):
        return
    yield ""
    for (isolation, enforced), names in tasks.items():
        told = f" ({', '.join(enforced)})" if enforced else ""
        yield f"{_PLACES[isolation]}: {', '.join(dict.fromkeys(names))}{told}"


_PLACES = {
    Isolation.HOST: "in the engine's process",
    Isolation.NAMESPACE: "in a namespace",
    Isolation.WORKER: "in a worker",
}


def _asker(child: RunSummary) -> str:
    return child.parent.task if child.parent else ""


def headline(summary: RunSummary) -> str:
    """Return a run in one line."""
    what = f"{summary.release}/{summary.workflow}" if summary.release else summary.workflow
    took = _length(summary.started_at, summary.finished_at)
    after = f" after {took}" if took and summary.status.is_final else ""
    return f"run {summary.run_id} {summary.status.value}{after}: {what}"


def _rows(task: TaskResult, *, all_instances: bool) -> Iterator[tuple[object, ...]]:
    """Yield the row of a task, and those of its instances that are worth one."""
    if task.instances is None:
        yield _row(task, task.name)
        return
    yield _row(task, every_instance(task.name))
    failed = task.failed_instances
    for instance in task.instances if all_instances else failed[:MAX_FAILED_SHOWN]:
        yield _row(instance, f"  {instance.name}")
    more = len(failed) - MAX_FAILED_SHOWN
    if more > 0 and not all_instances:
        yield (f"    and {more} more", "failed", "", "", "--instances shows all")


def _row(task: TaskResult, name: str) -> tuple[object, ...]:
    indent = " " * (len(name) - len(name.lstrip()))
    return (
        f"{indent}{MARKS[task.status][0]} {name.lstrip()}",
        task.status.value,
        len(task.attempts) or "",
        _took(task),
        _note(task),
    )


def _took(task: TaskResult) -> str:
    runs = [one for one in task.instances or (task,) if one.attempts]
    ends = [one.attempts[-1].finished_at for one in runs]
    known = [end for end in ends if end is not None]
    if not runs or len(known) < len(ends):
        return ""
    return _length(min(one.attempts[0].started_at for one in runs), max(known))


def _length(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return ""
    seconds = (end - start) / timedelta(seconds=1)
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.2f} s"
    return str(timedelta(seconds=round(seconds)))


def _note(task: TaskResult) -> str:
    if task.instances is not None:
        return instances_told(task.instance_counts)
    if task.reason:
        return task.reason
    return str(task.error).partition("\n")[0] if task.error else ""


def _short(value: JsonValue) -> str:
    text = encode(value)
    if len(text) <= MAX_VALUE_LENGTH:
        return text
    size = f"{len(value)} items" if isinstance(value, list | dict) else f"{len(value)} characters"
    return f"{text[:MAX_VALUE_LENGTH]}... ({size})"
