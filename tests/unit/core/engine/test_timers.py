"""Timers are due in the order of their time, measured on a clock that nobody sets."""

from datetime import timedelta

from cloacina_core.engine.timers import Timer, TimerKind, Timers
from cloacina_core.foundation.ids import RunId
from cloacina_core.testing import FrozenClock


def timer(name: str) -> Timer:
    return Timer(TimerKind.WAKE, RunId(name))


def names(timers: Timers) -> list[str | None]:
    return [timer.run_id for timer in timers.due()]


def test_without_timers_there_is_nothing_to_wait_for():
    timers = Timers(FrozenClock())

    assert timers.seconds_to_next() is None
    assert names(timers) == []


def test_timers_are_due_in_order_of_time_and_then_of_making():
    clock = FrozenClock()
    timers = Timers(clock)
    timers.add(timedelta(seconds=2), timer("late"))
    timers.add(timedelta(seconds=1), timer("first"))
    timers.add(timedelta(seconds=1), timer("second"))

    clock.advance(timedelta(seconds=2))

    assert names(timers) == ["first", "second", "late"]


def test_a_timer_is_not_due_before_its_time():
    clock = FrozenClock()
    timers = Timers(clock)
    timers.add(timedelta(seconds=10), timer("x"))
    clock.advance(timedelta(seconds=4))

    assert timers.seconds_to_next() == 6
    assert names(timers) == []


def test_a_timer_is_due_once():
    timers = Timers(FrozenClock())
    timers.add(timedelta(0), timer("x"))

    assert names(timers) == ["x"]
    assert names(timers) == []


def test_what_should_have_been_due_before_is_due_now():
    timers = Timers(FrozenClock())
    timers.add(timedelta(days=-1), timer("x"))

    assert timers.seconds_to_next() == 0
    assert names(timers) == ["x"]
