"""Sent events start one run each for who subscribed, on both databases, whoever dies."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.registry import StoreView, flows_returning, open_home, signed_wheel
from support.runs import PATIENCE, open_runtime
from support.waiting import wait_until

import cloacina_registry.hooks
from cloacina_core.errors import InputError, UnknownPackageError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.explanation import ReasonKind
from cloacina_core.model.sending.subscription import Delivery, DeliveryState
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import RunHandle, Runtime
from cloacina_core.runtime.sent_events import SentEvents
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.store.event_rows import UnknownEventError
from cloacina_core.store.event_waits import EventWaits
from cloacina_core.store.retention import Expiry, Retention
from cloacina_core.store.sent_events import EventKeyConflictError, SentEventStore
from cloacina_core.store.subscription_rows import (
    SubscriptionExistsError,
    UnknownSubscriptionError,
)
from cloacina_core.store.subscriptions import SubscriptionStore
from cloacina_registry.registry import Registry

QUICK = signed_wheel("1.0", sources=flows_returning("one"))
WAITING = {
    "acme_etl/__init__.py": b"",
    "acme_etl/flows.py": (
        b"from cloacina_core import Context, Workflow\n\n"
        b'nightly = Workflow("nightly")\n\n\n'
        b"@nightly.task\n"
        b"def follow(context: Context) -> dict[str, object]:\n"
        b'    where = {"order": context.params["order"]}\n'
        b'    return {"paid": context.wait_for_event("orders.paid", where=where)}\n'
    ),
}
LONG = signed_wheel("2.0", sources=WAITING)
NIGHTLY = "acme-etl/nightly==1.0"


def plugins() -> Plugins:
    found = Plugins()
    found.add(cloacina_registry.hooks, "registry")
    return found


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    for view in open_home(tmp_path / "home", SystemClock(), url=store_url):
        for wheel in (QUICK, LONG):
            wheel.upload_to(Registry.of(view))
        yield view


@pytest.fixture
def events(view: StoreView) -> SentEvents:
    store = SentEventStore(view.database)
    return SentEvents(lambda: store, SystemClock(), max_bytes=1000)


@pytest.fixture
def store(view: StoreView) -> SubscriptionStore:
    return SubscriptionStore(view.database)


@pytest.fixture
def subscriptions(view: StoreView) -> Subscriptions:
    return Subscriptions(lambda: view.database, Sources(view, plugins()))


@pytest.fixture
def start(view: StoreView) -> Iterator[Callable[[], Runtime]]:
    """Return what starts an engine on the store."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            open_runtime(view.home, view.settings.database_url, plugins=plugins())
        )


def delivered(subscriptions: Subscriptions, count: int, name: str = "sub") -> list[Delivery]:
    """Wait until something became of so many events, and return that, oldest first."""
    end = time.monotonic() + PATIENCE
    while True:
        found = [
            one
            for one in reversed(subscriptions.history(name, limit=1000))
            if one.state is not DeliveryState.DUE
        ]
        if len(found) >= count:
            return found
        assert time.monotonic() < end, "it didn't become so"
        time.sleep(0.02)


def waits_in(runtime: Runtime, run: RunHandle) -> bool:
    tasks = runtime.get(run.id).tasks
    return "follow" in tasks and tasks["follow"].status is TaskStatus.SLEEPING


def free_all(view: StoreView) -> None:
    """Let what the dead have claimed be free at once."""
    with view.begin() as connection:
        connection.execute(text("update subscriptions set claimed_until = 0"))


def test_an_event_is_kept_and_found(events: SentEvents) -> None:
    first, is_new = events.send("orders.paid", {"order": 17})
    second, _ = events.send("orders.paid")
    other, _ = events.send("orders.made", [1])

    assert is_new
    assert (first.number, second.number, other.number) == (1, 2, 1)
    assert events.get(first.id[:-1] + first.id[-1]) == first
    assert first.data == {"order": 17}
    assert [one.id for one in events.all()] == [other.id, second.id, first.id]
    assert [one.id for one in events.all("orders.paid", before=second.id)] == [first.id]
    for wrong in ("0", "zz-", "", "7" * 26):
        with pytest.raises(UnknownEventError):
            events.get(wrong)


def test_sending_again_with_a_key_changes_nothing(events: SentEvents) -> None:
    first, is_new = events.send("orders.paid", {"order": 17, "a": 1}, key="17")
    again, is_new_again = events.send("orders.paid", {"a": 1, "order": 17}, key="17")
    other, _ = events.send("orders.made", {"order": 17}, key="17")

    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert other.id != first.id
    with pytest.raises(EventKeyConflictError, match=first.id):
        events.send("orders.paid", {"order": 18}, key="17")


@pytest.mark.parametrize(
    ("name", "data", "key", "told"),
    [
        ("orders paid", None, None, "event name"),
        ("", None, None, "event name"),
        ("orders", float("nan"), None, "can't be stored"),
        ("orders", "\0", None, "NUL"),
        ("orders", "x" * 1000, None, "1002 bytes; the limit is 1000"),
        ("orders", None, "", "key"),
        ("orders", None, "x" * 201, "key"),
    ],
)
def test_what_cant_be_sent_is_refused(
    events: SentEvents, name: str, data: object, key: str | None, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        events.send(name, data, key=key)

    assert events.all() == []


def test_each_event_that_fits_starts_a_run_in_order(
    events: SentEvents, subscriptions: Subscriptions, start: Callable[[], Runtime]
) -> None:
    events.send("orders.paid", {"order": 0})  # before anybody asked
    subscriptions.add("sub", NIGHTLY, event="orders.paid", where={"order": {">=": 3}})
    one, _ = start(), start()

    sent = [events.send("orders.paid", {"order": n})[0] for n in range(8)]
    found = delivered(subscriptions, 5)

    assert [record.event_id for record in found] == [event.id for event in sent[3:]]
    assert {record.state for record in found} == {DeliveryState.STARTED}
    runs = [one.get(record.run_id or "") for record in found]
    assert len({run.run_id for run in runs}) == 5
    created = [run.summary.created_at for run in runs]
    assert created == sorted(created)
    assert len(one.list()) == 5


def test_a_run_sees_its_event_and_its_params(
    events: SentEvents, subscriptions: Subscriptions, start: Callable[[], Runtime]
) -> None:
    subscriptions.add("sub", NIGHTLY, event="orders.paid", params={"day": "$.day", "n": 1})
    runtime = start()

    event, _ = events.send("orders.paid", {"day": "2026-11-27"})
    (record,) = delivered(subscriptions, 1)
    result = runtime.attach(record.run_id or "").result(PATIENCE)

    assert result.status is RunStatus.SUCCEEDED
    assert result.context["event"] == {**event.told, "subscription": "sub"}
    assert result.params == {"day": "2026-11-27", "n": 1}
    by = StartedBy(kind=StarterKind.SUBSCRIPTION, name="sub", event=event.id)
    assert result.summary.started_by == by
    assert result.summary.idempotency_key == f"event/sub/{event.id}"


def test_what_was_sent_is_started_by_who_comes_next(
    view: StoreView,
    events: SentEvents,
    subscriptions: Subscriptions,
    store: SubscriptionStore,
    start: Callable[[], Runtime],
) -> None:
    subscriptions.add("sub", NIGHTLY, event="orders.paid")
    events.send("orders.paid")
    assert subscriptions.get("sub").due == 1
    ((claimed,),) = store.claim()  # and then its engine died
    assert store.claim() == [], "it was claimed a moment ago"
    with view.begin() as connection:  # the clock was put back since
        statement = "update subscriptions set claimed_until = claimed_until + 86400000000"
        connection.execute(text(statement))

    start()

    (record,) = delivered(subscriptions, 1)
    assert record.event_id == claimed.event.id
    assert subscriptions.get("sub").due == 0


def test_a_run_that_was_accepted_isnt_accepted_again(
    view: StoreView,
    events: SentEvents,
    subscriptions: Subscriptions,
    store: SubscriptionStore,
    start: Callable[[], Runtime],
) -> None:
    subscriptions.add("sub", NIGHTLY, event="orders.paid")
    events.send("orders.paid", 17)
    ((claimed,),) = store.claim()
    begin = open_runtime(view.home, view.settings.database_url, plugins=plugins(), recover=False)
    with begin as other:
        accepted = other.submit(
            NIGHTLY,
            context={"event": {**claimed.event.told, "subscription": "sub"}},
            idempotency_key=claimed.key,
        ).id  # and then its engine died
    free_all(view)

    runtime = start()

    (record,) = delivered(subscriptions, 1)
    assert record.run_id == accepted
    assert len(runtime.list()) == 1


def test_what_cant_be_started_is_told_and_the_next_one_is(
    view: StoreView,
    events: SentEvents,
    subscriptions: Subscriptions,
    start: Callable[[], Runtime],
) -> None:
    subscriptions.add("sub", NIGHTLY, event="orders.paid", params={"day": "$.day"})
    subscriptions.add("gone", NIGHTLY, event="orders.paid", where={"day": 2})
    start()

    events.send("orders.paid", {})
    events.send("orders.paid", {"day": 1})
    missing, started = delivered(subscriptions, 2)
    Registry.of(view).delete("acme-etl", "1.0")
    events.send("orders.paid", {"day": 2})

    assert (missing.state, started.state) == (DeliveryState.FAILED, DeliveryState.STARTED)
    assert "missing-in-event" in str(missing.reason)
    (gone,) = delivered(subscriptions, 1, "gone")
    assert gone.state is DeliveryState.FAILED
    assert "unknown-release" in str(gone.reason)


def test_a_paused_subscription_makes_up_for_nothing(
    events: SentEvents, subscriptions: Subscriptions
) -> None:
    subscriptions.add("sub", NIGHTLY, event="orders.paid")
    before, _ = events.send("orders.paid")

    assert subscriptions.pause("sub").is_paused
    events.send("orders.paid")
    assert not subscriptions.resume("sub").is_paused
    after, _ = events.send("orders.paid")

    history = [one.event_id for one in subscriptions.history("sub")]
    assert history == [after.id, before.id]
    assert [one.event_id for one in subscriptions.history("sub", before=after.id)] == [before.id]


def test_adding_again_changes_nothing_and_another_is_refused(
    subscriptions: Subscriptions,
) -> None:
    first, is_new = subscriptions.add("sub", NIGHTLY, event="orders.paid", where={"a": 1})
    again, is_new_again = subscriptions.add("sub", NIGHTLY, event="orders.paid", where={"a": 1})

    assert (is_new, is_new_again) == (True, False)
    assert first == again
    with pytest.raises(SubscriptionExistsError, match="where"):
        subscriptions.add("sub", NIGHTLY, event="orders.paid")
    with pytest.raises(UnknownPackageError):
        subscriptions.add("other", "acme-elt/nightly", event="orders.paid")
    assert [state.subscription.name for state in subscriptions.all()] == ["sub"]
    subscriptions.delete("sub")
    for act in (subscriptions.get, subscriptions.delete, subscriptions.pause):
        with pytest.raises(UnknownSubscriptionError, match="there is no subscription 'sub'"):
            act("sub")


def test_events_of_many_senders_have_dense_numbers_and_lose_no_delivery(
    events: SentEvents, subscriptions: Subscriptions
) -> None:
    subscriptions.add("sub", NIGHTLY, event="orders.paid")

    def send() -> None:
        for n in range(10):
            events.send("orders.paid", n)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    numbers = [one.number for one in subscriptions.history("sub", limit=100)]
    assert numbers == list(range(40, 0, -1))
    assert {one.number for one in events.all(limit=100)} == set(numbers)


def test_events_go_when_they_were_kept_long_enough(
    view: StoreView, events: SentEvents, subscriptions: Subscriptions
) -> None:
    subscriptions.add("sub", NIGHTLY, event="orders.paid", where={"order": 1})
    for n in range(3):
        events.send("orders.paid", {"order": n})
    retention = Retention(view.database)
    kept = Expiry(RunStatus.SUCCEEDED, older_than=timedelta(days=1))
    expired = Expiry(RunStatus.SUCCEEDED, older_than=timedelta(0))

    assert retention.forget_events(kept) == 0
    assert retention.forget_events(expired) == 2
    assert retention.forget_events(expired) == 0

    assert [event.data for event in events.all()] == [{"order": 1}], "its run is still to start"


def test_one_event_lets_all_go_on_that_wait_for_it(
    events: SentEvents, start: Callable[[], Runtime]
) -> None:
    one, other = start(), start()
    runs = [
        runtime.submit("acme-etl/nightly==2.0", {"order": order})
        for runtime in (one, other)
        for order in (17, 17, 18)
    ]
    wait_until(lambda: all(waits_in(one, run) for run in runs))

    events.send("orders.paid", {"order": 17, "by": "ann"})

    for run in (*runs[:2], *runs[3:5]):
        assert run.result(PATIENCE).context["paid"] == {"order": 17, "by": "ann"}
    assert all(waits_in(one, run) for run in (runs[2], runs[5]))
    explained = one.explain(runs[2].id)
    (task,) = explained.tasks
    assert task.reason is not None
    assert task.reason.kind is ReasonKind.EVENT
    assert task.reason.facts == {"event": "orders.paid", "where": '{"order":18}'}
    assert explained.next_command == "cloacina event send orders.paid"
    history = [event.type.value for event in one.events(runs[0].id)]
    assert history[4:6] == ["event_taken", "task_resumed"]
    events.send("orders.paid", {"order": 18})
    for run in (runs[2], runs[5]):
        assert run.result(PATIENCE).context["paid"] == {"order": 18}


def test_an_event_that_is_sent_while_a_task_begins_to_wait_is_never_missed(
    events: SentEvents, start: Callable[[], Runtime]
) -> None:
    runtime = start()
    runs = []

    def send(order: int) -> None:
        while order not in passed:
            events.send("orders.paid", {"order": order})

    passed: set[int] = set()
    for order in range(12):
        sender = threading.Thread(target=send, args=(order,))
        sender.start()
        runs.append(runtime.submit("acme-etl/nightly==2.0", {"order": order}))
        result = runs[-1].result(PATIENCE)  # or the last of its events was missed
        passed.add(order)
        sender.join()
        assert result.context["paid"] == {"order": order}


def test_what_was_sent_before_an_engine_looked_is_found_by_the_next(
    view: StoreView, events: SentEvents, start: Callable[[], Runtime]
) -> None:
    first = start()
    run = first.submit("acme-etl/nightly==2.0", {"order": 17})
    wait_until(lambda: waits_in(first, run))
    first.close()
    with view.begin() as connection:  # as if its engine had died before it looked
        connection.execute(text("update event_waits set looked = false"))
    events.send("orders.paid", {"order": 17})
    events.send("orders.paid", {"order": 17, "second": True})

    second = start()

    assert second.attach(run.id).result(PATIENCE).context["paid"] == {"order": 17}


def test_an_event_reaches_a_run_that_no_engine_has(
    events: SentEvents, start: Callable[[], Runtime]
) -> None:
    first = start()
    run = first.submit("acme-etl/nightly==2.0", {"order": 17})
    wait_until(lambda: waits_in(first, run))
    EventWaits(first._view.database, SystemClock()).look(first.engine_id)
    first.close()

    events.send("orders.paid", {"order": 17})

    assert start().attach(run.id).result(PATIENCE).context["paid"] == {"order": 17}


def test_a_run_that_has_ended_is_told_nothing(
    view: StoreView, events: SentEvents, start: Callable[[], Runtime]
) -> None:
    runtime = start()
    run = runtime.submit("acme-etl/nightly==2.0", {"order": 17})
    wait_until(lambda: waits_in(runtime, run))
    run.cancel()
    assert run.result(PATIENCE).status is RunStatus.CANCELLED

    events.send("orders.paid", {"order": 17})

    with view.read() as connection:
        asked = connection.execute(text("select kind from commands")).scalars().all()
    assert asked == ["cancel"]
