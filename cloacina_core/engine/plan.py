"""A workflow's graph in the form that planning needs: tasks by number. Shared by all its runs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.graph import Ancestry


class Plan:
    """The static part of runs of one definition. Tasks are numbered in declared order."""

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition = definition
        self.tasks: Sequence[TaskDefinition] = definition.tasks
        self.number: Mapping[str, int] = {
            task.name: number for number, task in enumerate(definition.tasks)
        }
        self.before: Sequence[tuple[int, ...]] = [
            tuple(self.number[name] for name in task.after) for task in definition.tasks
        ]
        behind: list[list[int]] = [[] for _ in definition.tasks]
        for number, before in enumerate(self.before):
            for earlier in before:
                behind[earlier].append(number)
        self.behind: Sequence[Sequence[int]] = behind
        self.leaves = tuple(number for number, after in enumerate(behind) if not after)

    @cached_property
    def ancestry(self) -> Ancestry:
        """Who comes before whom; only needed when tasks wrote different values of a key."""
        return Ancestry({task.name: task.after for task in self.tasks})

    def last_of(self, numbers: Iterable[int]) -> list[int]:
        """Return those of some tasks that come before none of the others."""
        last = self.ancestry.last_of([self.tasks[number].name for number in numbers])
        return [self.number[name] for name in last]
