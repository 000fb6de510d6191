"""Rows of schedules: found, read, and changed within a transaction that somebody else has."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, case, select, update

from cloacina_core.errors import ConflictError, NotFoundError
from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.names import nearest
from cloacina_core.model.following import Following
from cloacina_core.model.schedule.schedule import FiringState, Schedule
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.store import schema
from cloacina_core.store.watching import announce

_schedules, _firings = schema.schedules, schema.firings


class UnknownScheduleError(NotFoundError):
    """There is no schedule of this name."""

    code = "unknown-schedule"

    def __init__(self, name: str, near: Sequence[str]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "see: cloacina schedule list"
        super().__init__(f"there is no schedule {name[:100]!r}", hint=hint)


class ScheduleExistsError(ConflictError):
    """There is another schedule of this name."""

    code = "schedule-exists"

    def __init__(self, name: str, differs_in: Sequence[str], move: str | None) -> None:
        """Refuse a schedule.

        Args:
            name: of both.
            differs_in: in what they differ.
            move: how to have the one that is there follow what was asked for, if it can.
        """
        super().__init__(
            f"schedule {name!r} is there already, with other values of {', '.join(differs_in)}",
            hint=move or f"change it with: cloacina schedule update {name}",
        )


def find(
    connection: Connection, name: str, *, lock: bool = False, skip_locked: bool = False
) -> Row[Any] | None:
    """Return the row of a schedule; None: there is none, or it is skipped as another's."""
    query = select(_schedules).where(_schedules.c.name == name)
    if lock:
        query = query.with_for_update(skip_locked=skip_locked)
    return connection.execute(query).one_or_none()


def get(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    """Return the row of a schedule.

    Raises:
        UnknownScheduleError: there is none of this name.
    """
    row = find(connection, name, lock=lock)
    if row is None:
        names = list(connection.execute(select(_schedules.c.name)).scalars())
        raise UnknownScheduleError(name, nearest(name, names))
    return row


def change(connection: Connection, name: str, now: int, **values: Any) -> None:
    """Change a schedule, and have engines look at it; then it is seen whether it is to rest."""
    changed = {"updated_at": now, "resting_until": None, **values}
    connection.execute(update(_schedules).where(_schedules.c.name == name).values(**changed))
    announce(connection)


def next_at(schedule: Schedule, after: int) -> int | None:
    """Return when a schedule is to be looked at next, in microseconds, its jitter included."""
    firing = schedule.next_firing(from_micros(after))
    return None if firing is None else to_micros(firing.utc + schedule.delay)


def state(connection: Connection, name: str, now: int | None = None) -> ScheduleState:
    """Return a schedule, and how far it is.

    Args:
        connection: in any transaction.
        name: of the schedule.
        now: the current moment, in microseconds; None: whether it is overdue isn't asked.

    Raises:
        UnknownScheduleError: there is none of this name.
    """
    query = _with_last().where(_schedules.c.name == name)
    row = connection.execute(query).one_or_none()
    return state_of(row or get(connection, name), now)


def states(connection: Connection, now: int) -> list[ScheduleState]:
    """Return all schedules, by name."""
    rows = connection.execute(_with_last().order_by(_schedules.c.name))
    return [state_of(row, now) for row in rows]


def _with_last() -> Select[Any]:
    """Return a query for schedules, how late each started the last of its runs, and what failed."""
    lag = (
        select(_firings.c.started_at - _firings.c.at)
        .where(
            _firings.c.schedule == _schedules.c.name,
            _firings.c.started_at >= _firings.c.at,  # a clock that was set back tells no lag
            _firings.c.backfill.is_(None),
        )
        .order_by(_firings.c.at.desc())
        .limit(1)
    )
    failed = _firings.c.state == FiringState.FAILED
    failure = (
        select(case((failed, _firings.c.reason)))
        .where(
            _firings.c.schedule == _schedules.c.name,
            failed | (_firings.c.state == FiringState.STARTED),
            _firings.c.backfill.is_(None),
        )
        .order_by(_firings.c.at.desc())
        .limit(1)
    )
    return select(
        _schedules,
        lag.scalar_subquery().label("lag"),
        failure.scalar_subquery().label("last_failure"),
    )


def state_of(row: Row[Any], now: int | None = None) -> ScheduleState:
    """Return what a row tells; without what became of its last firings, if that wasn't asked."""
    schedule = Schedule.from_text(row.body)
    due = None if row.next_at is None else from_micros(row.next_at)
    is_overdue = now is not None and row.next_at is not None and row.next_at <= now
    lag = getattr(row, "lag", None)
    return ScheduleState(
        schedule=schedule,
        is_paused=row.paused,
        pause_reason=row.pause_reason,
        following=None if row.declared is None else Following.from_text(row.declared),
        started=row.started,
        next_at=None if due is None else due - schedule.delay,
        resting_until=None if row.resting_until is None else from_micros(row.resting_until),
        due_since=due if is_overdue else None,
        lag=None if lag is None else timedelta(microseconds=lag),
        last_failure=getattr(row, "last_failure", None),
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
