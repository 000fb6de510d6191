"""What can be done with runs that exist already, from any process."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.repeating import (
    instances_to_repeat,
    take_over,
    to_repeat,
    unseen_again,
)
from cloacina_core.engine.run_state import RunState
from cloacina_core.errors import (
    IllegalTransitionError,
    InputError,
    OutcomeUnknownError,
    RunOwnedElsewhereError,
)
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, encode
from cloacina_core.foundation.names import nearest
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.context import Context
from cloacina_core.model.release import Resolution, ResolvedBy
from cloacina_core.model.stored import StoredRun
from cloacina_core.model.wait import check_signal_name
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.reading import RunReader


class RunControl:
    """Asks the engines that have runs, and goes on with runs that nobody has."""

    def __init__(
        self,
        *,
        look: Callable[[], object],
        reader: RunReader,
        commands: CommandStore,
        ids: IdFactory,
        go_on: Callable[[RunId], object],
        by: Callable[[], str],
    ) -> None:
        """Prepare.

        Args:
            look: has the engine of this process look for what it is asked.
            reader: reads runs.
            commands: where to ask.
            ids: makes ids.
            go_on: goes on with a run here, if nobody else does.
            by: tells who asks.
        """
        self._look = look
        self._reader = reader
        self._commands = commands
        self._ids = ids
        self._go_on = go_on
        self._by = by

    def asking_as(self, by: Callable[[], str]) -> "RunControl":
        """Return what asks for somebody else."""
        control = copy.copy(self)
        vars(control)["_by"] = by
        return control

    def cancel(self, run_id: RunId, reason: str | None) -> None:
        """Ask for the end of a run; one that nobody works on is ended here."""
        self.ask(run_id, CommandKind.CANCEL, reason=reason)
        try:
            self._go_on(run_id)
        except (IllegalTransitionError, RunOwnedElsewhereError):
            return  # it ended meanwhile, or its engine sees to it

    def ask(
        self,
        run_id: RunId,
        kind: CommandKind,
        *,
        reason: str | None = None,
        name: str | None = None,
        payload: str | None = None,
    ) -> None:
        """Keep a command for the engine that has the run; it is durable when this returns.

        Raises:
            UnknownRunError: there is no such run.
            IllegalTransitionError: the run has ended.
        """
        command = Command(
            id=self._ids.command_id(),
            run_id=run_id,
            kind=kind,
            name=name,
            payload=payload,
            reason=reason,
            asked_by=self._by(),
        )
        try:
            self._commands.ask(command)
        except OutcomeUnknownError:  # asked again, it is found to be there already, if it is
            self._commands.ask(command)
        self._look()

    def signal(self, run_id: RunId, name: str, payload: JsonValue) -> None:
        """Send a signal; see `Runtime.signal`."""
        try:
            text = encode(payload)
        except NotJsonError as error:
            raise InputError(f"what signal {name!r} carries can't be stored: {error}") from error
        self.ask(run_id, CommandKind.SIGNAL, name=check_signal_name(name), payload=text)

    def retry(self, stored: StoredRun, reason: str | None) -> None:
        """Let a run that failed or was cancelled wait for an engine again."""
        run = RunState.restore(Plan(stored.definition), stored)
        repeated = to_repeat(run)
        anew = (repeated - run.expansions.keys()) | instances_to_repeat(run, repeated)
        expanded = {
            run.name_of(number): [run.name_of(before) for before in unseen]
            for number in sorted(repeated & run.expansions.keys())
            for unseen in [unseen_again(run, number, repeated)]
        }
        ended_at = stored.summary.finished_at
        if ended_at is None:
            raise IllegalTransitionError(
                f"run {run.run_id} is {run.status}: only one that has ended can be tried again"
            )
        told = f"by {self._by()}: {reason}" if reason else f"by {self._by()}"
        tasks = [run.name_of(number) for number in sorted(anew)]
        self._commands.retry(run.run_id, tasks, expanded, ended_at=ended_at, reason=told)


def repeated(
    stored: StoredRun,
    *,
    from_task: str | None = None,
    edits: Mapping[str, JsonValue] | None = None,
    idempotency_key: str | None = None,
) -> RunRequest:
    """Return a request for the same as a run was asked for, pinned to the same release.

    Args:
        stored: the run.
        from_task: keep the outcomes of the tasks that aren't behind this one.
        edits: values that are laid over what that task sees; None deletes a key.
        idempotency_key: of the new run.

    Raises:
        InputError: there is no such task, or an edit can't be stored.
    """
    summary = stored.summary
    names = stored.definition.by_name
    if from_task is not None and from_task not in names:
        near = nearest(from_task, names)
        raise InputError(
            f"workflow {summary.workflow!r} has no task {from_task!r}",
            hint=f"did you mean {' or '.join(near or names)}?",
        )
    values = {key: value for key, value in (edits or {}).items() if value is not None}
    deleted = dict.fromkeys((edits or {}).keys() - values.keys())
    resolution = None if summary.release is None else Resolution(ResolvedBy.REPEAT)
    request = RunRequest.checked(
        Wanted(stored.definition, summary.reference, summary.release, resolution),
        stored.params,
        idempotency_key=idempotency_key,
        priority=summary.priority,
        concurrency_key=summary.concurrency_key,
    )
    return replace(
        request,
        context=stored.context,
        origin=summary.run_id,
        repeats_from=from_task,
        edits={**Context(values).changes(), **deleted},
    )


def take_outcomes(run: RunState, stored: StoredRun, from_task: str) -> None:
    """Give a new run the outcomes of an earlier one that don't depend on a task."""
    origin = RunState.restore(run.plan, stored)
    take_over(run, origin, to_repeat(origin, [run.plan.number[from_task]]))
