"""Keys of triggers go when nothing can be lost by it, on both databases."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.following import following
from support.registry import StoreView, open_home

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.model.polling.definition import TriggerDefinition
from cloacina_core.model.polling.enabled import EnabledTrigger, FiredState, PollState
from cloacina_core.model.polling.result import Fire
from cloacina_core.model.status import RunStatus
from cloacina_core.store.poll_history import PollOutcome
from cloacina_core.store.retention import Expiry, Retention
from cloacina_core.store.triggers import TriggerStore

DAYS = timedelta(days=1)
MONTH = Expiry(RunStatus.SUCCEEDED, older_than=30 * DAYS)
NAME = "watch"
new_id = IdFactory(SystemClock()).command_id


class Watch:
    """A trigger whose polls say what a test wants, and whose past can be moved."""

    def __init__(self, view: StoreView) -> None:
        self._view = view
        self._store = TriggerStore(view.database)
        self._retention = Retention(view.database)

    def enable(self, *, window: timedelta | None = None) -> None:
        definition = TriggerDefinition(
            name=NAME, every=timedelta(seconds=1), timeout=timedelta(seconds=1), key_window=window
        )
        trigger = EnabledTrigger(
            name=NAME,
            following=following("p@stable", NAME),
            reference="p/w@stable",
            definition=definition,
        )
        self._store.add(trigger)

    def poll(self, *keys: str, state: PollState | None = None) -> list[FiredState]:
        """Poll once; return what became of each key."""
        self._store.poll_now(NAME)
        (claim,) = self._store.claim(new_id, 1)
        usual = PollState.FIRED if keys else PollState.SKIPPED
        fired = [Fire(key=key) for key in keys]
        assert self._store.finish(claim, PollOutcome(state=state or usual, fired=fired))
        return [one.state for one in self._store.history(NAME)[0].fired] if keys else []

    def start_all(self) -> None:
        """Start what is due, as runs that retention has taken since."""
        for fired in self._store.claim_fired():
            self._store.started(fired, RunId(new_id()))

    def age(self, length: timedelta, *, was_polled: bool = True) -> None:
        """Let so much time have gone by, in which it was polled, or wasn't."""
        micros = length // timedelta(microseconds=1)
        tables: dict[str, tuple[str, ...]] = {"trigger_keys": ("fired_at", "named_at")}
        if not was_polled:
            tables["triggers"] = ("polled_at",)
        with self._view.begin() as connection:
            for table, columns in tables.items():
                moved = ", ".join(f"{column} = {column} - :micros" for column in columns)
                connection.execute(text(f"update {table} set {moved}"), {"micros": micros})

    def forget(self) -> int:
        return self._retention.forget_keys(MONTH)


@pytest.fixture
def watch(tmp_path: Path, store_url: str) -> Iterator[Watch]:
    for view in open_home(tmp_path / "home", SystemClock(), url=store_url):
        yield Watch(view)


def test_a_key_that_is_not_named_any_more_goes_with_what_is_old(watch: Watch) -> None:
    watch.enable()
    watch.poll("old", "new")
    watch.start_all()
    assert watch.forget() == 0

    watch.age(29 * DAYS)
    watch.poll("new")
    assert watch.forget() == 0
    watch.age(2 * DAYS)
    watch.poll()

    assert watch.forget() == 1
    assert watch.poll("old", "new") == [FiredState.DUE, FiredState.REPEATED]


def test_a_key_stays_while_it_is_named_however_old_it_is(watch: Watch) -> None:
    watch.enable()
    watch.poll("lies there")
    watch.start_all()

    for _ in range(3):
        watch.age(29 * DAYS)
        assert watch.poll("lies there") == [FiredState.REPEATED]
        assert watch.forget() == 0


def test_time_without_polls_makes_no_key_older(watch: Watch) -> None:
    watch.enable()
    watch.poll("lies there")
    watch.start_all()

    watch.age(365 * DAYS, was_polled=False)
    assert watch.forget() == 0, "it wasn't polled"
    watch.poll(state=PollState.FAILED)
    assert watch.forget() == 0, "a poll that fails names nothing"
    watch.poll()
    assert watch.forget() == 0, "what it names comes with one of the next polls"

    assert watch.poll("lies there") == [FiredState.REPEATED]


def test_a_key_stays_as_long_as_what_it_started(watch: Watch) -> None:
    watch.enable()
    watch.poll("due")
    watch.age(31 * DAYS)
    watch.poll()

    assert watch.forget() == 0, "its run is still to be started"
    watch.start_all()
    assert watch.forget() == 1


def test_a_longer_window_holds_in_place_of_retention(watch: Watch) -> None:
    watch.enable(window=90 * DAYS)
    watch.poll("a")
    watch.start_all()

    watch.age(60 * DAYS)
    watch.poll()
    assert watch.forget() == 0
    watch.age(31 * DAYS)
    watch.poll()

    assert watch.forget() == 1
