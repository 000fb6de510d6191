"""Moves schedules that a package declared on to what its next release declares."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.schedule.following import Followed, Following
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.deciding import decide_due
from cloacina_core.store.schedule_rows import change, find, get, next_at

_schedules = schema.schedules
_MOMENTS = ("cron", "timezone", "gap", "fold", "jitter", "starts_at", "ends_at")


class FollowingStore:
    """Knows which schedules follow a release, and changes them when it is another one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def followers(self) -> Mapping[str, Following]:
        """Return what each schedule that was declared by a package follows, by its name."""
        query = select(_schedules.c.name, _schedules.c.declared)
        query = query.where(_schedules.c.declared.is_not(None)).order_by(_schedules.c.name)
        with self._database.read() as connection:
            rows = connection.execute(query)
            return {row.name: Following.from_text(row.declared) for row in rows}

    def follow(self, name: str, before: Following, followed: Followed) -> bool:
        """Let a schedule be what is declared now; False when another engine was faster.

        What was due up to now is decided on by what was declared before. From now on the new
        declaration holds: its past isn't made up for, and no firing is met twice.

        Args:
            name: of the schedule.
            before: what it followed when it was asked what is declared.
            followed: what is to become of it.
        """
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            row = find(connection, name, lock=True, skip_locked=True)
            if row is None or row.declared != before.to_text():
                return False
            if row.next_at is not None and row.next_at <= now:
                decide_due(connection, row, now)
            if followed.schedule is None:
                self._rest(connection, followed, name, now)
            else:
                self._go_on(connection, followed, followed.schedule, now)
            return True

    def _rest(self, connection: Connection, followed: Followed, name: str, now: int) -> None:
        """Have nothing of a schedule be due; who paused it already needs no other reason."""
        row = get(connection, name)
        paused_by_people = row.paused and row.pause_reason is None
        change(
            connection,
            name,
            now,
            declared=followed.following.to_text(),
            paused=True,
            pause_reason=None if paused_by_people else followed.reason,
            next_at=None,
        )

    def _go_on(
        self, connection: Connection, followed: Followed, schedule: Schedule, now: int
    ) -> None:
        row = get(connection, schedule.name)
        was_gone = row.paused and row.pause_reason is not None
        is_paused = row.paused and not was_gone
        until = row.decided_until
        if was_gone or _is_due_otherwise(Schedule.from_text(row.body), schedule):
            until = max(now, until)
        is_over = schedule.max_runs is not None and row.started >= schedule.max_runs
        change(
            connection,
            schedule.name,
            now,
            body=canonical(schedule.to_json()),
            declared=followed.following.to_text(),
            paused=is_paused,
            pause_reason=None,
            decided_until=until,
            next_at=None if is_paused or is_over else next_at(schedule, until),
        )


def _is_due_otherwise(old: Schedule, new: Schedule) -> bool:
    """Whether two rules have other firings, or start them later."""
    before, after = old.to_json(), new.to_json()
    return any(before[key] != after[key] for key in _MOMENTS)
