"""Runs at which engines died: they begin one at a time and alone, so that the guilty dies alone."""

from datetime import timedelta

from sqlalchemy import update
from support.runs import EngineBench, workflow_of

from cloacina_core.engine.suspects import PATIENCE_SECONDS
from cloacina_core.model.limit import Limit
from cloacina_core.model.workflow import Workflow
from cloacina_core.store import schema
from cloacina_core.testing import FrozenClock

PATIENCE = timedelta(seconds=PATIENCE_SECONDS)
FIRST, SECOND, OTHER = (workflow_of({name: [], f"after-{name}": [name]}) for name in "abc")
LIMITED = workflow_of({"a": []}, options={"a": {"limits": ["crm-api"]}})
SIDE_BY_SIDE = workflow_of({"a": [], "b": [], "c": []})


def pass_time(bench: EngineBench, clock: FrozenClock, time: timedelta = PATIENCE) -> None:
    clock.advance(time)
    bench.ownership.renew(bench.engine.id)
    bench.step()


def suspects(
    bench: EngineBench,
    clock: FrozenClock,
    *workflows: Workflow,
    deaths: int = 2,
    busy: bool = False,
) -> EngineBench:
    """Return an engine that takes up runs at which engines died; one that is busy runs `c`."""
    runs = [bench.start(workflow).run_id for workflow in workflows]
    with bench.database.begin() as connection:  # the claim below counts another death
        connection.execute(update(schema.runs).values(engine_deaths=deaths - 1))
    clock.advance(timedelta(minutes=1))
    rival = EngineBench(bench.database, clock)
    if busy:
        rival.start(OTHER)
    for run_id in runs:
        rival.ownership.claim(run_id, rival.engine.id)
        rival.engine.begin_to_take_up(rival.reader.load(run_id))
    rival.step()
    return rival


def test_runs_of_one_death_begin_together(bench: EngineBench, clock: FrozenClock):
    rival = suspects(bench, clock, FIRST, SECOND, deaths=1)

    assert rival.executor.names() == ["a", "b"]


def test_suspects_begin_one_after_the_other(bench: EngineBench, clock: FrozenClock):
    rival = suspects(bench, clock, FIRST, SECOND)
    assert rival.executor.names() == ["a"]

    pass_time(rival, clock)
    assert rival.executor.names() == ["a"]

    rival.executor.succeed("a")
    rival.step()
    assert rival.executor.names() == ["b"]  # the first is cleared, and waits for the second
    rival.executor.fail("b")
    rival.step()
    assert rival.executor.names() == ["after-a"]


def test_nothing_begins_beside_a_suspect_until_it_has_lived_for_a_while(
    bench: EngineBench, clock: FrozenClock
):
    rival = suspects(bench, clock, FIRST)
    rival.start(OTHER)
    assert rival.executor.names() == ["a"]
    assert rival.engine.seconds_to_timer() == PATIENCE_SECONDS

    pass_time(rival, clock)

    assert rival.executor.names() == ["a", "c"]


def test_a_suspect_begins_once_nothing_else_runs(bench: EngineBench, clock: FrozenClock):
    rival = suspects(bench, clock, FIRST, busy=True)
    assert rival.executor.names() == ["c"]

    rival.executor.succeed("c")
    rival.step()

    assert rival.executor.names() == ["a"]  # before what follows the other one


def test_a_suspect_waits_for_a_while_and_no_longer(bench: EngineBench, clock: FrozenClock):
    rival = suspects(bench, clock, FIRST, busy=True)
    assert rival.engine.seconds_to_timer() == PATIENCE_SECONDS

    pass_time(rival, clock)

    assert rival.executor.names() == ["c", "a"]


def test_the_tasks_of_a_run_that_is_cleared_begin_together(bench: EngineBench, clock: FrozenClock):
    rival = suspects(bench, clock, SIDE_BY_SIDE)
    assert rival.executor.names() == ["a"]

    rival.executor.succeed("a")
    rival.step()

    assert rival.executor.names() == ["b", "c"]


def test_a_suspect_without_room_in_its_limit_holds_nobody(bench: EngineBench, clock: FrozenClock):
    bench.permits.set(Limit(name="crm-api", size=0))
    rival = suspects(bench, clock, LIMITED, deaths=3)  # the last counts not: nothing ran

    rival.start(OTHER)

    assert rival.executor.names() == ["c"]
    rival.permits.set(Limit(name="crm-api", size=1))
    rival.engine.look()
    rival.step()
    assert rival.executor.names() == ["c"]  # it begins alone
    rival.executor.succeed("c")
    rival.step()
    assert rival.executor.names() == ["a"]


def test_a_suspect_that_is_cancelled_holds_nobody(bench: EngineBench, clock: FrozenClock):
    rival = suspects(bench, clock, FIRST, SECOND)
    (running,) = rival.executor.calls
    (waiting,) = set(rival.engine.live_runs()) - {running[0]}
    rival.ask(waiting, "cancel")
    rival.step()
    rival.executor.succeed("a")
    rival.step()

    rival.start(OTHER)

    assert rival.executor.names() == ["after-a", "c"]
    assert rival.engine.seconds_to_timer() is None
