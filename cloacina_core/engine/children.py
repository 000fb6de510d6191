"""Runs that tasks ask for: made of what was asked, and waited for."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from cloacina_core.engine.acceptance import RunRequest
from cloacina_core.engine.attempt import failure_of
from cloacina_core.engine.call import Outcome
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.requests import Births
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.spilling import Spill
from cloacina_core.errors import (
    CloacinaError,
    OverQuotaError,
    StoreUnavailableError,
    TooDeepError,
)
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import EngineId, IdFactory, RunId
from cloacina_core.model.child import Child
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.retry import qualified_name
from cloacina_core.model.run import Failure, Parent, RunSummary
from cloacina_core.model.status import RunStatus
from cloacina_core.model.wait import Wait, WaitState, awaited
from cloacina_core.store.admission import GiveBack, Reserve

_log = logging.getLogger(__name__)

Elsewhere: TypeAlias = Callable[[Callable[[], None]], object]
"""Calls a function in another thread, or at once where there is none."""


class Resolver(Protocol):
    """Finds what a task asks for. Called from any thread; it may take its time."""

    def request(self, parent: RunSummary, child: Child, run_id: RunId, /) -> RunRequest:
        """Return what is to be run.

        Args:
            parent: the run that asks.
            child: what its task asks for.
            run_id: the id that the new run will have.

        Raises:
            CloacinaError: it can't be.
        """
        ...


def at_once(function: Callable[[], None]) -> None:
    """Call a function here and now."""
    function()


def _take_all(_engine: EngineId, _runs: Sequence[RunId]) -> None:
    """Refuse nothing."""


def _keep_nothing(_runs: Sequence[RunId]) -> None:
    """Have nothing to give back."""


def _ignore(_run_id: RunId) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarter:
    """Makes runs of what tasks ask for; the engine begins them together with the wait."""

    resolver: Resolver
    ids: IdFactory
    clock: Clock
    ended: Callable[[Sequence[RunId]], Sequence[RunSummary]]
    """Returns those of some runs that have ended."""
    max_depth: int
    """How many runs may stand above one."""
    spill: Spill
    """Where large params go."""
    is_alone: bool = False
    """Whether no other engine is there, nor other runs: none has to wait for its turn."""
    elsewhere: Elsewhere = at_once
    on_queued: Callable[[RunId], object] = _ignore
    """Told of a run that has to wait for its turn: whichever engine has room takes it."""
    reserve: Reserve = _take_all
    """Keeps places for runs that are to begin, or returns why there are none."""
    give_back: GiveBack = _keep_nothing
    """Gives back places of runs that don't begin after all."""

    def dropped(self, births: Births) -> None:
        """Give back what was kept for runs that don't begin: their call was given up meanwhile."""
        if runs := [run.run_id for run in births.runs]:
            self.elsewhere(lambda: self.give_back(runs))

    def births(
        self,
        outcome: Outcome,
        asker: Parent,
        parent: RunSummary,
        *,
        engine: EngineId,
        plan_of: Callable[[WorkflowDefinition], Plan],
    ) -> Births:
        """Return the runs that a call ended with, and its outcome, whose last wait names them.

        Never raises: what can't begin is told to the task, and then nothing of it begins.

        Args:
            outcome: of the call; its last wait tells what is asked for.
            asker: the task.
            parent: its run.
            engine: whose the new runs are.
            plan_of: returns plans.
        """
        wait = outcome.waits[-1]
        made = [self._make(parent, asker, child, engine, plan_of) for child in wait.children]
        runs = tuple(one for one in made if isinstance(one, RunState))
        if len(runs) == len(made) and (refusal := self._refusal(engine, runs)) is not None:
            runs, made = (), [refusal] * len(made)
        if len(runs) == len(made):
            for run in runs:
                if run.status is RunStatus.QUEUED:
                    self.on_queued(run.run_id)
            children = tuple(map(_begun, wait.children, runs))
            return Births(self._closed(outcome, replace(wait, children=children)), runs)
        children = tuple(
            _refused(child, one) if isinstance(one, Exception) else _bare(child)
            for child, one in zip(wait.children, made, strict=True)
        )
        return Births(self._closed(outcome, replace(wait, children=children)), ())

    def _refusal(self, engine: EngineId, runs: Sequence[RunState]) -> Exception | None:
        try:
            return self.reserve(engine, [run.run_id for run in runs])
        except CloacinaError as error:  # the store can't be asked
            return error

    def _make(
        self,
        parent: RunSummary,
        asker: Parent,
        child: Child,
        engine: EngineId,
        plan_of: Callable[[WorkflowDefinition], Plan],
    ) -> RunState | Exception:
        """Return a run that a task asks for, or why it can't be."""
        if parent.depth >= self.max_depth:
            return TooDeepError(parent.run_id, parent.depth)
        run_id = self.ids.run_id()
        try:
            request = self.resolver.request(parent, child, run_id)
            request = replace(request, parent=asker, depth=parent.depth + 1).spilled(self.spill)
            waits = request.is_limited and not self.is_alone
            return request.begin(
                plan_of(request.definition),
                run_id,
                now=self.clock.now(),
                engine=None if waits else engine,
                started_by=asker.started,
            )
        except CloacinaError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a source of workflows may raise anything
            _log.exception("%s can't be run", child)
            return error

    def _closed(self, outcome: Outcome, wait: Wait) -> Outcome:
        """Return an outcome with its last wait, over already if there is nothing to wait for."""
        if wait.is_detached or any(child.error is not None for child in wait.children):
            wait = replace(wait, state=WaitState.DONE, until=self.clock.now())
        return replace(outcome, waits=(*outcome.waits[:-1], wait))


def _bare(child: Child) -> Child:
    """Return what was asked for without its params, which its run has now, if there is one."""
    return replace(child, params=None, context=None)


def _begun(child: Child, run: RunState) -> Child:
    return replace(_bare(child), run_id=run.run_id)


def _refused(child: Child, error: Exception) -> Child:
    """Return what can't begin with the reason, as people are told of it on the command line."""
    if not isinstance(error, CloacinaError):
        return replace(_bare(child), error=failure_of(error, str), may_retry=True)
    hint = f"; {error.hint}" if error.hint else ""
    failure = Failure(type=qualified_name(type(error)), message=f"{error}{hint}")
    may_retry = isinstance(error, StoreUnavailableError | OverQuotaError)
    return replace(_bare(child), error=failure, may_retry=may_retry)


class AwaitedRuns:
    """Which runs the tasks of an engine wait for. Used by its thread alone."""

    def __init__(self) -> None:
        self._waiting: dict[RunId, tuple[RunId, int]] = {}
        """For each run, the run and the task that wait for it."""
        self._ended: dict[RunId, RunSummary] = {}
        """Those that have ended, of tasks that wait for others, too."""

    def expect(self, run: RunState, number: int) -> bool:
        """Note what a task waits for, if it is a run; return whether it is."""
        children = awaited(run.tasks[number].waits)
        for child in children:
            if child.run_id is not None:
                self._waiting[child.run_id] = (run.run_id, number)
        return bool(children)

    def forget(self, run: RunState) -> None:
        """Forget what the tasks of a run wait for, which another engine may have now."""
        if self._waiting:
            for task in run.tasks:
                self._drop(awaited(task.waits))

    def open(self) -> list[RunId]:
        """Return the runs that are waited for and aren't known to have ended."""
        return list(self._waiting.keys() - self._ended.keys())

    def ended(self, run: RunSummary) -> tuple[RunId, int] | None:
        """Take the end of a run; return the run and the task that wait for it here."""
        waiting = self._waiting.get(run.run_id)
        if waiting is not None:
            self._ended[run.run_id] = run
        return waiting

    def settled(self, run: RunState, number: int) -> tuple[Child, ...]:
        """Return the runs that a task waits for once all have ended; none before that."""
        children = awaited(run.tasks[number].waits)
        ends = [self._ended.get(child.run_id) for child in children if child.run_id is not None]
        known = [end for end in ends if end is not None]
        if len(known) < len(children):
            return ()
        self._drop(children)
        return tuple(
            replace(child, status=end.status, error=end.error)
            for child, end in zip(children, known, strict=True)
        )

    def _drop(self, children: Sequence[Child]) -> None:
        for child in children:
            if child.run_id is not None:
                self._waiting.pop(child.run_id, None)
                self._ended.pop(child.run_id, None)
