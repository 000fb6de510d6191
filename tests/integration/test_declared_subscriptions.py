"""Subscriptions that packages declare: switched on, following a channel, changed and given back."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.registry import SignedWheel, StoreView, flows_returning, open_home, signed_wheel

import cloacina_registry.hooks
from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_core.model.sending.subscription import SubscriptionState
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.asynchronous_events import AsyncSubscriptions
from cloacina_core.runtime.sent_events import SentEvents
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.services.declarations import NotEnabledError, UnknownDeclarationError
from cloacina_core.services.following import Follower, all_followers
from cloacina_core.store.sent_events import SentEventStore
from cloacina_core.store.subscription_rows import SubscriptionExistsError
from cloacina_core.store.subscriptions import SubscriptionStore
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.check import check_promotion

NAME = "acme-etl.receipts"


def release(version: str, **declared: dict[str, Any]) -> SignedWheel:
    subscriptions = [
        DeclaredSubscription.checked(name, "nightly", **options)
        for name, options in declared.items()
    ]
    sources = flows_returning(version)
    return signed_wheel(version, sources=sources, subscriptions=tuple(subscriptions))


RELEASES = {
    "1.0": release("1.0", receipts={"event": "paid", "where": {"cents": {">": 0}}}),
    "2.0": release("2.0", receipts={"event": "orders.paid", "priority": 7}),
    "3.0": release("3.0"),
    "4.0": release("4.0", receipts={"event": "paid"}, others={"event": "made"}),
}


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home", SystemClock(), url=store_url)


@pytest.fixture
def promote(view: StoreView) -> Callable[[str], None]:
    """Return what has the channel `stable` point to a version, uploaded if it isn't yet."""
    registry = Registry.of(view)
    channels = Channels.of(view, registry)

    def promote(version: str) -> None:
        RELEASES[version].upload_to(registry)
        channels.promote("acme-etl", version, "stable", tried=False)

    return promote


@pytest.fixture
def sources(view: StoreView) -> Sources:
    plugins = Plugins()
    plugins.add(cloacina_registry.hooks, "registry")
    return Sources(view, plugins)


@pytest.fixture
def subscriptions(view: StoreView, sources: Sources) -> Subscriptions:
    return Subscriptions(lambda: view.database, sources)


@pytest.fixture
def follow(view: StoreView, sources: Sources) -> Callable[[], None]:
    """Return what an engine does now and then."""
    return Follower(all_followers(view.database), sources.choose).look


@pytest.fixture
def send(view: StoreView) -> Callable[..., str]:
    """Return what sends an event, and returns its id."""
    store = SentEventStore(view.database)
    events = SentEvents(lambda: store, SystemClock(), max_bytes=1000)
    return lambda name, data=None: events.send(name, data)[0].id


def delivered(subscriptions: Subscriptions, name: str = NAME) -> list[str]:
    """Return the ids of the events that fit, in the order of sending."""
    return [one.event_id for one in reversed(subscriptions.history(name))]


def rule_of(state: SubscriptionState) -> tuple[str, int, bool]:
    return state.subscription.event, state.subscription.priority, state.is_paused


def test_what_a_release_declares_is_kept_under_its_own_name(
    subscriptions: Subscriptions, promote: Callable[[str], None], send: Callable[..., str]
) -> None:
    promote("1.0")

    ((state, is_new),) = subscriptions.enable("acme-etl@stable")
    ((_, is_new_again),) = subscriptions.enable("acme-etl@stable", "receipts")

    assert (state.name, is_new, is_new_again) == (NAME, True, False)
    assert state.subscription.reference == "acme-etl/nightly@stable"
    assert state.to_json()["declared_by"] == {
        "name": "receipts",
        "reference": "acme-etl@stable",
        "version": "1.0",
        "digest": RELEASES["1.0"].digest,
        "pinned": False,
        "overridden": {},
    }
    fits = send("paid", {"cents": 1})
    send("paid", {"cents": 0})
    assert delivered(subscriptions) == [fits]


def test_what_cannot_be_enabled_is_refused(
    view: StoreView, subscriptions: Subscriptions, promote: Callable[[str], None]
) -> None:
    promote("1.0")
    RELEASES["3.0"].upload_to(Registry.of(view))

    with pytest.raises(UnknownDeclarationError, match="declares no subscription 'receipt'") as told:
        subscriptions.enable("acme-etl@stable", "receipt")
    assert told.value.hint == "it declares receipts"
    with pytest.raises(UnknownDeclarationError, match="declares no subscriptions"):
        subscriptions.enable("acme-etl==3.0")
    with pytest.raises(InputError, match="names a workflow"):
        subscriptions.enable("acme-etl/nightly@stable")
    with pytest.raises(InputError, match="one declared subscription"):
        subscriptions.enable("acme-etl@stable", stored_as="sub")
    subscriptions.enable("acme-etl@stable")
    with pytest.raises(SubscriptionExistsError, match="reference"):
        subscriptions.enable("acme-etl==1.0")
    subscriptions.add("sub", "acme-etl/nightly@stable", event="paid")
    with pytest.raises(SubscriptionExistsError, match="what declares it"):
        subscriptions.enable("acme-etl@stable", "receipts", stored_as="sub")


def test_it_follows_its_channel_and_stops_when_it_is_declared_no_more(
    subscriptions: Subscriptions,
    promote: Callable[[str], None],
    follow: Callable[[], None],
    send: Callable[..., str],
) -> None:
    promote("1.0")
    subscriptions.enable("acme-etl@stable")
    subscriptions.enable("acme-etl==1.0", "receipts", stored_as="pinned")
    seen = [send("paid", {"cents": 1}), send("paid", {"cents": 2})]

    promote("2.0")
    follow()
    seen += [send("orders.paid")]
    moved = subscriptions.get(NAME)
    send("paid", {"cents": 3})
    promote("3.0")
    follow()
    send("orders.paid")
    gone = subscriptions.get(NAME)
    promote("1.0")
    follow()
    seen += [send("paid", {"cents": 4})]
    back = subscriptions.get(NAME)

    assert rule_of(moved) == ("orders.paid", 7, False)
    assert gone.is_paused
    assert gone.pause_reason == "acme-etl 3.0 declares no subscription 'receipts'"
    assert (rule_of(back), back.pause_reason) == (("paid", 0, False), None)
    assert delivered(subscriptions) == seen, "each by what was declared when it was sent"
    assert [one.event_id for one in subscriptions.history(NAME, before=seen[2])] == seen[1::-1]
    assert rule_of(subscriptions.get("pinned")) == ("paid", 0, False)


def test_events_of_several_names_are_started_in_the_order_of_sending(
    view: StoreView,
    subscriptions: Subscriptions,
    promote: Callable[[str], None],
    follow: Callable[[], None],
    send: Callable[..., str],
) -> None:
    promote("1.0")
    subscriptions.enable("acme-etl@stable")
    seen = [send("paid", {"cents": 1}), send("paid", {"cents": 2})]
    promote("2.0")
    follow()
    seen += [send("orders.paid")]  # the first of its name, as the first one was

    (claimed,) = SubscriptionStore(view.database).claim()

    assert [one.event.id for one in claimed] == seen


def test_what_people_paused_stays_paused(
    subscriptions: Subscriptions, promote: Callable[[str], None], follow: Callable[[], None]
) -> None:
    promote("1.0")
    subscriptions.enable("acme-etl@stable")
    subscriptions.pause(NAME)

    for version in ("3.0", "2.0"):
        promote(version)
        follow()

    assert rule_of(subscriptions.get(NAME)) == ("orders.paid", 7, True)


def test_what_an_operator_changed_stays_changed_until_it_is_given_back(
    subscriptions: Subscriptions, promote: Callable[[str], None], follow: Callable[[], None]
) -> None:
    promote("1.0")
    subscriptions.enable("acme-etl@stable")
    subscriptions.update(NAME, priority=3, where={"vip": True})

    promote("2.0")
    follow()

    changed = subscriptions.get(NAME)
    assert rule_of(changed) == ("orders.paid", 3, False)
    assert changed.following is not None
    assert changed.following.overridden == {"priority": 3, "where": {"vip": True}}
    with pytest.raises(InputError, match="follows acme-etl@stable"):
        subscriptions.update(NAME, reference="acme-etl/nightly==1.0")
    restored = subscriptions.restore(NAME)
    assert rule_of(restored) == ("orders.paid", 7, False)
    assert not restored.subscription.where
    subscriptions.add("sub", "acme-etl/nightly", event="paid")
    with pytest.raises(InputError, match="no package declared subscription 'sub'"):
        subscriptions.restore("sub")


def test_one_that_people_made_is_changed_too(
    subscriptions: Subscriptions, promote: Callable[[str], None], send: Callable[..., str]
) -> None:
    promote("1.0")
    subscriptions.add("sub", "acme-etl/nightly", event="paid")
    first = send("paid")

    state = subscriptions.update("sub", event="made")

    assert (state.subscription.event, state.following) == ("made", None)
    send("paid")
    second = send("made")
    assert delivered(subscriptions, "sub") == [first, second]


def test_what_was_enabled_is_disabled_by_the_same_reference(
    subscriptions: Subscriptions, promote: Callable[[str], None]
) -> None:
    promote("4.0")
    subscriptions.enable("acme-etl@stable")
    subscriptions.enable("acme-etl==4.0", "others", stored_as="pinned")

    assert subscriptions.disable("acme-etl@stable", "others") == ["acme-etl.others"]
    assert subscriptions.disable("acme-etl@stable") == [NAME]
    with pytest.raises(NotEnabledError, match="no subscription was enabled by acme-etl@stable"):
        subscriptions.disable("acme-etl@stable")
    assert [state.name for state in subscriptions.all()] == ["pinned"]


def test_a_check_before_a_promotion_tells_what_it_would_pause(
    view: StoreView, subscriptions: Subscriptions, promote: Callable[[str], None]
) -> None:
    promote("1.0")
    subscriptions.enable("acme-etl@stable")
    registry = Registry.of(view)
    RELEASES["3.0"].upload_to(registry)

    report = check_promotion(view, registry, "acme-etl", "3.0", "stable")

    assert [str(one) for one in report.warnings if one.kind == "subscription"] == [
        (f"subscription {NAME}: would be paused: this release declares no subscription 'receipts'")
    ]


def test_they_are_awaited_too(subscriptions: Subscriptions, promote: Callable[[str], None]) -> None:
    promote("1.0")

    async def use(found: AsyncSubscriptions) -> None:
        ((kept, _),) = await found.enable("acme-etl@stable", paused=True)
        assert kept.is_paused
        assert (await found.update(NAME, priority=3)).subscription.priority == 3
        assert (await found.restore(NAME)).subscription.priority == 0
        assert await found.disable("acme-etl@stable") == [NAME]

    asyncio.run(use(AsyncSubscriptions(subscriptions)))
