"""Until the next firing, nobody asks the store anything about schedules."""

import queue
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from support.runs import PATIENCE

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.services.following import Follower, all_followers
from cloacina_core.services.scheduling import ScheduleService
from cloacina_core.store.database import Database
from cloacina_core.store.schedules import OpenFiring, ScheduleStore
from cloacina_core.store.watching import StoreWatcher

CLOCK = SystemClock()
LATER = CLOCK.now() + timedelta(days=180)
ONCE_A_YEAR = f"0 0 1 {LATER.month} *"
"""Months away, whenever this runs."""


class Counting(ScheduleService):
    """Tells when each look has ended, and when the next one is due."""

    def __init__(self, database: Database) -> None:
        def never(firing: OpenFiring) -> Any:
            raise AssertionError(f"nothing is due, and {firing} was started")

        follower = Follower(all_followers(database), lambda _: pytest.fail("nothing is followed"))
        super().__init__(ScheduleStore(database), never, follower.look)
        self.looks: queue.Queue[float] = queue.Queue()

    def look(self) -> float:
        pause = super().look()
        self.looks.put(pause)
        return pause


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, CLOCK)
    yield database
    database.close()


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """Return what is asked of the tables of schedules, as it is asked."""
    heard: list[str] = []

    def hear(*told: Any) -> None:
        if "schedules" in told[2] or "firings" in told[2]:
            heard.append(told[2])

    event.listen(database._engine, "before_cursor_execute", hear)
    yield heard
    event.remove(database._engine, "before_cursor_execute", hear)


def test_between_two_firings_nothing_is_asked_and_a_change_is_seen_at_once(
    database: Database, statements: list[str]
) -> None:
    store = ScheduleStore(database)
    store.add(Schedule.checked("yearly", "acme-etl/nightly", cron=ONCE_A_YEAR))
    service = Counting(database)
    polls: queue.Queue[None] = queue.Queue()
    watcher = StoreWatcher(
        database,
        service.wake,
        poll=timedelta(milliseconds=100),
        on_poll=lambda: polls.put(None),
    )
    service.start()
    pause = service.looks.get(timeout=PATIENCE)
    watcher.start()
    if not database.is_sqlite:
        service.looks.get(timeout=PATIENCE)  # what was told before it listened, it can't know
    asked = len(statements)

    for _ in range(5):  # as often as the watcher would have looked
        polls.get(timeout=PATIENCE)
    while_idle = len(statements) - asked
    store.add(Schedule.checked("hourly", "acme-etl/nightly", cron="@hourly"))
    sooner = service.looks.get(timeout=PATIENCE)
    watcher.stop()
    service.stop()

    assert pause > timedelta(hours=1).total_seconds(), "until the next firing"
    assert while_idle == 0
    assert sooner <= timedelta(hours=1).total_seconds()


def test_a_look_at_nothing_that_is_due_writes_nothing(
    database: Database, statements: list[str]
) -> None:
    ScheduleStore(database).add(Schedule.checked("yearly", "acme-etl/x", cron=ONCE_A_YEAR))
    statements.clear()

    Counting(database).look()

    assert {statement.split()[0] for statement in statements} == {"SELECT"}
    assert len(statements) <= 5
