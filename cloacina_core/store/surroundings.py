"""Reads what, besides the run itself, explains why a run isn't further."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.event import EventType
from cloacina_core.model.explanation import LiveLimit, Surroundings, TaskLimit
from cloacina_core.model.limit import LimitUse
from cloacina_core.model.stored import StoredRun
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import WAITING, Ownership
from cloacina_core.store.permits import IS_TAKING_ROOM, Permits
from cloacina_core.store.turns import IS_LIVE, LIVE

_runs, _events, _permits = schema.runs, schema.events, schema.permits
_TOLD = 5
_KINDS = [
    EventType.PAUSED,
    EventType.CANCEL_REQUESTED,
    EventType.TASK_DEFERRED,
    EventType.TASK_EXPANDED,
]


class SurroundingsReader:
    """Reads from one store."""

    def __init__(self, database: Database, ownership: Ownership, permits: Permits) -> None:
        self._database = database
        self._ownership = ownership
        self._permits = permits

    def read(self, stored: StoredRun) -> Surroundings:
        """Return what a run waits among."""
        named = {name for task in stored.definition.tasks for name in task.limits}
        uses = [use for use in self._permits.uses() if use.limit.name in named] if named else []
        engines = self._ownership.engines()
        run_id = stored.summary.run_id
        with self._database.read() as connection:
            now = self._database.now_micros(connection)
            row = connection.execute(select(_runs).where(_runs.c.id == run_id)).one()
            return Surroundings(
                now=from_micros(now),
                engines=tuple(engines),
                ahead=_ahead(connection, row),
                live_limits=tuple(_live_limits(connection, row)),
                task_limits={use.limit.name: self._limit(connection, use, now) for use in uses},
                events=_last_events(connection, run_id),
            )

    def _limit(self, connection: Connection, use: LimitUse, now: int) -> TaskLimit:
        of_limit = (_permits.c.limit_name == use.limit.name, _permits.c.engine.is_not(None))
        holders = select(_permits.c.run_id, _permits.c.task).where(*of_limit, IS_TAKING_ROOM)
        rows = connection.execute(holders.order_by(_permits.c.started_at).limit(_TOLD))
        return TaskLimit(
            use=use,
            holders=tuple((RunId(row.run_id), row.task) for row in rows),
            next_start=self._permits.next_start(connection, use.limit, now),
        )


def _ahead(connection: Connection, row: Any) -> int:
    """Count the runs that wait and come before one that does."""
    before = or_(
        _runs.c.priority > row.priority,
        and_(_runs.c.priority == row.priority, _runs.c.id < row.id),
    )
    return connection.execute(select(func.count()).where(*WAITING, before)).scalar_one()


def _live_limits(connection: Connection, row: Any) -> list[LiveLimit]:
    found = []
    for shared, name, size, among in (
        (f"workflow {row.limited_as}", "limited_as", row.max_live_runs, schema.LIVE_LIMITED),
        (
            f"concurrency key {row.concurrency_key!r}",
            "concurrency_key",
            row.max_live_per_key,
            schema.LIVE_KEYED,
        ),
    ):
        if row._mapping[name] is not None:  # noqa: SLF001 - SQLAlchemy's name for it
            query = select(LIVE.c.id).where(among, IS_LIVE, LIVE.c[name] == row._mapping[name])  # noqa: SLF001
            ids = connection.execute(query.order_by(LIVE.c.id)).scalars().all()
            others = tuple(RunId(one) for one in ids if one != row.id)
            found.append(
                LiveLimit(shared=shared, size=size, live=len(others), holders=others[:_TOLD])
            )
    return found


def _last_events(
    connection: Connection, run_id: RunId, kinds: Collection[EventType] = tuple(_KINDS)
) -> dict[tuple[EventType, str | None], tuple[Any, str | None]]:
    query = select(_events).where(_events.c.run_id == run_id)
    query = query.where(_events.c.type.in_([kind.value for kind in kinds])).order_by(_events.c.seq)
    return {
        (EventType(row.type), row.task): (from_micros(row.at), row.reason)
        for row in connection.execute(query)
    }
