"""Finds again what observers are told, for those that must not miss any of it.

Observers are told while the engine lives. What was committed and not told any more is still in the
store: runs that ended, by the moment of their end, and tasks that wait for a signal.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.model.observed import DescribedRun, FailedStart, SignalWait, Starter
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitState
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.failed_starts import failed_starts
from cloacina_core.store.reading import event_of, summary_of

_runs, _tasks, _events = schema.runs, schema.tasks, schema.events
_later = _events.alias("later")

_ENDS = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}


class StoredHistory:
    """The `RunHistory` (see `cloacina_core.plugin`) of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ends(
        self, status: RunStatus, after: datetime, last: RunId | None = None, limit: int = 500
    ) -> Sequence[RunEvent]:
        """Return the ends of runs, those that ended first first."""
        query = (
            select(_events)
            .join_from(_runs, _events, _events.c.run_id == _runs.c.id)
            .where(
                _runs.c.status == status.value,
                _is_behind(to_micros(after), last),
                _events.c.seq == _last_event(_runs.c.id, _later.c.type == _ENDS[status].value),
            )
            .order_by(_runs.c.finished_at, _runs.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [event_of(row) for row in connection.execute(query).mappings()]

    def signal_waits(
        self, after: RunId | None = None, limit: int = 500
    ) -> tuple[Sequence[SignalWait], RunId | None]:
        """Return what waits for signals in live runs, and where the next page begins."""
        live = select(_runs.c.id).where(schema.LIVE).order_by(_runs.c.id).limit(limit)
        if after is not None:
            live = live.where(_runs.c.id > after)
        with self._database.read() as connection:
            runs = connection.scalars(live).all()
            waits = _waits_of(connection, [RunId(run_id) for run_id in runs])
        return waits, RunId(runs[-1]) if len(runs) == limit else None

    def signal_waits_of(self, run_id: RunId) -> Sequence[SignalWait]:
        """Return what waits for signals in one run."""
        with self._database.read() as connection:
            return _waits_of(connection, [run_id])

    def describe(self, run_ids: Collection[RunId]) -> Mapping[RunId, DescribedRun]:
        """Return some runs as they stand, without those that aren't there any more."""
        query = select(_runs).where(_runs.c.id.in_(run_ids))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            tags = _tags(connection, {row.definition for row in rows})
        return {
            RunId(row.id): DescribedRun(summary_of(row), tags.get(row.definition, {}))
            for row in rows
        }

    def failed_starts(
        self,
        starter: Starter,
        after: datetime,
        last: FailedStart | None = None,
        limit: int = 500,
    ) -> Sequence[FailedStart]:
        """Return what couldn't be started, what failed first first."""
        return failed_starts(self._database, starter, after, last, limit)


def _is_behind(micros: int, last: RunId | None) -> ColumnElement[bool]:
    """Return the condition that a run ended behind another one, as ends are sorted.

    Said so that the index on the moment is used, which a comparison of pairs isn't.
    """
    if last is None:
        return _runs.c.finished_at > micros
    return and_(
        _runs.c.finished_at >= micros,
        or_(_runs.c.finished_at > micros, _runs.c.id > last),
    )


def _last_event(run_id: ColumnElement[str], *conditions: ColumnElement[bool]) -> Any:
    """Return the number of the last of those events of a run that fit."""
    query = select(_later.c.seq).where(_later.c.run_id == run_id, *conditions)
    return query.order_by(_later.c.seq.desc()).limit(1).scalar_subquery()


def _waits_of(connection: Connection, run_ids: Sequence[RunId]) -> list[SignalWait]:
    told = _last_event(
        _tasks.c.run_id,
        _later.c.type == EventType.TASK_DEFERRED.value,
        _later.c.task == _tasks.c.name,
    )
    query = (
        select(_tasks.c.run_id, _tasks.c.name, _tasks.c.waits, _events.c.seq, _events.c.at)
        .join_from(_tasks, _events, _events.c.run_id == _tasks.c.run_id)
        .where(
            _tasks.c.run_id.in_(run_ids),
            _tasks.c.status == TaskStatus.SLEEPING.value,
            _tasks.c.waits.is_not(None),
            _events.c.seq == told,
        )
        .order_by(_tasks.c.run_id, _events.c.seq)
    )
    return [
        SignalWait(
            run_id=RunId(run_id),
            seq=seq,
            task=task,
            signal=wait.signal,
            since=from_micros(at),
            until=wait.until,
        )
        for run_id, task, waits, seq, at in connection.execute(query)
        if (wait := _open_wait(waits)) is not None and wait.signal is not None
    ]


def _open_wait(text: str) -> Wait | None:
    """Return what a task waits for; None when that is over."""
    *_, last = (Wait.from_json(wait) for wait in json.loads(text)["waits"])
    return last if last.state is WaitState.OPEN else None


def _tags(connection: Connection, digests: Collection[str]) -> dict[str, Mapping[str, str]]:
    definitions = schema.definitions
    query = select(definitions).where(definitions.c.digest.in_(digests))
    return {row.digest: json.loads(row.body)["tags"] for row in connection.execute(query)}
