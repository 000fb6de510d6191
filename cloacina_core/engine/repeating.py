"""Which tasks are run again when a run is, wholly or in part; the others keep their outcomes."""

from collections.abc import Iterable

from cloacina_core.engine.run_state import RunState
from cloacina_core.model.status import TaskStatus

_KEPT = (TaskStatus.SUCCEEDED, TaskStatus.SKIPPED)


def to_repeat(run: RunState, beginning: Iterable[int] = ()) -> set[int]:
    """Return the tasks that are run again.

    Those that neither succeeded nor were skipped, and those that were skipped behind them: their
    rules are decided anew. Also the ones to begin with, and everything behind those.
    """
    repeated = _with_all_behind(run, beginning)
    undone = [
        number for number in range(len(run.plan.tasks)) if run.tasks[number].status not in _KEPT
    ]
    pending = [*repeated, *undone]
    repeated.update(undone)
    while pending:
        for behind in run.plan.behind[pending.pop()]:
            if behind not in repeated and run.tasks[behind].status is TaskStatus.SKIPPED:
                repeated.add(behind)
                pending.append(behind)
    return repeated


def _with_all_behind(run: RunState, beginning: Iterable[int]) -> set[int]:
    found: set[int] = set()
    pending = list(beginning)
    while pending:
        number = pending.pop()
        if number not in found:
            found.add(number)
            pending += run.plan.behind[number]
    return found


def take_over(run: RunState, origin: RunState, repeated: set[int]) -> None:
    """Give a new run the outcomes of an earlier one, but for those of the repeated tasks."""
    for number, task in enumerate(run.tasks):
        before = origin.tasks[number]
        if number not in repeated:
            task.status = before.status
            task.changes = before.changes
            task.unseen = before.unseen
            task.reason = f"taken over from run {origin.run_id}"
            run.count_ending(number)


def instances_to_repeat(run: RunState, repeated: set[int]) -> set[int]:
    """Return the instances of repeated mapped tasks that are run again: those without success."""
    return {
        number
        for task, expansion in run.expansions.items()
        if task in repeated
        for number, instance in enumerate(expansion.instances, expansion.first)
        if instance.attempts and instance.status is not TaskStatus.SUCCEEDED
    }


def unseen_again(run: RunState, mapped: int, repeated: set[int]) -> list[int]:
    """Return what a mapped task that goes on with its list doesn't see: what is run again, too."""
    before = run.plan.before[mapped]
    return sorted(run.tasks[mapped].unseen | (repeated & set(before)))
