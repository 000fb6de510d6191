"""Decides on the firings of a schedule that are due, within a transaction that has locked it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.schedule.decisions import (
    Decided,
    Decision,
    Earlier,
    decide,
    decide_at_once,
    give_up,
)
from cloacina_core.model.schedule.schedule import FiringState, Schedule
from cloacina_core.model.schedule.window import Window
from cloacina_core.store import schema
from cloacina_core.store.schedule_rows import next_at
from cloacina_core.store.windows import common_windows

_schedules, _firings, _runs = schema.schedules, schema.firings, schema.runs

_RECENT = 50
"""Of how many firings the runs are looked at, to see whether one is live."""


def decide_due(connection: Connection, row: Row[Any], now: int) -> None:
    """Write what becomes of the firings of a schedule that are due, and how far it is then.

    Args:
        connection: in a write transaction.
        row: of the schedule, locked.
        now: by the database's clock, in microseconds.
    """
    _decide_by(decide, connection, row, now)


def decide_all(connection: Connection, row: Row[Any], now: int) -> None:
    """Write what becomes of all firings up to now, also of those that were held back or put off.

    Args:
        connection: in a write transaction.
        row: of the schedule, locked, before it is changed.
        now: by the database's clock, in microseconds.
    """
    _decide_by(decide_at_once, connection, row, now)


def skip_all(connection: Connection, row: Row[Any], now: int, reason: str) -> None:
    """Write that all firings up to now are skipped that weren't decided on.

    Args:
        connection: in a write transaction.
        row: of the schedule, locked, before it is changed.
        now: by the database's clock, in microseconds.
        reason: why.
    """

    def gives_up(schedule: Schedule, earlier: Earlier, now: datetime, _: object) -> Decided:
        return give_up(schedule, earlier, now, reason)

    _decide_by(gives_up, connection, row, now)


def _decide_by(
    rule: Callable[[Schedule, Earlier, datetime, Sequence[Window]], Decided],
    connection: Connection,
    row: Row[Any],
    now: int,
) -> None:
    schedule = Schedule.from_text(row.body)
    open_states = _open_states(connection, row.name)
    earlier = Earlier(
        decided_until=from_micros(row.decided_until),
        started=row.started,
        live=FiringState.DUE in open_states or bool(live_runs(connection, row.name)),
        waiting=FiringState.WAITING in open_states,
        known=_known_behind(connection, row.name, row.decided_until),
    )
    decided = rule(schedule, earlier, from_micros(now), common_windows(connection))
    if decided.decisions:
        rows = [firing_row(row.name, decision, now) for decision in decided.decisions]
        connection.execute(insert(_firings), rows)
    is_to_start = {FiringState.DUE, FiringState.WAITING}
    started = row.started + sum(decision.state in is_to_start for decision in decided.decisions)
    connection.execute(
        update(_schedules)
        .where(_schedules.c.name == row.name)
        .values(
            decided_until=to_micros(decided.until),
            next_at=_next_look(schedule, decided, started),
            resting_until=None
            if decided.resting_until is None
            else to_micros(decided.resting_until),
            started=started,
        )
    )


def _next_look(schedule: Schedule, decided: Decided, started: int) -> int | None:
    """Return when a schedule is to be looked at next, in microseconds; None: never again."""
    if decided.resting_until is not None:
        return to_micros(decided.resting_until)
    if schedule.max_runs is not None and started >= schedule.max_runs:
        return None
    return next_at(schedule, to_micros(decided.until))


def firing_row(name: str, decision: Decision, now: int) -> dict[str, Any]:
    """Return the row of a firing of a schedule that was decided on at a moment."""
    firing = decision.firing
    return {
        "schedule": name,
        "at": to_micros(firing.utc),
        "local": firing.local.isoformat(),
        "note": None if firing.note is None else firing.note.value,
        "state": decision.state.value,
        "reason": decision.reason,
        "decided_at": now,
    }


def live_runs(connection: Connection, name: str) -> list[RunId]:
    """Return the runs of a schedule that haven't ended, but for those of backfills."""
    recent = (
        select(_firings.c.run_id)
        .where(
            _firings.c.schedule == name,
            _firings.c.state == FiringState.STARTED,
            _firings.c.backfill.is_(None),
        )
        .order_by(_firings.c.at.desc())
        .limit(_RECENT)
    )
    ids = [run_id for run_id in connection.execute(recent).scalars() if run_id]
    query = select(_runs.c.id).where(_runs.c.id.in_(ids), schema.LIVE)
    return [RunId(run_id) for run_id in connection.execute(query).scalars()]


def _known_behind(connection: Connection, name: str, moment: int) -> frozenset[datetime]:
    """Return the firings behind a moment that have rows: a backfill or another clock made them."""
    query = select(_firings.c.at).where(_firings.c.schedule == name, _firings.c.at > moment)
    return frozenset(map(from_micros, connection.execute(query).scalars()))


def _open_states(connection: Connection, name: str) -> set[str]:
    query = select(_firings.c.state).where(
        _firings.c.schedule == name, schema.OPEN_FIRING, _firings.c.backfill.is_(None)
    )
    return set(connection.execute(query).scalars())
