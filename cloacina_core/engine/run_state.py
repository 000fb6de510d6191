"""A live run in memory: what the planner decides on. The store can always make it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cloacina_core.engine.expansion import Expansion, items_in
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.task_state import TaskState
from cloacina_core.engine.views import (
    SUBMITTER,
    View,
    initial_view,
    merged,
    values_of,
    with_changes,
)
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode, decode_each
from cloacina_core.foundation.names import instance_name, split_instance
from cloacina_core.model.command import Command
from cloacina_core.model.definition import MergePolicy, TaskDefinition
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.run import RunResult, RunSummary, TaskResult
from cloacina_core.model.spilled import Encoded, text_of, texts_of_all
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.stored import StoredRun, StoredTask
from cloacina_core.model.wait import awaited

MAX_ENGINE_DEATHS = 3
"""A run at which so many engines died, one after the other, is taken for the cause."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """What a task's rule may look at."""

    run: "RunState"
    number: int

    @property
    def total(self) -> int:
        """How many tasks stand before."""
        return len(self.run.plan.before[self.number])

    def count(self, status: TaskStatus) -> int:
        """How many of them ended so."""
        return self.run.tasks[self.number].endings.get(status, 0)

    def status(self, task: str) -> TaskStatus:
        """How one of them stands."""
        return self.run.tasks[self.run.plan.number[task]].status

    def value(self, key: str) -> JsonValue:
        """Return the merged context's value of a key."""
        value = self.run.view_before(self.number)[key].value
        if value is None:
            raise KeyError(key)
        return decode(text_of(value))


class RunState:
    """One live run."""

    __slots__ = (
        "_owners",
        "_views",
        "at_hand",
        "cancel",
        "edits",
        "engine_deaths",
        "expansions",
        "initial",
        "life",
        "log_parts",
        "params",
        "params_text",
        "plan",
        "seq",
        "signals",
        "summary",
        "tasks",
        "unfinished",
    )

    def __init__(
        self,
        plan: Plan,
        summary: RunSummary,
        *,
        params: Mapping[str, JsonValue],
        context: Mapping[str, Encoded],
    ) -> None:
        self.plan = plan
        self.summary = summary
        self.params = params
        self.params_text: Encoded | None = None
        """The params as they are to be stored, when somebody encoded them already."""
        self.initial = initial_view(context)
        self.tasks = [TaskState() for _ in plan.tasks]
        """By number: the tasks of the plan, and behind them the instances of mapped tasks."""
        self.expansions: dict[int, Expansion] = {}
        """Of the mapped tasks that have begun, by their numbers."""
        self._owners: list[Expansion] = []
        self.unfinished = len(plan.tasks)
        self.seq = 0
        """The number of the last event."""
        self.log_parts = 0
        """How many rows of what its tasks said this engine has written."""
        self.engine_deaths = 0
        self.life = 0
        """Which time it is that its engine has it: tells its timers from those of earlier lives."""
        self.cancel: Command | None = None
        """Who asked for its end, which waits for what runs."""
        self.at_hand: set[int] = set()
        """Its task runs that are ready or under way here; without any, it only waits."""
        self.signals: list[Command] = []
        """Those that no task has waited for yet, the oldest first."""
        self.edits: dict[int, Mapping[str, Encoded | None]] = {}
        """For some tasks, encoded values that are laid over what they see."""
        self._views: dict[int, View] = {}

    @classmethod
    def restore(cls, plan: Plan, stored: StoredRun) -> "RunState":
        """Return a run as the store knows it."""
        state = cls(
            plan,
            stored.summary,
            params=stored.params,
            context=stored.context,
        )
        state.seq = stored.last_seq
        state.engine_deaths = stored.engine_deaths
        state.signals = list(stored.signals)
        state.edits = {plan.number[name]: edits for name, edits in stored.edits.items()}
        for name, row in stored.tasks.items():
            if name in plan.number:
                state._restore_task(plan.number[name], row, stored.outputs.get(name))
        for name, row in stored.tasks.items():
            task, index = split_instance(name)
            if index is not None:
                expansion = state.expansions[plan.number[task]]
                expansion.instances[index].restore(row, stored.outputs.get(name))
        for number, expansion in state.expansions.items():
            status = state.tasks[number].status
            if not status.is_final:
                expansion.recount()
                continue
            expansion.cancel_rest()
            if status is TaskStatus.SUCCEEDED:
                state.tasks[number].changes = expansion.gathered()
        return state

    def _restore_task(
        self, number: int, row: StoredTask, changes: Mapping[str, Encoded | None] | None
    ) -> None:
        self.tasks[number].restore(row, changes)
        self.tasks[number].unseen = frozenset(self.plan.number[before] for before in row.unseen)
        mapped = self.plan.tasks[number].mapped
        if row.instances is not None and mapped is not None:
            self._add_instances(number, mapped, row.instances)
        if row.status.is_final:
            self.count_ending(number)

    @property
    def run_id(self) -> RunId:
        """The id of the run."""
        return self.summary.run_id

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self.summary.status

    @property
    def is_suspect(self) -> bool:
        """Whether one more death of an engine at the run is the end of it."""
        return self.engine_deaths >= MAX_ENGINE_DEATHS - 1

    @property
    def is_limited(self) -> bool:
        """Whether only so many runs like it may be live at a time."""
        limit = self.plan.definition.max_live_runs
        return limit is not None or self.summary.concurrency_key is not None

    def name_of(self, number: int) -> str:
        """Return the name of a task run; that of an instance is written `fetch[3]`."""
        expansion = self.expansion_of(number)
        if expansion is None:
            return self.plan.tasks[number].name
        name = self.plan.tasks[expansion.task].name
        return instance_name(name, number - expansion.first)

    def number_of(self, name: str) -> int | None:
        """Return the number of the task run with a name, as `name_of` writes it; None: no such."""
        task, index = split_instance(name)
        number = self.plan.number.get(task)
        if number is None or index is None:
            return number
        expansion = self.expansions.get(number)
        if expansion is None or index >= len(expansion.instances):
            return None
        return expansion.first + index

    def definition_of(self, number: int) -> TaskDefinition:
        """Return the definition of a task, or of the task that an instance is of."""
        expansion = self.expansion_of(number)
        return self.plan.tasks[number if expansion is None else expansion.task]

    def expansion_of(self, number: int) -> Expansion | None:
        """Return what an instance belongs to; None for the tasks of the plan."""
        behind = number - len(self.plan.tasks)
        return None if behind < 0 else self._owners[behind]

    def expand(self, number: int, mapped: Mapped) -> Expansion:
        """Make a mapped task instances, one for each element of the list that it sees.

        Raises:
            MergeConflictError: the task's merge policy doesn't settle a conflict.
            ExpansionError: there is no list.
            LostValueError: the list was spilled, and is lost.
        """
        values = values_of(self.view_before(number))
        items = items_in(values, mapped)
        expansion = self._add_instances(number, mapped, len(items))
        expansion.hold(values, items)
        return expansion

    def _add_instances(self, number: int, mapped: Mapped, size: int) -> Expansion:
        """Number the instances of a mapped task behind all that is there."""
        expansion = Expansion(mapped, number, first=len(self.tasks), size=size)
        self.expansions[number] = expansion
        self.tasks += expansion.instances
        self._owners += [expansion] * size
        return expansion

    def is_idle_instance(self, number: int) -> bool:
        """Whether a task run is an instance that waits for its turn, of which nothing is told."""
        is_waiting = self.tasks[number].status is TaskStatus.WAITING
        return is_waiting and self.expansion_of(number) is not None

    def at_work(self) -> list[int]:
        """Return the task runs of which an attempt is under way."""
        return [
            number
            for number, task in enumerate(self.tasks)
            if task.status is TaskStatus.RUNNING and number not in self.expansions
        ]

    @property
    def is_awaited(self) -> bool:
        """Whether a task of another run waits for it."""
        parent = self.summary.parent
        return parent is not None and parent.waits

    def awaits_runs(self) -> bool:
        """Whether tasks of it wait for other runs, or did when they ended."""
        return any(awaited(task.waits) for task in self.tasks)

    def change(self, **changes: object) -> None:
        """Change facts of the run's summary."""
        self.summary = replace(self.summary, **changes)  # type: ignore[arg-type]

    def count_ending(self, number: int) -> None:
        """Tell the tasks behind a task that it has ended."""
        status = self.tasks[number].status
        self.unfinished -= 1
        for behind in self.plan.behind[number]:
            endings = self.tasks[behind].endings
            endings[status] = endings.get(status, 0) + 1

    def fix_what_is_seen(self, number: int) -> None:
        """Let a task see the tasks before it that have ended by now, and no others ever.

        A task may begin, or be skipped, before all of them have: what it sees, and what those
        behind it see through it, must not depend on when one looks. An instance sees what its
        mapped task was let see.
        """
        if self.expansion_of(number) is not None:
            return
        before = self.plan.before[number]
        self.tasks[number].unseen = frozenset(
            earlier for earlier in before if not self.tasks[earlier].status.is_final
        )

    def values_before(self, number: int) -> Mapping[str, Encoded]:
        """Return the encoded values that a task is called with.

        Raises:
            MergeConflictError: the task's merge policy doesn't settle a conflict.
        """
        expansion = self.expansion_of(number)
        if expansion is None:
            return values_of(self.view_before(number))
        return self._unpacked(expansion).values

    def item_before(self, number: int) -> tuple[str, int] | tuple[None, None]:
        """Return the encoded item of an instance and its index."""
        expansion = self.expansion_of(number)
        if expansion is None:
            return None, None
        index = number - expansion.first
        return self._unpacked(expansion).items[index], index

    def _unpacked(self, expansion: Expansion) -> Expansion:
        """Return an expansion with its items: after a restart, they are looked up again."""
        if not expansion.items:
            values = values_of(self.view_before(expansion.task))
            expansion.hold(values, items_in(values, expansion.mapped))
        return expansion

    def view_before(self, number: int) -> View:
        """Return what a task sees: the merge of what the tasks before it left.

        Raises:
            MergeConflictError: the task's merge policy doesn't settle a conflict.
        """
        policies = self.plan.tasks[number].merge
        return self._seen(number, policies)

    def _seen(self, number: int, policies: Mapping[str, MergePolicy]) -> View:
        merge = self._merge(self._ended_before(number), policies, number)
        return with_changes(merge, number, self.edits.get(number))

    def final_view(self) -> View:
        """Return the merge, in declared order, of what the last tasks left."""
        left = []
        for leaf in self.plan.leaves:
            left += [leaf] if self.tasks[leaf].status.is_final else self._ended_before(leaf)
        return self._merge(left, {}, SUBMITTER)

    def _ended_before(self, number: int) -> list[int]:
        unseen = self.tasks[number].unseen
        return [
            earlier
            for earlier in self.plan.before[number]
            if self.tasks[earlier].status.is_final and earlier not in unseen
        ]

    def _merge(
        self, numbers: Sequence[int], policies: Mapping[str, MergePolicy], merger: int
    ) -> View:
        if not numbers:
            return self.initial
        views = [self._view_after(number) for number in numbers]
        return merged(self.plan, views, policies, merger)

    def _view_after(self, number: int) -> View:
        """Return what an ended task leaves; one that didn't succeed passes on what was there.

        Walks back without recursion: a chain may be longer than Python's stack.
        """
        pending = [number]
        while pending:
            task = pending[-1]
            before = self._ended_before(task)
            missing = [n for n in before if n not in self._views]
            if missing and task not in self._views:
                pending += missing
                continue
            pending.pop()
            if task not in self._views:
                succeeded = self.tasks[task].status is TaskStatus.SUCCEEDED
                policies = self.plan.tasks[task].merge if succeeded else {}
                seen = self._seen(task, policies)
                self._views[task] = with_changes(seen, task, self.tasks[task].changes)
        return self._views[number]

    def result(self) -> RunResult:
        """Return the run as it is told to users.

        Raises:
            LostValueError: a value was spilled, and is lost.
            StoreUnavailableError: one can't be fetched now.
        """
        return RunResult(
            summary=self.summary,
            params=dict(self.params),
            context=decode_each(texts_of_all(values_of(self.final_view()))),
            tasks={
                definition.name: self._task_result(number)
                for number, definition in enumerate(self.plan.tasks)
            },
        )

    def _task_result(self, number: int) -> TaskResult:
        task, expansion = self.tasks[number], self.expansions.get(number)
        instances = None
        if expansion is not None:
            numbers = range(expansion.first, expansion.first + len(expansion.instances))
            instances = tuple(map(self._task_result, numbers))
        return TaskResult(
            name=self.name_of(number),
            status=task.status,
            attempts=tuple(task.attempts),
            reason=task.reason,
            instances=instances,
        )
