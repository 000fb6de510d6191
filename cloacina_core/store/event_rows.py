"""Sent events as rows."""

from typing import Any

from sqlalchemy import Row

from cloacina_core.foundation.clock import from_micros
from cloacina_core.model.sending.sent_event import SentEvent, decoded_data


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
