"""Schedules and their firings, as the store has them.

Whatever is decided on a firing is written together with how far its schedule is, while the row of
the schedule is locked: of several engines that look, one decides. Whoever starts the run of a
firing claims it for a while first. One that dies with it leaves it to others, and the run's
idempotency key, which names the firing, keeps them from starting a second one.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, not_, or_, select, update

from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, canonical
from cloacina_core.model.following import Following
from cloacina_core.model.schedule.never import require_free, require_start
from cloacina_core.model.schedule.schedule import (
    FiringRecord,
    FiringState,
    Overlap,
    Schedule,
)
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.model.schedule.window import Window, open_until
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.store import schema
from cloacina_core.store.claimed import is_free
from cloacina_core.store.database import Database
from cloacina_core.store.deciding import decide_due, live_runs
from cloacina_core.store.following import differences, moving
from cloacina_core.store.schedule_changes import (
    PAUSED,
    changed_rule,
    give_back,
    go_back,
    halted,
    latest,
    resumed,
)
from cloacina_core.store.schedule_rows import (
    ScheduleExistsError,
    change,
    find,
    get,
    next_at,
    state,
    state_of,
    states,
)
from cloacina_core.store.tenancy import is_on_hold
from cloacina_core.store.watching import announce
from cloacina_core.store.windows import common_windows

_schedules, _firings, _runs = schema.schedules, schema.firings, schema.runs
_backfills = schema.backfills

CLAIM = timedelta(seconds=30)
"""How long one who starts a run has for it, before others try."""

_STARTS = {"cron", "timezone", "gap", "fold", "jitter", "starts_at", "not_during", "in_window"}
"""Fields that decide whether firings are in maintenance windows."""
_PAGE = 100
_INCARNATION_BYTES = 10
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class OpenFiring:
    """A firing whose run is to be started."""

    schedule: Schedule
    incarnation: str
    """Of the schedule: one that was made anew under its name has another."""
    at: datetime
    local: str
    is_backfilled: bool
    """Whether it was asked for again: then it counts for no limit of the schedule."""
    previous: tuple[RunId, ...]
    """The live runs of the schedule that are to be cancelled for this one."""

    @property
    def starter(self) -> StartedBy:
        """What its run is started by."""
        kind = StarterKind.BACKFILL if self.is_backfilled else StarterKind.SCHEDULE
        return StartedBy(kind=kind, name=self.schedule.name, at=self.at)

    @property
    def key(self) -> str:
        """The idempotency key of the run."""
        return f"schedule/{self.schedule.name}/{self.incarnation}/{self.at:%Y%m%dT%H%M%SZ}"


class ScheduleStore:
    """Keeps schedules, and decides on what is due."""

    def __init__(self, database: Database, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._database = database
        self._entropy = entropy

    def add(
        self, schedule: Schedule, following: Following | None = None, *, is_paused: bool = False
    ) -> tuple[ScheduleState, bool]:
        """Keep a schedule; return it, and whether it is new. The same one again changes nothing.

        Args:
            schedule: what is to run when.
            following: what it was declared by; None: people made it. One that is declared and
                follows the same is the same, whatever a release or an operator changed since.
            is_paused: whether nothing is due until it is resumed.

        Raises:
            ScheduleExistsError: another one has the name.
            NeverStartsError: people made it, and it would never start anything.
        """
        if following is None:
            self._require_start(schedule)
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            found = find(connection, schedule.name, lock=True)
            if found is not None:
                there = state_of(found)
                before = there.schedule, there.following
                if differs_in := differences(before, (schedule, following)):
                    moved = moving("schedule", schedule.name, there.following, following)
                    raise ScheduleExistsError(schedule.name, differs_in, moved)
                return there, False
            first_at = next_at(schedule, now)
            values = {
                "name": schedule.name,
                "incarnation": self._entropy(_INCARNATION_BYTES).hex(),
                "body": canonical(schedule.to_json()),
                "paused": is_paused,
                "declared": None if following is None else following.to_text(),
                "decided_until": now,
                "next_at": None if is_paused else first_at,
                "started": 0,
                "created_at": now,
                "updated_at": now,
            }
            connection.execute(insert(_schedules).values(**values))
            announce(connection)
            return state(connection, schedule.name), True

    def _require_start(self, schedule: Schedule) -> None:
        """Refuse a new schedule that would never start anything, before anybody waits for it."""
        with self._database.read() as connection:
            if find(connection, schedule.name) is not None:
                return
            now = from_micros(self._database.now_micros(connection))
            common = common_windows(connection)
        require_start(schedule, now, common)

    def update(
        self,
        name: str,
        changes: Mapping[str, JsonValue],
        check: Callable[[Schedule], object] = lambda _: None,
    ) -> ScheduleState:
        """Change a schedule. What was due before is still started, or told of with a reason.

        If its moments are others, that is decided by the rule of before, and the new one holds from
        now on; otherwise it goes on from where it was. Of one that a package declared, these fields
        are an operator's from now on.

        Args:
            name: of the schedule.
            changes: values of `Schedule.to_json`.
            check: refuses, by an error, what can't be.

        Raises:
            UnknownScheduleError: there is none of this name.
            InputError: a value can't be used, or windows would keep all of it from starting.
        """
        if changes.keys() & _STARTS:
            self._require_free(name, changes)
        with self._database.begin() as connection:
            row = get(connection, name, lock=True)
            before = state_of(row)
            following = before.following
            if following is not None:
                move = following.move("schedule", name)
                following = following.overriding(changes, move=move)
            schedule = before.schedule.changed(**changes)
            check(schedule)
            now = self._database.now_micros(connection)
            declared = None if following is None else following.to_text()
            values = changed_rule(connection, row, schedule, now, is_paused=row.paused)
            change(connection, name, now, declared=declared, **values)
            return state(connection, name)

    def _require_free(self, name: str, changes: Mapping[str, JsonValue]) -> None:
        """Refuse changes with which windows would keep all of a schedule from starting."""
        with self._database.read() as connection:
            schedule = state_of(get(connection, name)).schedule.changed(**changes)
            now = from_micros(self._database.now_micros(connection))
            common = common_windows(connection)
        require_free(schedule, now, common)

    def pause(self, name: str, *, is_paused: bool) -> ScheduleState:
        """Have nothing of a schedule be due, or again. What is due meanwhile isn't made up for.

        What was due before and hasn't begun is skipped, with that reason.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        with self._database.begin() as connection:
            row = get(connection, name, lock=True)
            if row.paused != is_paused:
                now = self._database.now_micros(connection)
                values = halted(connection, row, now, PAUSED) if is_paused else resumed(row, now)
                change(connection, name, now, paused=is_paused, pause_reason=None, **values)
            return state(connection, name)

    def delete(self, name: str) -> None:
        """Forget a schedule and its firings. Runs that it started go on.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        with self._database.begin() as connection:
            get(connection, name, lock=True)
            connection.execute(delete(_firings).where(_firings.c.schedule == name))
            connection.execute(delete(_backfills).where(_backfills.c.schedule == name))
            connection.execute(delete(_schedules).where(_schedules.c.name == name))

    def get(self, name: str) -> ScheduleState:
        """Return a schedule.

        Raises:
            UnknownScheduleError: there is none of this name.
        """
        with self._database.read() as connection:
            return state(connection, name, self._database.now_micros(connection))

    def all(self) -> list[ScheduleState]:
        """Return all schedules, by name."""
        with self._database.read() as connection:
            return states(connection, self._database.now_micros(connection))

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
            get(connection, name)
            rows = connection.execute(query.order_by(_firings.c.at.desc()).limit(limit))
            return [_record(row) for row in rows]

    def next_look(self) -> timedelta | None:
        """Return in how long something is due, by the database's clock; None: never."""
        with self._database.read() as connection:
            if is_on_hold(self._database, connection):
                return None
            due = connection.execute(select(func.min(_schedules.c.next_at))).scalar()
            if due is None:
                return None
            return timedelta(microseconds=due - self._database.now_micros(connection))

    def decide(self) -> int:
        """Decide on all firings that are due; return how many schedules were looked at.

        One that was decided on with a clock that was ahead goes on from now, too.
        """
        with self._database.read() as connection:
            if is_on_hold(self._database, connection):
                return 0
            now = self._database.now_micros(connection)
            is_ahead = and_(_schedules.c.decided_until > latest(now), not_(_schedules.c.paused))
            query = select(_schedules.c.name).where(or_(_schedules.c.next_at <= now, is_ahead))
            names = list(connection.execute(query.limit(_PAGE)).scalars())
        for name in names:
            with self._database.begin() as connection:
                now = self._database.now_micros(connection)
                row = find(connection, name, lock=True, skip_locked=True)
                if row is None:
                    continue  # another engine is at it
                if row.decided_until > latest(now) and not row.paused:
                    go_back(connection, row, now)
                elif row.next_at is not None and row.next_at <= now:
                    decide_due(connection, row, now)
        return len(names)

    def claim(self) -> list[OpenFiring]:
        """Take firings whose runs are to be started, oldest first, for a while."""
        start = self.next_start()
        if start is None or start > timedelta(0):
            return []  # which is almost always so: nobody should wait for our transaction
        usual = schema.OPEN_FIRING, _firings.c.backfill.is_(None)
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            rows = [*self._free(connection, now, *usual)]
            for backfill in self._open_backfills(connection):
                room = backfill.parallel - self._live_of(connection, backfill.id, now)
                wanted = schema.OPEN_FIRING, _firings.c.backfill == backfill.id
                rows += self._free(connection, now, *wanted, limit=max(0, room))
            windows = common_windows(connection) if rows else ()
            claims = (self._claim(connection, row, now, windows) for row in rows)
            return [claim for claim in claims if claim is not None]

    def _free(
        self, connection: Connection, now: int, *where: Any, limit: int = _PAGE
    ) -> Sequence[Row[Any]]:
        query = select(_firings).where(*where, is_free(_firings.c.claimed_until, now, CLAIM))
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
        is_claimed = not_(is_free(_firings.c.claimed_until, now, CLAIM))
        begun = select(func.count()).where(of_it, schema.OPEN_FIRING, is_claimed)
        counts = [connection.execute(query).scalar_one() for query in (live, begun)]
        return sum(counts)

    def _claim(
        self, connection: Connection, row: Row[Any], now: int, windows: Sequence[Window]
    ) -> OpenFiring | None:
        found = find(connection, row.schedule)
        if found is None:
            return None
        schedule = Schedule.from_text(found.body)
        if open_until((*schedule.not_during, *windows), from_micros(now)) is not None:
            return None  # it was decided on before the maintenance window opened
        live = [] if row.backfill else live_runs(connection, row.schedule)
        if row.state == FiringState.WAITING and (live or self._is_behind_another(connection, row)):
            return None
        values = {"claimed_until": now + CLAIM // _MICROSECOND}
        connection.execute(update(_firings).where(*_of(row.schedule, row.at)).values(**values))
        previous = live if schedule.overlap is Overlap.CANCEL_PREVIOUS else ()
        at = from_micros(row.at)
        again = row.backfill is not None
        return OpenFiring(schedule, found.incarnation, at, row.local, again, tuple(previous))

    def _is_behind_another(self, connection: Connection, row: Row[Any]) -> bool:
        """Whether the run of an earlier firing is still to start, here or elsewhere."""
        earlier = _firings.c.schedule == row.schedule, _firings.c.at < row.at
        query = select(_firings.c.at).where(*earlier, schema.OPEN_FIRING)
        usual = query.where(_firings.c.backfill.is_(None)).limit(1)
        return connection.execute(usual).first() is not None

    def started(self, firing: OpenFiring, run_id: RunId) -> None:
        """Note that the run of a firing was accepted."""
        self._close(firing, state=FiringState.STARTED, run_id=run_id, reason=None)

    def failed(self, firing: OpenFiring, reason: str) -> None:
        """Note that no run of a firing can be started."""
        self._close(firing, state=FiringState.FAILED, run_id=None, reason=reason)

    def next_start(self) -> timedelta | None:
        """Return in how long a run may start of what was decided on; None: there is nothing.

        It is later than now when maintenance windows hold all of it back.
        """
        with self._database.read() as connection:
            names = select(_firings.c.schedule).where(schema.OPEN_FIRING).distinct()
            query = select(_schedules.c.body).where(_schedules.c.name.in_(names))
            bodies = connection.execute(query).scalars().all()
            if not bodies or is_on_hold(self._database, connection):
                return None
            now = from_micros(self._database.now_micros(connection))
            common = common_windows(connection)
        schedules = map(Schedule.from_text, bodies)
        ends = (open_until((*one.not_during, *common), now) for one in schedules)
        return min(timedelta(0) if end is None else end - now for end in ends)

    def _close(self, firing: OpenFiring, **values: Any) -> None:
        name = firing.schedule.name
        with self._database.begin() as connection:
            row = find(connection, name, lock=True)
            if row is None or row.incarnation != firing.incarnation:
                return  # it was deleted meanwhile, and perhaps made anew
            place = _of(name, to_micros(firing.at))
            now = self._database.now_micros(connection)
            values["started_at" if values["run_id"] else "decided_at"] = now
            is_to_close: Any = schema.OPEN_FIRING
            if firing.is_backfilled and values["run_id"]:  # it may be cancelled: the run goes on
                is_to_close = or_(is_to_close, _firings.c.state == FiringState.SKIPPED)
            closed = update(_firings).where(*place, is_to_close)
            is_ours = connection.execute(closed.values(**values)).rowcount
            if is_ours and values["run_id"] is None and not firing.is_backfilled:
                give_back(connection, row, now)


def _of(schedule: str, at: int) -> tuple[Any, ...]:
    return _firings.c.schedule == schedule, _firings.c.at == at


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
        started_at=None if row.started_at is None else from_micros(row.started_at),
    )
