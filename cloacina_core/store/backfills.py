"""Backfills: requests for firings of the past, few of whose runs are live at a time."""

from datetime import datetime, timedelta
from itertools import islice, takewhile

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from cloacina_core.errors import InputError, NotFoundError
from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.model.schedule.decisions import Decision
from cloacina_core.model.schedule.schedule import (
    MOST_BACKFILLED,
    Backfill,
    FiringState,
    PendingBackfill,
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


class UnknownBackfillError(NotFoundError):
    """A schedule has no backfill of this id."""

    code = "unknown-backfill"

    def __init__(self, schedule: str, backfill: str) -> None:
        super().__init__(
            f"schedule {schedule!r} has no backfill {backfill[:100]!r}",
            hint=f"see: cloacina schedule show {schedule}",
        )


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
        states = [taken.get(to_micros(one.utc)) for one in firings]
        wanted = tuple(one for one, state in zip(firings, states, strict=True) if state is None)
        started = states.count(FiringState.STARTED)
        return Backfill(
            id=backfill,
            schedule=name,
            begins=begins,
            ends=ends,
            parallel=parallel,
            firings=wanted,
            started_before=started,
            pending_before=len(firings) - len(wanted) - started,
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

    def pending(self, name: str) -> list[PendingBackfill]:
        """Return the backfills of a schedule whose runs aren't all started, oldest first.

        Raises:
            UnknownScheduleError: there is no such schedule.
        """
        with self._database.read() as connection:
            get(connection, name)
            return _pending(connection, name)

    def cancel(self, name: str, backfill: str | None) -> list[PendingBackfill]:
        """Start no more runs of backfills of a schedule; return those that had any left.

        Args:
            name: of the schedule.
            backfill: which one, by its id or the beginning of it that no other has; None: all.

        Raises:
            UnknownScheduleError: there is no such schedule.
            UnknownBackfillError: it has no such backfill.
            InputError: it has several that begin so.
        """
        with self._database.begin() as connection:
            get(connection, name, lock=True)
            only = None if backfill is None else _find(connection, name, backfill)
            found = [one for one in _pending(connection, name) if only in (None, one.id)]
            state, reason = FiringState.SKIPPED.value, "the backfill was cancelled"
            left = update(_firings).where(
                _firings.c.schedule == name,
                _firings.c.backfill.in_([one.id for one in found]),
                schema.OPEN_FIRING,
            )
            connection.execute(left.values(state=state, reason=reason))
            return found


def _find(connection: Connection, name: str, prefix: str) -> str:
    """Return the id of the backfill of a schedule that an id, or the beginning of one, names."""
    query = select(_backfills.c.id).where(_backfills.c.schedule == name)
    ids = connection.execute(query.order_by(_backfills.c.id)).scalars()
    wanted = prefix.strip().lower()
    found: list[str] = [one for one in ids if wanted and one.startswith(wanted)]
    if not found:
        raise UnknownBackfillError(name, prefix)
    if len(found) > 1:
        raise InputError(
            f"more than one backfill begins with {prefix[:100]!r}", hint="give more of its id"
        )
    return found[0]


def _pending(connection: Connection, name: str) -> list[PendingBackfill]:
    left = func.sum(case((schema.OPEN_FIRING, 1), else_=0))
    begun = func.sum(case((_firings.c.state == FiringState.STARTED, 1), else_=0))
    query = (
        select(_backfills, left.label("left"), begun.label("begun"))
        .join(_firings, _firings.c.backfill == _backfills.c.id)
        .where(_backfills.c.schedule == name)
        .group_by(_backfills.c.id)
        .having(left > 0)
        .order_by(_backfills.c.id)
    )
    return [
        PendingBackfill(
            id=row.id,
            schedule=row.schedule,
            begins=from_micros(row.begins),
            ends=from_micros(row.ends),
            parallel=row.parallel,
            left=row.left,
            begun=row.begun,
            created_at=from_micros(row.created_at),
        )
        for row in connection.execute(query)
    ]


def _taken(
    connection: Connection, name: str, begins: datetime, ends: datetime
) -> dict[int, FiringState]:
    """Return how firings of a time stand, in microseconds, that have runs or are to get them."""
    query = select(_firings.c.at, _firings.c.state).where(
        _firings.c.schedule == name,
        _firings.c.at >= to_micros(begins),
        _firings.c.at < to_micros(ends),
        _firings.c.state.in_((FiringState.STARTED, FiringState.DUE, FiringState.WAITING)),
    )
    return {at: FiringState(state) for at, state in connection.execute(query)}
