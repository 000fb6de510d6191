"""What polls of triggers came to; those in a row that came to the same nothing are one entry.

A trigger that says each second that a file lies there which had its run long ago would else fill
its history with that, and drive out when the run was started.

Entries are written while the row of their trigger is locked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.json_value import canonical, decode
from cloacina_core.model.polling.definition import TriggerDefinition
from cloacina_core.model.polling.enabled import (
    GIVEN_UP,
    FiredRecord,
    FiredState,
    PollRecord,
    PollState,
)
from cloacina_core.model.polling.result import Fire
from cloacina_core.model.release import Release
from cloacina_core.store import schema

_polls, _fired = schema.polls, schema.trigger_firings

KEPT_POLLS = 1000
"""How many entries of each trigger's history are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOutcome:
    """What a poll came to."""

    state: PollState
    reason: str | None = None
    fired: Sequence[Fire] = ()
    cursor: str | None = None
    """As JSON text; None: what it was."""
    output: str | None = None
    definition: TriggerDefinition | None = None
    """As the release declares it that was polled; None: what it was."""
    release: Release | None = None
    """Which was polled; None: it is as before."""


def note(
    connection: Connection,
    trigger: Row[Any],
    outcome: PollOutcome,
    decided: Sequence[FiredState],
    *,
    poll_id: str,
    now: int,
) -> int:
    """Write an entry with what was fired, or count one more; return its number.

    Args:
        connection: of a write transaction that has the trigger's row.
        trigger: that row.
        outcome: what the poll came to.
        decided: what becomes of each that it fired.
        poll_id: of the poll.
        now: in microseconds, on the database's clock.
    """
    fired = [
        {
            "position": position,
            "poll_id": poll_id,
            "key": one.key,
            "params": None if one.params is None else canonical(dict(one.params)),
            "state": state.value,
            "decided_at": now,
        }
        for position, (one, state) in enumerate(zip(outcome.fired, decided, strict=True))
    ]
    if _is_nothing(outcome, decided) and _is_counted(connection, trigger, outcome, fired, now):
        return int(trigger.polls)
    number = int(trigger.polls) + 1
    _write(connection, trigger, number, outcome, now)
    if fired:
        place = {"trigger": trigger.name, "poll": number}
        connection.execute(insert(_fired), [{**place, **one} for one in fired])
    _drop_old(connection, trigger.name, number - KEPT_POLLS)
    return number


def _is_nothing(outcome: PollOutcome, decided: Sequence[FiredState]) -> bool:
    """Whether no run comes of a poll that went well."""
    repeated = all(state is FiredState.REPEATED for state in decided)
    return outcome.state is not PollState.FAILED and repeated


def _is_counted(
    connection: Connection,
    trigger: Row[Any],
    outcome: PollOutcome,
    fired: Sequence[Mapping[str, Any]],
    now: int,
) -> bool:
    """Count one more of the last entry, if that is the same nothing."""
    of_it = _fired.c.trigger == trigger.name, _fired.c.poll == trigger.polls
    query = select(_fired.c.key, _fired.c.params, _fired.c.state).where(*of_it)
    before = connection.execute(query.order_by(_fired.c.position)).all()
    if [(one["key"], one["params"], one["state"]) for one in fired] != [*map(tuple, before)]:
        return False
    same = update(_polls).where(
        _polls.c.trigger == trigger.name,
        _polls.c.number == trigger.polls,
        _polls.c.state == outcome.state.value,
        func.coalesce(_polls.c.output, "") == (outcome.output or ""),
        func.coalesce(_polls.c.reason, "") == (outcome.reason or ""),
    )
    counted = same.values(last_at=now, times=_polls.c.times + 1)
    return connection.execute(counted).rowcount > 0


def _write(
    connection: Connection, trigger: Row[Any], number: int, outcome: PollOutcome, now: int
) -> None:
    has_failed = outcome.state is PollState.FAILED
    values = {
        "trigger": trigger.name,
        "number": number,
        "state": outcome.state.value,
        "first_at": now,
        "last_at": now,
        "times": 1,
        "reason": outcome.reason,
        "output": outcome.output,
        "failures": trigger.failures + 1 if has_failed else None,
    }
    connection.execute(insert(_polls).values(**values))


def _drop_old(connection: Connection, trigger: str, old: int) -> None:
    """Delete entries up to a number, but for runs that are still to be started."""
    connection.execute(delete(_polls).where(_polls.c.trigger == trigger, _polls.c.number <= old))
    of_old = _fired.c.trigger == trigger, _fired.c.poll <= old
    is_over = _fired.c.state != FiredState.DUE.value
    connection.execute(delete(_fired).where(*of_old, is_over))


def given_up(connection: Connection) -> dict[str, int]:
    """Return when the last poll of triggers was given up, of those whose last poll was."""
    triggers = schema.triggers
    is_last = _polls.c.trigger == triggers.c.name, _polls.c.number == triggers.c.polls
    query = select(_polls.c.trigger, _polls.c.last_at).where(
        *is_last,
        _polls.c.state == PollState.FAILED.value,
        _polls.c.reason.startswith(GIVEN_UP, autoescape=True),
    )
    return {row.trigger: row.last_at for row in connection.execute(query)}


def entries(
    connection: Connection, trigger: str, *, before: int | None, limit: int
) -> list[PollRecord]:
    """Return polls of a trigger, newest first.

    Args:
        connection: to the store.
        trigger: its name.
        before: only those with a lower number.
        limit: how many at most.
    """
    query = select(_polls).where(_polls.c.trigger == trigger)
    if before is not None:
        query = query.where(_polls.c.number < before)
    rows = connection.execute(query.order_by(_polls.c.number.desc()).limit(limit)).all()
    numbers = [row.number for row in rows]
    of_them = _fired.c.trigger == trigger, _fired.c.poll.in_(numbers)
    fired = select(_fired).where(*of_them).order_by(_fired.c.poll, _fired.c.position)
    by_poll: dict[int, list[FiredRecord]] = {number: [] for number in numbers}
    for row in connection.execute(fired):
        by_poll[row.poll].append(_fired_record(row))
    return [_poll_record(row, by_poll[row.number]) for row in rows]


def _poll_record(row: Row[Any], fired: Sequence[FiredRecord]) -> PollRecord:
    return PollRecord(
        trigger=row.trigger,
        number=row.number,
        state=PollState(row.state),
        first_at=from_micros(row.first_at),
        last_at=from_micros(row.last_at),
        count=row.times,
        reason=row.reason,
        output=row.output,
        fired=tuple(fired),
    )


def _fired_record(row: Row[Any]) -> FiredRecord:
    return FiredRecord(
        id=f"{row.poll_id}/{row.position}",
        key=row.key,
        params=None if row.params is None else decode(row.params),
        state=FiredState(row.state),
        reason=row.reason,
        run_id=row.run_id,
        decided_at=from_micros(row.decided_at),
    )
