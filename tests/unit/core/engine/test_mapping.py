"""Tasks that run once for each item of a list: the engine expands, limits, gathers, recovers."""

from datetime import timedelta
from typing import Any

import pytest
from support.runs import EngineBench, workflow_of

from cloacina_core.engine import expansion
from cloacina_core.engine.call import TaskCall
from cloacina_core.engine.expansion import QUEUE_LENGTH
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.requests import TakeUp
from cloacina_core.engine.run_state import RunState
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode, encode
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import all_done, any_succeeded
from cloacina_core.model.run import Failure, RunResult
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitKind
from cloacina_core.model.workflow import Workflow
from cloacina_core.store.database import Database
from cloacina_core.testing import FrozenClock

TWICE = RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=1), jitter=0.0)


def mapped(**options: Any) -> Workflow:
    """Return list -> fetch, once for each file -> total."""
    after = {"list": [], "fetch": ["list"], "total": ["fetch"]}
    return workflow_of(after, options={"fetch": {"map": "files", **options}})


def start(bench: EngineBench, files: JsonValue, **options: Any) -> RunState:
    """Start a run of which the list is there already."""
    run = bench.start(mapped(**options))
    bench.executor.succeed("list", files=files)
    bench.step()
    return run


def call(bench: EngineBench, name: str) -> TaskCall:
    return next(call for call in bench.executor.calls.values() if call.name == name)


def statuses(result: RunResult, task: str = "fetch") -> list[str]:
    instances = result.tasks[task].instances
    assert instances is not None
    return [instance.status.value for instance in instances]


def finish(bench: EngineBench, run: RunState) -> RunResult:
    """Let all calls succeed until the run has ended, and return it as the store knows it."""
    while not run.status.is_final:
        for name in bench.executor.names():
            bench.executor.succeed(name)
        bench.step()
    return bench.result(run.run_id)


def rival_of(bench: EngineBench, clock: FrozenClock, run_id: RunId) -> tuple[EngineBench, RunState]:
    """Return another engine that took the run from this one, which is dead."""
    clock.advance(timedelta(minutes=1))
    rival = EngineBench(bench.database, clock)
    assert rival.ownership.claimable(rival.engine.id) == [run_id]
    rival.ownership.claim(run_id, rival.engine.id)
    stored = rival.reader.load(run_id)
    request = TakeUp(RunState.restore(rival.engine.plan_of(stored.definition), stored))
    rival.engine.post(request)
    rival.step()
    request.reply.wait(lambda: False)
    return rival, request.run


class TestExpansion:
    def test_there_is_an_instance_for_each_element(self, bench: EngineBench):
        start(bench, ["a.csv", {"name": "b.csv"}, None])

        assert bench.executor.names() == ["fetch[0]", "fetch[1]", "fetch[2]"]
        items = [(call.task, call.item, call.index) for call in bench.executor.calls.values()]
        assert items == [
            ("fetch", '"a.csv"', 0),
            ("fetch", '{"name":"b.csv"}', 1),
            ("fetch", "null", 2),
        ]

    def test_an_instance_sees_the_context_but_for_the_list(self, bench: EngineBench):
        bench.start(mapped(), context={"base": "ftp"})
        bench.executor.succeed("list", files=[1, 2])
        bench.step()

        first, second = bench.executor.calls.values()
        assert first.context == {"base": '"ftp"'}
        assert first.context is second.context, "one copy for all"

    def test_the_list_may_be_one_that_the_run_was_submitted_with(self, bench: EngineBench):
        flow = workflow_of({"fetch": []}, options={"fetch": {"map": "files"}})

        bench.start(flow, context={"files": [1, 2]})

        assert bench.executor.names() == ["fetch[0]", "fetch[1]"]

    def test_it_is_an_event_and_the_task_runs_until_its_instances_have_ended(
        self, bench: EngineBench
    ):
        run = start(bench, [1, 2])

        assert bench.result(run.run_id).tasks["fetch"].status is TaskStatus.RUNNING
        bench.executor.succeed("fetch[1]")
        bench.step()
        bench.executor.succeed("fetch[0]")
        bench.step()
        assert bench.history(run.run_id)[3:] == [
            "task_succeeded list#1",
            "task_expanded fetch",
            "task_started fetch[0]#1",
            "task_started fetch[1]#1",
            "task_succeeded fetch[1]#1",
            "task_succeeded fetch[0]#1",
            "task_succeeded fetch",
            "task_started total#1",
        ]
        assert bench.reader.events(run.run_id, task="fetch")[0].reason == "2 instances"

    def test_an_empty_list_is_a_success_at_once(self, bench: EngineBench):
        run = start(bench, [])

        assert bench.executor.names() == ["total"]
        result = finish(bench, run)
        assert result.status is RunStatus.SUCCEEDED
        assert result.context == {"files": []}
        assert statuses(result) == []

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("a.csv", "key 'files' to map over is str, not a list"),
            ({"a": 1}, "key 'files' to map over is dict, not a list"),
            (None, "key 'files' to map over is null, not a list"),
            ([1, 2, 3, 4], "key 'files' to map over has 4 elements; 3 are allowed"),
        ],
    )
    def test_what_is_no_list_fails_the_task(
        self, bench: EngineBench, monkeypatch: pytest.MonkeyPatch, value: JsonValue, reason: str
    ):
        monkeypatch.setattr(expansion, "MAX_INSTANCES", 3)

        run = start(bench, value)

        result = bench.result(run.run_id)
        assert result.tasks["fetch"].status is TaskStatus.FAILED
        assert result.tasks["fetch"].reason == reason
        assert result.tasks["fetch"].instances is None
        assert result.tasks["total"].status is TaskStatus.SKIPPED
        assert result.error == Failure(type="task-failed", message=reason, task="fetch")

    def test_a_missing_key_fails_the_task(self, bench: EngineBench):
        run = bench.start(mapped())
        bench.executor.succeed("list", other=[1])
        bench.step()

        assert run.tasks[1].reason == "there is no key 'files' to map over"

    def test_a_merge_conflict_fails_the_task(self, bench: EngineBench):
        flow = workflow_of(
            {"a": [], "b": [], "fetch": ["a", "b"]},
            options={"fetch": {"map": "files", "merge": "error"}},
        )
        run = bench.start(flow)
        bench.executor.succeed("a", files=[1])
        bench.executor.succeed("b", files=[2])
        bench.step()

        assert run.tasks[2].reason is not None
        assert run.tasks[2].reason.startswith("merge conflict: key 'files'")

    def test_a_task_may_be_mapped_over_what_a_mapped_task_left(self, bench: EngineBench):
        flow = workflow_of(
            {"fetch": [], "parse": ["fetch"]},
            options={"fetch": {"map": "files"}, "parse": {"map": "rows"}},
        )
        run = bench.start(flow, context={"files": ["a", "b"]})
        bench.executor.succeed("fetch[1]", rows=20)
        bench.executor.succeed("fetch[0]", rows=10)
        bench.step()

        assert [call.item for call in bench.executor.calls.values()] == ["10", "20"]
        bench.executor.succeed("parse[0]", rows=11)
        bench.executor.succeed("parse[1]")
        bench.step()
        assert bench.result(run.run_id).context == {"files": ["a", "b"], "rows": [11, None]}


class TestGathering:
    def test_values_are_in_the_order_of_the_items_whoever_ended_first(self, bench: EngineBench):
        run = start(bench, ["a", "b", "c"])
        for name in ("fetch[2]", "fetch[0]", "fetch[1]"):
            bench.executor.succeed(name, rows=name)
            bench.step()

        assert decode(call(bench, "total").context["rows"]) == ["fetch[0]", "fetch[1]", "fetch[2]"]
        assert bench.result(run.run_id).context["files"] == ["a", "b", "c"]

    def test_null_stands_where_an_instance_did_not_write(self, bench: EngineBench):
        run = start(bench, ["a", "b"])
        bench.executor.succeed("fetch[0]", rows=0, note="first")
        bench.executor.succeed("fetch[1]", rows=[])
        bench.step()

        seen = call(bench, "total").context
        assert {key: decode(text) for key, text in seen.items()} == {
            "files": ["a", "b"],
            "rows": [0, []],
            "note": ["first", None],
        }
        assert list(finish(bench, run).context) == ["files", "rows", "note"]

    def test_the_list_itself_may_be_replaced(self, bench: EngineBench):
        run = start(bench, ["a", "b"])
        bench.executor.succeed("fetch[0]", files="A")
        bench.executor.succeed("fetch[1]", files="B")
        bench.step()

        assert finish(bench, run).context == {"files": ["A", "B"]}

    def test_instances_that_each_write_another_key_fail_the_task(
        self, bench: EngineBench, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(expansion, "MAX_GATHERED", 5)
        run = start(bench, [1, 2, 3])
        for number in range(3):
            bench.executor.succeed(f"fetch[{number}]", **{f"key_{number}": 1})
        bench.step()

        result = bench.result(run.run_id)
        assert result.tasks["fetch"].status is TaskStatus.FAILED
        assert result.error is not None
        assert result.error.task == "fetch"
        assert "3 different keys" in result.error.message

    def test_memory_and_store_tell_the_same(self, bench: EngineBench):
        run = start(bench, [1, 2, 3], map_failures=1, max_parallel=2)
        bench.executor.succeed("fetch[0]", rows=1)
        bench.step()
        assert_told_the_same(bench, run)
        bench.executor.fail("fetch[1]")
        bench.step()
        assert_told_the_same(bench, run)
        bench.executor.succeed("fetch[2]", rows=3)
        bench.step()
        assert_told_the_same(bench, run)
        finish(bench, run)
        assert_told_the_same(bench, run)
        assert run.result().context["rows"] == [1, None, 3]


def assert_told_the_same(bench: EngineBench, run: RunState) -> None:
    """An instance that is in the queue is not yet in the store: it has no row before it begins."""
    in_memory = encode(run.result().to_json(all_instances=True))
    in_store = encode(bench.result(run.run_id).to_json(all_instances=True))
    assert in_memory.replace('"ready"', '"waiting"') == in_store


class TestLimits:
    def test_no_more_are_under_way_than_may_be(self, bench: EngineBench):
        start(bench, list(range(5)), max_parallel=2)

        assert bench.executor.names() == ["fetch[0]", "fetch[1]"]
        bench.executor.succeed("fetch[1]")
        bench.step()
        assert bench.executor.names() == ["fetch[0]", "fetch[2]"]

    def test_one_that_waits_for_its_next_attempt_keeps_its_place(
        self, bench: EngineBench, clock: FrozenClock
    ):
        start(bench, [1, 2], max_parallel=1, retry=TWICE)
        bench.executor.fail("fetch[0]", may_retry=True)
        bench.step()

        assert bench.executor.names() == []
        clock.advance(timedelta(minutes=1))
        bench.step()
        assert bench.executor.names() == ["fetch[0]"]
        bench.executor.succeed("fetch[0]")
        bench.step()
        assert bench.executor.names() == ["fetch[1]"]

    def test_the_limit_is_each_run_s_own(self, bench: EngineBench):
        start(bench, [1, 2], max_parallel=1)
        start(bench, [1, 2], max_parallel=1)

        assert bench.executor.names() == ["fetch[0]", "fetch[0]"]

    def test_other_runs_do_not_wait_for_all_instances(self, database: Database, clock: FrozenClock):
        bench = EngineBench(database, clock, slots=1)
        start(bench, list(range(10 * QUEUE_LENGTH)))
        bench.start(workflow_of({"other": []}))
        begun = 0

        while "other" not in bench.executor.names():
            (name,) = bench.executor.names()
            bench.executor.succeed(name)
            bench.step()
            begun += 1

        assert begun <= QUEUE_LENGTH + 1

    def test_slots_are_filled_when_there_are_more_than_the_queue_is_long(
        self, database: Database, clock: FrozenClock
    ):
        bench = EngineBench(database, clock, slots=3 * QUEUE_LENGTH)

        start(bench, list(range(10 * QUEUE_LENGTH)))

        assert len(bench.executor.names()) == 3 * QUEUE_LENGTH

    def test_the_list_is_read_once(self, bench: EngineBench, monkeypatch: pytest.MonkeyPatch):
        reads = []
        monkeypatch.setattr(expansion, "decode", lambda text: reads.append(1) or decode(text))
        run = start(bench, list(range(100)), max_parallel=10)

        finish(bench, run)

        assert len(reads) == 1


class TestFailures:
    def test_the_first_failure_stops_those_that_have_not_begun(self, bench: EngineBench):
        run = start(bench, list(range(4)), max_parallel=2)
        bench.executor.fail("fetch[1]")
        bench.step()

        assert bench.executor.names() == ["fetch[0]"]
        assert bench.result(run.run_id).tasks["fetch"].status is TaskStatus.RUNNING
        bench.executor.succeed("fetch[0]")
        bench.step()
        result = bench.result(run.run_id)
        assert result.tasks["fetch"].status is TaskStatus.FAILED
        assert statuses(result) == ["succeeded", "failed", "cancelled", "cancelled"]
        assert result.tasks["total"].status is TaskStatus.SKIPPED
        assert result.tasks["fetch"].reason == "1 of 4 instances failed"
        assert result.error == Failure(type="OSError", message="broken", task="fetch[1]")
        assert result.tasks["fetch"].error == Failure(type="OSError", message="broken")

    def test_those_in_the_queue_do_not_begin_either(self, database: Database, clock: FrozenClock):
        bench = EngineBench(database, clock, slots=1)
        run = start(bench, list(range(4)))
        bench.executor.fail("fetch[0]")
        bench.step()

        result = bench.result(run.run_id)
        assert statuses(result) == ["failed", "cancelled", "cancelled", "cancelled"]
        assert result.status is RunStatus.FAILED

    def test_one_that_has_begun_is_tried_again(self, bench: EngineBench, clock: FrozenClock):
        run = start(bench, [1, 2], retry=TWICE)
        bench.executor.fail("fetch[0]", may_retry=True)
        bench.executor.fail("fetch[1]")
        bench.step()

        clock.advance(timedelta(minutes=1))
        bench.step()
        bench.executor.succeed("fetch[0]")
        bench.step()

        assert statuses(bench.result(run.run_id)) == ["succeeded", "failed"]

    def test_with_continue_all_run_and_the_task_fails(self, bench: EngineBench):
        run = start(bench, list(range(3)), map_failures="continue", max_parallel=1)
        bench.executor.fail("fetch[0]")
        bench.step()
        bench.executor.succeed("fetch[1]", rows=1)
        bench.step()
        bench.executor.fail("fetch[2]")
        bench.step()

        result = bench.result(run.run_id)
        assert statuses(result) == ["failed", "succeeded", "failed"]
        assert result.tasks["fetch"].reason == "2 of 3 instances failed"
        assert "rows" not in result.context, "a task that failed leaves nothing"

    def test_as_many_may_fail_as_are_tolerated(self, bench: EngineBench):
        run = start(bench, list(range(3)), map_failures=1)
        bench.executor.succeed("fetch[0]", rows=0)
        bench.executor.fail("fetch[1]")
        bench.executor.succeed("fetch[2]", rows=2)
        bench.step()

        result = finish(bench, run)
        assert result.status is RunStatus.SUCCEEDED
        assert result.tasks["fetch"].status is TaskStatus.SUCCEEDED
        assert result.tasks["fetch"].reason == "1 of 3 instances failed"
        assert result.context["rows"] == [0, None, 2]

    def test_one_more_is_too_many(self, bench: EngineBench):
        run = start(bench, list(range(4)), map_failures=1, max_parallel=1)
        for number in range(2):
            bench.executor.fail(f"fetch[{number}]")
            bench.step()

        assert statuses(bench.result(run.run_id)) == ["failed", "failed", "cancelled", "cancelled"]

    def test_the_run_tells_the_failure_that_came_first(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = start(bench, [1, 2], map_failures="continue")
        bench.executor.fail("fetch[1]")
        bench.step()
        clock.advance(timedelta(seconds=1))
        bench.executor.fail("fetch[0]")
        bench.step()

        error = bench.result(run.run_id).error
        assert error is not None
        assert error.task == "fetch[1]"

    def test_rules_see_the_mapped_task_as_one(self, bench: EngineBench):
        flow = workflow_of(
            {"fetch": [], "clean": ["fetch"]},
            rules={"clean": all_done},
            options={"fetch": {"map": "files", "map_failures": "continue"}},
        )
        bench.start(flow, context={"files": [1, 2]})
        bench.executor.fail("fetch[0]")
        bench.step()
        assert bench.executor.names() == ["fetch[1]"]

        bench.executor.succeed("fetch[1]")
        bench.step()

        assert bench.executor.names() == ["clean"]

    def test_each_instance_has_its_own_deadline(self, bench: EngineBench, clock: FrozenClock):
        run = start(bench, [1, 2], timeout=timedelta(minutes=1), map_failures=1)
        bench.executor.succeed("fetch[0]", rows=1)
        bench.step()
        clock.advance(timedelta(minutes=1))
        bench.step()

        instances = bench.result(run.run_id).tasks["fetch"].instances
        assert instances is not None
        assert [one.attempts[-1].outcome for one in instances] == ["succeeded", "timed_out"]
        assert bench.executor.names() == ["fetch[1]", "total"], "abandoned, and what follows"


class TestEnds:
    def test_a_cancelled_run_waits_for_the_instances_that_run(self, bench: EngineBench):
        run = start(bench, list(range(5)), max_parallel=3, retry=TWICE)
        bench.executor.succeed("fetch[0]")
        bench.executor.fail("fetch[1]", may_retry=True)
        bench.step()

        bench.ask(run.run_id, "cancel")
        bench.step()
        assert [key[1] for key in bench.executor.cancelled] == [5, 6]
        bench.executor.succeed("fetch[2]")
        bench.executor.fail("fetch[3]", may_retry=True)
        bench.step()

        result = bench.result(run.run_id)
        assert result.status is RunStatus.CANCELLED
        assert result.tasks["fetch"].status is TaskStatus.CANCELLED
        expected = ["succeeded", "cancelled", "succeeded", "cancelled", "cancelled"]
        assert statuses(result) == expected
        assert_told_the_same(bench, run)

    def test_instances_that_do_not_end_are_given_up(self, bench: EngineBench, clock: FrozenClock):
        run = start(bench, [1, 2])
        bench.ask(run.run_id, "cancel")
        bench.step()

        clock.advance(timedelta(minutes=1))
        bench.step()

        assert statuses(bench.result(run.run_id)) == ["cancelled", "cancelled"]
        assert bench.result(run.run_id).status is RunStatus.CANCELLED

    def test_a_run_whose_time_is_up_cancels_its_instances(
        self, bench: EngineBench, clock: FrozenClock
    ):
        flow = workflow_of(
            {"fetch": []},
            options={"fetch": {"map": "files", "max_parallel": 2}},
            timeout=timedelta(minutes=1),
        )
        run = bench.start(flow, context={"files": [1, 2, 3]})
        bench.executor.succeed("fetch[0]")
        bench.step()

        clock.advance(timedelta(minutes=1))
        bench.step()

        result = bench.result(run.run_id)
        assert result.status is RunStatus.FAILED
        assert result.tasks["fetch"].status is TaskStatus.CANCELLED
        assert statuses(result) == ["succeeded", "cancelled", "cancelled"]
        assert_told_the_same(bench, run)

    def test_instances_that_never_began_cost_no_rows(self, bench: EngineBench):
        run = start(bench, list(range(1000)), max_parallel=1)
        bench.ask(run.run_id, "cancel")
        bench.step()
        bench.executor.fail("fetch[0]")
        bench.step()

        assert set(bench.reader.load(run.run_id).tasks) == {"list", "fetch", "fetch[0]", "total"}
        assert statuses(bench.result(run.run_id)).count("cancelled") == 1000

    def test_a_result_that_comes_late_is_told_with_the_instance(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = start(bench, [1], timeout=timedelta(minutes=1), retry=TWICE)
        late = call(bench, "fetch[0]")
        clock.advance(timedelta(minutes=1))
        bench.step()
        bench.executor.calls.clear()
        bench.executor.calls[late.key] = late
        bench.executor.succeed("fetch[0]")
        bench.step()

        assert "commit_rejected fetch[0]#1" in bench.history(run.run_id)


class TestRecovery:
    def test_what_was_done_is_kept_and_the_rest_goes_on(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = start(bench, ["a", "b", "c", "d"], max_parallel=2)
        bench.executor.succeed("fetch[1]", rows="B")
        bench.step()

        rival, _ = rival_of(bench, clock, run.run_id)

        assert rival.executor.names() == ["fetch[0]", "fetch[2]"]
        assert [call.item for call in rival.executor.calls.values()] == ['"a"', '"c"']
        for name, rows in (("fetch[2]", "C"), ("fetch[0]", "A"), ("fetch[3]", "D")):
            rival.executor.succeed(name, rows=rows)
            rival.step()
        assert rival.executor.names() == ["total"]
        rival.executor.succeed("total")
        rival.step()
        result = rival.result(run.run_id)
        assert result.context["rows"] == ["A", "B", "C", "D"]
        assert result.status is RunStatus.SUCCEEDED

    def test_what_was_stopped_stays_stopped(self, bench: EngineBench, clock: FrozenClock):
        run = start(bench, list(range(4)), max_parallel=2)
        bench.executor.fail("fetch[0]")
        bench.step()

        rival, _ = rival_of(bench, clock, run.run_id)

        assert rival.executor.names() == ["fetch[1]"], "it had begun"
        rival.executor.succeed("fetch[1]")
        rival.step()
        expected = ["failed", "succeeded", "cancelled", "cancelled"]
        assert statuses(rival.result(run.run_id)) == expected

    def test_the_list_is_the_one_that_was_seen_then(self, bench: EngineBench, clock: FrozenClock):
        flow = workflow_of(
            {"early": [], "late": [], "fetch": ["early", "late"]},
            rules={"fetch": any_succeeded},
            options={"fetch": {"map": "files", "max_parallel": 1}},
        )
        run = bench.start(flow)
        bench.executor.succeed("early", files=["old", "older"])
        bench.step()
        bench.executor.succeed("late", files=["new"])
        bench.step()

        rival, _ = rival_of(bench, clock, run.run_id)

        assert [call.item for call in rival.executor.calls.values()] == ['"old"']

    def test_what_comes_after_the_expansion_is_not_passed_on(self, bench: EngineBench):
        flow = workflow_of(
            {"early": [], "late": [], "fetch": ["early", "late"]},
            rules={"fetch": any_succeeded},
            options={"fetch": {"map": "files"}},
        )
        run = bench.start(flow)
        bench.executor.succeed("early", files=[1])
        bench.step()
        bench.executor.succeed("late", note="too late")
        bench.step()
        bench.executor.succeed("fetch[0]", rows=1)
        bench.step()

        assert run.result().context == {"files": [1], "rows": [1]}
        assert_told_the_same(bench, run)

    def test_instances_that_only_slept_killed_no_engine(
        self, bench: EngineBench, clock: FrozenClock
    ):
        slow = RetryPolicy(max_attempts=2, first_delay=timedelta(hours=1), jitter=0.0)
        run = start(bench, [1], retry=slow)
        bench.executor.fail("fetch[0]", may_retry=True)
        bench.step()
        clock.advance(timedelta(minutes=1))
        rival = EngineBench(bench.database, clock)

        assert rival.ownership.claimable(rival.engine.id) == [run.run_id]
        assert rival.reader.load(run.run_id).engine_deaths == 0

    def test_a_paused_run_rests_and_goes_on(self, bench: EngineBench, clock: FrozenClock):
        run = start(bench, [1, 2, 3], max_parallel=1)
        bench.ask(run.run_id, "pause")
        bench.step()
        bench.executor.succeed("fetch[0]", rows=1)
        bench.step()
        assert bench.executor.names() == []
        assert bench.reader.load(run.run_id).summary.engine is None
        bench.ask(run.run_id, "resume")

        rival, again = rival_of(bench, clock, run.run_id)

        assert rival.executor.names() == ["fetch[1]"]
        assert finish(rival, again).context["rows"] == [1, None, None]

    def test_an_instance_may_wait_and_keeps_its_place(self, bench: EngineBench, clock: FrozenClock):
        run = start(bench, [1, 2], max_parallel=1)
        wait = Wait(kind=WaitKind.SIGNAL, signal="go")
        bench.executor.defer("fetch[0]", wait)
        bench.step()
        assert bench.executor.names() == []

        bench.ask(run.run_id, "signal", name="go", payload="1")
        bench.step()

        assert bench.executor.names() == ["fetch[0]"]
        assert statuses(finish(bench, run)) == ["succeeded", "succeeded"]

    def test_a_stopped_engine_gives_its_instances_back(self, bench: EngineBench):
        run = start(bench, [1, 2])
        bench.engine.request_stop()
        bench.step()

        stored = bench.reader.load(run.run_id)
        assert stored.tasks["fetch"].status is TaskStatus.RUNNING
        assert stored.tasks["fetch[1]"].status is TaskStatus.READY
        assert stored.tasks["fetch[1]"].attempts[0].outcome == "released"

    def test_the_list_is_read_once_more(
        self, bench: EngineBench, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ):
        run = start(bench, list(range(100)), max_parallel=10)
        reads = []
        monkeypatch.setattr(expansion, "decode", lambda text: reads.append(1) or decode(text))

        rival, again = rival_of(bench, clock, run.run_id)
        finish(rival, again)

        assert len(reads) == 1

    def test_a_run_that_has_ended_is_told_without_reading_the_list(
        self, bench: EngineBench, monkeypatch: pytest.MonkeyPatch
    ):
        run = start(bench, [1, 2])
        finish(bench, run)
        monkeypatch.setattr(expansion, "decode", None)

        assert statuses(bench.result(run.run_id)) == ["succeeded", "succeeded"]


def test_numbers_of_instances_follow_those_of_the_plan(bench: EngineBench):
    run = start(bench, [1, 2])

    assert len(Plan(run.plan.definition).tasks) == 3
    assert [run.name_of(number) for number in range(len(run.tasks))] == [
        "list",
        "fetch",
        "total",
        "fetch[0]",
        "fetch[1]",
    ]
    assert run.definition_of(4).mapped == Mapped("files")
