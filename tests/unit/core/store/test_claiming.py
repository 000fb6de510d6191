"""Many runs are claimed at once: by priority, fair between workflows, oldest first."""

from collections.abc import Iterator

import pytest
from support.runs import EngineBench, workflow_of

from cloacina_core.errors import IllegalTransitionError
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.status import RunStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.store.claiming import Claims, CodeHere
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.testing import FrozenClock

BUSY, RARE, THIRD = (workflow_of({"a": []}, name=name) for name in ("busy", "rare", "third"))


@pytest.fixture
def bench() -> Iterator[EngineBench]:
    clock = FrozenClock()
    database = Database(IN_MEMORY, clock)
    yield EngineBench(database, clock)
    database.close()


def queue(bench: EngineBench, workflow: Workflow, count: int, **options: object) -> list[RunId]:
    return [bench.start(workflow, status=RunStatus.QUEUED, **options).run_id for _ in range(count)]


def claims_of(bench: EngineBench, *workflows: Workflow) -> Claims:
    known = {workflow.definition().fingerprint for workflow in workflows or (BUSY, RARE, THIRD)}
    return Claims(bench.database, CodeHere(sources=(), has=known.__contains__))


def test_the_oldest_begin(bench: EngineBench):
    waiting = queue(bench, BUSY, 5)

    claimed = claims_of(bench).claim(bench.engine.id, 3)

    assert claimed == waiting[:3]
    assert {bench.reader.summary(run).engine for run in claimed} == {bench.engine.id}
    assert bench.reader.summary(waiting[3]).engine is None


def test_what_is_claimed_is_claimed_once(bench: EngineBench):
    waiting = queue(bench, BUSY, 5)
    claims = claims_of(bench)

    first, second = claims.claim(bench.engine.id, 3), claims.claim(bench.engine.id, 3)

    assert first + second == waiting
    assert claims.claim(bench.engine.id, 3) == []


def test_one_workflow_does_not_keep_another_waiting(bench: EngineBench):
    queue(bench, BUSY, 50)
    rare = queue(bench, RARE, 1)

    claimed = claims_of(bench).claim(bench.engine.id, 4)

    assert rare[0] in claimed[:2]
    assert len(claimed) == 4


def test_workflows_take_turns_however_little_room_there_is(bench: EngineBench):
    waiting = {flow.name: queue(bench, flow, 3) for flow in (BUSY, RARE, THIRD)}
    claims = claims_of(bench)

    turns = [claims.claim(bench.engine.id, 1) for _ in range(9)]

    names = [name for (run,) in turns for name, runs in waiting.items() if run in runs]
    assert all(len(set(names[n : n + 3])) == 3 for n in range(7))


def test_room_that_one_workflow_leaves_is_anothers(bench: EngineBench):
    queue(bench, BUSY, 9)
    queue(bench, RARE, 2)

    assert len(claims_of(bench).claim(bench.engine.id, 10)) == 10


def test_a_higher_priority_comes_first(bench: EngineBench):
    queue(bench, BUSY, 3)
    urgent = queue(bench, RARE, 2, priority=5)
    negative = queue(bench, RARE, 1, priority=-5)

    claimed = claims_of(bench).claim(bench.engine.id, 9)

    assert claimed[:2] == urgent
    assert claimed[-1:] == negative
    assert len(claimed) == 6


def test_what_cannot_be_run_here_is_left(bench: EngineBench):
    queue(bench, BUSY, 3)
    rare = queue(bench, RARE, 2)

    assert claims_of(bench, RARE).claim(bench.engine.id, 9) == rare


@pytest.mark.parametrize("room", [0, -3])
def test_without_room_nothing_is_claimed(bench: EngineBench, room: int):
    queue(bench, BUSY, 3)

    assert claims_of(bench).claim(bench.engine.id, room) == []


def test_an_engine_that_was_declared_dead_claims_nothing(bench: EngineBench):
    waiting = queue(bench, BUSY, 1)
    bench.ownership.stop(bench.engine.id)

    assert claims_of(bench).claim(bench.engine.id, 9) == []
    assert bench.ownership.claim_all(waiting, bench.engine.id) == []


def test_a_run_of_an_engine_that_lives_stays_its_own(bench: EngineBench):
    run = bench.start(BUSY)

    assert claims_of(bench).claim(bench.engine.id, 9) == []
    assert bench.ownership.claim_all([run.run_id], bench.engine.id) == []


LIMITED = workflow_of({"a": []}, name="limited", max_live_runs=2)
KEYED = workflow_of({"a": []}, name="keyed")


def keyed(bench: EngineBench, key: str, count: int = 1, **options: object) -> list[RunId]:
    return queue(bench, KEYED, count, concurrency_key=key, **options)


def end(bench: EngineBench, run_id: RunId) -> None:
    """Have a run that was claimed taken up, and end."""
    stored = bench.reader.load(run_id)
    bench.engine.begin_to_take_up(stored)
    bench.step()
    bench.executor.succeed("a")
    bench.step()


def test_only_so_many_runs_of_a_limited_workflow_are_claimed(bench: EngineBench):
    limited, others = queue(bench, LIMITED, 5), queue(bench, BUSY, 2)
    claims = claims_of(bench, LIMITED, BUSY)

    claimed = claims.claim(bench.engine.id, 100)
    assert sorted(claimed) == sorted([*limited[:2], *others])
    assert claims.claim(bench.engine.id, 100) == []

    end(bench, limited[0])
    assert claims.claim(bench.engine.id, 100) == [limited[2]]


def test_one_run_of_each_key_is_claimed_however_many_stand_before(bench: EngineBench):
    first, second = keyed(bench, "first", 30), keyed(bench, "second", 30)
    claims = claims_of(bench, KEYED)

    assert claims.claim(bench.engine.id, 4) == [first[0], second[0]]
    end(bench, second[0])
    assert claims.claim(bench.engine.id, 4) == [second[1]]


def test_a_key_goes_by_priority_and_then_by_age(bench: EngineBench):
    keyed(bench, "one", 2)
    urgent = keyed(bench, "one", 2, priority=1)

    assert claims_of(bench, KEYED).claim(bench.engine.id, 9) == [urgent[0]]


def test_a_run_whose_engine_is_gone_takes_room_and_needs_no_turn(bench: EngineBench):
    (lost,) = [bench.start(KEYED, concurrency_key="one").run_id]
    keyed(bench, "one")
    bench.ownership.stop(bench.engine.id)
    other = EngineBench(bench.database, bench.clock)

    assert claims_of(other, KEYED).claim(other.engine.id, 9) == [lost]
    assert claims_of(other, KEYED).claim(other.engine.id, 9) == []


def test_a_run_that_rests_while_it_is_paused_takes_no_room(bench: EngineBench):
    paused = bench.start(workflow_of({"a": [], "b": ["a"]}, name="keyed"), concurrency_key="one")
    (waiting,) = keyed(bench, "one")
    bench.ask(paused.run_id, "pause")
    bench.step()
    assert claims_of(bench, KEYED).claim(bench.engine.id, 9) == []

    bench.executor.succeed("a")
    bench.step()

    assert claims_of(bench, KEYED).claim(bench.engine.id, 9) == [waiting]


def test_a_run_that_is_to_end_waits_for_no_turn(bench: EngineBench):
    bench.start(KEYED, concurrency_key="one")
    first, second = keyed(bench, "one", 2)
    bench.ask(second, "cancel")

    assert claims_of(bench, KEYED).claim(bench.engine.id, 9) == [second]
    assert bench.reader.summary(first).engine is None


def test_nobody_takes_a_run_out_of_turn(bench: EngineBench):
    bench.start(KEYED, concurrency_key="one")
    (waiting,) = keyed(bench, "one")

    with pytest.raises(IllegalTransitionError, match="only so many runs"):
        bench.ownership.claim(waiting, bench.engine.id)
    assert bench.ownership.claim_all([waiting], bench.engine.id) == []


def test_only_some_runs_are_claimed_when_only_these_are_wanted(bench: EngineBench):
    waiting = keyed(bench, "one", 3)

    claimed = claims_of(bench, KEYED).claim(bench.engine.id, 9, only=waiting[2:])

    assert claimed == waiting[2:]


def test_a_limited_run_that_comes_while_others_are_claimed_waits_for_its_turn(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch
):
    bench.start(KEYED, concurrency_key="one")
    (unlimited,) = queue(bench, BUSY, 1)
    claims, late = claims_of(bench, BUSY, KEYED), []
    look = claims._waiting

    def look_and_wait(only: None) -> object:
        found = look(only)
        late.extend(keyed(bench, "one", 1))
        return found

    monkeypatch.setattr(claims, "_waiting", look_and_wait)

    assert claims.claim(bench.engine.id, 10) == [unlimited]
    assert bench.reader.summary(late[0]).engine is None
