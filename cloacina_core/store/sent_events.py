"""Sent events, as the store has them.

Whom an event is for is decided in the transaction that makes it durable: the deliveries to
subscriptions and what waiting runs are told are there as soon as the event is, or nothing is.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from cloacina_core.errors import ConflictError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.ids import is_id_prefix
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.sending.sent_event import SentEvent, decoded_data
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.event_order import hold, take_number
from cloacina_core.store.event_rows import UnknownEventError, event_of
from cloacina_core.store.event_waits import resume
from cloacina_core.store.subscriptions import deliver

_events, _deliveries = schema.sent_events, schema.deliveries


class EventKeyConflictError(ConflictError):
    """The key of a sent event stands for another one."""

    code = "event-key-conflict"

    def __init__(self, event: SentEvent) -> None:
        super().__init__(
            f"key {event.key!r} stands for event {event.name} {event.id}, which carries other data",
            hint="send the same again with the same key, and another event with another",
        )
        self.event_id = event.id


class SentEventStore:
    """Keeps sent events, and tells them to whom they are for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def send(
        self, event_id: str, name: str, data: str, *, key: str | None, sent_by: str
    ) -> tuple[SentEvent, bool]:
        """Keep an event; return it, and whether it is new. It is durable.

        Sending again with the same id, or the same name and key, finds what was sent.

        Args:
            event_id: a new id.
            name: of the event.
            data: what it carries, encoded.
            key: what tells it from others of its name.
            sent_by: who sends it.

        Raises:
            EventKeyConflictError: the key stands for other data.
        """
        with self._database.begin() as connection:
            last = hold(self._database, connection, name)
            known = _known(connection, event_id, name, key)
            if known is not None:
                event = event_of(known)
                if canonical(event.data) != canonical(decoded_data(data)):
                    raise EventKeyConflictError(event)
                return event, event.id == event_id
            now = self._database.now_micros(connection)
            event = SentEvent(
                id=event_id,
                name=name,
                number=last + 1,
                data=decoded_data(data),
                key=key,
                sent_at=from_micros(now),
                sent_by=sent_by,
            )
            take_number(connection, name, event.number)
            row = {"id": event_id, "name": name, "number": event.number, "key": key}
            row |= {"data": data, "sent_at": now, "sent_by": sent_by}
            connection.execute(insert(_events), [row])
            deliver(connection, event, now)
            resume(connection, event, now)
            return event, True

    def get(self, event_id: str) -> SentEvent:
        """Return an event by its id, or the unique beginning of that.

        Raises:
            UnknownEventError: there is none, or there are several.
        """
        found: Sequence[Row[Any]] = []
        if is_id_prefix(event_id):
            query = select(_events).where(_events.c.id.startswith(event_id, autoescape=True))
            with self._database.read() as connection:
                found = connection.execute(query.limit(2)).all()
        if len(found) != 1:
            raise UnknownEventError(event_id, len(found))
        return event_of(found[0])

    def all(
        self, name: str | None = None, *, before: str | None = None, limit: int = 50
    ) -> list[SentEvent]:
        """Return events, newest first.

        Args:
            name: only those of this name.
            before: the last id of the page before.
            limit: how many at most.
        """
        query = select(_events).order_by(_events.c.id.desc()).limit(limit)
        if name is not None:
            query = query.where(_events.c.name == name)
        if before is not None:
            query = query.where(_events.c.id < before)
        with self._database.read() as connection:
            return [event_of(row) for row in connection.execute(query)]


def _known(connection: Connection, event_id: str, name: str, key: str | None) -> Row[Any] | None:
    is_it = _events.c.id == event_id
    if key is not None:
        is_it = is_it | ((_events.c.name == name) & (_events.c.key == key))
    return connection.execute(select(_events).where(is_it)).one_or_none()
