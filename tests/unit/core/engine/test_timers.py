"""Timers are due in the order of their time, unless they mean nothing any more."""

from datetime import timedelta

from support.runs import EngineBench, workflow_of

from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.timers import FEWEST, Timer, TimerKind, Timers
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.status import RunStatus
from cloacina_core.model.wait import Wait, WaitKind
from cloacina_core.runtime.control import RunControl
from cloacina_core.testing import FrozenClock


def timer(name: str) -> Timer:
    return Timer(TimerKind.WAKE, RunId(name))


def timers_on(clock: FrozenClock) -> Timers:
    return Timers(clock, lambda _: True)


def names(timers: Timers) -> list[str | None]:
    return [timer.run_id for timer in timers.due()]


def test_without_timers_there_is_nothing_to_wait_for():
    timers = timers_on(FrozenClock())

    assert timers.seconds_to_next() is None
    assert names(timers) == []


def test_timers_are_due_in_order_of_time_and_then_of_making():
    clock = FrozenClock()
    timers = timers_on(clock)
    timers.add(timedelta(seconds=2), timer("late"))
    timers.add(timedelta(seconds=1), timer("first"))
    timers.add(timedelta(seconds=1), timer("second"))

    clock.advance(timedelta(seconds=2))

    assert names(timers) == ["first", "second", "late"]


def test_a_timer_is_not_due_before_its_time():
    clock = FrozenClock()
    timers = timers_on(clock)
    timers.add(timedelta(seconds=10), timer("x"))
    clock.advance(timedelta(seconds=4))

    assert timers.seconds_to_next() == 6
    assert names(timers) == []


def test_a_timer_is_due_once():
    timers = timers_on(FrozenClock())
    timers.add(timedelta(0), timer("x"))

    assert names(timers) == ["x"]
    assert names(timers) == []


def test_what_should_have_been_due_before_is_due_now():
    timers = timers_on(FrozenClock())
    timers.add(timedelta(days=-1), timer("x"))

    assert timers.seconds_to_next() == 0
    assert names(timers) == ["x"]


def test_what_means_nothing_any_more_is_never_due():
    current = {"x"}
    timers = Timers(FrozenClock(), lambda timer: timer.run_id in current)
    timers.add(timedelta(0), timer("x"))
    timers.add(timedelta(0), timer("y"))

    assert names(timers) == ["x"]


def test_what_means_nothing_any_more_does_not_pile_up():
    current = {"x"}
    timers = Timers(FrozenClock(), lambda timer: timer.run_id in current)
    timers.add(timedelta(days=1), timer("x"))
    for number in range(10 * FEWEST):
        timers.add(timedelta(days=1), timer(f"y{number}"))

    assert len(timers) <= FEWEST


def test_all_that_means_something_is_kept():
    clock = FrozenClock()
    timers = timers_on(clock)
    for number in range(3 * FEWEST):
        timers.add(timedelta(seconds=3 * FEWEST - number), timer(f"x{number}"))
    clock.advance(timedelta(days=1))

    assert names(timers) == [f"x{number}" for number in reversed(range(3 * FEWEST))]


class TestLivesOfOneRun:
    """A run that ended and is tried again has nothing to do with the timers that it had."""

    @staticmethod
    def retry(bench: EngineBench, run: RunState) -> RunState:
        assert run.status.is_final
        control = RunControl(
            look=bench.engine.look,
            reader=bench.reader,
            commands=bench.commands,
            ids=bench.ids,
            go_on=lambda _: None,
            by=lambda: "ann",
        )
        control.retry(bench.reader.load(run.run_id), reason=None)
        bench.ownership.claim(run.run_id, bench.engine.id)
        request = bench.engine.begin_to_take_up(bench.reader.load(run.run_id))
        bench.step()
        return request.run

    @staticmethod
    def cancel(bench: EngineBench, run: RunState) -> None:
        bench.ask(run.run_id, "cancel")
        bench.step()

    @staticmethod
    def pass_seconds(bench: EngineBench, clock: FrozenClock, seconds: int) -> None:
        clock.advance(timedelta(seconds=seconds))
        bench.ownership.renew(bench.engine.id)
        bench.step()

    def test_the_grace_of_a_cancel_is_over_with_the_life_that_was_cancelled(
        self, bench: EngineBench, clock: FrozenClock
    ):
        first = bench.start(workflow_of({"a": []}))
        self.cancel(bench, first)
        bench.executor.fail("a")
        bench.step()
        again = self.retry(bench, first)

        self.pass_seconds(bench, clock, 11)

        assert bench.executor.abandoned == []
        bench.executor.succeed("a")
        bench.step()
        assert again.status is RunStatus.SUCCEEDED

    def test_each_life_has_the_whole_time_of_the_run(self, bench: EngineBench, clock: FrozenClock):
        first = bench.start(workflow_of({"a": []}, timeout=timedelta(seconds=6)))
        self.pass_seconds(bench, clock, 2)
        bench.executor.fail("a")
        bench.step()
        again = self.retry(bench, first)

        self.pass_seconds(bench, clock, 5)
        assert again.status is RunStatus.RUNNING

        self.pass_seconds(bench, clock, 1)
        assert again.status is RunStatus.FAILED

    def test_each_life_sleeps_as_long_as_it_asks_for(self, bench: EngineBench, clock: FrozenClock):
        first = bench.start(workflow_of({"a": []}))
        self.sleep(bench, clock)
        self.cancel(bench, first)
        self.pass_seconds(bench, clock, 2)
        self.retry(bench, first)
        self.sleep(bench, clock)

        self.pass_seconds(bench, clock, 3)
        assert bench.executor.names() == []

        self.pass_seconds(bench, clock, 2)
        assert bench.executor.names() == ["a"]

    def test_what_ended_in_time_has_no_timer_fire(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(workflow_of({"a": []}, timeout=timedelta(seconds=9)))
        bench.executor.succeed("a")
        bench.step()
        assert run.status is RunStatus.SUCCEEDED

        clock.advance(timedelta(seconds=9))

        assert not bench.engine.step(patience=0)

    @staticmethod
    def sleep(bench: EngineBench, clock: FrozenClock) -> None:
        until = clock.now() + timedelta(seconds=5)
        bench.executor.defer("a", Wait(kind=WaitKind.MOMENT, until=until))
        bench.step()
