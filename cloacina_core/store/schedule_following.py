"""Moves schedules that a package declared on to what its next release declares."""

from typing import Any

from sqlalchemy import Connection, Row

from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.following import Followed
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.store import schema
from cloacina_core.store.deciding import decide_due
from cloacina_core.store.following import FollowingStore, gone_on, rested
from cloacina_core.store.schedule_rows import change, find, get, next_at

_MOMENTS = ("cron", "timezone", "gap", "fold", "jitter", "starts_at", "ends_at")


class ScheduleFollowing(FollowingStore[Schedule]):
    """Which schedules follow a release.

    What was due up to now is decided on by what was declared before. The past of the new
    declaration isn't made up for, and no firing is met twice.
    """

    table = schema.schedules

    def _lock(
        self,
        connection: Connection,
        name: str,
        followed: Followed[Schedule],  # noqa: ARG002 - whatever becomes of it
    ) -> Row[Any] | None:
        return find(connection, name, lock=True, skip_locked=True)

    def _move(
        self, connection: Connection, row: Row[Any], followed: Followed[Schedule], now: int
    ) -> None:
        if row.next_at is not None and row.next_at <= now:
            decide_due(connection, row, now)
            row = get(connection, row.name)
        if followed.rule is None:
            change(connection, row.name, now, next_at=None, **rested(row, followed))
        else:
            self._go_on(connection, row, followed, followed.rule, now)

    def _go_on(
        self,
        connection: Connection,
        row: Row[Any],
        followed: Followed[Schedule],
        schedule: Schedule,
        now: int,
    ) -> None:
        values = gone_on(row, followed)
        was_gone = row.paused and not values["paused"]
        until = row.decided_until
        if was_gone or _is_due_otherwise(Schedule.from_text(row.body), schedule):
            until = max(now, until)
        is_over = schedule.max_runs is not None and row.started >= schedule.max_runs
        is_never_due = values["paused"] or is_over
        change(
            connection,
            schedule.name,
            now,
            body=canonical(schedule.to_json()),
            decided_until=until,
            next_at=None if is_never_due else next_at(schedule, until),
            **values,
        )


def _is_due_otherwise(old: Schedule, new: Schedule) -> bool:
    """Whether two rules have other firings, or start them later."""
    before, after = old.to_json(), new.to_json()
    return any(before[key] != after[key] for key in _MOMENTS)
