"""Subscriptions and what was delivered to them, as the store has them.

A delivery is a row that is there as soon as its event is. Runs are started by one engine for each
subscription at a time, which claims it for a while, in the order of the events. One that dies
leaves it to others, and the run's idempotency key, which names the event, keeps them from starting
a second one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, tuple_, update

from cloacina_core.foundation.clock import from_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, canonical
from cloacina_core.model.following import Following
from cloacina_core.model.sending.sent_event import SentEvent
from cloacina_core.model.sending.subscription import (
    Delivery,
    DeliveryState,
    Subscription,
    SubscriptionState,
)
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.store import schema
from cloacina_core.store.claimed import is_free
from cloacina_core.store.database import Database
from cloacina_core.store.event_rows import UnknownEventError, event_of
from cloacina_core.store.following import differences, moving
from cloacina_core.store.subscription_rows import (
    SubscriptionExistsError,
    change,
    changed_body,
    due_of,
    get,
    held,
    state,
    state_of,
)
from cloacina_core.store.tenancy import is_on_hold
from cloacina_core.store.watching import announce

_subscriptions, _deliveries = schema.subscriptions, schema.deliveries
_events = schema.sent_events

CLAIM = timedelta(seconds=30)
"""How long one who starts the runs of a subscription has it for each, before others try."""

_AT_A_TIME = 20
"""How many deliveries of a subscription, and how many subscriptions, are claimed at a time."""
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """A sent event for which a run is to be started."""

    subscription: Subscription
    event: SentEvent

    @property
    def starter(self) -> StartedBy:
        """What the run is started by."""
        name = self.subscription.name
        return StartedBy(kind=StarterKind.SUBSCRIPTION, name=name, event=self.event.id)

    @property
    def key(self) -> str:
        """The idempotency key of the run."""
        return f"event/{self.subscription.name}/{self.event.id}"


class SubscriptionStore:
    """Keeps subscriptions, and what was delivered to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        subscription: Subscription,
        following: Following | None = None,
        *,
        is_paused: bool = False,
    ) -> tuple[SubscriptionState, bool]:
        """Keep a subscription; return it, and whether it is new. The same one changes nothing.

        Events that are sent from now on are delivered.

        Args:
            subscription: what is started for which events.
            following: what it was declared by; None: people made it. One that is declared and
                follows the same is the same, whatever a release or an operator changed since.
            is_paused: whether nothing is delivered until it is resumed.

        Raises:
            SubscriptionExistsError: another one has the name.
        """
        with self._database.begin() as connection:
            found = held(self._database, connection, subscription.name, subscription.event)
            if found is not None:
                there = state(connection, subscription.name)
                before = there.subscription, there.following
                if differs_in := differences(before, (subscription, following)):
                    moved = moving("event", subscription.name, there.following, following)
                    raise SubscriptionExistsError(subscription.name, differs_in, moved)
                return there, False
            now = self._database.now_micros(connection)
            values = {
                "name": subscription.name,
                "event": subscription.event,
                "epoch": 0,
                "body": canonical(subscription.to_json()),
                "paused": is_paused,
                "declared": None if following is None else following.to_text(),
                "created_at": now,
                "updated_at": now,
            }
            connection.execute(insert(_subscriptions).values(**values))
            return state(connection, subscription.name), True

    def update(
        self,
        name: str,
        changes: Mapping[str, JsonValue],
        check: Callable[[Subscription], object] = lambda _: None,
    ) -> SubscriptionState:
        """Change a subscription, for events that are sent from now on.

        Of one that a package declared, these fields are an operator's from now on.

        Args:
            name: of the subscription.
            changes: values of `Subscription.to_json`.
            check: refuses, by an error, what can't be.

        Raises:
            UnknownSubscriptionError: there is none of this name.
            InputError: a value can't be used.
        """
        with self._database.begin() as connection:
            changed = state(connection, name).subscription.changed(**changes)
            row = self._held(connection, name, changed.event)
            before = state_of(row, 0)
            subscription = before.subscription.changed(**changes)
            told = subscription.to_json()
            fields = {key: told[key] for key in changes}
            following = before.following
            if following is not None:
                following = following.overriding(fields, move=following.move("event", name))
            check(subscription)
            change(
                connection,
                name,
                self._database.now_micros(connection),
                declared=None if following is None else following.to_text(),
                **changed_body(row, subscription),
            )
            return state(connection, name)

    def pause(self, name: str, *, is_paused: bool) -> SubscriptionState:
        """Have events not be delivered, or again. What was delivered before still starts its runs.

        Raises:
            UnknownSubscriptionError: there is none of this name.
        """
        with self._database.begin() as connection:
            row = self._held(connection, name)
            if row.paused != is_paused:
                now = self._database.now_micros(connection)
                change(connection, name, now, paused=is_paused, pause_reason=None)
            return state(connection, name)

    def delete(self, name: str) -> None:
        """Forget a subscription and its deliveries. Runs that it started go on.

        Raises:
            UnknownSubscriptionError: there is none of this name.
        """
        with self._database.begin() as connection:
            self._held(connection, name)
            connection.execute(delete(_deliveries).where(_deliveries.c.subscription == name))
            connection.execute(delete(_subscriptions).where(_subscriptions.c.name == name))

    def get(self, name: str) -> SubscriptionState:
        """Return a subscription.

        Raises:
            UnknownSubscriptionError: there is none of this name.
        """
        with self._database.read() as connection:
            return state(connection, name)

    def all(self) -> list[SubscriptionState]:
        """Return all subscriptions, by name."""
        query = select(_subscriptions).order_by(_subscriptions.c.name)
        with self._database.read() as connection:
            due = due_of(connection)
            return [state_of(row, due.get(row.name, 0)) for row in connection.execute(query)]

    def history(self, name: str, *, before: str | None = None, limit: int = 50) -> list[Delivery]:
        """Return what was delivered to a subscription, newest first.

        Args:
            name: of the subscription.
            before: the id of an event in it: only events that were sent before that one.
            limit: how many at most.

        Raises:
            UnknownSubscriptionError: there is none of this name.
            UnknownEventError: no such event is in its history.
        """
        of_it = _deliveries.c.subscription == name
        place = tuple_(_deliveries.c.epoch, _deliveries.c.number)
        query = select(_deliveries).where(of_it).limit(limit)
        query = query.order_by(_deliveries.c.epoch.desc(), _deliveries.c.number.desc())
        with self._database.read() as connection:
            get(connection, name)
            if before is not None:
                is_last = of_it, _deliveries.c.event_id == before
                last = connection.execute(select(*place.clauses).where(*is_last)).one_or_none()
                if last is None:
                    raise UnknownEventError(before, 0)
                query = query.where(place < tuple_(*last))
            return [_delivery(row) for row in connection.execute(query)]

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
        order = _deliveries.c.epoch, _deliveries.c.number
        found = connection.execute(query.order_by(*order).limit(_AT_A_TIME))
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

    def _held(self, connection: Connection, name: str, event: str | None = None) -> Row[Any]:
        return held(self._database, connection, name, event) or get(connection, name)


def deliver(connection: Connection, event: SentEvent, now: int) -> int:
    """Write deliveries of an event that is being sent; return how many."""
    query = select(_subscriptions.c.epoch, _subscriptions.c.body).where(
        _subscriptions.c.event == event.name, _subscriptions.c.paused.is_(False)
    )
    rows = [
        {
            "subscription": subscription.name,
            "epoch": epoch,
            "number": event.number,
            "event_id": event.id,
            "state": DeliveryState.DUE.value,
            "decided_at": now,
        }
        for epoch, body in connection.execute(query)
        if (subscription := Subscription.from_text(body)).fits(event.name, event.data)
    ]
    if rows:
        connection.execute(insert(_deliveries), rows)
        announce(connection)
    return len(rows)


def _claim_until(connection: Connection, name: str, moment: int) -> None:
    place = _subscriptions.c.name == name
    connection.execute(update(_subscriptions).where(place).values(claimed_until=moment))


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
