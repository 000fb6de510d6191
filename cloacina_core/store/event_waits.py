"""Tasks that wait for sent events, as the store has them.

The row of a wait is written together with the wait itself. The engine that has the run then looks
once at what was sent since the task began to wait; from then on, whoever sends an event that fits
takes the wait away, and leaves the event to the run as a command, in one transaction.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from cloacina_core.foundation.clock import Clock, to_micros
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.ids import ID_LENGTH, EngineId
from cloacina_core.model.command import CommandKind
from cloacina_core.model.sending.conditions import Condition
from cloacina_core.model.sending.sent_event import SentEvent
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.event_order import hold
from cloacina_core.store.event_rows import event_of
from cloacina_core.store.watching import announce

_waits, _events, _runs = schema.event_waits, schema.sent_events, schema.runs
_PAGE = 500


class EventWaits:
    """Looks for what was sent while a wait was on its way to the store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Prepare.

        Args:
            database: where waits and events are.
            clock: that of this host, which told when the tasks of its engines began to wait.
        """
        self._database = database
        self._clock = clock

    def is_anything_open(self) -> bool:
        """Whether there are new waits, or events for which runs are to be started.

        It is asked often, and almost always in vain: it is one small question.
        """
        new = select(_waits.c.run_id).where(schema.NOT_LOOKED).exists()
        due = select(schema.deliveries.c.number).where(schema.DUE).exists()
        with self._database.read() as connection:
            return bool(connection.execute(select(or_(new, due))).scalar())

    def look(self, engine: EngineId) -> int:
        """Look for the new waits of an engine's runs; return how many there were."""
        with self._database.read() as connection:
            names = sorted(set(connection.execute(_new_of(engine, _waits.c.name)).scalars()))
        return sum(self._look_for(name, engine) for name in names)

    def _look_for(self, name: str, engine: EngineId) -> int:
        with self._database.begin() as connection:
            hold(self._database, connection, name)
            query = _new_of(engine, _waits).where(_waits.c.name == name)
            rows = connection.execute(query).all()
            # Never more than what the clocks differ by, lest an event be missed.
            ahead = self._database.now_micros(connection) - to_micros(self._clock.now())
            for row in rows:
                event = _first(connection, row, row.since + ahead)
                if event is None:
                    connection.execute(update(_waits).where(*_place(row)).values(looked=True))
                else:
                    _hand_over(connection, [row], event, self._database.now_micros(connection))
        return len(rows)


def resume(connection: Connection, event: SentEvent, now: int) -> int:
    """Hand an event that is being sent to all who wait for one like it; return how many."""
    query = select(_waits).join(_runs, _runs.c.id == _waits.c.run_id)
    query = query.where(_waits.c.name == event.name, schema.LIVE)
    waiting = connection.execute(query).all()
    fitting = [row for row in waiting if row.looked and _fits(row, event)]
    _hand_over(connection, fitting, event, now)
    if any(not row.looked for row in waiting):  # their engine finds the event
        announce(connection)
    return len(fitting)


def _new_of(engine: EngineId, *what: Any) -> Any:
    query = select(*what).join(_runs, _runs.c.id == _waits.c.run_id)
    return query.where(schema.NOT_LOOKED, _runs.c.engine == engine)


def _fits(row: Row[Any], event: SentEvent) -> bool:
    return Condition(row.condition).holds(event.data)


def _first(connection: Connection, row: Row[Any], since: int) -> SentEvent | None:
    """Return the first event that a wait is for; None when none was sent yet."""
    sent = _sent(connection, row.name, since, row.after)
    return next((event for event in sent if _fits(row, event)), None)


def _sent(connection: Connection, name: str, since: int, after: int) -> Iterator[SentEvent]:
    """Yield the events of a name since a moment and behind a number, in order."""
    of_name = (_events.c.name == name, _events.c.sent_at >= since)
    while True:
        query = select(_events).where(*of_name, _events.c.number > after)
        rows = connection.execute(query.order_by(_events.c.number).limit(_PAGE)).all()
        yield from map(event_of, rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1].number


def _hand_over(
    connection: Connection, rows: Sequence[Row[Any]], event: SentEvent, now: int
) -> None:
    """Take waits away, and leave the event to their runs."""
    if not rows:
        return
    for row in rows:
        connection.execute(delete(_waits).where(*_place(row)))
    connection.execute(insert(schema.commands), list(_commands(rows, event, now)))
    announce(connection)


def _commands(rows: Iterable[Row[Any]], event: SentEvent, now: int) -> Iterator[dict[str, Any]]:
    for row in rows:
        wait = {"task": row.task, "attempt": row.attempt, "number": row.number}
        place = f"{row.task} {row.attempt} {row.number} {event.id}"
        yield {
            "run_id": row.run_id,
            "id": digest_of_text(place)[-ID_LENGTH:],
            "kind": CommandKind.EVENT.value,
            "name": event.name,
            "payload": json.dumps({"wait": wait, "event": event.told}, ensure_ascii=False),
            "asked_by": event.sent_by,
            "asked_at": now,
        }


def _place(row: Row[Any]) -> tuple[Any, ...]:
    return tuple(getattr(_waits.c, key.name) == getattr(row, key.name) for key in _KEY)


_KEY = tuple(_waits.primary_key.columns)
