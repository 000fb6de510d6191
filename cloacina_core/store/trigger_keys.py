"""What triggers have fired for: a key starts one run, as long as its trigger may name it again.

A key is kept while its run is, and while the trigger goes on naming it: a file that lies in a
folder for years starts one run. One that wasn't named for as long as finished runs are kept is
forgotten. That is measured in time in which the trigger was polled: neither a pause nor an outage
makes a key older.

Keys come, are named and go while the row of their trigger is locked.
"""

from datetime import timedelta

from sqlalchemy import Connection, Select, delete, exists, insert, select, update

from cloacina_core.foundation.ids import RunId
from cloacina_core.model.polling.enabled import EnabledTrigger
from cloacina_core.store import schema
from cloacina_core.store.database import Database

_keys, _triggers, _fired, _runs = (
    schema.trigger_keys,
    schema.triggers,
    schema.trigger_firings,
    schema.runs,
)

NOTED_EVERY = timedelta(hours=1)
"""How exactly it is known when a key was named last, which saves writing it for each poll."""
_AT_A_TIME = 500
_MICROSECOND = timedelta(microseconds=1)
_NOTED_EVERY = NOTED_EVERY // _MICROSECOND


def take(
    connection: Connection, trigger: str, key: str, window: timedelta | None, now: int
) -> bool:
    """Note that a key is fired; False when it was already, within its window.

    Args:
        connection: of a write transaction that has the trigger's row.
        trigger: its name.
        key: what is fired.
        window: for how long it isn't fired again; None: as long as it is kept.
        now: in microseconds, on the database's clock.
    """
    place = _keys.c.trigger == trigger, _keys.c.key == key
    row = connection.execute(select(_keys).where(*place)).one_or_none()
    if row is None:
        values = {"trigger": trigger, "key": key, "fired_at": now, "named_at": now}
        connection.execute(insert(_keys).values(**values))
        return True
    if window is None or row.fired_at > now - window // _MICROSECOND:
        if row.named_at < now - _NOTED_EVERY:
            connection.execute(update(_keys).where(*place).values(named_at=now))
        return False
    connection.execute(update(_keys).where(*place).values(fired_at=now, named_at=now))
    return True


def started(connection: Connection, trigger: str, key: str, run_id: RunId) -> None:
    """Note which run was started for a key."""
    place = _keys.c.trigger == trigger, _keys.c.key == key
    connection.execute(update(_keys).where(*place).values(started_run=run_id))


def pass_over(
    connection: Connection, trigger: str, before: int | None, every: timedelta, now: int
) -> None:
    """Let the time not count in which a trigger should have been polled, and wasn't.

    Args:
        connection: of a write transaction that has the trigger's row.
        trigger: its name.
        before: when a poll came to something the last time; None: never.
        every: how long after that it should have been polled.
        now: when one comes to something again.
    """
    missed = 0 if before is None else now - before - every // _MICROSECOND
    if missed > _NOTED_EVERY:
        named_at = _keys.c.named_at + missed
        of_it = _keys.c.trigger == trigger
        connection.execute(update(_keys).where(of_it).values(named_at=named_at))


def forget(database: Database, kept: timedelta) -> int:
    """Delete some keys that weren't named for so long; return how many.

    A window that is longer holds in place of that.
    """
    with database.read() as connection:
        query = select(_triggers).where(_triggers.c.polled_at.is_not(None))
        triggers = connection.execute(query.order_by(_triggers.c.name)).all()
        old = {row.name: _old(row.name, _limit(row.body, row.polled_at, kept)) for row in triggers}
        wanted = [name for name, query in old.items() if connection.execute(query.limit(1)).first()]
    count = 0
    for name in wanted:
        with database.begin() as connection:
            locked = select(_triggers).where(_triggers.c.name == name)
            row = connection.execute(locked.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                continue
            found = _old(name, _limit(row.body, row.polled_at, kept)).limit(_AT_A_TIME)
            keys = connection.execute(found).scalars().all()
            place = _keys.c.trigger == name, _keys.c.key.in_(keys)
            count += connection.execute(delete(_keys).where(*place)).rowcount
    return count


def _limit(body: str, polled_at: int, kept: timedelta) -> int:
    """Return the moment from which on keys of a trigger are kept."""
    window = EnabledTrigger.from_text(body).definition.key_window or timedelta(0)
    return polled_at - (max(kept, window) + NOTED_EVERY) // _MICROSECOND


def _old(trigger: str, limit: int) -> Select[tuple[str]]:
    """Return a query for the keys of a trigger that may be forgotten."""
    has_run = exists().where(_runs.c.id == _keys.c.started_run)
    is_due = exists().where(
        _fired.c.trigger == _keys.c.trigger, _fired.c.key == _keys.c.key, schema.DUE
    )
    of_it = _keys.c.trigger == trigger, _keys.c.named_at < limit
    return select(_keys.c.key).where(*of_it, ~has_run, ~is_due)
