"""Explains why a run isn't further than it is. No I/O: decides on what was read."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from cloacina_core.engine.run_state import RunState, Upstream
from cloacina_core.engine.task_state import TaskState
from cloacina_core.engine.views import MergeConflictError
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.command import CommandKind
from cloacina_core.model.drawing import rule_text
from cloacina_core.model.engine import EngineState, EngineSummary
from cloacina_core.model.event import EventType
from cloacina_core.model.explanation import (
    Explanation,
    LiveLimit,
    Reason,
    ReasonKind,
    Surroundings,
    TaskExplanation,
    TaskLimit,
)
from cloacina_core.model.rules import all_done, all_succeeded, none_failed, undecided
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.stored import StoredRun
from cloacina_core.model.wait import WaitKind, WaitState, awaited

_TOLD = 5
"""How many names are told; all are counted."""

_ALL_BEFORE = (all_succeeded, all_done, none_failed)
"""Rules that wait for every task before."""


def explain(run: RunState, stored: StoredRun, around: Surroundings) -> Explanation:
    """Return why a run, and each of its tasks that hasn't ended, isn't further.

    Args:
        run: the run as the store tells it.
        stored: the same, as it was read.
        around: what else was read, at about the same time.
    """
    if run.status.is_final:
        command = f"cloacina runs show {run.run_id}"
        return Explanation(
            run_id=run.run_id, status=run.status, reason=None, tasks=(), next_command=command
        )
    return _Explainer(run, stored, around).explanation()


class _Explainer:
    """Explains one run."""

    def __init__(self, run: RunState, stored: StoredRun, around: Surroundings) -> None:
        self._run = run
        self._stored = stored
        self._around = around
        engine = run.summary.engine
        self._owner = next((one for one in around.engines if one.engine_id == engine), None)
        self._reason = self._of_run()

    def explanation(self) -> Explanation:
        tasks = []
        for number, definition in enumerate(self._run.plan.tasks):
            if not self._run.tasks[number].status.is_final:
                status, reason = self._of_task(number)
                tasks.append(TaskExplanation(task=definition.name, status=status, reason=reason))
        return Explanation(
            run_id=self._run.run_id,
            status=self._run.status,
            reason=self._reason,
            tasks=tuple(tasks),
            next_command=self._next_command(tasks),
        )

    # The run.

    def _of_run(self) -> Reason | None:
        cancel = [one for one in self._stored.commands if one.kind is CommandKind.CANCEL]
        if cancel:
            since, _ = self._last(EventType.CANCEL_REQUESTED)
            message = f"it is cancelled {cancel[0]}; what runs is given a grace to end"
            facts: dict[str, JsonValue] = {"by": cancel[0].asked_by}
            return Reason(kind=ReasonKind.CANCELLING, message=message, since=since, facts=facts)
        if self._run.status is RunStatus.PAUSED:
            since, by = self._last(EventType.PAUSED)
            return Reason(
                kind=ReasonKind.PAUSED,
                message=f"it is paused {by or ''}".rstrip(),
                since=since,
                facts={"by": by},
            )
        if self._run.summary.engine is None or self._owner is None:
            return self._unowned()
        if self._owner.state is not EngineState.ALIVE:
            message = f"engine {self._owner.engine_id} is gone; another one takes the run"
            return self._queue(message, since=self._owner.lease_until)
        return None

    def _unowned(self) -> Reason:
        since = self._stored.queued_at
        if self._run.status is RunStatus.RUNNING:
            return self._queue("its engine ended; another one is to take it", since=None)
        for limit in self._around.live_limits:
            if limit.live >= limit.size:
                return _no_turn(limit, since)
        ahead = self._around.ahead
        place = f"{_count(ahead, 'run')} before it" if ahead else "it is the next one"
        return self._queue(f"it waits for an engine: {place}", since=since)

    def _queue(self, message: str, since: datetime | None) -> Reason:
        alive = [one for one in self._around.engines if one.state is EngineState.ALIVE]
        facts: dict[str, JsonValue] = {"ahead": self._around.ahead, "engines_alive": len(alive)}
        if not alive:
            return Reason(
                kind=ReasonKind.NO_ENGINE,
                message="no engine is alive that could take it",
                since=since,
                facts=facts,
            )
        have_room = [one for one in alive if one.slots_used + one.slots_lost < one.slots]
        if have_room and not self._around.ahead and since and _is_long_ago(since, self._around.now):
            message += "; engines have room and leave it: they may not have its code"
        return Reason(kind=ReasonKind.QUEUE, message=message, since=since, facts=facts)

    # Its tasks.

    def _of_task(self, number: int) -> tuple[TaskStatus, Reason]:
        task = self._run.tasks[number]
        if number in self._run.expansions:
            return task.status, self._instances(number)
        if task.status is TaskStatus.RUNNING:
            return task.status, self._running(number, task)
        if task.status is TaskStatus.SLEEPING:
            return task.status, self._sleeping(number, task)
        undecided_rule = self._undecided(number) if task.status is TaskStatus.WAITING else None
        if undecided_rule is not None:
            return task.status, undecided_rule
        return TaskStatus.READY, self._ready(number)

    def _instances(self, number: int) -> Reason:
        expansion = self._run.expansions[number]
        counts = Counter(one.status.value for one in expansion.instances)
        told = ", ".join(f"{count} {status}" for status, count in counts.items())
        since, _ = self._last(EventType.TASK_EXPANDED, self._run.name_of(number))
        facts: dict[str, JsonValue] = {"count": len(expansion.instances), "by_status": dict(counts)}
        return Reason(
            kind=ReasonKind.INSTANCES,
            message=f"of {len(expansion.instances)} instances, {told}",
            since=since,
            facts=facts,
        )

    def _running(self, number: int, task: TaskState) -> Reason:
        attempt = task.attempts[-1]
        facts: dict[str, JsonValue] = {"attempt": attempt.number, "engine": attempt.engine}
        if self._reason is not None and self._reason.kind is ReasonKind.CANCELLING:
            message = f"attempt {attempt.number} was asked to end"
            return Reason(
                kind=ReasonKind.CANCELLING, message=message, since=self._reason.since, facts=facts
            )
        if self._reason is not None and self._reason.kind in _OF_ENGINE:
            return self._reason
        timeout = self._run.definition_of(number).timeout
        return Reason(
            kind=ReasonKind.RUNNING,
            message=f"attempt {attempt.number} is at work in engine {attempt.engine}",
            since=attempt.started_at,
            until=None if timeout is None else attempt.started_at + timeout,
            facts=facts,
        )

    def _sleeping(self, number: int, task: TaskState) -> Reason:
        attempt = task.attempts[-1] if task.attempts else None
        if not task.waits:
            after = f"attempt {len(task.attempts)} failed: {attempt and attempt.error}"
            return Reason(
                kind=ReasonKind.RETRY,
                message=f"{_first_line(after)}; it is tried again",
                since=None if attempt is None else attempt.finished_at,
                until=task.wake_at,
                facts={"attempt": len(task.attempts) + 1},
            )
        wait = task.waits[-1]
        since, _ = self._last(EventType.TASK_DEFERRED, self._run.name_of(number))
        kind, facts = ReasonKind.SLEEPING, dict[str, JsonValue]()
        if wait.kind is WaitKind.SIGNAL:
            kind, facts = ReasonKind.SIGNAL, {"signal": wait.signal}
        elif wait.event is not None and wait.state is WaitState.OPEN:
            kind, facts = ReasonKind.EVENT, {"event": wait.event.name, "where": wait.event.where}
        elif children := awaited(task.waits):
            kind, facts = ReasonKind.CHILDREN, {"runs": [child.run_id for child in children]}
        return Reason(
            kind=kind, message=f"it waits {wait}", since=since, until=task.wake_at, facts=facts
        )

    def _undecided(self, number: int) -> Reason | None:
        """Return what a task's rule waits for; None when the rule holds."""
        plan, upstream = self._run.plan, Upstream(self._run, number)
        rule = plan.tasks[number].rule
        try:
            if rule.decide(upstream) is not None:
                return None
        except MergeConflictError:
            return None
        open_before = [
            plan.tasks[before].name
            for before in plan.before[number]
            if not self._run.tasks[before].status.is_final
        ]
        facts: dict[str, JsonValue] = {"tasks": list(open_before)}
        since = self._run.summary.started_at
        if rule in _ALL_BEFORE:
            message = f"it comes after {_names(open_before)}"
            return Reason(kind=ReasonKind.DEPENDENCY, message=message, since=since, facts=facts)
        parts = [rule_text(part.to_json()) for part in undecided(rule, upstream)]
        facts["parts"] = list(parts)
        message = f"its rule isn't decided: {_names(parts)}; {_names(open_before)} must end"
        return Reason(kind=ReasonKind.RULE, message=message, since=since, facts=facts)

    def _ready(self, number: int) -> Reason:
        """Return why a task that may begin doesn't."""
        if self._reason is not None:
            return self._reason
        since = self._ready_since(number)
        for name in self._run.definition_of(number).limits:
            limit = self._around.task_limits.get(name)
            full = None if limit is None else _no_room(limit, since)
            if full is not None:
                return full
        if self._run.is_suspect:
            deaths = self._run.engine_deaths
            message = f"it begins alone: {deaths} engines in a row died while this run was at work"
            facts: dict[str, JsonValue] = {"engine_deaths": deaths}
            return Reason(kind=ReasonKind.SLOT, message=message, since=since, facts=facts)
        return _no_slot(self._owner, since)

    def _ready_since(self, number: int) -> datetime | None:
        """Return when a task could have begun: when the last task before it ended, or it woke."""
        moments = [
            attempt.finished_at
            for one in (number, *self._run.plan.before[number])
            for attempt in self._run.tasks[one].attempts
            if attempt.finished_at is not None
        ]
        return max(moments, default=self._run.summary.started_at)

    def _last(
        self, event: EventType, task: str | None = None
    ) -> tuple[datetime | None, str | None]:
        return self._around.events.get((event, task), (None, None))

    def _next_command(self, tasks: list[TaskExplanation]) -> str:
        run_id = self._run.run_id
        reasons = [self._reason, *(task.reason for task in tasks)]
        for reason in reasons:
            if reason is None:
                continue
            if reason.kind is ReasonKind.SIGNAL:
                return f"cloacina runs signal {run_id} {reason.facts['signal']}"
            if reason.kind is ReasonKind.EVENT:
                return f"cloacina event send {reason.facts['event']}"
            if reason.kind is ReasonKind.LIMIT and "runs" in reason.facts:
                holders = reason.facts["runs"]
                first = holders[0] if isinstance(holders, list) and holders else run_id
                return f"cloacina runs explain {first}"
            if reason.kind in _NEXT:
                return _NEXT[reason.kind].format(run_id)
        return f"cloacina runs events {run_id}"


_OF_ENGINE = (ReasonKind.QUEUE, ReasonKind.NO_ENGINE)
_NEXT: Mapping[ReasonKind, str] = {
    ReasonKind.PAUSED: "cloacina runs resume {}",
    ReasonKind.NO_ENGINE: "cloacina engine run",
    ReasonKind.QUEUE: "cloacina engines list",
    ReasonKind.SLOT: "cloacina engines list",
    ReasonKind.LIMIT: "cloacina limits list",
    ReasonKind.RATE: "cloacina limits list",
    ReasonKind.RETRY: "cloacina runs show {}",
}
_LONG = timedelta(seconds=15)


def _is_long_ago(moment: datetime, now: datetime) -> bool:
    return now - moment > _LONG


def _no_turn(limit: LiveLimit, since: datetime) -> Reason:
    facts: dict[str, JsonValue] = {
        "limit": limit.shared,
        "size": limit.size,
        "taken": limit.live,
        "runs": list(limit.holders),
    }
    message = f"{limit.live} of at most {_count(limit.size, 'run')} of {limit.shared} are live"
    return Reason(kind=ReasonKind.LIMIT, message=message, since=since, facts=facts)


def _no_room(limit: TaskLimit, since: datetime | None) -> Reason | None:
    use = limit.use
    facts: dict[str, JsonValue] = {"limit": use.limit.name}
    if use.limit.size is not None and use.at_work >= use.limit.size:
        held = _names([f"{task} of run {run_id}" for run_id, task in limit.holders])
        message = f"limit {use.limit.name!r} has room for {use.limit.size}"
        facts |= {
            "size": use.limit.size,
            "taken": use.at_work,
            "held_by": [{"run_id": run_id, "task": task} for run_id, task in limit.holders],
        }
        message += f", taken by {held}" if held else ""
        return Reason(kind=ReasonKind.LIMIT, message=message, since=since, facts=facts)
    if limit.next_start is None:
        return None
    return Reason(
        kind=ReasonKind.RATE,
        message=f"limit {use.limit.name!r} allows {use.limit.rate} starts, which were used",
        since=since,
        until=limit.next_start,
        facts={**facts, "rate": str(use.limit.rate), "started": use.started},
    )


def _no_slot(engine: EngineSummary | None, since: datetime | None) -> Reason:
    if engine is None:
        return Reason(kind=ReasonKind.SLOT, message="it is about to begin", since=since)
    facts: dict[str, JsonValue] = {
        "engine": engine.engine_id,
        "slots": engine.slots,
        "used": engine.slots_used,
        "lost": engine.slots_lost,
    }
    taken = engine.slots_used + engine.slots_lost
    if not engine.slots:
        message = f"engine {engine.engine_id} has no slot now: other tenants' engines have all"
    elif taken < engine.slots:
        message = f"it is about to begin: {taken} of {engine.slots} slots were taken when last told"
    else:
        message = f"all {engine.slots} slots of engine {engine.engine_id} are taken"
        message += f", {engine.slots_lost} of them lost" if engine.slots_lost else ""
    return Reason(kind=ReasonKind.SLOT, message=message, since=since, facts=facts)


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]
