"""Moves schedules that a package declared on to what its next release declares."""

from typing import Any

from sqlalchemy import Connection, Row

from cloacina_core.model.following import Followed
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.store import schema
from cloacina_core.store.deciding import decide_due
from cloacina_core.store.following import FollowingStore, gone_on, rested
from cloacina_core.store.schedule_changes import PAUSED, changed_rule, halted
from cloacina_core.store.schedule_rows import change, find, get


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
            reason = followed.reason or PAUSED
            values = rested(row, followed) | halted(connection, row, now, reason)
        else:
            values = gone_on(row, followed)
            is_paused = values["paused"]
            values |= changed_rule(connection, row, followed.rule, now, is_paused=is_paused)
        change(connection, row.name, now, **values)
