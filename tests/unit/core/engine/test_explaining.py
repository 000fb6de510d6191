"""Why a run isn't further, told from the store alone."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from support.runs import EngineBench, workflow_of

from cloacina_core.errors import UnknownRunError
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.explanation import Explanation, Reason, ReasonKind
from cloacina_core.model.limit import Limit, Rate
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import any_succeeded, failed, value
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitKind
from cloacina_core.runtime.explainer import Explainer
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.testing import FrozenClock

ONE = workflow_of({"a": []})
CHAIN = workflow_of({"a": [], "b": ["a"]})
LIMITED = workflow_of({"a": []}, options={"a": {"limits": ["crm-api"]}})


def explained(bench: EngineBench, run_id: RunId) -> Explanation:
    return Explainer(bench.database).explain(run_id)


def reason_of(bench: EngineBench, run_id: RunId, task: str = "a") -> Reason:
    told = {one.task: one for one in explained(bench, run_id).tasks}
    return told[task].reason


def of_run(bench: EngineBench, run_id: RunId) -> Reason:
    reason = explained(bench, run_id).reason
    assert reason is not None
    return reason


def test_a_task_at_work_and_one_behind_it(bench: EngineBench, clock: FrozenClock):
    began = clock.now()
    run = bench.start(CHAIN)

    told = explained(bench, run.run_id)

    assert told.reason is None
    assert [(one.task, one.status, one.reason.kind) for one in told.tasks] == [
        ("a", TaskStatus.RUNNING, ReasonKind.RUNNING),
        ("b", TaskStatus.WAITING, ReasonKind.DEPENDENCY),
    ]
    assert told.tasks[0].reason.since == began
    assert told.tasks[0].reason.facts == {"attempt": 1, "engine": bench.engine.id}
    assert told.tasks[1].reason.facts == {"tasks": ["a"]}


def test_the_parts_of_a_rule_that_arent_decided(bench: EngineBench):
    rule = failed("a") & (value("rows") > 0) | any_succeeded
    run = bench.start(workflow_of({"a": [], "b": [], "c": ["a", "b"]}, rules={"c": rule}))
    bench.executor.fail("a")
    bench.step()

    reason = reason_of(bench, run.run_id, "c")

    assert reason.kind is ReasonKind.RULE
    assert reason.facts["tasks"] == ["b"]
    assert reason.facts["parts"] == ["value('rows') > 0", "any_succeeded"]


def test_no_slot_is_free(database: Database, clock: FrozenClock):
    bench = EngineBench(database, clock, slots=1)
    bench.start(ONE)
    run = bench.start(ONE)
    bench.ownership.renew(bench.engine.id, bench.engine.load())

    (task,) = explained(bench, run.run_id).tasks

    assert task.status is TaskStatus.READY
    assert task.reason.kind is ReasonKind.SLOT
    assert task.reason.facts == {"engine": bench.engine.id, "slots": 1, "used": 1, "lost": 0}


def test_an_engine_whose_slots_others_have(database: Database, clock: FrozenClock):
    bench = EngineBench(database, clock, slots=0)
    run = bench.start(ONE)
    bench.ownership.renew(bench.engine.id, bench.engine.load())

    reason = reason_of(bench, run.run_id)

    assert reason.kind is ReasonKind.SLOT
    assert "other tenants' engines have all" in reason.message


def test_a_run_at_which_engines_died_begins_alone(database: Database, clock: FrozenClock):
    bench = EngineBench(database, clock, slots=1)
    bench.start(ONE)
    run = bench.start(ONE)
    with database.begin() as connection:
        connection.execute(update(schema.runs).values(engine_deaths=2))

    reason = reason_of(bench, run.run_id)

    assert reason.kind is ReasonKind.SLOT
    assert reason.message.startswith("it begins alone: 2 engines in a row died")
    assert reason.facts == {"engine_deaths": 2}


def test_a_limit_and_who_takes_its_room(bench: EngineBench):
    bench.permits.set(Limit(name="crm-api", size=1))
    holder, run = bench.start(LIMITED), bench.start(LIMITED)

    reason = reason_of(bench, run.run_id)

    assert reason.kind is ReasonKind.LIMIT
    assert reason.facts["held_by"] == [{"run_id": holder.run_id, "task": "a"}]
    assert explained(bench, run.run_id).next_command == "cloacina limits list"


def test_a_rate_and_when_it_allows_the_next_start(bench: EngineBench, clock: FrozenClock):
    bench.permits.set(Limit(name="crm-api", rate=Rate(1, timedelta(minutes=1))))
    bench.start(LIMITED)
    again = clock.now() + timedelta(minutes=1)
    clock.advance(timedelta(seconds=5))
    run = bench.start(LIMITED)

    reason = reason_of(bench, run.run_id)

    assert (reason.kind, reason.until) == (ReasonKind.RATE, again)


def test_a_retry_and_why(bench: EngineBench, clock: FrozenClock):
    policy = RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=1), jitter=0.0)
    run = bench.start(workflow_of({"a": []}, options={"a": {"retry": policy}}))
    bench.executor.fail("a", may_retry=True)
    bench.step()

    reason = reason_of(bench, run.run_id)

    assert reason.kind is ReasonKind.RETRY
    assert "attempt 1 failed: OSError: broken" in reason.message
    assert reason.until == clock.now() + timedelta(minutes=1)
    assert reason.facts == {"attempt": 2}


def test_a_signal_and_a_sleep(bench: EngineBench, clock: FrozenClock):
    run = bench.start(workflow_of({"a": [], "b": []}))
    bench.executor.defer("a", Wait(kind=WaitKind.SIGNAL, signal="approval"))
    until = clock.now() + timedelta(hours=1)
    bench.executor.defer("b", Wait(kind=WaitKind.MOMENT, until=until))
    bench.step()

    told = explained(bench, run.run_id)

    assert [one.reason.kind for one in told.tasks] == [ReasonKind.SIGNAL, ReasonKind.SLEEPING]
    assert [one.reason.until for one in told.tasks] == [None, until]
    assert told.tasks[0].reason.since == clock.now()
    assert told.next_command == f"cloacina runs signal {run.run_id} approval"


def test_a_pause_and_by_whom(bench: EngineBench):
    run = bench.start(CHAIN)
    bench.ask(run.run_id, "pause", asked_by="ann", reason="audit")
    bench.step()
    assert reason_of(bench, run.run_id).kind is ReasonKind.RUNNING
    bench.executor.succeed("a")
    bench.step()

    reason = of_run(bench, run.run_id)

    assert reason.kind is ReasonKind.PAUSED
    assert reason.facts == {"by": "by ann: audit"}
    assert reason_of(bench, run.run_id, "b").kind is ReasonKind.PAUSED
    assert explained(bench, run.run_id).next_command == f"cloacina runs resume {run.run_id}"


def test_a_cancel_that_waits_for_what_runs(bench: EngineBench, clock: FrozenClock):
    run = bench.start(ONE)
    bench.ask(run.run_id, "cancel", asked_by="ann")
    bench.step()

    assert of_run(bench, run.run_id).kind is ReasonKind.CANCELLING
    assert of_run(bench, run.run_id).since == clock.now()
    assert reason_of(bench, run.run_id).kind is ReasonKind.CANCELLING


def test_a_queue_and_the_place_in_it(bench: EngineBench):
    first = bench.start(ONE, status=RunStatus.QUEUED)
    second = bench.start(ONE, status=RunStatus.QUEUED)
    urgent = bench.start(ONE, status=RunStatus.QUEUED, priority=1)

    places = [of_run(bench, one.run_id).facts["ahead"] for one in (first, second, urgent)]

    assert places == [1, 2, 0]
    assert of_run(bench, first.run_id).kind is ReasonKind.QUEUE
    assert reason_of(bench, first.run_id).kind is ReasonKind.QUEUE


def test_nobody_is_there_to_take_it(bench: EngineBench, clock: FrozenClock):
    waiting = bench.start(ONE, status=RunStatus.QUEUED)
    lost = bench.start(ONE)
    clock.advance(timedelta(minutes=1))  # longer than the lease

    assert of_run(bench, waiting.run_id).kind is ReasonKind.NO_ENGINE
    assert of_run(bench, lost.run_id).kind is ReasonKind.NO_ENGINE
    assert reason_of(bench, lost.run_id).kind is ReasonKind.NO_ENGINE

    EngineBench(bench.database, clock).ownership.bury(bench.engine.id)
    assert of_run(bench, lost.run_id).kind is ReasonKind.QUEUE


def test_it_isnt_its_turn(bench: EngineBench):
    workflow = workflow_of({"a": []}, max_live_runs=1)
    live = bench.start(workflow)
    run = bench.start(workflow, status=RunStatus.QUEUED)

    reason = of_run(bench, run.run_id)

    assert reason.kind is ReasonKind.LIMIT
    assert reason.facts == {"limit": "workflow flow", "size": 1, "taken": 1, "runs": [live.run_id]}
    assert explained(bench, run.run_id).next_command == f"cloacina runs explain {live.run_id}"


def test_instances_are_counted(bench: EngineBench):
    workflow = workflow_of({"list": [], "each": ["list"]}, options={"each": {"map": "items"}})
    run = bench.start(workflow)
    bench.executor.succeed("list", items=[1, 2, 3])
    bench.step()
    bench.executor.succeed("each[0]")
    bench.step()

    reason = reason_of(bench, run.run_id, "each")

    assert reason.kind is ReasonKind.INSTANCES
    assert reason.facts == {"count": 3, "by_status": {"succeeded": 1, "running": 2}}


def test_a_run_that_has_ended_waits_for_nothing(bench: EngineBench):
    run = bench.start(ONE)
    bench.executor.succeed("a")
    bench.step()

    told = explained(bench, run.run_id)

    assert (told.reason, told.tasks) == (None, ())
    with pytest.raises(UnknownRunError):
        explained(bench, RunId("0" * 26))
