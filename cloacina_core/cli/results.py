"""How a run is told when it ended, or as it stands."""

from datetime import datetime, timedelta

from cloacina_core.cli.console import Console
from cloacina_core.cli.progress import MARKS
from cloacina_core.foundation.json_value import JsonValue, encode
from cloacina_core.model.run import RunResult, RunSummary, TaskResult
from cloacina_core.model.status import RunStatus

MAX_VALUE_LENGTH = 100
"""How much of a context value a person is shown."""


def exit_status(result: RunResult) -> int:
    """Return the exit status that a run's end asks for."""
    return 0 if result.status is RunStatus.SUCCEEDED else 1


def told(console: Console, result: RunResult) -> str:
    """Return a run in plain text."""
    lines = [headline(result.summary)]
    rows = [
        (
            f"{MARKS[task.status][0]} {task.name}",
            task.status.value,
            len(task.attempts) or "",
            _took(task),
            _note(task),
        )
        for task in result.tasks.values()
    ]
    lines += ["", console.table(("task", "status", "attempts", "took", ""), rows)]
    if result.error is not None:
        lines += ["", f"error: {result.error}"]
        if result.error.traceback:
            lines += ["", result.error.traceback.rstrip()]
    if result.context:
        lines += ["", "context (--json prints all of it):"]
        lines += [f"  {key} = {_short(value)}" for key, value in result.context.items()]
    return "\n".join(lines)


def headline(summary: RunSummary) -> str:
    """Return a run in one line."""
    what = f"{summary.release}/{summary.workflow}" if summary.release else summary.workflow
    took = _length(summary.started_at, summary.finished_at)
    after = f" after {took}" if took and summary.status.is_final else ""
    return f"run {summary.run_id} {summary.status.value}{after}: {what}"


def _took(task: TaskResult) -> str:
    if not task.attempts:
        return ""
    return _length(task.attempts[0].started_at, task.attempts[-1].finished_at)


def _length(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return ""
    seconds = (end - start) / timedelta(seconds=1)
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.2f} s"
    return str(timedelta(seconds=round(seconds)))


def _note(task: TaskResult) -> str:
    if task.reason:
        return task.reason
    return str(task.error).partition("\n")[0] if task.error else ""


def _short(value: JsonValue) -> str:
    text = encode(value)
    if len(text) <= MAX_VALUE_LENGTH:
        return text
    size = f"{len(value)} items" if isinstance(value, list | dict) else f"{len(value)} characters"
    return f"{text[:MAX_VALUE_LENGTH]}... ({size})"
