"""The graph of a workflow's tasks: cycles told as a path, order, ancestors."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter


def find_cycle(after: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return one cycle as a path whose first and last task are the same, or None.

    Args:
        after: for each task, the tasks before it.
    """
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        path: list[str] = error.args[1]
        return path
    return None


def levels(after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the tasks in rows: each stands below all that come before it.

    Within a row, tasks keep their order in `after`.

    Raises:
        graphlib.CycleError: there is a cycle.
    """
    level: dict[str, int] = {}
    for task in TopologicalSorter(after).static_order():
        level[task] = max((level[before] + 1 for before in after[task]), default=0)
    rows: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for task in after:
        rows[level[task]].append(task)
    return rows


class Ancestry:
    """Which tasks come before which, near or far. Made once for a workflow, asked in O(1).

    Each task's ancestors are the bits of one integer: 10,000 tasks take about 1 kB each.
    """

    def __init__(self, after: Mapping[str, Sequence[str]]) -> None:
        self._bit = {task: 1 << number for number, task in enumerate(after)}
        self._ancestors: dict[str, int] = {}
        for task in TopologicalSorter(after).static_order():
            bits = 0
            for before in after[task]:
                bits |= self._bit[before] | self._ancestors[before]
            self._ancestors[task] = bits

    def last_of(self, tasks: Sequence[str]) -> list[str]:
        """Return those of some tasks that come before none of the others."""
        before = 0
        for task in tasks:
            before |= self._ancestors[task]
        return [task for task in tasks if not before & self._bit[task]]
