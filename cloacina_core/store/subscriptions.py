"""Subscriptions and what was delivered to them, as the store has them.

A delivery is a row that is there as soon as its event is. Runs are started by one engine for each
subscription at a time, which claims it for a while, in the order of the events. One that dies
leaves it to others, and the run's idempotency key, which names the event, keeps them from starting
a second one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from cloacina_core.errors import ConflictError, NotFoundError
from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import canonical
from cloacina_core.foundation.names import nearest
from cloacina_core.model.sending.sent_event import SentEvent
from cloacina_core.model.sending.subscription import (
    Delivery,
    DeliveryState,
    Subscription,
    SubscriptionState,
)
from cloacina_core.store import schema
from cloacina_core.store.claimed import is_free
from cloacina_core.store.database import Database
from cloacina_core.store.event_order import hold
from cloacina_core.store.event_rows import event_of
from cloacina_core.store.tenancy import is_on_hold
from cloacina_core.store.watching import announce

_subscriptions, _deliveries = schema.subscriptions, schema.deliveries
_events = schema.sent_events

CLAIM = timedelta(seconds=30)
"""How long one who starts the runs of a subscription has it for each, before others try."""

_AT_A_TIME = 20
"""How many deliveries of a subscription, and how many subscriptions, are claimed at a time."""
_MICROSECOND = timedelta(microseconds=1)


class UnknownSubscriptionError(NotFoundError):
    """There is no subscription of this name."""

    code = "unknown-subscription"

    def __init__(self, name: str, near: Sequence[str]) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else "see: cloacina event subscriptions"
        super().__init__(f"there is no subscription {name[:100]!r}", hint=hint)


class SubscriptionExistsError(ConflictError):
    """There is another subscription of this name."""

    code = "subscription-exists"

    def __init__(self, name: str, differs_in: Sequence[str]) -> None:
        super().__init__(
            f"subscription {name!r} is there already, with other values of {', '.join(differs_in)}",
            hint=f"take it away with: cloacina event unsubscribe {name}",
        )


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """A sent event for which a run is to be started."""

    subscription: Subscription
    event: SentEvent

    @property
    def key(self) -> str:
        """The idempotency key of the run."""
        return f"event/{self.subscription.name}/{self.event.id}"


class SubscriptionStore:
    """Keeps subscriptions, and what was delivered to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, subscription: Subscription, *, is_paused: bool = False
    ) -> tuple[SubscriptionState, bool]:
        """Keep a subscription; return it, and whether it is new. The same one changes nothing.

        Events that are sent from now on are delivered.

        Raises:
            SubscriptionExistsError: another one has the name.
        """
        with self._database.begin() as connection:
            hold(self._database, connection, subscription.event)
            found = self._find(connection, subscription.name, lock=True)
            if found is not None:
                there = Subscription.from_text(found.body).to_json()
                wanted = subscription.to_json()
                if differences := [key for key in wanted if wanted[key] != there[key]]:
                    raise SubscriptionExistsError(subscription.name, differences)
                return self._state(connection, subscription.name), False
            now = self._database.now_micros(connection)
            values = {
                "name": subscription.name,
                "event": subscription.event,
                "body": canonical(subscription.to_json()),
                "paused": is_paused,
                "created_at": now,
                "updated_at": now,
            }
            connection.execute(insert(_subscriptions).values(**values))
            return self._state(connection, subscription.name), True

    def pause(self, name: str, *, is_paused: bool) -> SubscriptionState:
        """Have events not be delivered, or again. What was delivered before still starts its runs.

        Raises:
            UnknownSubscriptionError: there is none of this name.
        """
        with self._database.begin() as connection:
            row = self._get(connection, name)
            hold(self._database, connection, row.event)
            place = _subscriptions.c.name == name
            now = self._database.now_micros(connection)
            changed = update(_subscriptions).where(place, _subscriptions.c.paused != is_paused)
            connection.execute(changed.values(paused=is_paused, updated_at=now))
            return self._state(connection, name)

    def delete(self, name: str) -> None:
        """Forget a subscription and its deliveries. Runs that it started go on.

        Raises:
            UnknownSubscriptionError: there is none of this name.
        """
        with self._database.begin() as connection:
            row = self._get(connection, name)
            hold(self._database, connection, row.event)
            connection.execute(delete(_deliveries).where(_deliveries.c.subscription == name))
            connection.execute(delete(_subscriptions).where(_subscriptions.c.name == name))

    def get(self, name: str) -> SubscriptionState:
        """Return a subscription.

        Raises:
            UnknownSubscriptionError: there is none of this name.
        """
        with self._database.read() as connection:
            return self._state(connection, name)

    def all(self) -> list[SubscriptionState]:
        """Return all subscriptions, by name."""
        query = select(_subscriptions).order_by(_subscriptions.c.name)
        with self._database.read() as connection:
            due = _due(connection)
            return [_state(row, due.get(row.name, 0)) for row in connection.execute(query)]

    def history(self, name: str, *, before: int | None = None, limit: int = 50) -> list[Delivery]:
        """Return what was delivered to a subscription, newest first.

        Args:
            name: of the subscription.
            before: only events with a lower number.
            limit: how many at most.

        Raises:
            UnknownSubscriptionError: there is none of this name.
        """
        query = select(_deliveries).where(_deliveries.c.subscription == name)
        if before is not None:
            query = query.where(_deliveries.c.number < before)
        with self._database.read() as connection:
            self._get(connection, name)
            rows = connection.execute(query.order_by(_deliveries.c.number.desc()).limit(limit))
            return [_delivery(row) for row in rows]

    def waits(self) -> bool:
        """Whether runs are to be started."""
        with self._database.read() as connection:
            query = select(_deliveries.c.number).where(schema.DUE).limit(1)
            waits = connection.execute(query).scalar() is not None
            return waits and not is_on_hold(self._database, connection)

    def claim(self) -> list[list[OpenDelivery]]:
        """Take subscriptions whose runs are to be started, for a while.

        Returns:
            For each, the oldest of its deliveries, in the order of their events.
        """
        if not self.waits():  # which is almost always: nobody should wait for our transaction
            return []
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            wanted = select(_deliveries.c.subscription).where(schema.DUE).distinct()
            free = select(_subscriptions).where(
                _subscriptions.c.name.in_(wanted),
                is_free(_subscriptions.c.claimed_until, now, CLAIM),
            )
            free = free.order_by(_subscriptions.c.name).limit(_AT_A_TIME)
            rows = connection.execute(free.with_for_update(skip_locked=True)).all()
            for row in rows:
                _claim_until(connection, row.name, now + CLAIM // _MICROSECOND)
            return [self._oldest(connection, row) for row in rows]

    def _oldest(self, connection: Connection, row: Row[Any]) -> list[OpenDelivery]:
        subscription = Subscription.from_text(row.body)
        query = select(_events).join(_deliveries, _deliveries.c.event_id == _events.c.id)
        query = query.where(_deliveries.c.subscription == row.name, schema.DUE)
        found = connection.execute(query.order_by(_deliveries.c.number).limit(_AT_A_TIME))
        return [OpenDelivery(subscription, event_of(one)) for one in found]

    def let_go(self, subscription: str) -> None:
        """Leave a subscription that was claimed to whoever comes first."""
        with self._database.begin() as connection:
            _claim_until(connection, subscription, 0)

    def started(self, delivery: OpenDelivery, run_id: RunId) -> None:
        """Note that the run for an event was accepted."""
        self._close(delivery, state=DeliveryState.STARTED.value, run_id=run_id)

    def failed(self, delivery: OpenDelivery, reason: str) -> None:
        """Note that no run can be started for an event."""
        self._close(delivery, state=DeliveryState.FAILED.value, reason=reason)

    def _close(self, delivery: OpenDelivery, **values: Any) -> None:
        name = delivery.subscription.name
        with self._database.begin() as connection:
            now = self._database.now_micros(connection)
            _claim_until(connection, name, now + CLAIM // _MICROSECOND)
            closed = update(_deliveries).where(
                _deliveries.c.subscription == name,
                _deliveries.c.event_id == delivery.event.id,
                schema.DUE,
            )
            connection.execute(closed.values(decided_at=now, **values))

    def _find(self, connection: Connection, name: str, *, lock: bool = False) -> Row[Any] | None:
        query = select(_subscriptions).where(_subscriptions.c.name == name)
        return connection.execute(query.with_for_update() if lock else query).one_or_none()

    def _get(self, connection: Connection, name: str) -> Row[Any]:
        row = self._find(connection, name)
        if row is None:
            names = list(connection.execute(select(_subscriptions.c.name)).scalars())
            raise UnknownSubscriptionError(name, nearest(name, names))
        return row

    def _state(self, connection: Connection, name: str) -> SubscriptionState:
        return _state(self._get(connection, name), _due(connection).get(name, 0))


def deliver(connection: Connection, event: SentEvent, now: int) -> int:
    """Write deliveries of an event that is being sent; return how many."""
    query = select(_subscriptions.c.body).where(
        _subscriptions.c.event == event.name, _subscriptions.c.paused.is_(False)
    )
    subscriptions = map(Subscription.from_text, connection.execute(query).scalars())
    rows = [
        {
            "subscription": subscription.name,
            "number": event.number,
            "event_id": event.id,
            "state": DeliveryState.DUE.value,
            "decided_at": now,
        }
        for subscription in subscriptions
        if subscription.fits(event.name, event.data)
    ]
    if rows:
        connection.execute(insert(_deliveries), rows)
        announce(connection)
    return len(rows)


def _claim_until(connection: Connection, name: str, moment: int) -> None:
    place = _subscriptions.c.name == name
    connection.execute(update(_subscriptions).where(place).values(claimed_until=moment))


def _due(connection: Connection) -> dict[str, int]:
    query = select(_deliveries.c.subscription, func.count().label("due")).where(schema.DUE)
    rows = connection.execute(query.group_by(_deliveries.c.subscription))
    return {row.subscription: row.due for row in rows}


def _state(row: Row[Any], due: int) -> SubscriptionState:
    return SubscriptionState(
        subscription=Subscription.from_text(row.body),
        is_paused=row.paused,
        due=due,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        subscription=row.subscription,
        event_id=row.event_id,
        number=row.number,
        state=DeliveryState(row.state),
        reason=row.reason,
        run_id=row.run_id,
        decided_at=from_micros(row.decided_at),
    )
