"""How a schedule goes on when it is changed: nothing that was due before is lost, or met twice."""

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete

from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.schedule.schedule import FiringState, Schedule
from cloacina_core.store import schema
from cloacina_core.store.deciding import decide_all, skip_all
from cloacina_core.store.schedule_rows import change, get, next_at

_log = logging.getLogger(__name__)

_firings = schema.firings

CLOCKS_DIFFER = timedelta(minutes=1)
"""What the clocks of hosts that share a store one after the other may differ by."""

_MICROSECOND = timedelta(microseconds=1)
_MOMENTS = ("cron", "timezone", "gap", "fold", "jitter", "starts_at", "ends_at")
PAUSED = "the schedule was paused before it started"


def changed_rule(
    connection: Connection, row: Row[Any], schedule: Schedule, now: int, *, is_paused: bool
) -> dict[str, Any]:
    """Return the values of a row whose rule becomes another one.

    If it has other moments, what was due up to now is decided on by the rule of before. Otherwise
    it goes on from where it was, so that what is held back or put off still starts. One that was
    paused or over goes on from now: nothing was due meanwhile.

    Args:
        connection: in a write transaction.
        row: of the schedule as it was, locked.
        schedule: the rule that is to hold.
        now: by the database's clock, in microseconds.
        is_paused: whether nothing of it is to be due.
    """
    is_on = row.next_at is not None
    is_due_otherwise = _is_due_otherwise(Schedule.from_text(row.body), schedule)
    if is_on and is_due_otherwise:
        decide_all(connection, row, now)
        row = get(connection, row.name)
    goes_on = is_on and not is_due_otherwise
    until = row.decided_until if goes_on else max(now, row.decided_until)
    return {
        "body": canonical(schedule.to_json()),
        "decided_until": until,
        "next_at": None if is_paused else _next_at(schedule, row.started, until),
    }


def halted(connection: Connection, row: Row[Any], now: int, reason: str) -> dict[str, Any]:
    """Return the values of a row of which nothing is due any more; what was due is skipped.

    Args:
        connection: in a write transaction.
        row: of the schedule as it was, locked.
        now: by the database's clock, in microseconds.
        reason: why.
    """
    if row.next_at is not None:
        skip_all(connection, row, now, reason)
    return {"next_at": None}


def resumed(row: Row[Any], now: int) -> dict[str, Any]:
    """Return the values of a row that was paused, and goes on from now."""
    schedule = Schedule.from_text(row.body)
    until = max(now, row.decided_until)
    return {"decided_until": until, "next_at": _next_at(schedule, row.started, until)}


def latest(now: int) -> int:
    """Return up to when firings may have been decided on, if the clock was right all the time."""
    return now + CLOCKS_DIFFER // _MICROSECOND


def go_back(connection: Connection, row: Row[Any], now: int) -> None:
    """Let a schedule go on from now that was decided on with a clock that was ahead.

    Else nothing of it would be due before that moment has come. What was started meanwhile isn't
    again when its moment comes: it has a row. What was skipped is decided on as if for the first
    time.

    Args:
        connection: in a write transaction.
        row: of the schedule, locked.
        now: by the database's clock, in microseconds.
    """
    ahead = from_micros(row.decided_until)
    _log.warning("schedule %s goes on from now: the clock was ahead, at %s", row.name, ahead)
    is_to_come = _firings.c.schedule == row.name, _firings.c.at > now
    was_skipped = _firings.c.state == FiringState.SKIPPED
    connection.execute(delete(_firings).where(*is_to_come, was_skipped))
    next_at = _next_at(Schedule.from_text(row.body), row.started, now)
    change(connection, row.name, now, decided_until=now, next_at=next_at)


def give_back(connection: Connection, row: Row[Any], now: int) -> None:
    """Let a schedule start one run more: the last of a firing couldn't be started.

    Args:
        connection: in a write transaction.
        row: of the schedule, locked.
        now: by the database's clock, in microseconds.
    """
    started = max(0, row.started - 1)
    values: dict[str, Any] = {"started": started}
    if row.next_at is None and not row.paused:  # it had none left
        values["next_at"] = _next_at(Schedule.from_text(row.body), started, row.decided_until)
    change(connection, row.name, now, resting_until=row.resting_until, **values)


def _next_at(schedule: Schedule, started: int, until: int) -> int | None:
    is_over = schedule.max_runs is not None and started >= schedule.max_runs
    return None if is_over else next_at(schedule, until)


def _is_due_otherwise(old: Schedule, new: Schedule) -> bool:
    """Whether two rules have other firings, or start them later."""
    before, after = old.to_json(), new.to_json()
    return any(before[key] != after[key] for key in _MOMENTS)
