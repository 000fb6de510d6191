"""`cloacina runs`: list and show runs; `run_control` has what changes them."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from cloacina_core.cli.console import (
    EXIT_INTERRUPTED,
    Console,
    command_options,
    pass_console,
)
from cloacina_core.cli.moments import MOMENT
from cloacina_core.cli.results import told
from cloacina_core.cli.run_control import cancel, fork, pause, rerun, resume, retry, signal
from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.event import RunEvent
from cloacina_core.model.release import normalized_package
from cloacina_core.model.run import LogLine
from cloacina_core.model.starter import StarterKind
from cloacina_core.model.status import RunStatus

if TYPE_CHECKING:
    from cloacina_core.store.reading import RunReader

MAX_CHILDREN_TOLD = 100
"""How many of the runs that a run asked for are shown with it: the last that began."""

_STARTERS = ", ".join(kind.value for kind in StarterKind)
_OF_SCHEDULES = (StarterKind.SCHEDULE, StarterKind.BACKFILL)

Starter: TypeAlias = tuple[tuple[StarterKind, ...], str | None]
"""Kinds of what starts runs, and the name of one, or None for any."""


class _Starter(click.ParamType[Starter]):
    """What starts runs, and perhaps the name of one."""

    name = "KIND[:NAME]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Starter:
        """Return what a text spells."""
        kind, colon, name = str(value).partition(":")
        if kind not in list(StarterKind):
            self.fail(f"{kind!r} starts no runs: it is one of {_STARTERS}", param, ctx)
        if colon and not name:
            self.fail(f"{value!r} lacks the name after the colon", param, ctx)
        return (StarterKind(kind),), name or None


_TASK_HELP = "Only {} of this task and its instances, or of one instance, as 'fetch[3]'."


@click.group()
def runs() -> None:
    """List, show and steer runs.

    A run is named by its id, or by the beginning of it that no other run shares.
    """


def _reader(console: Console) -> "RunReader":
    from cloacina_core.store.reading import RunReader  # noqa: PLC0415 - not needed for --help

    return RunReader(console.view.database)


@runs.command("list")
@click.option(
    "--status",
    type=click.Choice([status.value for status in RunStatus]),
    help="Only runs in this state.",
)
@click.option("--package", help="Only runs of this package.")
@click.option("--workflow", help="Only runs of workflows of this name.")
@click.option("--parent", metavar="ID", help="Only runs that tasks of this run asked for.")
@click.option(
    "--schedule", metavar="NAME", help="Only runs that this schedule started, backfills included."
)
@click.option(
    "--started-by",
    type=_Starter(),
    help=f"Only runs that such a thing started, or the one of this name: {_STARTERS}.",
)
@click.option("--since", type=MOMENT, help="Only runs accepted then or later.")
@click.option("--until", type=MOMENT, help="Only runs accepted before then.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Only runs older than this one: the next page.")
@command_options
@pass_console
def list_runs(  # noqa: PLR0913 - one for each option
    console: Console,
    *,
    status: str | None,
    package: str | None,
    workflow: str | None,
    parent: str | None,
    schedule: str | None,
    started_by: Starter | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    before: str | None,
) -> None:
    """List runs, newest first."""
    from cloacina_core.store.reading import RunFilter  # noqa: PLC0415 - not needed for --help

    if schedule is not None:
        if started_by is not None:
            raise InputError("give --schedule or --started-by, not both")
        started_by = _OF_SCHEDULES, schedule
    kinds, starter = started_by or ((), None)
    reader = _reader(console)
    wanted = RunFilter(
        status=RunStatus(status) if status else None,
        package=normalized_package(package) if package else None,
        workflow=workflow,
        parent=reader.find(parent) if parent else None,
        started_by=kinds,
        starter=starter,
        since=since,
        until=until,
    )
    found = reader.summaries(wanted, before=RunId(before) if before else None, limit=limit)
    rows = [
        (
            run.run_id,
            run.status.value,
            f"{run.release}/{run.workflow}" if run.release else run.workflow,
            iso(run.created_at)[:19] + "Z",
            run.started_by.short,
            str(run.error).partition("\n")[0][:60] if run.error else "",
        )
        for run in found
    ]
    table = console.table(("id", "status", "workflow", "created", "started by", "error"), rows)
    console.emit([run.to_json() for run in found], table if rows else "no runs")
    if len(found) == limit:
        console.say(f"there may be more: --before {found[-1].run_id}")


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option(
    "--instances", is_flag=True, help="Every instance of mapped tasks, not only those that failed."
)
@command_options
@pass_console
def show(console: Console, *, run_id: str, instances: bool) -> None:
    """Show a run with its tasks, attempts and context."""
    from cloacina_core.runtime.history import read_result  # noqa: PLC0415 - not needed for --help
    from cloacina_core.store.reading import RunFilter  # noqa: PLC0415

    reader = _reader(console)
    result = read_result(reader, run_id)
    children = reader.summaries(RunFilter(parent=result.run_id), limit=MAX_CHILDREN_TOLD)[::-1]
    console.emit(
        {
            **result.to_json(all_instances=instances),
            "children": [child.to_json() for child in children],
        },
        told(console, result, all_instances=instances, children=children, starter=True),
    )


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--task", help=_TASK_HELP.format("events"))
@click.option("--after", type=click.IntRange(0), default=0, help="Only events behind this number.")
@click.option("--limit", type=click.IntRange(1), help="At most so many events.")
@command_options
@pass_console
def events(
    console: Console, *, run_id: str, task: str | None, after: int, limit: int | None
) -> None:
    """Show the history of a run: everything that happened, in order."""
    reader = _reader(console)
    found = reader.find(run_id)
    pages: Iterable[list[RunEvent]] = (
        reader.history(found, task=task, after=after)
        if limit is None
        else [reader.events(found, task=task, after=after, limit=limit)]
    )
    number = itertools.count()
    console.emit_pages(
        pages, RunEvent.to_json, lambda page: _history(console, page, is_first=next(number) == 0)
    )


def _history(console: Console, events: Sequence[RunEvent], *, is_first: bool) -> str:
    """Return a page of events in plain text, the first one with the names of the columns."""
    rows = [
        (
            event.seq,
            iso(event.at),
            event.type.value,
            event.task or "",
            event.attempt or "",
            (event.reason or "").partition("\n")[0],
        )
        for event in events
    ]
    table = console.table(("seq", "at", "type", "task", "attempt", "reason"), rows)
    return table if is_first else table.partition("\n")[2]


@runs.command()
@click.argument("run_id", metavar="ID")
@command_options
@pass_console
def explain(console: Console, *, run_id: str) -> None:
    """Tell why a run, and each of its tasks that hasn't ended, isn't further.

    Read from the store alone: it works from any process, whether engines are alive or not.
    """
    from cloacina_core.runtime.explainer import Explainer  # noqa: PLC0415 - not needed for --help

    told = Explainer(console.view.database).explain(run_id)
    lines = [f"run {told.run_id} {told.status.value}"]
    if told.reason is not None:
        lines[0] += f": {told.reason}"
    lines += [f"{task.task} {task.status.value}: {task.reason}" for task in told.tasks]
    console.emit(told.to_json(), "\n".join(lines))
    console.say(f"next: {told.next_command}")


@runs.command()
@click.argument("run_id", metavar="ID")
@click.option("--task", help=_TASK_HELP.format("lines"))
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@command_options
@pass_console
def logs(console: Console, *, run_id: str, task: str | None, follow: bool) -> int:
    """Show what the tasks of a run printed and logged.

    With `--follow` also what they say from now on, whichever process they run in; the exit status
    is then 1 if the run doesn't succeed. Ctrl-C ends only the following.
    """
    reader = _reader(console)
    found = reader.find(run_id)
    lines = _followed(console, reader, found, task) if follow else reader.logs(found, task=task)
    was_interrupted = False

    def pages() -> Iterator[list[LogLine]]:
        nonlocal was_interrupted
        try:
            yield from ([line] for line in lines)
        except KeyboardInterrupt:  # what is printed so far is still to become a whole document
            was_interrupted = True

    if not console.emit_pages(pages(), LogLine.to_json, _line):
        console.say("nothing was printed or logged")
    if was_interrupted:
        console.say(f"run {found} goes on; follow it again with: cloacina runs logs -f {found}")
        return EXIT_INTERRUPTED
    has_failed = follow and reader.summary(found).status is not RunStatus.SUCCEEDED
    return 1 if has_failed else 0


def _followed(
    console: Console, reader: "RunReader", run_id: RunId, task: str | None
) -> Iterator[LogLine]:
    from cloacina_core.runtime.following import RunFollower  # noqa: PLC0415 - see `_reader`

    for line in RunFollower(console.view.database, reader).logs(run_id, task=task):
        console.require_again()
        yield line


def _line(page: Sequence[LogLine]) -> str:
    return "\n".join(
        f"{iso(line.at)} {line.task}#{line.attempt} {line.stream}: {line.text}" for line in page
    )


for _command in (cancel, pause, resume, retry, rerun, fork, signal):
    runs.add_command(_command)
