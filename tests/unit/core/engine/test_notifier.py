"""Observers are told what was committed; what they do harms nobody."""

import threading
from datetime import UTC, datetime
from queue import SimpleQueue

import pytest
from support.runs import PATIENCE

from cloacina_core.engine.notifier import Notifier
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.event import EventType, RunEvent


def event(seq: int) -> RunEvent:
    return RunEvent(
        run_id=RunId("run"),
        seq=seq,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        type=EventType.TASK_STARTED,
    )


def test_events_come_one_by_one_in_order():
    seen: list[int] = []
    notifier = Notifier()
    notifier.add(lambda told: seen.append(told.seq))

    notifier.tell([event(1), event(2)])
    notifier.tell([event(3)])
    notifier.stop()

    assert seen == [1, 2, 3]


def test_observers_are_not_called_in_the_thread_that_tells():
    threads: SimpleQueue[threading.Thread] = SimpleQueue()
    notifier = Notifier()
    notifier.add(lambda told: threads.put(threading.current_thread()))

    notifier.tell([event(1)])

    assert threads.get(timeout=PATIENCE) is not threading.current_thread()
    notifier.stop()


def test_a_slow_observer_delays_nobody_who_tells():
    goes_on = threading.Event()
    seen: list[int] = []

    def slow(told: RunEvent) -> None:
        assert goes_on.wait(PATIENCE)
        seen.append(told.seq)

    notifier = Notifier()
    notifier.add(slow)
    notifier.tell([event(1)])
    notifier.tell([event(2)])
    goes_on.set()
    notifier.stop()

    assert seen == [1, 2]


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_observer_that_raises_is_logged_and_the_others_are_told(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
):
    seen: list[int] = []

    def broken(told: RunEvent) -> None:
        raise error

    notifier = Notifier()
    notifier.add(broken)
    notifier.add(lambda told: seen.append(told.seq))

    notifier.tell([event(1), event(2)])
    notifier.stop()

    assert seen == [1, 2]
    assert caplog.text.count("failed on event task_started") == 2


def test_an_observer_that_was_removed_is_told_nothing_more():
    seen: list[int] = []

    def observer(told: RunEvent) -> None:
        seen.append(told.seq)

    notifier = Notifier()
    notifier.add(observer)
    notifier.remove(observer)
    notifier.tell([event(1)])
    notifier.stop()

    assert seen == []


def test_without_observers_there_is_no_thread():
    before = threading.active_count()
    notifier = Notifier()

    notifier.tell([event(1)])

    assert threading.active_count() == before
    notifier.stop()
