"""A live run in memory: what the planner decides on. The store can always make it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cloacina_core.engine.plan import Plan
from cloacina_core.engine.views import (
    SUBMITTER,
    View,
    initial_view,
    merged,
    texts_of,
    with_changes,
)
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode, decode_each
from cloacina_core.model.command import Command
from cloacina_core.model.definition import MergePolicy
from cloacina_core.model.run import AttemptResult, RunResult, RunSummary, TaskResult
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.stored import StoredRun
from cloacina_core.model.wait import Wait


class TaskState:
    """One task of a live run."""

    __slots__ = (
        "attempts",
        "called_at",
        "changes",
        "endings",
        "ran",
        "reason",
        "sleeps",
        "status",
        "stored",
        "unseen",
        "waits",
        "wake_at",
    )

    def __init__(self) -> None:
        self.status = TaskStatus.WAITING
        self.attempts: list[AttemptResult] = []
        self.reason: str | None = None
        self.wake_at: datetime | None = None
        self.changes: Mapping[str, str | None] | None = None
        """What it changed in the context, once it succeeded."""
        self.endings: dict[TaskStatus, int] = {}
        """How many of the tasks before it ended how."""
        self.unseen: frozenset[int] = frozenset()
        """Tasks before it that hadn't ended when it began, or was decided."""
        self.waits: tuple[Wait, ...] = ()
        """What its open attempt waited for, and waits for: the last one may be open."""
        self.called_at: datetime | None = None
        """When its function was called, while it runs."""
        self.ran = timedelta(0)
        """How long the calls before that took, in the open attempt."""
        self.sleeps = 0
        """How often it was put to sleep here: tells its timer from earlier ones."""
        self.stored: tuple[TaskStatus, int] | None = None
        """The status and the number of attempts in the store's row; None when there is no row."""

    @property
    def has_open_attempt(self) -> bool:
        """Whether its last attempt hasn't ended: it runs, or waits."""
        return bool(self.attempts) and self.attempts[-1].finished_at is None

    @property
    def failed_attempts(self) -> int:
        """How many attempts ended by their own fault: the death of an engine doesn't count."""
        return sum(
            1
            for attempt in self.attempts
            if attempt.outcome is not None and attempt.outcome.value in ("failed", "timed_out")
        )


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
        entry = self.run.view_before(self.number)[key]
        if entry.text is None:
            raise KeyError(key)
        return decode(entry.text)


class RunState:
    """One live run."""

    __slots__ = (
        "_views",
        "cancel",
        "edits",
        "engine_deaths",
        "initial",
        "params",
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
        context: Mapping[str, str],
    ) -> None:
        self.plan = plan
        self.summary = summary
        self.params = params
        self.initial = initial_view(context)
        self.tasks = [TaskState() for _ in plan.tasks]
        self.unfinished = len(plan.tasks)
        self.seq = 0
        """The number of the last event."""
        self.engine_deaths = 0
        self.cancel: Command | None = None
        """Who asked for its end, which waits for what runs."""
        self.signals: list[Command] = []
        """Those that no task has waited for yet, the oldest first."""
        self.edits: dict[int, Mapping[str, str | None]] = {}
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
            number = plan.number[name]
            task = state.tasks[number]
            task.stored = (row.status, len(row.attempts))
            task.attempts = list(row.attempts)
            task.reason = row.reason
            task.wake_at = row.wake_at
            task.unseen = frozenset(plan.number[before] for before in row.unseen)
            task.waits = row.waits
            task.ran = row.ran
            task.changes = stored.outputs.get(name)
            task.status = row.status
            if row.status.is_final:
                state.count_ending(number)
        return state

    @property
    def run_id(self) -> RunId:
        """The id of the run."""
        return self.summary.run_id

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self.summary.status

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
        behind it see through it, must not depend on when one looks.
        """
        before = self.plan.before[number]
        self.tasks[number].unseen = frozenset(
            earlier for earlier in before if not self.tasks[earlier].status.is_final
        )

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
        """Return the run as it is told to users."""
        return RunResult(
            summary=self.summary,
            params=dict(self.params),
            context=decode_each(texts_of(self.final_view())),
            tasks={
                definition.name: TaskResult(
                    name=definition.name,
                    status=task.status,
                    attempts=tuple(task.attempts),
                    reason=task.reason,
                )
                for definition, task in zip(self.plan.tasks, self.tasks, strict=True)
            },
        )
