"""Sent events as rows."""

from typing import Any

from sqlalchemy import Row

from cloacina_core.errors import NotFoundError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.model.sending.sent_event import SentEvent, decoded_data


class UnknownEventError(NotFoundError):
    """No sent event has this id, or more than one begins with it."""

    code = "unknown-event"

    def __init__(self, event_id: str, found: int) -> None:
        how = "several sent events begin with" if found else "there is no sent event"
        super().__init__(f"{how} {event_id[:100]!r}", hint="see: cloacina event list")


def event_of(row: Row[Any]) -> SentEvent:
    """Return the event of a row."""
    return SentEvent(
        id=row.id,
        name=row.name,
        number=row.number,
        data=decoded_data(row.data),
        key=row.key,
        sent_at=from_micros(row.sent_at),
        sent_by=row.sent_by,
    )
