"""Decides what happens next in a run. No I/O, no clock, no chance: all of it is handed in.

Each function takes a run and what happened to it, brings the run's state forward and returns the
decisions, in order. Work over a whole run is proportional to its edges: a task's rule is looked at
when a task before it ends, and only then.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from cloacina_core.engine.expansion import Expansion, ExpansionError
from cloacina_core.engine.run_state import MAX_ENGINE_DEATHS, RunState, Upstream
from cloacina_core.engine.task_state import TaskState
from cloacina_core.engine.views import MergeConflictError
from cloacina_core.errors import LostValueError
from cloacina_core.model.child import Child
from cloacina_core.model.command import Command
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.run import Failure
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitKind, WaitState, awaited


@dataclass(frozen=True, slots=True)
class Ready:
    """The task may start."""

    task: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """The attempt failed; the task is tried again at a set time."""

    task: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Defer:
    """The task waits, in the middle of its attempt."""

    task: int
    until: datetime | None
    """When its wait is over at the latest; None: only what it waits for wakes it."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """The task takes a signal or an event that it waited for, and may be called again."""

    task: int
    signal: Command


@dataclass(frozen=True, slots=True)
class GoOn:
    """The runs that the task waited for have ended, and it may be called again."""

    task: int


@dataclass(frozen=True, slots=True)
class End:
    """The task has ended."""

    task: int
    status: TaskStatus
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The run has ended."""

    status: RunStatus
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Expand:
    """The mapped task has become instances."""

    task: int


Decision: TypeAlias = Ready | Sleep | Defer | Deliver | GoOn | Expand | End | Finish


def begin(run: RunState) -> list[Decision]:
    """Decide what a new run starts with."""
    decisions: list[Decision] = []
    _consider(run, range(len(run.tasks)), decisions)
    _finish_if_done(run, decisions)
    return decisions


def take_up(run: RunState) -> list[Decision]:
    """Decide how a run goes on whose engine is gone.

    Tasks that were running are ready again; their lost attempts don't count as failures. A task
    that sleeps stays asleep.
    """
    if run.engine_deaths >= MAX_ENGINE_DEATHS:
        error = Failure(
            type="engine-deaths",
            message=f"{run.engine_deaths} engines in a row died at it; it is not tried again",
        )
        return end_early(run, RunStatus.FAILED, error, "the run was given up")
    decisions: list[Decision] = []
    for number, task in enumerate(run.tasks):
        is_under_way = task.status in (TaskStatus.RUNNING, TaskStatus.READY)
        if is_under_way and number not in run.expansions:
            task.status = TaskStatus.READY
            decisions.append(Ready(number))
        else:
            _deliver(run, number, decisions)
    for expansion in run.expansions.values():
        if not run.tasks[expansion.task].status.is_final:
            _go_on(run, expansion, decisions)
    _consider(run, range(len(run.plan.tasks)), decisions)
    _finish_if_done(run, decisions)
    return decisions


def attempt_started(run: RunState, number: int) -> list[Decision]:
    """Decide what follows the start of an attempt, which must be in the task's attempts already."""
    expansion = run.expansion_of(number)
    if expansion is None:
        return []
    expansion.began(number)
    return [Ready(called) for called in expansion.call_up()]


def attempt_succeeded(run: RunState, number: int) -> list[Decision]:
    """Decide what follows the success of a task."""
    return _end(run, number, TaskStatus.SUCCEEDED)


def attempt_failed(
    run: RunState, number: int, *, may_retry: bool, now: datetime, chance: float
) -> list[Decision]:
    """Decide what follows a failed attempt, which must be in the task's attempts already.

    Args:
        run: the run.
        number: the task.
        may_retry: whether the failure is one that the task's retry policy speaks of.
        now: the current moment.
        chance: a random number in [0, 1), for the jitter of the pause.
    """
    task = run.tasks[number]
    if run.cancel is not None:
        return _end(run, number, TaskStatus.CANCELLED, f"cancelled {run.cancel}")
    policy = run.definition_of(number).retry
    delay = policy.delay_after(task.failed_attempts, chance=chance) if may_retry else None
    if delay is None:
        return _end(run, number, TaskStatus.FAILED)
    task.status = TaskStatus.SLEEPING
    task.wake_at = now + delay
    task.waits = ()
    return [Sleep(number, task.wake_at)]


def attempt_deferred(run: RunState, number: int, waits: tuple[Wait, ...]) -> list[Decision]:
    """Decide what follows when a task waits: a signal that is there already ends the wait.

    Args:
        run: the run.
        number: the task.
        waits: all waits of its attempt; the last one is open, or over as soon as the task is
            called again.
    """
    task = run.tasks[number]
    task.status = TaskStatus.SLEEPING
    task.waits = waits
    task.wake_at = waits[-1].until
    decisions: list[Decision] = [Defer(number, task.wake_at)]
    _deliver(run, number, decisions)
    return decisions


def children_ended(run: RunState, number: int, children: tuple[Child, ...]) -> list[Decision]:
    """Decide what follows the end of the runs that a task waits for."""
    task = run.tasks[number]
    if task.status is not TaskStatus.SLEEPING or not awaited(task.waits):
        return []
    task.waits = (
        *task.waits[:-1],
        replace(task.waits[-1], state=WaitState.DONE, children=children),
    )
    task.status = TaskStatus.READY
    return [GoOn(number)]


def signalled(run: RunState, signal: Command) -> list[Decision]:
    """Decide who gets a signal: the first task that waits for it, or the first one that will."""
    run.signals.append(signal)
    decisions: list[Decision] = []
    for number in range(len(run.tasks)):
        _deliver(run, number, decisions)
    return decisions


def _deliver(run: RunState, number: int, decisions: list[Decision]) -> None:
    """Give a task the signal that it waits for, if it is there."""
    task = run.tasks[number]
    if task.status is not TaskStatus.SLEEPING or not task.waits:
        return
    wait = task.waits[-1]
    for signal in run.signals:
        if wait.state is WaitState.OPEN and signal.name == wait.signal:
            run.signals.remove(signal)
            _close_wait(task, WaitState.DONE, signal.payload)
            task.status = TaskStatus.READY
            task.wake_at = None
            decisions.append(Deliver(number, signal))
            return


def event_came(run: RunState, command: Command) -> list[Decision]:
    """Decide what follows when an event came that a task waited for, and perhaps still does."""
    told = json.loads(str(command.payload))
    place = told["wait"]
    number = run.number_of(place["task"])
    if number is None:
        return []
    task = run.tasks[number]
    is_awaited = (
        task.status is TaskStatus.SLEEPING
        and (len(task.attempts), len(task.waits)) == (place["attempt"], place["number"])
        and task.waits[-1].state is WaitState.OPEN
    )
    if not is_awaited:  # it timed out, or the run goes on without
        return []
    _close_wait(task, WaitState.DONE, json.dumps(told["event"], ensure_ascii=False))
    task.status = TaskStatus.READY
    task.wake_at = None
    return [Deliver(number, command)]


def _close_wait(task: TaskState, state: WaitState, payload: str | None = None) -> None:
    task.waits = (*task.waits[:-1], replace(task.waits[-1], state=state, payload=payload))


def wake(run: RunState, number: int) -> list[Decision]:
    """Decide what to do when a sleeping task's time has come."""
    task = run.tasks[number]
    if task.status is not TaskStatus.SLEEPING:
        return []
    if task.waits and task.waits[-1].kind in (WaitKind.SIGNAL, WaitKind.EVENT):
        _close_wait(task, WaitState.TIMED_OUT)
    elif task.waits and task.waits[-1].kind is WaitKind.MOMENT:
        _close_wait(task, WaitState.DONE)
    task.status = TaskStatus.READY
    task.wake_at = None
    return [Ready(number)]


def resume(run: RunState) -> list[Decision]:
    """Decide what a paused run goes on with."""
    return [
        Ready(number) for number, task in enumerate(run.tasks) if task.status is TaskStatus.READY
    ]


def cancel(run: RunState, command: Command) -> list[Decision]:
    """Decide how a run ends that is cancelled: what doesn't run is, what runs is waited for."""
    run.cancel = command
    decisions: list[Decision] = []
    reason = f"cancelled {command}"
    for expansion in run.expansions.values():
        expansion.stop()
    for number, task in enumerate(run.tasks):
        if task.status.is_final or task.status is TaskStatus.RUNNING:
            continue
        if run.expansion_of(number) is None:
            decisions.append(_ended(run, number, TaskStatus.CANCELLED, reason))
        elif task.status is not TaskStatus.WAITING:
            decisions += _end(run, number, TaskStatus.CANCELLED, reason)
    for expansion in run.expansions.values():
        if not run.tasks[expansion.task].status.is_final:
            _go_on(run, expansion, decisions)
    if not any(isinstance(decision, Finish) for decision in decisions):
        _finish_if_done(run, decisions)
    return decisions


def attempt_given_up(run: RunState, number: int, reason: str) -> list[Decision]:
    """Decide what follows when a cancelled task doesn't end by itself."""
    return _end(run, number, TaskStatus.CANCELLED, reason)


def end_early(
    run: RunState, status: RunStatus, error: Failure | None, reason: str
) -> list[Decision]:
    """Decide how a run ends before its tasks did: those that haven't ended are cancelled."""
    decisions: list[Decision] = []
    for expansion in run.expansions.values():
        expansion.stop()
    for number, task in enumerate(run.tasks):
        if task.status.is_final or run.is_idle_instance(number):
            continue
        task.status = TaskStatus.CANCELLED
        task.reason = reason
        decisions.append(End(number, TaskStatus.CANCELLED, reason))
    for expansion in run.expansions.values():
        expansion.cancel_rest()
    run.unfinished = 0
    decisions.append(Finish(status, error))
    return decisions


def _end(
    run: RunState, number: int, status: TaskStatus, reason: str | None = None
) -> list[Decision]:
    expansion = run.expansion_of(number)
    if expansion is not None:
        return _end_instance(run, expansion, number, status, reason)
    decisions: list[Decision] = [_ended(run, number, status, reason)]
    _consider(run, run.plan.behind[number], decisions)
    _finish_if_done(run, decisions)
    return decisions


def _end_instance(
    run: RunState, expansion: Expansion, number: int, status: TaskStatus, reason: str | None
) -> list[Decision]:
    instance = run.tasks[number]
    instance.status = status
    instance.reason = reason
    expansion.ended(status)
    decisions: list[Decision] = [End(number, status, reason)]
    if _go_on(run, expansion, decisions):
        _consider(run, run.plan.behind[expansion.task], decisions)
        _finish_if_done(run, decisions)
    return decisions


def _go_on(run: RunState, expansion: Expansion, decisions: list[Decision]) -> bool:
    """Call up the next instances, or end the mapped task behind the last one; return whether."""
    decisions += map(Ready, expansion.call_up())
    if not expansion.is_over:
        return False
    status, reason = expansion.close()
    if run.cancel is not None:
        status, reason = TaskStatus.CANCELLED, f"cancelled {run.cancel}"
    if status is TaskStatus.SUCCEEDED:
        try:
            run.tasks[expansion.task].changes = expansion.gathered()
        except ExpansionError as error:
            status, reason = TaskStatus.FAILED, str(error)
    decisions.append(_ended(run, expansion.task, status, reason))
    return True


def _ended(run: RunState, number: int, status: TaskStatus, reason: str | None) -> End:
    task = run.tasks[number]
    if not task.attempts and number not in run.expansions:
        run.fix_what_is_seen(number)
    task.status = status
    task.reason = reason
    run.count_ending(number)
    return End(number, status, reason)


def _consider(run: RunState, numbers: Iterable[int], decisions: list[Decision]) -> None:
    """Look at waiting tasks; one that is skipped makes those behind it worth a look."""
    pending = list(numbers)[::-1]
    while pending:
        number = pending.pop()
        task = run.tasks[number]
        if task.status is not TaskStatus.WAITING:
            continue
        try:
            verdict = run.plan.tasks[number].rule.decide(Upstream(run, number))
        except (MergeConflictError, LostValueError) as error:
            decisions.append(_ended(run, number, TaskStatus.FAILED, _reason(error)))
            pending += reversed(run.plan.behind[number])
            continue
        mapped = run.plan.tasks[number].mapped
        if verdict is True and mapped is not None:
            if _expand(run, number, mapped, decisions):
                pending += reversed(run.plan.behind[number])
        elif verdict is True:
            task.status = TaskStatus.READY
            decisions.append(Ready(number))
        elif verdict is False:
            reason = _why_skipped(run, number)
            decisions.append(_ended(run, number, TaskStatus.SKIPPED, reason))
            pending += reversed(run.plan.behind[number])


def _expand(run: RunState, number: int, mapped: Mapped, decisions: list[Decision]) -> bool:
    """Make a mapped task instances, of what it sees now; return whether that was its end."""
    run.fix_what_is_seen(number)
    try:
        expansion = run.expand(number, mapped)
    except (ExpansionError, MergeConflictError, LostValueError) as error:
        decisions.append(_ended(run, number, TaskStatus.FAILED, _reason(error)))
        return True
    run.tasks[number].status = TaskStatus.RUNNING
    decisions.append(Expand(number))
    return _go_on(run, expansion, decisions)


def _reason(error: Exception) -> str:
    return f"merge conflict: {error}" if isinstance(error, MergeConflictError) else str(error)


def _why_skipped(run: RunState, number: int) -> str:
    endings = [
        f"{run.plan.tasks[before].name} {run.tasks[before].status.value}"
        for before in run.plan.before[number]
        if run.tasks[before].status.is_final
        and run.tasks[before].status is not TaskStatus.SUCCEEDED
    ]
    told = ", ".join(endings[:3]) + (", ..." if len(endings) > 3 else "")  # noqa: PLR2004
    return f"its rule can't hold: {told}" if told else "its rule doesn't hold"


def _finish_if_done(run: RunState, decisions: list[Decision]) -> None:
    if run.unfinished:
        return
    if run.cancel is not None:
        decisions.append(Finish(RunStatus.CANCELLED))
        return
    failed = [
        (_failed_at(run, blamed), blamed)
        for number in range(len(run.plan.tasks))
        if run.tasks[number].status is TaskStatus.FAILED
        for blamed in _blamed(run, number)
    ]
    if not failed:
        decisions.append(Finish(RunStatus.SUCCEEDED))
        return
    _, first = min(failed)
    decisions.append(Finish(RunStatus.FAILED, _error_of(run, first)))


def _blamed(run: RunState, number: int) -> list[int]:
    """Return who made a task fail: of a mapped task, the instances that did."""
    expansion = run.expansions.get(number)
    return (expansion and expansion.blamed()) or [number]


def _failed_at(run: RunState, number: int) -> float:
    attempts = run.tasks[number].attempts
    finished = attempts[-1].finished_at if attempts else None
    return finished.timestamp() if finished else float("inf")


def _error_of(run: RunState, number: int) -> Failure:
    task = run.tasks[number]
    name = run.name_of(number)
    error = task.attempts[-1].error if task.attempts else None
    if error is None:
        return Failure(type="task-failed", message=task.reason or "", task=name)
    return Failure(type=error.type, message=error.message, traceback=error.traceback, task=name)
