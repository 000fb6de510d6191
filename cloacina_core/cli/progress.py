"""How a run is watched: a live table on a terminal, one line for each event elsewhere."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import click

from cloacina_core.cli.console import Console
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.names import every_instance, split_instance
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.model.status import TaskStatus

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

MARKS = {
    TaskStatus.WAITING: ("·", "dim"),
    TaskStatus.READY: ("·", "dim"),
    TaskStatus.RUNNING: ("▸", "cyan"),
    TaskStatus.SLEEPING: ("z", "yellow"),
    TaskStatus.SUCCEEDED: ("✓", "green"),
    TaskStatus.FAILED: ("✗", "red"),
    TaskStatus.SKIPPED: ("-", "dim"),
    TaskStatus.CANCELLED: ("x", "yellow"),
}
_TABLE_ROWS = 30
"""Taller tables don't fit on a terminal, and only the tasks that move are shown."""

_TASK_STATUS = {
    EventType.TASK_STARTED: TaskStatus.RUNNING,
    EventType.TASK_DEFERRED: TaskStatus.SLEEPING,
    EventType.TASK_RESUMED: TaskStatus.RUNNING,
    EventType.TASK_EXPANDED: TaskStatus.RUNNING,
    EventType.ATTEMPT_FAILED: TaskStatus.SLEEPING,
    EventType.ATTEMPT_LOST: TaskStatus.READY,
    EventType.TASK_SUCCEEDED: TaskStatus.SUCCEEDED,
    EventType.TASK_FAILED: TaskStatus.FAILED,
    EventType.TASK_SKIPPED: TaskStatus.SKIPPED,
    EventType.TASK_CANCELLED: TaskStatus.CANCELLED,
}


Display: TypeAlias = Callable[[RunEvent], None]
"""Shows the events of a run as they are committed; called on one thread."""


class EventLines:
    """One line for each event; those of runs that the run asked for name theirs."""

    def __init__(self) -> None:
        self._run_id: RunId | None = None

    def __call__(self, event: RunEvent) -> None:
        """Show an event."""
        self._run_id = self._run_id or event.run_id
        parts = [iso(event.at), event.type.value]
        if event.run_id != self._run_id:
            parts.insert(1, event.run_id)
        if event.task:
            parts.append(f"{event.task}#{event.attempt}" if event.attempt else event.task)
        if event.reason:
            parts.append(f"({event.reason.splitlines()[0]})")
        click.echo(" ".join(parts), err=True)


class Instances:
    """How the instances of a mapped task stand, as their events tell it."""

    def __init__(self, size: str = "") -> None:
        self._size = size
        """In words; empty when it wasn't heard."""
        self._status: dict[int, TaskStatus] = {}
        self._counts: Counter[TaskStatus] = Counter()

    def hear(self, index: int, status: TaskStatus) -> None:
        """Take how an instance stands now."""
        if index in self._status:
            self._counts[self._status[index]] -= 1
        self._status[index] = status
        self._counts[status] += 1

    def __str__(self) -> str:
        counts = instances_told(+self._counts) if self._status else ""
        return ": ".join(filter(None, [self._size, counts]))


def instances_told(counts: Mapping[TaskStatus, int]) -> str:
    """Return how instances stand, in a few words."""
    if not counts:
        return "no instances"
    return ", ".join(
        f"{counts[status]} {status.value}" for status in TaskStatus if counts.get(status)
    )


class LiveTable:
    """A table of the tasks that changes as they do."""

    def __init__(self, definition: WorkflowDefinition, live: "Live") -> None:
        self._definition = definition
        self._live = live
        self._lock = threading.Lock()
        self._run_id: RunId | None = None
        self._status = {task.name: TaskStatus.WAITING for task in definition.tasks}
        self._note: dict[str, str] = {}
        self._attempt: dict[str, int] = {}
        self._instances: dict[str, Instances] = {}

    def __call__(self, event: RunEvent) -> None:
        """Show an event, unless it is of a run that the run asked for."""
        self._run_id = self._run_id or event.run_id
        if event.run_id != self._run_id:
            return
        status = _TASK_STATUS.get(event.type)
        if event.task is None or status is None:
            return
        name, index = split_instance(event.task)
        with self._lock:
            if event.type is EventType.TASK_EXPANDED:
                self._instances[name] = Instances(event.reason or "")
            if index is None:
                self._status[name] = status
                self._note[name] = (event.reason or "").partition("\n")[0]
                self._attempt[name] = event.attempt or self._attempt.get(name, 0)
            else:
                self._instances.setdefault(name, Instances()).hear(index, status)
            self._live.update(self.table())

    def table(self) -> "Table":
        """Return the table as it stands."""
        from rich.table import Table  # noqa: PLC0415 - rich is imported when something is drawn
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, show_header=False)
        names = list(self._status)
        if len(names) > _TABLE_ROWS:
            moving = (TaskStatus.RUNNING, TaskStatus.SLEEPING, TaskStatus.FAILED)
            names = [name for name in names if self._status[name] in moving][:_TABLE_ROWS]
        for name in names:
            status = self._status[name]
            mark, style = MARKS[status]
            attempt = self._attempt.get(name, 0)
            tries = f"attempt {attempt}" if attempt > 1 else ""
            note = str(self._instances.get(name) or self._note.get(name, ""))
            table.add_row(
                Text(mark, style),
                Text(every_instance(name) if name in self._instances else name),
                Text(status.value, style),
                tries,
                Text(note, "dim"),
            )
        done = sum(status.is_final for status in self._status.values())
        table.add_row("", Text(f"{done} of {len(self._status)} tasks done", "dim"), "", "", "")
        return table


def _ignore(_event: RunEvent) -> None:
    """Show nothing."""


@contextmanager
def showing(console: Console, definition: WorkflowDefinition) -> Iterator[Display]:
    """Yield what shows the events of a run: a table, lines, or nothing with `--quiet`."""
    if console.quiet or (console.as_json and not console.is_terminal):
        yield _ignore
    elif not console.is_terminal:
        yield EventLines()
    else:
        from rich.console import Console as RichConsole  # noqa: PLC0415 - see above
        from rich.live import Live  # noqa: PLC0415

        screen = RichConsole(stderr=True, no_color=not console.has_colour)
        with Live(console=screen, refresh_per_second=8, transient=True) as live:
            table = LiveTable(definition, live)
            live.update(table.table())
            yield table
