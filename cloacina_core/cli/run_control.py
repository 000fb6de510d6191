"""`cloacina runs cancel | pause | resume | retry | rerun | fork | signal`: steer runs.

Of one run by its id, or, for the first four, of all that filters choose.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import LENGTH
from cloacina_core.cli.params import read_object
from cloacina_core.cli.results import exit_status, headline, told
from cloacina_core.cli.tasks_here import runtime_of
from cloacina_core.errors import ConflictError, InputError
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode_strict
from cloacina_core.model.release import normalized_package
from cloacina_core.model.run import RunSummary
from cloacina_core.model.status import RunStatus

if TYPE_CHECKING:
    from cloacina_core.runtime import RunHandle, Runtime

Verb: TypeAlias = "Callable[[Runtime, str], object]"

PAGE = 500
"""How many runs are looked up at a time."""


def _choice(function: Any) -> Any:
    """Add the options that choose runs, to a command that takes `ids` and filters."""
    statuses = click.Choice([status.value for status in RunStatus])
    for option in (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.option("--status", type=statuses, help="All runs in this state."),
        click.option("--package", help="All runs of this package."),
        click.option("--workflow", help="All runs of workflows of this name."),
        click.option(
            "--older-than",
            type=LENGTH,
            help="All that were submitted so long ago: 1h.",
        ),
        click.option("--dry-run", is_flag=True, help="Only say which runs would be touched."),
        click.option("--reason", metavar="TEXT", help="Why, for the history of the runs."),
    ):
        function = option(function)
    return function


def _chosen(
    console: Console,
    runtime: "Runtime",
    ids: Sequence[str],
    usual: Iterable[RunStatus],
    filters: dict[str, Any],
) -> list[RunSummary]:
    """Return the runs that are named, or that fit all filters.

    Raises:
        InputError: there are both, or neither.
    """
    from cloacina_core.store.reading import RunFilter  # noqa: PLC0415 - not needed for --help

    given = {name: value for name, value in filters.items() if value is not None}
    if bool(ids) == bool(given):
        raise InputError(
            "name runs by their ids, or choose them by filters; not both",
            hint="as in: --status failed --workflow nightly --older-than 1h --dry-run",
        )
    if ids:
        return [runtime.get(one).summary for one in ids]
    age = given.get("older_than")
    found: list[RunSummary] = []
    for status in [RunStatus(given["status"])] if "status" in given else usual:
        wanted = RunFilter(
            status=status,
            package=normalized_package(given["package"]) if "package" in given else None,
            workflow=given.get("workflow"),
            until=None if age is None else console.clock.now() - age,
        )
        last = None
        while page := runtime.list(wanted, before=last, limit=PAGE):
            found += page
            last = page[-1].run_id
    return sorted(found, key=lambda run: run.run_id)


def _do(
    console: Console,
    verb: Verb,
    *,
    ids: Sequence[str],
    usual: Iterable[RunStatus],
    dry_run: bool,
    filters: dict[str, Any],
) -> None:
    """Do something with each chosen run, and tell which they were."""
    with runtime_of(console) as runtime:
        chosen = _chosen(console, runtime, ids, usual, filters)
        for run in chosen if not dry_run else ():
            try:
                with console.acting_on(run.run_id):
                    verb(runtime, run.run_id)
            except ConflictError as error:
                if ids:
                    raise
                console.say(f"left as it is: {error.message}")
        if not dry_run:
            chosen = [runtime.get(run.run_id).summary for run in chosen]
    lines = "\n".join(headline(run) for run in chosen)
    console.emit([run.to_json() for run in chosen], lines or "no runs")
    if dry_run:
        console.say(f"{len(chosen)} runs would be touched")


@click.command()
@_choice
@command_options
@pass_console
def cancel(
    console: Console, *, ids: tuple[str, ...], dry_run: bool, reason: str | None, **filters: Any
) -> None:
    """End runs early, whoever works on them.

    What runs of them is told to end, and given up after the setting cancel_grace. By filters: of
    the runs that haven't ended.
    """
    live = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.PAUSED)

    def verb(runtime: "Runtime", run_id: str) -> None:
        runtime.cancel(run_id, reason=reason)

    _do(console, verb, ids=ids, usual=live, dry_run=dry_run, filters=filters)


@click.command()
@_choice
@command_options
@pass_console
def pause(
    console: Console, *, ids: tuple[str, ...], dry_run: bool, reason: str | None, **filters: Any
) -> None:
    """Start nothing more of runs, until they are resumed; what runs goes on to its end."""
    going_on = (RunStatus.QUEUED, RunStatus.RUNNING)

    def verb(runtime: "Runtime", run_id: str) -> None:
        runtime.pause(run_id, reason=reason)

    _do(console, verb, ids=ids, usual=going_on, dry_run=dry_run, filters=filters)


@click.command()
@_choice
@click.option("--detach", is_flag=True, help="Leave it to an engine; always with filters.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for the end.")
@command_options
@pass_console
def resume(
    console: Console,
    *,
    ids: tuple[str, ...],
    dry_run: bool,
    reason: str | None,
    detach: bool,
    timeout: float | None,
    **filters: Any,
) -> int:
    """Go on with a run that is paused, or whose engine is gone, here; wait for its result.

    What was done is kept: tasks that ended don't run again.
    """
    if len(ids) != 1 or detach or dry_run:

        def verb(runtime: "Runtime", run_id: str) -> None:
            runtime.unpause(run_id, reason=reason)

        _do(console, verb, ids=ids, usual=(RunStatus.PAUSED,), dry_run=dry_run, filters=filters)
        return 0
    with runtime_of(console) as runtime:
        before = runtime.get(ids[0])
        if before.status.is_final:
            console.say(f"{headline(before.summary)}; there is nothing to resume")
            console.emit(before.to_json(), told(console, before))
            return exit_status(before)
        return _follow(console, runtime, before.run_id, timeout, runtime.resume)


@click.command()
@_choice
@click.option("--detach", is_flag=True, help="Leave it to an engine; always with filters.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for the end.")
@command_options
@pass_console
def retry(
    console: Console,
    *,
    ids: tuple[str, ...],
    dry_run: bool,
    reason: str | None,
    detach: bool,
    timeout: float | None,
    **filters: Any,
) -> int:
    """Go on with a run that failed or was cancelled, here; wait for its result.

    Tasks that succeeded keep their outcomes. By filters: of the runs that failed.
    """
    if len(ids) != 1 or detach or dry_run:

        def verb(runtime: "Runtime", run_id: str) -> None:
            runtime.retry(run_id, reason=reason, detach=True)

        _do(console, verb, ids=ids, usual=(RunStatus.FAILED,), dry_run=dry_run, filters=filters)
        return 0
    with runtime_of(console) as runtime:
        run_id = runtime.get(ids[0]).run_id
        return _follow(
            console, runtime, run_id, timeout, lambda one: runtime.retry(one, reason=reason)
        )


def _follow(
    console: Console,
    runtime: "Runtime",
    run_id: str,
    timeout: float | None,
    begin: "Callable[[str], RunHandle]",
) -> int:
    """Begin or go on with a run, show how it gets on, and tell how it ended."""
    from cloacina_core.cli.progress import showing  # noqa: PLC0415 - not needed for --help
    from cloacina_core.cli.waiting import tell, wait  # noqa: PLC0415

    with showing(console, runtime.definition_of(run_id)) as display:
        runtime.observe(display)
        handle = begin(run_id)
        console.acted_on([run_id])  # the whole of its id, whatever was given
        result = wait(handle, timeout)
    return tell(console, handle, result)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--idempotency-key", metavar="KEY", help="Attach to the run that has this key.")
@click.option("--detach", is_flag=True, help="Only record the run, for an engine to take up.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for the end.")
@command_options
@pass_console
def rerun(
    console: Console,
    *,
    run_id: str,
    idempotency_key: str | None,
    detach: bool,
    timeout: float | None,
) -> int:
    """Start a new run like an earlier one: same release, params and context."""
    with runtime_of(console) as runtime:

        def begin(origin: str) -> "RunHandle":
            return runtime.rerun(origin, idempotency_key=idempotency_key, detach=detach)

        return _begin_another(console, runtime, run_id, timeout, begin, detach=detach)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--from", "task", metavar="TASK", required=True, help="Where to begin.")
@click.option("--context", "context_file", metavar="FILE", help="Edits, a JSON object; - is stdin.")
@click.option("--idempotency-key", metavar="KEY", help="Attach to the run that has this key.")
@click.option("--detach", is_flag=True, help="Only record the run, for an engine to take up.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for the end.")
@command_options
@pass_console
def fork(
    console: Console,
    *,
    run_id: str,
    task: str,
    context_file: str | None,
    idempotency_key: str | None,
    detach: bool,
    timeout: float | None,
) -> int:
    """Start a new run that takes over what an earlier one did, up to a task.

    That task sees the edits instead of what the tasks before it left; null deletes a key.
    """
    edits = read_object(context_file, "context") if context_file else None
    with runtime_of(console) as runtime:

        def begin(origin: str) -> "RunHandle":
            return runtime.fork(
                origin, task, context=edits, idempotency_key=idempotency_key, detach=detach
            )

        return _begin_another(console, runtime, run_id, timeout, begin, detach=detach)


def _begin_another(
    console: Console,
    runtime: "Runtime",
    run_id: str,
    timeout: float | None,
    begin: "Callable[[str], RunHandle]",
    *,
    detach: bool,
) -> int:
    origin = runtime.get(run_id).run_id
    if not detach:
        return _follow(console, runtime, origin, timeout, begin)
    summary = runtime.get(begin(origin).id).summary
    console.emit(summary.to_json(), summary.run_id)
    console.say("recorded; it runs when an engine takes it up: cloacina engine run")
    return 0


@click.command()
@click.argument("run_id", metavar="ID")
@click.argument("name")
@click.option("--data", metavar="JSON", help="What the signal carries; null without.")
@command_options
@pass_console
def signal(console: Console, *, run_id: str, name: str, data: str | None) -> None:
    """Send signal NAME to a run, for a task that waits for it, now or later."""
    try:
        payload: JsonValue = None if data is None else decode_strict(data.encode())
    except (NotJsonError, UnicodeError) as error:
        raise InputError(
            f"--data isn't JSON: {error}", hint="""as in --data '{"approved": true}'"""
        ) from error
    with runtime_of(console) as runtime:
        found = runtime.get(run_id).run_id
        runtime.signal(found, name, payload)
        console.acted_on([found])
    console.emit({"run_id": found, "signal": name}, f"sent signal {name} to run {found}")
