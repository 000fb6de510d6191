"""Has something fail to be started in each way that there is, as engines write it down."""

from datetime import timedelta

from sqlalchemy import update
from support.following import following

from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.model.polling.definition import TriggerDefinition
from cloacina_core.model.polling.enabled import EnabledTrigger, PollState
from cloacina_core.model.polling.result import Fire
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.sending.subscription import Subscription
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.poll_history import PollOutcome
from cloacina_core.store.schedules import ScheduleStore
from cloacina_core.store.sent_events import SentEventStore
from cloacina_core.store.subscriptions import SubscriptionStore
from cloacina_core.store.triggers import PollClaim, TriggerStore

REFERENCE = "acme-etl/nightly@stable"
WHY = "unknown-package: there is no package 'acme-etl'"
_MOST = 50
_HOUR = timedelta(hours=1)
_POLLED = TriggerDefinition(name="files", every=_HOUR, timeout=timedelta(minutes=1))


def fail_firings(database: Database, name: str = "report", count: int = 1) -> None:
    """Have some firings of a schedule fail."""
    store = ScheduleStore(database)
    with database.read() as connection:
        now = from_micros(database.now_micros(connection))
    # One alone is of this minute, and the next one is due tomorrow.
    cron, catch_up = (f"{now:%M %H} * * *", "latest") if count == 1 else ("* * * * *", "all")
    store.add(Schedule.checked(name, REFERENCE, cron=cron, catch_up=catch_up))
    back = to_micros(now) - count * 60_000_000
    with database.begin() as connection:
        moved = update(schema.schedules).where(schema.schedules.c.name == name)
        connection.execute(moved.values(decided_until=back, next_at=back))
    store.decide()
    for firing in store.claim():
        store.failed(firing, WHY)


def fail_fired(database: Database, name: str = "files") -> None:
    """Have a run fail to start that a trigger asked for."""
    store = TriggerStore(database)
    fired = PollOutcome(state=PollState.FIRED, fired=[Fire(key="a.csv")])
    store.finish(_claim(database, store, name), fired)
    for one in store.claim_fired():
        store.failed(one, WHY)


def fail_delivery(database: Database, name: str = "orders") -> None:
    """Have a run fail to start that a sent event is to start."""
    store = SubscriptionStore(database)
    store.add(Subscription.checked(name, REFERENCE, event="order.paid"))
    SentEventStore(database).send("0" * 26, "order.paid", "17", key=None, sent_by="ann@here")
    for deliveries in store.claim():
        for delivery in deliveries:
            store.failed(delivery, WHY)


def poll(database: Database, *states: PollState, name: str = "ftp") -> None:
    """Poll a trigger, which comes to this and that."""
    store = TriggerStore(database)
    for state in states:
        claim = _claim(database, store, name)
        reason = "ConnectionError: nobody answers" if state is PollState.FAILED else None
        store.finish(claim, PollOutcome(state=state, reason=reason))


def _claim(database: Database, store: TriggerStore, name: str) -> PollClaim:
    store.add(
        EnabledTrigger(
            name=name,
            following=following("acme-etl@stable", name),
            reference=REFERENCE,
            definition=_POLLED,
        )
    )
    triggers = schema.triggers
    with database.begin() as connection:
        due = update(triggers).where(triggers.c.name == name)
        connection.execute(due.values(next_at=0, pause=0))
    (claim,) = (one for one in store.claim(lambda: "1" * 26, _MOST) if one.trigger.name == name)
    return claim
