"""An engine whose number of slots changes while it works."""

import pytest
from support.runs import EngineBench, workflow_of

from cloacina_core.engine.requests import Drain, Resize
from cloacina_core.model.slot_ledger import Demand
from cloacina_core.store.database import Database
from cloacina_core.testing import FrozenClock

WIDE = workflow_of({name: [] for name in "abcdef"})


@pytest.fixture
def told() -> list[Demand]:
    return []


@pytest.fixture
def bench(database: Database, clock: FrozenClock, told: list[Demand]) -> EngineBench:
    return EngineBench(database, clock, slots=0, on_demand=told.append)


def test_an_engine_without_slots_starts_nothing_and_says_what_it_could(
    bench: EngineBench, told: list[Demand]
) -> None:
    bench.start(WIDE)

    assert bench.executor.names() == []
    assert told[-1] == Demand(slots=0, held=0, wanted=6)
    assert bench.engine.room() == 16 - 6


def test_slots_that_it_is_given_are_used_at_once(bench: EngineBench, told: list[Demand]) -> None:
    bench.start(WIDE)

    bench.engine.post(Resize(4))
    bench.step()

    assert bench.executor.names() == ["a", "b", "c", "d"]
    assert told[-1] == Demand(slots=4, held=4, wanted=6)


def test_what_runs_goes_on_when_there_are_fewer_and_nothing_starts_before_it_is_below(
    bench: EngineBench, told: list[Demand]
) -> None:
    bench.engine.post(Resize(4))
    bench.start(WIDE)
    bench.engine.post(Resize(2))
    bench.step()
    still = bench.executor.names()

    begun = []
    for name in "abc":
        bench.executor.succeed(name)
        bench.step()
        begun.append((told[-1], [one for one in "ef" if one in bench.executor.names()]))

    assert still == ["a", "b", "c", "d"]
    assert begun == [
        (Demand(slots=2, held=3, wanted=5), []),
        (Demand(slots=2, held=2, wanted=4), []),
        (Demand(slots=2, held=2, wanted=3), ["e"]),
    ]


def test_an_engine_that_drains_wants_no_more_than_it_has(
    bench: EngineBench, told: list[Demand]
) -> None:
    bench.engine.post(Resize(1))
    bench.start(WIDE)

    bench.engine._draining.set()
    bench.engine.post(Drain())
    bench.step()

    assert told[-1] == Demand(slots=1, held=1, wanted=1)
