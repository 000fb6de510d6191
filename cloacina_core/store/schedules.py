"""Schedules and their firings, as the store has them.

Whatever is decided on a firing is written together with how far its schedule is, while the row of
the schedule is locked: of several engines that look, one decides. Whoever starts the run of a
firing claims it for a while first. One that dies with it leaves it to others, and the run's
idempotency key, which names the firing, keeps them from starting a second one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from cloacina_core.errors import ConflictError, InputError, NotFoundError
from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import canonical
from cloacina_core.foundation.names import nearest
from cloacina_core.model.schedule.decisions import Decision, Earlier, decide
from cloacina_core.model.schedule.schedule import (
    MOST_BACKFILLED,
    Backfill,
    FiringRecord,
    FiringState,
    Overlap,
    Schedule,
    ScheduleState,
)
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.watching import announce

_schedules, _firings, _runs = schema.schedules, schema.firings, schema.runs
_backfills = schema.backfills

CLAIM = timedelta(seconds=30)
"""How long one who starts a run has for it, before others try."""

_RECENT = 50
"""Of how many firings the runs are looked at, to see whether one is live."""
_PAGE = 100
_MICROSECOND = timedelta(microseconds=1)
_BACKFILLED = "asked for again"


class UnknownScheduleError(NotFoundError):
    """There is no schedule of this name."""

    code = "unknown-schedule"

    def __init__(self, name: str, near: Sequence[str]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "see: cloacina schedule list"
        super().__init__(f"there is no schedule {name[:100]!r}", hint=hint)


class ScheduleExistsError(ConflictError):
    """There is another schedule of this name."""

    code = "schedule-exists"

    def __init__(self, name: str, differs_in: Sequence[str]) -> None:
        super().__init__(
            f"schedule {name!r} is there already, with other values of {', '.join(differs_in)}",
            hint=f"change it with: cloacina schedule update {name}",
        )


@dataclass(frozen=True, slots=True)
class OpenFiring:
    """A firing whose run is to be started."""

    schedule: Schedule
    at: datetime
    local: str
    previous: tuple[RunId, ...]
    """The live runs of the schedule that are to be cancelled for this one."""

    @property
    def key(self) -> str:
        """The idempotency key of the run."""
        return f"schedule/{self.schedule.name}/{self.at:%Y%m%dT%H%M%SZ}"


class ScheduleStore:
    """Keeps schedules, and decides on what is due."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, schedule: Schedule, *, is_paused: bool = False) -> tuple[ScheduleState, bool]:
        """Keep a schedule; return it, and whether it is new. The same one again changes nothing.

        Raises:
            ScheduleExistsError: another one has the name.
        """
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            found = self._find(connection, schedule.name, lock=True)
            if found is not None:
                there = Schedule.from_text(found.body).to_json()
                wanted = schedule.to_json()
                if differences := [key for key in wanted if wanted[key] != there[key]]:
                    raise ScheduleExistsError(schedule.name, differences)
                return _state(found), False
            values = {
                "name": schedule.name,
                "body": canonical(schedule.to_json()),
                "paused": is_paused,
                "decided_until": now,
                "next_at": None if is_paused else _next_at(schedule, now),
                "started": 0,
                "created_at": now,
                "updated_at": now,
            }
            connection.execute(insert(_schedules).values(**values))
            announce(connection)
            return self._state(connection, schedule.name), True

    def update(self, name: str, change: Callable[[Schedule], Schedule]) -> ScheduleState:
        """Change a schedule. It goes on from now: what isn't decided on yet isn't made up for.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        with self._database.begin() as connection:
            row = self._get(connection, name, lock=True)
            schedule = change(Schedule.from_text(row.body))
            now = self._database.now_micros(connection)
            self._set(
                connection,
                name,
                now,
                body=canonical(schedule.to_json()),
                decided_until=max(now, row.decided_until),
                next_at=None if row.paused else _next_at(schedule, max(now, row.decided_until)),
            )
            return self._state(connection, name)

    def pause(self, name: str, *, is_paused: bool) -> ScheduleState:
        """Have nothing of a schedule be due, or again. What was due meanwhile isn't made up for.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        with self._database.begin() as connection:
            row = self._get(connection, name, lock=True)
            if row.paused != is_paused:
                now = self._database.now_micros(connection)
                until = max(now, row.decided_until)
                next_at = None if is_paused else _next_at(Schedule.from_text(row.body), until)
                self._set(
                    connection, name, now, paused=is_paused, decided_until=until, next_at=next_at
                )
            return self._state(connection, name)

    def delete(self, name: str) -> None:
        """Forget a schedule and its firings. Runs that it started go on.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        with self._database.begin() as connection:
            self._get(connection, name, lock=True)
            connection.execute(delete(_firings).where(_firings.c.schedule == name))
            connection.execute(delete(_backfills).where(_backfills.c.schedule == name))
            connection.execute(delete(_schedules).where(_schedules.c.name == name))

    def get(self, name: str) -> ScheduleState:
        """Return a schedule.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        with self._database.read() as connection:
            return self._state(connection, name)

    def all(self) -> list[ScheduleState]:
        """Return all schedules, by name."""
        with self._database.read() as connection:
            return [_state(row) for row in connection.execute(_all().order_by(_schedules.c.name))]

    def history(
        self, name: str, *, before: datetime | None = None, limit: int = 50
    ) -> list[FiringRecord]:
        """Return firings of a schedule, newest first.

        Args:
            name: of the schedule.
            before: only those that were due before; aware.
            limit: how many at most.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        query = select(_firings).where(_firings.c.schedule == name)
        if before is not None:
            query = query.where(_firings.c.at < to_micros(before))
        with self._database.read() as connection:
            self._get(connection, name)
            rows = connection.execute(query.order_by(_firings.c.at.desc()).limit(limit))
            return [_record(row) for row in rows]

    def next_look(self) -> timedelta | None:
        """Return in how long something is due, by the database's clock; None: never."""
        with self._database.read() as connection:
            due = connection.execute(select(func.min(_schedules.c.next_at))).scalar()
            if due is None:
                return None
            return timedelta(microseconds=due - self._database.now_micros(connection))

    def decide(self) -> int:
        """Decide on all firings that are due; return how many schedules were looked at."""
        with self._database.read() as connection:
            now = self._database.now_micros(connection)
            query = select(_schedules.c.name).where(_schedules.c.next_at <= now)
            names = list(connection.execute(query.limit(_PAGE)).scalars())
        for name in names:
            with self._database.begin() as connection:
                self._decide(connection, name)
        return len(names)

    def _decide(self, connection: Connection, name: str) -> None:
        now = self._database.now_micros(connection)
        row = self._find(connection, name, lock=True, skip_locked=True)
        if row is None or row.next_at is None or row.next_at > now:
            return  # another engine was faster, or is at it
        schedule = Schedule.from_text(row.body)
        open_states = self._open_states(connection, name)
        earlier = Earlier(
            decided_until=from_micros(row.decided_until),
            started=row.started,
            live=FiringState.DUE in open_states or bool(self._live(connection, name)),
            waiting=FiringState.WAITING in open_states,
        )
        decisions = decide(schedule, earlier, from_micros(now))
        if decisions:
            rows = [_row(name, decision, now) for decision in decisions]
            connection.execute(insert(_firings), rows)
        until = now - schedule.delay // _MICROSECOND
        is_to_start = {FiringState.DUE, FiringState.WAITING}
        started = row.started + sum(decision.state in is_to_start for decision in decisions)
        is_over = schedule.max_runs is not None and started >= schedule.max_runs
        connection.execute(
            update(_schedules)
            .where(_schedules.c.name == name)
            .values(
                decided_until=max(until, row.decided_until),
                next_at=None if is_over else _next_at(schedule, max(until, row.decided_until)),
                started=started,
            )
        )

    def plan_backfill(
        self, name: str, begins: datetime, ends: datetime, parallel: int, backfill: str
    ) -> Backfill:
        """Return what a backfill would do; nothing is changed.

        Raises:
            UnknownScheduleError: there is no such schedule.
            InputError: the time isn't in the past, or has too many firings.
        """
        with self._database.read() as connection:
            row = self._get(connection, name)
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

    def backfill(self, planned: Backfill) -> None:
        """Have the runs of a backfill be started, of those firings that still have none.

        Raises:
            UnknownScheduleError: the schedule was deleted.
        """
        name = planned.schedule
        with self._database.begin() as connection:
            self._get(connection, name, lock=True)
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
            rows = [{**_row(name, one, now), "backfill": planned.id} for one in decisions]
            if rows:
                moments: BindParameter[int] = bindparam("moment")
                over = delete(_firings).where(_firings.c.schedule == name, _firings.c.at == moments)
                connection.execute(over, [{"moment": row["at"]} for row in rows])
                connection.execute(insert(_firings), rows)
            announce(connection)

    def cancel_backfills(self, name: str) -> int:
        """Start no more runs of a schedule's backfills; return how many firings that were.

        Raises:
            UnknownScheduleError: there is no such schedule.
        """
        with self._database.begin() as connection:
            self._get(connection, name, lock=True)
            left = update(_firings).where(
                _firings.c.schedule == name, _firings.c.backfill.is_not(None), schema.OPEN_FIRING
            )
            state, reason = FiringState.SKIPPED.value, "the backfill was cancelled"
            return connection.execute(left.values(state=state, reason=reason)).rowcount

    def claim(self) -> list[OpenFiring]:
        """Take firings whose runs are to be started, oldest first, for a while."""
        if not self.waits():  # which is almost always: nobody should wait for our transaction
            return []
        usual = schema.OPEN_FIRING, _firings.c.backfill.is_(None)
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            rows = [*self._free(connection, now, *usual)]
            for backfill in self._open_backfills(connection):
                room = backfill.parallel - self._live_of(connection, backfill.id, now)
                wanted = schema.OPEN_FIRING, _firings.c.backfill == backfill.id
                rows += self._free(connection, now, *wanted, limit=max(0, room))
            return [taken for row in rows if (taken := self._claim(connection, row, now))]

    def _free(
        self, connection: Connection, now: int, *where: Any, limit: int = _PAGE
    ) -> Sequence[Row[Any]]:
        query = select(_firings).where(*where, _firings.c.claimed_until <= now)
        query = query.order_by(_firings.c.at).limit(limit)
        return connection.execute(query.with_for_update(skip_locked=True)).all()

    def _open_backfills(self, connection: Connection) -> Sequence[Row[Any]]:
        is_open = select(_firings.c.backfill).where(schema.OPEN_FIRING).distinct()
        query = select(_backfills).where(_backfills.c.id.in_(is_open)).order_by(_backfills.c.id)
        return connection.execute(query.with_for_update(skip_locked=True)).all()

    def _live_of(self, connection: Connection, backfill: str, now: int) -> int:
        """Return how many runs of a backfill are live, or are being started."""
        of_it = _firings.c.backfill == backfill
        live = select(func.count()).where(of_it, _firings.c.run_id == _runs.c.id, schema.LIVE)
        begun = select(func.count()).where(
            of_it, schema.OPEN_FIRING, _firings.c.claimed_until > now
        )
        counts = [connection.execute(query).scalar_one() for query in (live, begun)]
        return sum(counts)

    def _claim(self, connection: Connection, row: Row[Any], now: int) -> OpenFiring | None:
        found = self._find(connection, row.schedule)
        if found is None:
            return None
        schedule = Schedule.from_text(found.body)
        live = [] if row.backfill else self._live(connection, row.schedule)
        if row.state == FiringState.WAITING and live:
            return None
        values = {"claimed_until": now + CLAIM // _MICROSECOND}
        connection.execute(update(_firings).where(*_of(row.schedule, row.at)).values(**values))
        previous = live if schedule.overlap is Overlap.CANCEL_PREVIOUS else ()
        return OpenFiring(schedule, from_micros(row.at), row.local, tuple(previous))

    def started(self, firing: OpenFiring, run_id: RunId) -> None:
        """Note that the run of a firing was accepted."""
        self._close(firing, state=FiringState.STARTED, run_id=run_id, reason=None)

    def failed(self, firing: OpenFiring, reason: str) -> None:
        """Note that no run of a firing can be started."""
        self._close(firing, state=FiringState.FAILED, reason=reason)

    def waits(self) -> bool:
        """Whether there are firings whose runs are to be started, now or later."""
        with self._database.read() as connection:
            query = select(_firings.c.at).where(schema.OPEN_FIRING).limit(1)
            return connection.execute(query).scalar() is not None

    def _close(self, firing: OpenFiring, **values: Any) -> None:
        with self._database.begin() as connection:
            place = _of(firing.schedule.name, to_micros(firing.at))
            closed = update(_firings).where(*place, schema.OPEN_FIRING)
            connection.execute(closed.values(**values))

    def _set(self, connection: Connection, name: str, now: int, **values: Any) -> None:
        place = _schedules.c.name == name
        connection.execute(update(_schedules).where(place).values(updated_at=now, **values))
        announce(connection)

    def _live(self, connection: Connection, name: str) -> list[RunId]:
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

    def _open_states(self, connection: Connection, name: str) -> set[str]:
        query = select(_firings.c.state).where(
            _firings.c.schedule == name, schema.OPEN_FIRING, _firings.c.backfill.is_(None)
        )
        return set(connection.execute(query).scalars())

    def _find(
        self, connection: Connection, name: str, *, lock: bool = False, skip_locked: bool = False
    ) -> Row[Any] | None:
        query = _all().where(_schedules.c.name == name)
        if lock:
            query = query.with_for_update(skip_locked=skip_locked)
        return connection.execute(query).one_or_none()

    def _get(self, connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
        row = self._find(connection, name, lock=lock)
        if row is None:
            names = list(connection.execute(select(_schedules.c.name)).scalars())
            raise UnknownScheduleError(name, nearest(name, names))
        return row

    def _state(self, connection: Connection, name: str) -> ScheduleState:
        return _state(self._get(connection, name))


def _all() -> Select[Any]:
    return select(_schedules)


def _taken(connection: Connection, name: str, begins: datetime, ends: datetime) -> set[int]:
    """Return the firings of a time, in microseconds, that have their runs or are to get them."""
    query = select(_firings.c.at).where(
        _firings.c.schedule == name,
        _firings.c.at >= to_micros(begins),
        _firings.c.at < to_micros(ends),
        _firings.c.state.in_((FiringState.STARTED, FiringState.DUE, FiringState.WAITING)),
    )
    return set(connection.execute(query).scalars())


def _of(schedule: str, at: int) -> tuple[Any, ...]:
    return _firings.c.schedule == schedule, _firings.c.at == at


def _next_at(schedule: Schedule, after: int) -> int | None:
    """Return when a schedule is to be looked at next, in microseconds, its jitter included."""
    firing = schedule.next_firing(from_micros(after))
    return None if firing is None else to_micros(firing.utc + schedule.delay)


def _row(name: str, decision: Decision, now: int) -> dict[str, Any]:
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


def _state(row: Row[Any]) -> ScheduleState:
    schedule = Schedule.from_text(row.body)
    next_at = None if row.next_at is None else from_micros(row.next_at)
    return ScheduleState(
        schedule=schedule,
        is_paused=row.paused,
        started=row.started,
        next_at=None if next_at is None else next_at - schedule.delay,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )


def _record(row: Row[Any]) -> FiringRecord:
    return FiringRecord(
        schedule=row.schedule,
        at=from_micros(row.at),
        local=row.local,
        note=row.note,
        state=FiringState(row.state),
        reason=row.reason,
        run_id=row.run_id,
        decided_at=from_micros(row.decided_at),
    )
