"""What a run under test is made to suffer: failing attempts, slow attempts, crashing engines."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from cloacina_core.engine.call import TaskCall
from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.names import nearest, split_instance
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.testing.crash_point import CrashPoint

Error: TypeAlias = BaseException | type[BaseException]
Fail: TypeAlias = Mapping[str, Error | Sequence[Error | None]]
"""By task: what its attempts raise instead of calling the function. One error means every attempt;
of several, the first is for attempt 1, and None, or the end of the sequence, lets it run. The name
of a mapped task means all its instances, unless one is named by itself: `fetch[3]`."""

Slow: TypeAlias = Mapping[str, timedelta]
"""By task, or instance: how long each of its attempts takes on the frozen clock."""

Crash: TypeAlias = str | CrashPoint | Iterable[str | CrashPoint]
"""Where engines die; each point once, so a point given twice means the first two times."""

NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Disturbances:
    """All that was asked for, checked against the workflow."""

    definition: WorkflowDefinition
    fail: Fail
    slow: Slow
    crash: tuple[CrashPoint, ...]

    @classmethod
    def checked(
        cls, definition: WorkflowDefinition, fail: Fail | None, slow: Slow | None, crash: Crash
    ) -> "Disturbances":
        """Return disturbances that fit a workflow.

        Raises:
            InputError: they name unknown tasks or can't happen; `problems` names every fault.
        """
        fail, slow = fail or {}, slow or {}
        points, problems = _parsed(crash)
        problems += _task_problems(definition, fail, slow, points)
        problems += _fail_problems(fail)
        problems += _slow_problems(slow)
        if problems:
            raise InputError(
                f"workflow {definition.name!r} can't be disturbed like that", problems=problems
            )
        return cls(definition, dict(fail), dict(slow), tuple(points))

    def around(self, call: TaskCall, function: Callable[[], Any]) -> Any:
        """Call a task's function, or raise what the attempt is to raise instead."""
        if call.fingerprint != self.definition.fingerprint:  # of a run that a task asked for
            return function()
        error = self._error_of(call)
        if error is not None:
            raise error
        return function()

    def _error_of(self, call: TaskCall) -> Error | None:
        told = self.fail.get(call.name, self.fail.get(call.task))
        if told is None or isinstance(told, BaseException | type):
            return told
        number = call.key[2]
        return told[number - 1] if number <= len(told) else None

    def duration(self, name: str) -> timedelta:
        """Return how long each attempt of a task, or of an instance, takes."""
        task, _ = split_instance(name)
        return self.slow.get(name, self.slow.get(task, NOTHING))


def _parsed(crash: Crash) -> tuple[list[CrashPoint], list[Problem]]:
    points: list[CrashPoint] = []
    problems: list[Problem] = []
    for point in [crash] if isinstance(crash, str | CrashPoint) else crash:
        try:
            points.append(point if isinstance(point, CrashPoint) else CrashPoint.parse(point))
        except InputError as error:
            problems.append(Problem("bad-crash-point", f"{error}: {error.hint}", "crash"))
    return points, problems


def _task_problems(
    definition: WorkflowDefinition, fail: Fail, slow: Slow, points: Iterable[CrashPoint]
) -> Iterator[Problem]:
    known = definition.by_name
    crashing = (point.task for point in points if point.task is not None)
    for where, tasks in (("fail", fail), ("slow", slow), ("crash", crashing)):
        for name in tasks:
            task, index = split_instance(name)
            if task not in known:
                near = nearest(task, known)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                yield Problem("unknown-task", f"there is no task {task!r}{hint}", where)
            elif index is not None and known[task].mapped is None:
                message = f"there is no {name!r}: task {task!r} isn't mapped"
                yield Problem("unknown-task", message, where)


def _fail_problems(fail: Fail) -> Iterator[Problem]:
    for task, told in fail.items():
        for error in told if isinstance(told, list | tuple) else [told]:
            if error is not None and not _can_be_raised(error):
                yield Problem("bad-failure", f"{error!r} can't be raised", f"fail[{task!r}]")


def _can_be_raised(error: object) -> bool:
    return isinstance(error, BaseException) or (
        isinstance(error, type) and issubclass(error, BaseException)
    )


def _slow_problems(slow: Slow) -> Iterator[Problem]:
    for task, duration in slow.items():
        if not isinstance(duration, timedelta) or duration < NOTHING:
            message = f"an attempt takes a timedelta of 0 or more, not {duration!r}"
            yield Problem("bad-duration", message, f"slow[{task!r}]")
