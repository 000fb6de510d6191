"""Runs that tasks ask for: begun once, waited for, and steered together."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, update
from support.runs import EngineBench, workflow_of

from cloacina_core.engine.requests import Stop
from cloacina_core.engine.run_state import RunState
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.foundation.json_value import encode
from cloacina_core.model.child import Child
from cloacina_core.model.explanation import ReasonKind
from cloacina_core.model.history import FoldedRun
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.run import Parent, RunSummary
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitKind, WaitState, awaited
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime.explainer import Explainer
from cloacina_core.store import schema
from cloacina_core.store.batch import Batch, GuardError
from cloacina_core.store.checking import check
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.store.reading import RunFilter
from cloacina_core.store.retention import Expiry, Retention
from cloacina_core.store.writing import RunWriter
from cloacina_core.testing import FrozenClock

PARENT = workflow_of({"ask": []}, name="parent")
RETRIED = workflow_of(
    {"ask": []},
    options={"ask": {"retry": RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=1))}},
    name="retried",
)
CHILD = workflow_of({"work": []}, name="child")
CLEAN = Child(reference="child")
FOR_CHILD = Wait(kind=WaitKind.CHILDREN, children=(CLEAN,))
FOR_TWO = Wait(kind=WaitKind.CHILDREN, children=(Child(reference="child"),) * 2)
DETACHED = replace(FOR_CHILD, is_detached=True)


@pytest.fixture
def database(clock: FrozenClock) -> Iterator[Database]:
    database = Database(IN_MEMORY, clock)
    yield database
    assert not list(check(database))
    database.close()


@pytest.fixture
def bench(database: Database, clock: FrozenClock) -> EngineBench:
    return EngineBench(database, clock, children=[CHILD, PARENT])


def children_of(bench: EngineBench, run: RunState) -> list[RunSummary]:
    """Return the runs that a run asked for, in the order of their beginning."""
    return bench.reader.summaries(RunFilter(parent=run.run_id))[::-1]


def asking(bench: EngineBench, *waits: Wait, workflow: Workflow = PARENT) -> RunState:
    """Return a run whose task has asked for others."""
    run = bench.start(workflow)
    bench.executor.defer("ask", *(waits or (FOR_CHILD,)))
    bench.step()
    return run


def waits_of(bench: EngineBench, run: RunState) -> tuple[Wait, ...]:
    return bench.reader.load(run.run_id).tasks["ask"].waits


def another(bench: EngineBench) -> EngineBench:
    """Return another engine on the same store."""
    return EngineBench(bench.database, bench.clock, children=[CHILD, PARENT])


def take_up(bench: EngineBench, run_id: RunId) -> RunState:
    """Let an engine go on with a run that nobody works on."""
    bench.ownership.claim(run_id, bench.engine.id)
    request = bench.engine.begin_to_take_up(bench.reader.load(run_id))
    bench.step()
    return request.run


def stop(bench: EngineBench) -> None:
    bench.engine.post(Stop())
    bench.step()
    bench.ownership.stop(bench.engine.id)


def test_a_run_that_is_asked_for_begins_when_the_task_waits(bench: EngineBench) -> None:
    run = asking(bench)
    (child,) = children_of(bench, run)
    assert child.parent == Parent(run_id=run.run_id, task="ask", waits=True)
    assert child.depth == 1
    assert bench.executor.names() == ["work"]
    task = bench.result(run.run_id).tasks["ask"]
    assert (task.status, task.reason) == (
        TaskStatus.SLEEPING,
        f"waits for run {child.run_id} of child",
    )


def test_the_task_is_called_again_when_the_run_has_ended(bench: EngineBench) -> None:
    run = asking(bench)
    bench.executor.succeed("work", rows=3)
    bench.step()
    (child,) = children_of(bench, run)
    call = bench.executor.succeed("ask")
    bench.step()
    (asked,) = call.waits[-1].children
    assert (asked.run_id, asked.status) == (child.run_id, RunStatus.SUCCEEDED)
    assert call.waits[-1].state is WaitState.DONE
    assert bench.result(run.run_id).status is RunStatus.SUCCEEDED
    assert bench.history(run.run_id)[2:] == [
        "task_started ask#1",
        "child_started ask#1",
        "task_deferred ask#1",
        "child_ended ask#1",
        "task_resumed ask#1",
        "task_succeeded ask#1",
        "run_succeeded",
    ]


def test_a_task_that_waits_for_several_goes_on_behind_the_last(bench: EngineBench) -> None:
    run = asking(bench, FOR_TWO)
    bench.executor.succeed("work")
    bench.step()
    assert bench.executor.names() == ["work"]
    bench.executor.fail("work")
    bench.step()
    call = bench.executor.succeed("ask")
    bench.step()
    assert [child.status for child in call.waits[-1].children] == [
        RunStatus.SUCCEEDED,
        RunStatus.FAILED,
    ]
    error = call.waits[-1].children[1].error
    assert error is not None
    assert error.message == "broken"
    assert bench.history(run.run_id).count("child_ended ask#1") == 2


def test_a_detached_run_goes_on_by_itself(bench: EngineBench) -> None:
    run = asking(bench, DETACHED)
    (child,) = children_of(bench, run)
    assert child.parent == Parent(run_id=run.run_id, task="ask", waits=False)
    assert sorted(bench.executor.names()) == ["ask", "work"]
    call = bench.executor.succeed("ask")
    bench.step()
    assert call.waits[-1].children[0].run_id == child.run_id
    assert bench.result(run.run_id).status is RunStatus.SUCCEEDED
    bench.executor.succeed("work")
    bench.step()
    assert "child_ended ask#1" not in bench.history(run.run_id)


def test_what_cannot_begin_is_told_to_the_task(bench: EngineBench) -> None:
    unknown = replace(FOR_TWO, children=(Child(reference="child"), Child(reference="nosuch")))
    run = asking(bench, unknown)
    assert children_of(bench, run) == []
    call = bench.executor.succeed("ask")
    bench.step()
    first, second = call.waits[-1].children
    assert (first.run_id, first.error) == (None, None)
    assert second.error is not None
    assert "nosuch" in second.error.message
    assert not second.may_retry


def test_runs_do_not_ask_for_runs_without_end(database: Database, clock: FrozenClock) -> None:
    bench = EngineBench(database, clock, children=[PARENT], max_run_depth=2)
    recursion = replace(FOR_CHILD, children=(Child(reference="parent"),))
    run = asking(bench, recursion)
    bench.executor.defer("ask", recursion)
    bench.step()
    bench.executor.defer("ask", recursion)
    bench.step()
    call = bench.executor.succeed("ask")
    error = call.waits[-1].children[0].error
    assert error is not None
    assert error.type == "cloacina_core.errors.TooDeepError"
    bench.step()
    for _ in range(2):
        bench.executor.succeed("ask")
        bench.step()
    assert bench.result(run.run_id).status is RunStatus.SUCCEEDED


def test_a_retry_asks_for_a_run_of_its_own(bench: EngineBench, clock: FrozenClock) -> None:
    run = asking(bench, workflow=RETRIED)
    bench.executor.fail("work")
    bench.step()
    bench.executor.fail("ask", may_retry=True)
    bench.step()
    clock.advance(timedelta(minutes=1))
    bench.ownership.renew(bench.engine.id)
    bench.step()
    call = bench.executor.defer("ask", FOR_CHILD)
    bench.step()
    assert (call.attempt, call.waits) == (2, ())
    assert len(children_of(bench, run)) == 2


def test_a_cancel_reaches_the_runs_that_are_waited_for(bench: EngineBench) -> None:
    run = asking(bench)
    (child,) = children_of(bench, run)
    bench.ask(run.run_id, "cancel", reason="enough", asked_by="ann")
    bench.step()
    assert bench.result(run.run_id).status is RunStatus.CANCELLED
    assert [key[0] for key in bench.executor.cancelled] == [child.run_id]
    bench.executor.fail("work")
    bench.step()
    assert bench.result(child.run_id).status is RunStatus.CANCELLED
    (event,) = [e for e in bench.reader.events(child.run_id) if e.type == "cancel_requested"]
    assert event.reason == f"by run {run.run_id}: cancelled by ann: enough"


def test_a_cancel_goes_down_the_tree(bench: EngineBench) -> None:
    run = asking(bench, replace(FOR_CHILD, children=(Child(reference="parent"),)))
    bench.executor.defer("ask", FOR_CHILD)
    bench.step()
    (child,) = bench.reader.summaries(RunFilter(parent=run.run_id))
    (grandchild,) = bench.reader.summaries(RunFilter(parent=child.run_id))
    bench.ask(run.run_id, "cancel")
    bench.step()
    bench.executor.fail("work")
    bench.step()
    assert bench.result(grandchild.run_id).status is RunStatus.CANCELLED


def test_a_cancel_leaves_detached_runs_alone(bench: EngineBench) -> None:
    run = asking(bench, DETACHED)
    (child,) = children_of(bench, run)
    bench.ask(run.run_id, "cancel")
    bench.step()
    bench.executor.succeed("work")
    bench.executor.fail("ask")
    bench.step()
    assert bench.result(run.run_id).status is RunStatus.CANCELLED
    assert bench.result(child.run_id).status is RunStatus.SUCCEEDED


def test_a_run_out_of_time_takes_along_what_it_waits_for(
    bench: EngineBench, clock: FrozenClock
) -> None:
    brief = workflow_of({"ask": []}, name="brief", timeout=timedelta(minutes=5))
    run = asking(bench, workflow=brief)
    (child,) = children_of(bench, run)
    clock.advance(timedelta(minutes=6))
    bench.ownership.renew(bench.engine.id)
    bench.step()
    bench.executor.fail("work")
    bench.step()
    assert bench.result(run.run_id).status is RunStatus.FAILED
    assert bench.result(child.run_id).status is RunStatus.CANCELLED


def test_a_pause_reaches_the_runs_that_are_waited_for_and_so_does_a_resume(
    bench: EngineBench,
) -> None:
    two = workflow_of({"work": [], "more": ["work"]}, name="child")
    bench.offers.workflows["child"] = two
    run = asking(bench)
    (child,) = children_of(bench, run)
    bench.ask(run.run_id, "pause")
    bench.step()
    bench.executor.succeed("work")
    bench.step()
    assert bench.executor.names() == []
    assert [bench.result(r).status for r in (run.run_id, child.run_id)] == ["paused", "paused"]
    bench.ask(run.run_id, "resume")
    take_up(bench, run.run_id)
    take_up(bench, child.run_id)
    bench.executor.succeed("more")
    bench.step()
    bench.executor.succeed("ask")
    bench.step()
    assert bench.result(run.run_id).status is RunStatus.SUCCEEDED


def test_what_a_paused_run_asks_for_is_paused(bench: EngineBench) -> None:
    run = bench.start(PARENT)
    bench.ask(run.run_id, "pause")
    bench.step()
    bench.executor.defer("ask", FOR_CHILD)
    bench.step()
    (child,) = children_of(bench, run)
    assert child.status is RunStatus.PAUSED
    assert bench.executor.names() == []


def test_a_cancelled_task_asks_for_nothing(bench: EngineBench) -> None:
    run = bench.start(PARENT)
    bench.ask(run.run_id, "cancel")
    bench.step()
    bench.executor.defer("ask", FOR_CHILD)
    bench.step()
    assert children_of(bench, run) == []
    assert bench.result(run.run_id).status is RunStatus.CANCELLED


def test_another_engine_finds_that_the_run_has_ended(bench: EngineBench) -> None:
    run = asking(bench)
    (child,) = children_of(bench, run)
    stop(bench)
    second, third = another(bench), another(bench)
    take_up(second, run.run_id)
    take_up(third, child.run_id)
    third.executor.succeed("work")
    third.step()
    second.step()
    assert second.executor.names() == []
    second.engine.look_for_ends()
    second.step()
    second.executor.succeed("ask")
    second.step()
    assert second.result(run.run_id).status is RunStatus.SUCCEEDED
    assert second.history(run.run_id).count("child_started ask#1") == 1


def test_a_run_that_ended_while_nobody_waited_is_found_at_once(bench: EngineBench) -> None:
    run = asking(bench)
    (child,) = children_of(bench, run)
    stop(bench)
    second = another(bench)
    take_up(second, child.run_id)
    second.executor.succeed("work")
    second.step()
    take_up(second, run.run_id)
    assert second.executor.names() == ["ask"]
    second.executor.succeed("ask")
    second.step()


class RefusingWriter(RunWriter):
    """Refuses what is written of one run."""

    refused: RunId | None = None

    def write(self, batch: Batch, engine: EngineId) -> None:
        if self.refused in batch.runs():
            raise GuardError
        super().write(batch, engine)


def test_what_is_refused_of_a_run_does_not_begin_another(
    database: Database, clock: FrozenClock
) -> None:
    writer = RefusingWriter(database)
    bench = EngineBench(database, clock, children=[CHILD], writer=writer)
    run, other = bench.start(PARENT), bench.start(CHILD)
    writer.refused = run.run_id
    bench.executor.defer("ask", FOR_CHILD)
    bench.executor.succeed("work")
    bench.step()
    assert bench.result(other.run_id).status is RunStatus.SUCCEEDED
    assert children_of(bench, run) == []
    assert bench.result(run.run_id).tasks["ask"].status is TaskStatus.RUNNING
    assert bench.engine.live_runs() == []
    assert bench.executor.names() == []


def test_a_lost_attempt_keeps_the_runs_it_asked_for(bench: EngineBench, clock: FrozenClock) -> None:
    run = asking(bench)
    bench.executor.succeed("work")
    bench.step()
    assert bench.executor.names() == ["ask"]  # and its engine dies
    clock.advance(timedelta(minutes=1))
    second = another(bench)
    take_up(second, run.run_id)
    call = second.executor.succeed("ask")
    second.step()
    assert call.attempt == 2
    assert call.waits[-1].children[0].status is RunStatus.SUCCEEDED
    assert len(children_of(bench, run)) == 1


def test_the_history_says_what_the_tasks_say(bench: EngineBench) -> None:
    run = asking(bench)
    folded = FoldedRun()
    for event in bench.reader.events(run.run_id):
        folded.add(event.seq, event.type, event.task, event.attempt)
    assert folded.tasks["ask"].status is TaskStatus.SLEEPING
    assert [child.run_id for child in awaited(waits_of(bench, run))] == [
        child.run_id for child in children_of(bench, run)
    ]


def test_a_run_that_is_waited_for_and_gone_is_damage(bench: EngineBench) -> None:
    run = asking(bench)
    (child,) = children_of(bench, run)
    with bench.database.begin() as connection:
        for table in schema.metadata.sorted_tables:
            column = table.c.id if table is schema.runs else table.c.get("run_id")
            if column is not None:
                connection.execute(delete(table).where(column == child.run_id))
    (damage,) = check(bench.database)
    assert (damage.kind, damage.run_id) == ("missing-child", run.run_id)
    with bench.database.begin() as connection:
        connection.execute(update(schema.tasks).values(waits=None))


def test_a_parent_that_is_gone_is_no_damage(bench: EngineBench, clock: FrozenClock) -> None:
    run = asking(bench, DETACHED)
    bench.executor.succeed("ask")
    bench.step()
    retention = Retention(bench.database)
    expiry = Expiry(RunStatus.SUCCEEDED, older_than=timedelta(0))
    clock.advance(timedelta(seconds=1))
    assert retention.discard(expiry) == 1
    retention.clear()
    bench.executor.succeed("work")
    bench.step()
    (child,) = bench.reader.summaries(RunFilter(parent=run.run_id))
    assert child.status is RunStatus.SUCCEEDED


def test_a_run_of_a_limited_workflow_waits_for_its_turn(bench: EngineBench) -> None:
    bench.offers.workflows["child"] = workflow_of({"work": []}, name="child", max_live_runs=1)
    run = asking(bench, FOR_TWO)
    first, second = children_of(bench, run)
    assert [first.status, second.status] == [RunStatus.QUEUED] * 2
    for child in (first, second):
        take_up(bench, child.run_id)
        bench.executor.succeed("work")
        bench.step()
    bench.executor.succeed("ask")
    bench.step()
    assert bench.result(run.run_id).status is RunStatus.SUCCEEDED


def test_what_a_paused_run_asks_for_is_paused_when_its_turn_comes(bench: EngineBench) -> None:
    bench.offers.workflows["child"] = workflow_of({"work": []}, name="child", max_live_runs=1)
    run = bench.start(PARENT)
    bench.ask(run.run_id, "pause")
    bench.step()
    bench.executor.defer("ask", FOR_CHILD)
    bench.step()
    (child,) = children_of(bench, run)
    take_up(bench, child.run_id)
    assert bench.result(child.run_id).status is RunStatus.PAUSED


def test_large_params_are_kept_apart(bench: EngineBench) -> None:
    large = replace(CLEAN, params=encode({"text": "x" * 2000}))
    run = asking(bench, replace(FOR_CHILD, children=(large,)))
    (child,) = children_of(bench, run)
    assert bench.reader.load(child.run_id).params == {"text": "x" * 2000}
    bench.executor.succeed("work")
    bench.step()
    too_large = replace(CLEAN, params=encode({"text": "x" * 200_000}))
    bench.executor.defer("ask", waits_of(bench, run)[0], replace(FOR_CHILD, children=(too_large,)))
    bench.step()
    error = bench.executor.succeed("ask").waits[-1].children[0].error
    assert error is not None
    assert "200011 bytes" in error.message
    bench.step()


def test_a_run_is_explained_by_what_it_waits_for(bench: EngineBench) -> None:
    run = asking(bench)
    (child,) = children_of(bench, run)
    (task,) = Explainer(bench.database).explain(run.run_id).tasks
    assert task.reason.kind is ReasonKind.CHILDREN
    assert task.reason.facts == {"runs": [child.run_id]}
    assert task.reason.message == f"it waits for run {child.run_id} of child"
