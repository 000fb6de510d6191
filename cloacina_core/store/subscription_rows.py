"""Rows of subscriptions: found, read, and changed within a transaction that somebody else has."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from cloacina_core.errors import ConflictError, NotFoundError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.json_value import canonical
from cloacina_core.foundation.names import nearest
from cloacina_core.model.following import Following
from cloacina_core.model.sending.subscription import Subscription, SubscriptionState
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.event_order import hold

_subscriptions, _deliveries = schema.subscriptions, schema.deliveries


class UnknownSubscriptionError(NotFoundError):
    """There is no subscription of this name."""

    code = "unknown-subscription"

    def __init__(self, name: str, near: Sequence[str]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "see: cloacina event subscriptions"
        super().__init__(f"there is no subscription {name[:100]!r}", hint=hint)


class SubscriptionExistsError(ConflictError):
    """There is another subscription of this name."""

    code = "subscription-exists"

    def __init__(self, name: str, differs_in: Sequence[str], move: str | None) -> None:
        """Refuse a subscription.

        Args:
            name: of both.
            differs_in: in what they differ.
            move: how to have the one that is there follow what was asked for, if it can.
        """
        super().__init__(
            f"subscription {name!r} is there already, with other values of {', '.join(differs_in)}",
            hint=move or f"change it with: cloacina event update {name}",
        )


def find(connection: Connection, name: str, *, lock: bool = False) -> Row[Any] | None:
    """Return the row of a subscription; None: there is none."""
    query = select(_subscriptions).where(_subscriptions.c.name == name)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def get(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    """Return the row of a subscription.

    Raises:
        UnknownSubscriptionError: there is none of this name.
    """
    row = find(connection, name, lock=lock)
    if row is None:
        names = list(connection.execute(select(_subscriptions.c.name)).scalars())
        raise UnknownSubscriptionError(name, nearest(name, names))
    return row


def held(
    database: Database, connection: Connection, name: str, *events: str | None
) -> Row[Any] | None:
    """Return the row of a subscription, locked, while nobody sends events that it is for.

    Args:
        database: of the store.
        connection: of a write transaction.
        name: of the subscription.
        *events: the names of other events that are to be held, too.
    """
    found = find(connection, name)
    there = None if found is None else found.event
    for event in sorted({event for event in (there, *events) if event is not None}):
        hold(database, connection, event)
    row = find(connection, name, lock=True)
    if row is not None and row.event != there:  # somebody was faster: that one has to be held
        return held(database, connection, name, *events)
    return row


def changed_body(row: Row[Any], subscription: Subscription) -> dict[str, Any]:
    """Return the values of a row that has another rule now."""
    is_other_event = subscription.event != row.event
    return {
        "event": subscription.event,
        "epoch": row.epoch + 1 if is_other_event else row.epoch,
        "body": canonical(subscription.to_json()),
    }


def change(connection: Connection, name: str, now: int, **values: Any) -> None:
    """Change a subscription."""
    place = _subscriptions.c.name == name
    connection.execute(update(_subscriptions).where(place).values(updated_at=now, **values))


def due_of(connection: Connection) -> dict[str, int]:
    """Return for how many events runs are still to be started, for each that has some."""
    query = select(_deliveries.c.subscription, func.count().label("due")).where(schema.DUE)
    rows = connection.execute(query.group_by(_deliveries.c.subscription))
    return {row.subscription: row.due for row in rows}


def state(connection: Connection, name: str) -> SubscriptionState:
    """Return a subscription, and how far it is.

    Raises:
        UnknownSubscriptionError: there is none of this name.
    """
    return state_of(get(connection, name), due_of(connection).get(name, 0))


def state_of(row: Row[Any], due: int) -> SubscriptionState:
    """Return what a row tells."""
    return SubscriptionState(
        subscription=Subscription.from_text(row.body),
        is_paused=row.paused,
        pause_reason=row.pause_reason,
        following=None if row.declared is None else Following.from_text(row.declared),
        due=due,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
