"""Backfills: requests for firings of the past, few of whose runs are live at a time."""

from datetime import datetime, timedelta
from itertools import islice, takewhile

from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, select, update

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.model.schedule.decisions import Decision
from cloacina_core.model.schedule.schedule import (
    MOST_BACKFILLED,
    Backfill,
    FiringState,
    Schedule,
)
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.deciding import firing_row
from cloacina_core.store.schedule_rows import get
from cloacina_core.store.watching import announce

_firings, _backfills = schema.firings, schema.backfills

_MICROSECOND = timedelta(microseconds=1)
_BACKFILLED = "asked for again"


class BackfillStore:
    """Plans, begins and cancels backfills; their firings are claimed like all others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(
        self, name: str, begins: datetime, ends: datetime, parallel: int, backfill: str
    ) -> Backfill:
        """Return what a backfill would do; nothing is changed.

        Raises:
            UnknownScheduleError: there is no such schedule.
            InputError: the time isn't in the past, or has too many firings.
        """
        with self._database.read() as connection:
            row = get(connection, name)
            now = self._database.now_micros(connection)
            taken = _taken(connection, name, begins, ends)
        if not to_micros(begins) < to_micros(ends) <= now:
            raise InputError("a backfill begins before it ends, and ends in the past")
        # What the schedule itself still decides on isn't the past yet.
        end = ends if row.next_at is None else min(ends, from_micros(row.decided_until + 1))
        begun = Schedule.from_text(row.body).firings(begins - _MICROSECOND)
        firings = list(islice(takewhile(lambda one: one.utc < end, begun), MOST_BACKFILLED + 1))
        if len(firings) > MOST_BACKFILLED:
            raise InputError(f"there are more than {MOST_BACKFILLED} firings in that time")
        wanted = tuple(one for one in firings if to_micros(one.utc) not in taken)
        return Backfill(
            id=backfill,
            schedule=name,
            begins=begins,
            ends=ends,
            parallel=parallel,
            firings=wanted,
            started_before=len(firings) - len(wanted),
        )

    def begin(self, planned: Backfill) -> None:
        """Have the runs of a backfill be started, of those firings that still have none.

        Raises:
            UnknownScheduleError: the schedule was deleted.
        """
        name = planned.schedule
        with self._database.begin() as connection:
            get(connection, name, lock=True)
            now = self._database.now_micros(connection)
            connection.execute(
                insert(_backfills).values(
                    id=planned.id,
                    schedule=name,
                    begins=to_micros(planned.begins),
                    ends=to_micros(planned.ends),
                    parallel=planned.parallel,
                    created_at=now,
                )
            )
            taken = _taken(connection, name, planned.begins, planned.ends)
            decisions = [
                Decision(firing, FiringState.WAITING, _BACKFILLED)
                for firing in planned.firings
                if to_micros(firing.utc) not in taken
            ]
            rows = [{**firing_row(name, one, now), "backfill": planned.id} for one in decisions]
            if rows:
                moments: BindParameter[int] = bindparam("moment")
                over = delete(_firings).where(_firings.c.schedule == name, _firings.c.at == moments)
                connection.execute(over, [{"moment": row["at"]} for row in rows])
                connection.execute(insert(_firings), rows)
            announce(connection)

    def cancel(self, name: str) -> int:
        """Start no more runs of a schedule's backfills; return how many firings that were.

        Raises:
            UnknownScheduleError: there is no such schedule.
        """
        with self._database.begin() as connection:
            get(connection, name, lock=True)
            left = update(_firings).where(
                _firings.c.schedule == name, _firings.c.backfill.is_not(None), schema.OPEN_FIRING
            )
            state, reason = FiringState.SKIPPED.value, "the backfill was cancelled"
            return connection.execute(left.values(state=state, reason=reason)).rowcount


def _taken(connection: Connection, name: str, begins: datetime, ends: datetime) -> set[int]:
    """Return the firings of a time, in microseconds, that have their runs or are to get them."""
    query = select(_firings.c.at).where(
        _firings.c.schedule == name,
        _firings.c.at >= to_micros(begins),
        _firings.c.at < to_micros(ends),
        _firings.c.state.in_((FiringState.STARTED, FiringState.DUE, FiringState.WAITING)),
    )
    return set(connection.execute(query).scalars())
