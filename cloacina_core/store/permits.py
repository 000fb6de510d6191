"""Lets attempts in where limits have room, over all engines.

What a limit's room is taken by is never counted up and down: it follows from who has which run, and
which attempts have ended. An engine that dies has no runs any more, and so takes no room. A limit's
row is locked while one looks: two engines never see the same room.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, or_, select, update

from cloacina_core.errors import UnknownLimitError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.limit import Limit, LimitUse, Rate, Refusal, Room
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.watching import announce

_limits, _permits = schema.limits, schema.permits
_runs, _attempts = schema.runs, schema.attempts
_MICROSECOND = timedelta(microseconds=1)

IS_TAKING_ROOM = and_(
    exists().where(
        _runs.c.id == _permits.c.run_id, _runs.c.engine == _permits.c.engine, schema.LIVE
    ),
    ~exists().where(
        _attempts.c.run_id == _permits.c.run_id,
        _attempts.c.task == _permits.c.task,
        _attempts.c.number == _permits.c.attempt,
        _attempts.c.finished_at.is_not(None),
    ),
)
"""What is true of a permit whose attempt may be under way."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attempt that names limits."""

    run_id: RunId
    task: str
    attempt: int
    limits: tuple[str, ...]
    is_start: bool
    """False when it goes on after a wait."""


class Permits:
    """Limits, and who was let in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, wanted: Sequence[Wanted], engine: EngineId) -> list[Refusal | None]:
        """Let attempts in, in order, as far as there is room; return why one isn't.

        To ask again, because it isn't known whether an answer was lost, counts nothing twice.
        """
        names = {name for one in wanted for name in one.limits}
        with self._database.begin() as connection:
            limits = _locked(connection, names)
            if not limits:
                return [None] * len(wanted)
            _forget_lost_answers(connection, wanted)
            now = self._database.now_micros(connection)
            room = _room(connection, limits, now)
            refusals = []
            for one in wanted:
                refusal = room.let_in(one.limits, is_start=one.is_start)
                refusals.append(refusal)
                if refusal is None:
                    for name in limits.keys() & set(one.limits):
                        _let_in(connection, name, one, engine, now)
            return refusals

    def set(self, limit: Limit) -> None:
        """Say how large a limit is; engines look at once whether there is more room."""
        facts = {
            "size": limit.size,
            "rate_starts": limit.rate and limit.rate.starts,
            "rate_period": limit.rate and limit.rate.period // _MICROSECOND,
        }
        with self._database.begin() as connection:
            changed = update(_limits).where(_limits.c.name == limit.name).values(**facts)
            if not connection.execute(changed).rowcount:
                connection.execute(insert(_limits).values(name=limit.name, **facts))
            announce(connection)

    def remove(self, name: str) -> None:
        """Let all tasks through that name a limit.

        Raises:
            UnknownLimitError: there is none of this name.
        """
        with self._database.begin() as connection:
            if not connection.execute(delete(_limits).where(_limits.c.name == name)).rowcount:
                raise UnknownLimitError(name)
            connection.execute(delete(_permits).where(_permits.c.limit_name == name))
            announce(connection)

    def next_start(self, connection: Connection, limit: Limit, now: int) -> datetime | None:
        """Return when the rate of a limit allows another start; None when it does now."""
        starts = {limit.name: _starts(connection, limit, now)}
        unsized = Limit(name=limit.name, rate=limit.rate)
        refusal = Room({limit.name: unsized}, {}, starts, now).let_in([limit.name], is_start=True)
        if refusal is None or refusal.again_in is None:
            return None
        return from_micros(now) + refusal.again_in

    def uses(self) -> list[LimitUse]:
        """Return all limits in order of their names, and how they are used."""
        with self._database.read() as connection:
            now = self._database.now_micros(connection)
            limits = [_limit(row) for row in connection.execute(select(_limits))]
            return [
                LimitUse(
                    limit=limit,
                    at_work=_at_work(connection, [limit.name]).get(limit.name, 0),
                    started=len(_starts(connection, limit, now)),
                )
                for limit in sorted(limits, key=lambda one: one.name)
            ]


def _limit(row: Row[Any]) -> Limit:
    rate = row.rate_starts and Rate(row.rate_starts, row.rate_period * _MICROSECOND)
    return Limit(name=row.name, size=row.size, rate=rate)


def _locked(connection: Connection, names: Collection[str]) -> dict[str, Limit]:
    """Return those of some limits that there are; nobody else lets one in before the commit."""
    query = select(_limits).where(_limits.c.name.in_(names)).order_by(_limits.c.name)
    return {row.name: _limit(row) for row in connection.execute(query.with_for_update())}


def _forget_lost_answers(connection: Connection, wanted: Sequence[Wanted]) -> None:
    """Take back what the same was let in with before: who asks again never heard of it."""
    for one in wanted:
        if one.is_start:
            connection.execute(delete(_permits).where(*_of(one)))
        else:  # the start counts for its rate all the same
            connection.execute(update(_permits).where(*_of(one)).values(engine=None))


def _room(connection: Connection, limits: dict[str, Limit], now: int) -> Room:
    """Take stock of limits, and forget what doesn't count any more."""
    names = list(limits)
    over = update(_permits).where(_permits.c.limit_name.in_(names), _permits.c.engine.is_not(None))
    connection.execute(over.where(~IS_TAKING_ROOM).values(engine=None))
    for limit in limits.values():
        no_start = or_(_permits.c.started_at.is_(None), _permits.c.started_at <= _since(limit, now))
        connection.execute(
            delete(_permits).where(
                _permits.c.limit_name == limit.name, _permits.c.engine.is_(None), no_start
            )
        )
    starts = {limit.name: _starts(connection, limit, now) for limit in limits.values()}
    return Room(limits, _at_work(connection, names), starts, now)


def _since(limit: Limit, now: int) -> int:
    """Return the moment behind which starts count."""
    return now if limit.rate is None else now - limit.rate.period // _MICROSECOND


def _starts(connection: Connection, limit: Limit, now: int) -> list[int]:
    if limit.rate is None:
        return []
    query = select(_permits.c.started_at).where(
        _permits.c.limit_name == limit.name, _permits.c.started_at > _since(limit, now)
    )
    return sorted(connection.execute(query).scalars())


def _at_work(connection: Connection, names: Collection[str]) -> dict[str, int]:
    query = select(_permits.c.limit_name, func.count()).where(
        _permits.c.limit_name.in_(names), _permits.c.engine.is_not(None), IS_TAKING_ROOM
    )
    rows = connection.execute(query.group_by(_permits.c.limit_name))
    return {row[0]: row[1] for row in rows}


def _let_in(connection: Connection, name: str, one: Wanted, engine: EngineId, now: int) -> None:
    goes_on = update(_permits).where(_permits.c.limit_name == name, *_of(one))
    if one.is_start or not connection.execute(goes_on.values(engine=engine)).rowcount:
        connection.execute(
            insert(_permits).values(
                limit_name=name,
                run_id=one.run_id,
                task=one.task,
                attempt=one.attempt,
                engine=engine,
                started_at=now if one.is_start else None,
            )
        )


def _of(one: Wanted) -> tuple[Any, ...]:
    return (
        _permits.c.run_id == one.run_id,
        _permits.c.task == one.task,
        _permits.c.attempt == one.attempt,
    )
