"""Tasks that name a limit begin as far as it has room, over all engines of a store."""

from datetime import timedelta

import pytest
from support.runs import EngineBench, workflow_of

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.model.limit import Limit, Rate
from cloacina_core.model.wait import Wait, WaitKind
from cloacina_core.store.database import Database
from cloacina_core.testing import FrozenClock

LIMITED = workflow_of({"a": []}, options={"a": {"limits": ["crm-api"]}})
MIXED = workflow_of({"a": [], "b": []}, options={"a": {"limits": ["crm-api"]}})
TWICE = workflow_of({"a": []}, options={"a": {"limits": ["crm-api", "disk"]}})
SIGNAL = Wait(kind=WaitKind.SIGNAL, signal="approval")


def limit(bench: EngineBench, name: str = "crm-api", *, size: int | None = 1) -> None:
    bench.permits.set(Limit(name=name, size=size))


def look(bench: EngineBench) -> None:
    """Do what an engine does when it is told that something changed."""
    bench.engine.look()
    bench.step()


def at_work(bench: EngineBench) -> int:
    return bench.permits.uses()[0].at_work


def test_no_more_begin_than_there_is_room_for(bench: EngineBench):
    limit(bench, size=2)
    for _ in range(5):
        bench.post(LIMITED)
    bench.step()

    assert bench.executor.names() == ["a", "a"]
    assert at_work(bench) == 2


def test_an_end_makes_room_for_the_next_one_in_the_same_engine(bench: EngineBench):
    limit(bench)
    runs = [bench.start(LIMITED) for _ in range(3)]
    began = []
    while bench.executor.calls:
        (key,) = bench.executor.calls
        began.append(key[0])
        bench.executor.succeed("a")
        bench.step()

    assert began == [run.run_id for run in runs]
    assert at_work(bench) == 0


def test_engines_share_the_room(bench: EngineBench, clock: FrozenClock, database: Database):
    other = EngineBench(database, clock)
    limit(bench)
    bench.start(LIMITED)
    other.start(LIMITED)
    assert (bench.executor.names(), other.executor.names()) == (["a"], [])

    bench.executor.fail("a")
    bench.step()
    look(other)

    assert other.executor.names() == ["a"]


def test_an_engine_that_died_takes_no_room(
    bench: EngineBench, clock: FrozenClock, database: Database
):
    other = EngineBench(database, clock)
    limit(bench)
    bench.start(LIMITED)
    other.start(LIMITED)

    other.ownership.stop(bench.engine.id)
    look(other)

    assert other.executor.names() == ["a"]


def test_a_run_that_is_taken_over_asks_for_room_anew(
    bench: EngineBench, clock: FrozenClock, database: Database
):
    other = EngineBench(database, clock)
    limit(bench)
    lost = bench.start(LIMITED)
    other.start(LIMITED)
    other.ownership.stop(bench.engine.id)
    look(other)

    other.ownership.claim(lost.run_id, other.engine.id)
    other.engine.begin_to_take_up(other.reader.load(lost.run_id))
    other.step()
    assert other.executor.names() == ["a"]
    assert at_work(other) == 1

    other.executor.succeed("a")
    other.step()
    assert [key[0] for key in other.executor.calls] == [lost.run_id]


def test_tasks_without_room_keep_no_slot_from_others(database: Database, clock: FrozenClock):
    bench = EngineBench(database, clock, slots=2)
    limit(bench, size=0)
    for _ in range(5):
        bench.post(MIXED)
    bench.step()

    assert bench.executor.names() == ["b", "b"]
    assert bench.engine.room() > 0


def test_a_task_that_waits_takes_no_room_and_asks_again_when_it_goes_on(bench: EngineBench):
    limit(bench)
    waiting = bench.start(LIMITED)
    bench.start(LIMITED)
    bench.executor.defer("a", SIGNAL)
    bench.step()
    assert len(bench.executor.calls) == 1

    bench.ask(waiting.run_id, "signal", name="approval", payload="true")
    bench.step()
    assert len(bench.executor.calls) == 1

    bench.executor.succeed("a")
    bench.step()
    assert [key[0] for key in bench.executor.calls] == [waiting.run_id]
    assert at_work(bench) == 1


def test_a_task_needs_room_in_each_of_its_limits(bench: EngineBench):
    limit(bench, "crm-api", size=1)
    limit(bench, "disk", size=0)
    bench.start(TWICE)
    bench.start(LIMITED)
    assert [call.name for call in bench.executor.calls.values()] == ["a"]

    bench.executor.succeed("a")
    limit(bench, "disk", size=1)
    look(bench)

    assert bench.executor.names() == ["a"]
    assert [use.at_work for use in bench.permits.uses()] == [1, 1]


def test_a_limit_that_isnt_set_or_was_removed_lets_all_through(bench: EngineBench):
    bench.start(LIMITED)
    bench.start(LIMITED)
    assert len(bench.executor.calls) == 2

    limit(bench, size=0)
    bench.start(LIMITED)
    assert len(bench.executor.calls) == 2

    bench.permits.remove("crm-api")
    look(bench)
    assert len(bench.executor.calls) == 3


def test_a_run_that_is_cancelled_or_paused_while_it_waits_for_room_begins_nothing(
    bench: EngineBench,
):
    limit(bench)
    bench.start(LIMITED)
    cancelled, paused = bench.start(LIMITED), bench.start(LIMITED)
    bench.ask(cancelled.run_id, "cancel")
    bench.ask(paused.run_id, "pause")
    bench.step()
    bench.executor.succeed("a")
    bench.step()

    assert bench.executor.names() == []
    assert at_work(bench) == 0


def test_a_rate_lets_in_so_many_in_any_period_and_wakes_the_next(
    bench: EngineBench, clock: FrozenClock
):
    bench.permits.set(Limit(name="crm-api", rate=Rate(2, timedelta(minutes=1))))
    bench.start(LIMITED)
    clock.advance(timedelta(seconds=20))
    for _ in range(4):
        bench.start(LIMITED)
    assert len(bench.executor.calls) == 2
    assert bench.engine.seconds_to_timer() == pytest.approx(40)

    clock.advance(timedelta(seconds=40))
    bench.step()
    assert len(bench.executor.calls) == 3
    assert bench.engine.seconds_to_timer() == pytest.approx(20)

    clock.advance(timedelta(seconds=20))
    bench.step()
    assert len(bench.executor.calls) == 4


def test_ended_and_retried_attempts_count_for_the_rate_but_not_going_on(
    bench: EngineBench, clock: FrozenClock
):
    bench.permits.set(Limit(name="crm-api", size=1, rate=Rate(2, timedelta(minutes=1))))
    run = bench.start(LIMITED)
    bench.executor.defer("a", SIGNAL)
    bench.step()
    bench.ask(run.run_id, "signal", name="approval", payload="true")
    bench.step()
    assert bench.permits.uses()[0].started == 1
    bench.executor.succeed("a")
    bench.start(LIMITED)
    bench.executor.succeed("a")
    bench.start(LIMITED)

    assert bench.executor.names() == []
    assert bench.permits.uses()[0].started == 2


def test_what_cant_be_asked_now_is_asked_again(
    bench: EngineBench, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
):
    limit(bench)
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise StoreUnavailableError("away")

        broken.setattr(bench.permits, "take", fail)
        bench.start(LIMITED)
    assert bench.executor.names() == []

    clock.advance(timedelta(seconds=1))
    bench.step()

    assert bench.executor.names() == ["a"]
