"""Workflows run in memory: results, frozen time, failures, slow attempts."""

import asyncio
import doctest
import logging
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.runs import workflow_of

from cloacina_core import Context, RetryPolicy, Task, TransientError, Workflow, rules, testing
from cloacina_core.errors import ContextValueError, DefinitionError, InputError, ParamsError
from cloacina_core.foundation.ids import EngineId
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.store.batch import Batch, GuardError
from cloacina_core.store.writing import RunWriter
from cloacina_core.testing import (
    FrozenClock,
    HarnessResult,
    RunStalledError,
    Sent,
    Signal,
    WorkflowHarness,
    run_workflow,
)
from cloacina_core.testing.disturbances import Fail

MINUTE = timedelta(minutes=1)


def outcomes(result: HarnessResult, task: str) -> list[str]:
    return [str(attempt.outcome) for attempt in result.tasks[task].attempts]


def events(result: HarnessResult) -> list[tuple[str, str | None]]:
    return [(event.type.value, event.task) for event in result.events]


def one_task(**options: Any) -> Workflow:
    """Return a workflow of the one task `work`, which counts its calls in the context."""
    flow = Workflow("one_task")

    @flow.task(**options)
    def work(context: Context) -> dict[str, int]:
        return {"attempt": context.attempt}

    return flow


def chain() -> Workflow:
    """Return extract -> transform -> load, the second of them a coroutine."""
    flow = Workflow("chain")

    @flow.task
    def extract(context: Context) -> dict[str, list[int]]:
        return {"rows": [1, 2, 3]}

    @flow.task(after=[extract])
    async def transform(context: Context) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"total": sum(context["rows"])}

    @flow.task(after=[transform])
    def load(context: Context) -> None:
        context["loaded"] = context["total"]

    return flow


class TestResults:
    def test_the_example_of_the_package_runs(self) -> None:
        tried = doctest.testmod(testing, optionflags=doctest.FAIL_FAST)

        assert tried.attempted > 5
        assert tried.failed == 0

    def test_a_run_is_told_with_tasks_and_context(self) -> None:
        result = run_workflow(chain())

        assert result.status is RunStatus.SUCCEEDED
        assert result.context == {"rows": [1, 2, 3], "total": 6, "loaded": 6}
        assert list(result.tasks) == ["extract", "transform", "load"]
        assert {task.status for task in result.tasks.values()} == {TaskStatus.SUCCEEDED}
        assert result.error is None
        assert result.elapsed == timedelta(0)
        assert result.crashes == ()

    def test_statuses_equal_their_names(self) -> None:
        result = run_workflow(chain(), fail={"extract": OSError})

        assert result.status == "failed"
        assert result.tasks["transform"].status == "skipped"
        assert result.tasks["extract"].attempts[0].outcome == "failed"

    def test_the_history_is_told_in_order(self) -> None:
        result = run_workflow(chain())

        assert events(result) == [
            ("submitted", None),
            ("claimed", None),
            ("task_started", "extract"),
            ("task_succeeded", "extract"),
            ("task_started", "transform"),
            ("task_succeeded", "transform"),
            ("task_started", "load"),
            ("task_succeeded", "load"),
            ("run_succeeded", None),
        ]
        assert [event.seq for event in result.events] == list(range(1, 10))

    def test_the_history_of_a_large_run_is_whole(self) -> None:
        flow = Workflow("wide")
        for number in range(600):
            flow.add(Task(lambda context: None, name=f"t{number}"))

        result = run_workflow(flow)

        assert len(result.events) == 2 + 2 * 600 + 1
        assert result.events[-1].type == "run_succeeded"

    def test_params_are_checked_and_their_defaults_filled(self) -> None:
        @dataclass(frozen=True)
        class Params:
            day: str
            limit: int = 10

        flow = Workflow("with_params", params=Params)

        @flow.task
        def read(context: Context) -> dict[str, object]:
            return {"read": [context.params.day, context.params.limit]}

        assert run_workflow(flow, {"day": "today"}).context["read"] == ["today", 10]
        with pytest.raises(ParamsError):
            run_workflow(flow, {"limit": 3})

    def test_the_first_tasks_see_the_context_that_is_handed_in(self) -> None:
        flow = Workflow("continued")

        @flow.task
        def count(context: Context) -> None:
            context["count"] += 1

        assert run_workflow(flow, context={"count": 41}).context == {"count": 42}

    def test_a_context_that_cannot_be_stored_is_refused(self) -> None:
        with pytest.raises(ContextValueError, match="day"):
            run_workflow(chain(), context={"day": datetime(2026, 1, 1, tzinfo=UTC)})

    def test_a_definition_with_faults_is_refused(self) -> None:
        with pytest.raises(DefinitionError):
            run_workflow(Workflow("empty"))

    def test_what_tasks_print_and_log_is_kept(self, capsys: pytest.CaptureFixture[str]) -> None:
        flow = Workflow("talking")

        @flow.task
        def talk(context: Context) -> None:
            print("printed")  # noqa: T201 - a task may
            logging.getLogger("acme").warning("logged")

        result = run_workflow(flow)

        assert [(line.stream, line.text) for line in result.logs] == [
            ("stdout", "printed"),
            ("warning", "acme: logged"),
        ]
        assert capsys.readouterr().out == "printed\n"

    def test_the_streams_are_put_back_after_a_run(self) -> None:
        before = sys.stdout, sys.stderr, list(logging.getLogger().handlers)

        run_workflow(chain())

        assert (sys.stdout, sys.stderr, logging.getLogger().handlers) == before

    def test_the_representation_of_a_result_tells_what_went_wrong(self) -> None:
        result = run_workflow(chain(), fail={"transform": ValueError("no total")})

        assert repr(result) == (
            "<run failed: extract succeeded, transform failed, load skipped; "
            "task transform: ValueError: no total>"
        )

    def test_a_run_takes_the_same_course_every_time(self) -> None:
        first, second = (run_workflow(chain(), slow={"extract": MINUTE}) for _ in range(2))

        assert first == second

    def test_a_harness_keeps_several_runs_apart(self) -> None:
        with WorkflowHarness(chain()) as harness:
            first = harness.run(fail={"extract": OSError})
            second = harness.run()

        assert (first.status, second.status) == ("failed", "succeeded")
        assert first.run_id < second.run_id

    def test_a_workflow_runs_inside_an_event_loop_too(self) -> None:
        async def test() -> HarnessResult:
            return run_workflow(chain())

        assert asyncio.run(test()).context["total"] == 6

    def test_an_interrupt_ends_the_test_not_the_attempt(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            run_workflow(chain(), fail={"transform": KeyboardInterrupt})

    def test_the_package_does_not_need_pytest(self) -> None:
        code = "import cloacina_core.testing, sys; raise SystemExit('pytest' in sys.modules)"

        done = subprocess.run([sys.executable, "-c", code], check=False)

        assert done.returncode == 0


class TestGraphs:
    def test_a_task_whose_rule_does_not_hold_is_skipped_with_what_follows(self) -> None:
        flow = Workflow("branches")

        @flow.task
        def read(context: Context) -> dict[str, int]:
            return {"faults": 0}

        @flow.task(after=[read], when=rules.all_succeeded & (rules.value("faults") > 0))
        def tell_faults(context: Context) -> None: ...

        @flow.task(after=[tell_faults])
        def send(context: Context) -> None: ...

        @flow.task(after=[read, send], when=rules.none_failed)
        def end(context: Context) -> dict[str, bool]:
            return {"ended": True}

        result = run_workflow(flow)

        assert {name: task.status.value for name, task in result.tasks.items()} == {
            "read": "succeeded",
            "tell_faults": "skipped",
            "send": "skipped",
            "end": "succeeded",
        }
        assert result.tasks["send"].attempts == ()
        assert result.status == "succeeded"

    @pytest.mark.parametrize(
        ("merge", "expected"), [("later", [2]), ("concat", [1, 2]), ({"found": "concat"}, [1, 2])]
    )
    def test_what_side_by_side_tasks_wrote_is_merged_by_policy(
        self, merge: Any, expected: list[int]
    ) -> None:
        result = run_workflow(fan_in(merge))

        assert result.context["seen"] == expected

    def test_a_merge_that_is_refused_fails_the_task(self) -> None:
        result = run_workflow(fan_in("error"))

        assert result.status == "failed"
        assert result.tasks["join"].error is not None
        assert result.tasks["join"].error.type == "merge-conflict"

    def test_a_slow_task_does_not_change_what_is_merged(self) -> None:
        result = run_workflow(fan_in("concat"), slow={"left": 10 * MINUTE})

        assert result.context["seen"] == [1, 2]
        assert result.elapsed == 10 * MINUTE

    def test_a_run_whose_tasks_are_all_skipped_ends_at_once(self) -> None:
        flow = Workflow("nothing_to_do")

        @flow.task(when=rules.value("wanted") == True)  # noqa: E712 - a rule, not a comparison
        def work(context: Context) -> None: ...

        result = run_workflow(flow)

        assert result.tasks["work"].status == "skipped"
        assert result.status == "succeeded"


def fan_in(merge: Any) -> Workflow:
    flow = Workflow("fan_in")

    @flow.task
    def left(context: Context) -> dict[str, list[int]]:
        return {"found": [1]}

    @flow.task
    def right(context: Context) -> dict[str, list[int]]:
        return {"found": [2]}

    @flow.task(after=[left, right], merge=merge)
    def join(context: Context) -> dict[str, Any]:
        return {"seen": context["found"]}

    return flow


class TestFailures:
    def test_an_attempt_fails_as_told_and_the_next_one_runs(self) -> None:
        flow = one_task(retry=RetryPolicy(max_attempts=3, first_delay=5 * MINUTE))

        result = run_workflow(flow, fail={"work": [TimeoutError("slow"), None]})

        assert result.status == "succeeded"
        assert outcomes(result, "work") == ["failed", "succeeded"]
        assert result.context == {"attempt": 2}
        first = result.tasks["work"].attempts[0]
        assert first.number == 1
        assert first.error is not None
        assert (first.error.type, first.error.message) == ("TimeoutError", "slow")

    def test_attempts_behind_the_last_failure_run(self) -> None:
        flow = one_task(retry=RetryPolicy(max_attempts=3))

        result = run_workflow(flow, fail={"work": [OSError, OSError]})

        assert outcomes(result, "work") == ["failed", "failed", "succeeded"]

    @pytest.mark.parametrize("error", [OSError("always"), OSError])
    def test_a_single_error_fails_every_attempt(self, error: Any) -> None:
        flow = one_task(retry=RetryPolicy(max_attempts=3))

        result = run_workflow(flow, fail={"work": error})

        assert result.status == "failed"
        assert outcomes(result, "work") == ["failed", "failed", "failed"]
        assert result.error is not None
        assert result.error.task == "work"

    def test_only_failures_that_the_policy_speaks_of_are_tried_again(self) -> None:
        flow = one_task(retry=RetryPolicy(max_attempts=5, retry_on=(TransientError, "OSError")))
        fail: Fail = {"work": [TransientError("busy"), ConnectionError("cut"), ValueError("wrong")]}

        result = run_workflow(flow, fail=fail)

        assert outcomes(result, "work") == ["failed", "failed", "failed"]
        assert result.error is not None
        assert result.error.type == "ValueError"

    def test_a_failure_that_is_repeated_is_told_alike_each_time(self) -> None:
        error = OSError("again")
        flow = one_task(retry=RetryPolicy(max_attempts=4))

        result = run_workflow(flow, fail={"work": error})

        told = [
            attempt.error.traceback for attempt in result.tasks["work"].attempts if attempt.error
        ]
        assert len(told) == 4
        assert set(told) == {"OSError: again\n"}

    def test_callbacks_are_called_as_in_production(self) -> None:
        calls: list[str] = []
        flow = one_task(
            retry=RetryPolicy(max_attempts=2),
            on_success=lambda context: calls.append(f"success {context.attempt}"),
            on_failure=lambda context, error: calls.append(f"failure {context.attempt} {error}"),
        )

        run_workflow(flow, fail={"work": [OSError("once"), None]})
        run_workflow(flow, fail={"work": OSError("always")})

        assert calls == ["success 2", "failure 2 always"]

    def test_everything_that_cannot_be_done_is_told_at_once(self) -> None:
        bad: Any = {"work": [None, "TimeoutError"], "wrok": OSError}

        with pytest.raises(InputError) as refused:
            run_workflow(
                one_task(),
                fail=bad,
                slow={"work": -MINUTE, "xyz": MINUTE},
                crash=["before wrk", "after start:walk"],
            )

        assert [(problem.kind, problem.where) for problem in refused.value.problems] == [
            ("bad-crash-point", "crash"),
            ("unknown-task", "fail"),
            ("unknown-task", "slow"),
            ("unknown-task", "crash"),
            ("bad-failure", "fail['work']"),
            ("bad-duration", "slow['work']"),
        ]
        assert "there is no task 'wrok'; did you mean work?" in str(refused.value)


class TestTime:
    def test_a_pause_before_a_retry_takes_no_time_but_on_the_clock(self) -> None:
        flow = one_task(
            retry=RetryPolicy(
                max_attempts=3, first_delay=timedelta(days=1), longest_delay=timedelta(days=9)
            )
        )
        began = time.monotonic()

        result = run_workflow(flow, fail={"work": [OSError, OSError, None]})

        assert result.elapsed == timedelta(days=1 + 2)
        assert time.monotonic() - began < 60

    @pytest.mark.parametrize("chance", [0.0, 0.3, 0.999])
    def test_jitter_has_the_share_that_the_test_gives_it(self, chance: float) -> None:
        retry = RetryPolicy(max_attempts=2, first_delay=timedelta(seconds=100), jitter=0.5)

        with WorkflowHarness(one_task(retry=retry), chance=chance) as harness:
            result = harness.run(fail={"work": [OSError, None]})

        assert result.elapsed == timedelta(seconds=100 + 50 * chance)

    def test_uneven_pauses_lose_no_microsecond(self) -> None:
        delay = timedelta(microseconds=100_001)
        flow = one_task(retry=RetryPolicy(max_attempts=9, first_delay=delay, backoff="linear"))

        result = run_workflow(flow, fail={"work": [OSError] * 8})

        assert result.elapsed == sum(range(1, 9)) * delay

    def test_attempts_are_stamped_with_the_clock_of_the_test(self) -> None:
        clock = FrozenClock(datetime(2030, 5, 1, 8, tzinfo=UTC))

        result = run_workflow(one_task(), slow={"work": MINUTE}, clock=clock)

        (attempt,) = result.tasks["work"].attempts
        assert attempt.started_at == datetime(2030, 5, 1, 8, tzinfo=UTC)
        assert attempt.finished_at == clock.now() == datetime(2030, 5, 1, 8, 1, tzinfo=UTC)

    def test_tasks_side_by_side_take_their_time_together(self) -> None:
        result = run_workflow(fan_in("later"), slow={"left": 3 * MINUTE, "right": 2 * MINUTE})

        assert result.elapsed == 3 * MINUTE
        ended = [event.task for event in result.events if event.type == "task_succeeded"]
        assert ended == ["right", "left", "join"]

    def test_an_attempt_that_takes_longer_than_its_timeout_is_given_up(self) -> None:
        result = run_workflow(one_task(timeout=MINUTE), slow={"work": 2 * MINUTE})

        assert result.status == "failed"
        assert outcomes(result, "work") == ["timed_out"]
        assert result.elapsed == MINUTE

    def test_an_attempt_that_takes_just_its_timeout_is_in_time(self) -> None:
        result = run_workflow(one_task(timeout=MINUTE), slow={"work": MINUTE})

        assert outcomes(result, "work") == ["succeeded"]

    def test_an_attempt_that_timed_out_has_had_its_effects(self) -> None:
        called: list[int] = []
        flow = Workflow("slow")

        @flow.task(timeout=MINUTE, retry=RetryPolicy(max_attempts=2, first_delay=MINUTE))
        def work(context: Context) -> None:
            called.append(context.attempt)

        result = run_workflow(flow, slow={"work": 2 * MINUTE})

        assert called == [1, 2]
        assert outcomes(result, "work") == ["timed_out", "timed_out"]

    def test_a_late_result_is_refused_and_told(self) -> None:
        flow = one_task(timeout=MINUTE, retry=RetryPolicy(max_attempts=2, first_delay=5 * MINUTE))

        result = run_workflow(flow, slow={"work": 2 * MINUTE})

        refused = [event for event in result.events if event.type == "commit_rejected"]
        assert [event.attempt for event in refused] == [1]

    def test_an_attempt_knows_its_deadline(self) -> None:
        seen: list[datetime | None] = []
        flow = Workflow("deadline")

        @flow.task(timeout=MINUTE)
        def work(context: Context) -> None:
            seen.append(context.deadline)

        run_workflow(flow)

        assert seen == [FrozenClock().now() + MINUTE]

    def test_a_run_that_takes_longer_than_its_timeout_fails(self) -> None:
        flow = chain()
        flow.timeout = 5 * MINUTE

        result = run_workflow(flow, slow={"extract": 3 * MINUTE, "transform": 3 * MINUTE})

        assert result.status == "failed"
        assert result.error is not None
        assert result.error.type == "timeout"
        assert {name: task.status.value for name, task in result.tasks.items()} == {
            "extract": "succeeded",
            "transform": "cancelled",
            "load": "cancelled",
        }
        assert result.elapsed == 5 * MINUTE

    def test_a_wait_longer_than_the_lease_does_not_cost_the_run(self) -> None:
        flow = one_task(retry=RetryPolicy(max_attempts=2, first_delay=5 * MINUTE))

        result = run_workflow(flow, fail={"work": [OSError, None]})

        assert events(result).count(("claimed", None)) == 1

    def test_the_clock_of_a_test_can_be_moved_between_runs(self) -> None:
        with WorkflowHarness(one_task()) as harness:
            first = harness.run()
            harness.clock.advance(MINUTE)
            second = harness.run()

        begun = [result.run.summary.created_at for result in (first, second)]
        assert begun[1] - begun[0] == MINUTE

    def test_a_run_that_its_engine_let_go_is_told_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = RunWriter.write

        def refuse_ends(writer: RunWriter, batch: Batch, engine: EngineId) -> None:
            if batch.attempt_ends:
                raise GuardError
            write(writer, batch, engine)

        monkeypatch.setattr(RunWriter, "write", refuse_ends)

        with pytest.raises(RunStalledError, match="can make it go on"):
            run_workflow(one_task())


class TestWaits:
    """Tasks that wait, on a clock that jumps."""

    def flow(self, timeout: timedelta | None = None) -> Workflow:
        workflow = Workflow("release")

        @workflow.task
        def approve(context: Context) -> dict[str, object]:
            return {"by": context.wait_for("approval", timeout=timeout)}

        return workflow

    def test_a_signal_comes_at_its_time(self) -> None:
        signal = Signal("approval", "ann", after=timedelta(hours=2))

        result = run_workflow(self.flow(), signals=[signal])

        assert result.context == {"by": "ann"}
        assert result.elapsed == timedelta(hours=2)

    def test_a_run_that_is_sent_nothing_says_what_it_waits_for(self) -> None:
        with pytest.raises(RunStalledError, match="waits for signal 'approval'"):
            run_workflow(self.flow())

    def test_a_signal_that_comes_too_late_is_not_waited_for(self) -> None:
        signal = Signal("approval", after=timedelta(hours=2))

        result = run_workflow(self.flow(timedelta(hours=1)), signals=[signal])

        assert result.status == "failed"
        assert result.elapsed == timedelta(hours=1)

    def test_a_wait_outlives_a_crash(self) -> None:
        signal = Signal("approval", "ann", after=timedelta(hours=2))

        result = run_workflow(self.flow(), signals=[signal], crash="before commit:approve")

        assert result.context == {"by": "ann"}

    def test_an_event_that_fits_is_waited_for(self) -> None:
        workflow = Workflow("orders")

        @workflow.task
        def follow(context: Context) -> dict[str, object]:
            context.sleep(timedelta(hours=1))
            first = context.wait_for_event("paid", where={"order": {">=": 2}})
            return {"paid": [first, context.wait_for_event("paid")]}

        sent = [Sent("paid", {"order": n}, after=timedelta(minutes=30 * n)) for n in range(5)]

        result = run_workflow(workflow, sent_events=sent, crash="before commit:follow")

        assert result.context == {"paid": [{"order": 2}, {"order": 3}]}

    def test_two_events_at_once_are_two_for_one_task(self) -> None:
        workflow = Workflow("orders")

        @workflow.task
        def follow(context: Context) -> dict[str, object]:
            return {"paid": [context.wait_for_event(name) for name in ("paid", "paid", "sent")]}

        sent = [Sent("paid", 1), Sent("sent", 2), Sent("paid", 3), Sent("paid", 4)]

        assert run_workflow(workflow, sent_events=sent).context == {"paid": [1, 3, 2]}

    def test_an_event_that_isnt_sent_in_time_can_be_done_without(self) -> None:
        workflow = Workflow("orders")

        @workflow.task
        def follow(context: Context) -> dict[str, object]:
            try:
                context.wait_for_event("paid", timeout=timedelta(hours=1))
            except TimeoutError as error:
                return {"told": str(error)[:30]}
            return {}

        late = Sent("paid", after=timedelta(hours=2))

        result = run_workflow(workflow, sent_events=[late])

        assert result.context == {"told": "event 'paid' didn't come until"}

    def test_what_a_signal_carries_is_json(self) -> None:
        with pytest.raises(InputError):
            Signal("approval", object())  # type: ignore[arg-type]

    def test_a_callback_is_told_of_a_timeout(self) -> None:
        told: list[object] = []
        workflow = Workflow("slow")

        @workflow.task(
            timeout=timedelta(seconds=1), on_failure=lambda context, error: told.append(error)
        )
        def a(context: Context) -> None: ...

        run_workflow(workflow, slow={"a": timedelta(seconds=2)})

        assert [type(error) for error in told] == [TimeoutError]


class TestInstances:
    @pytest.fixture
    def flow(self) -> Workflow:
        flow = Workflow("mapped")

        @flow.task(map="parts", map_failures=1)
        def count(context: Context) -> dict[str, int]:
            return {"sizes": len(context.item)}

        @flow.task(after=[count])
        def last(context: Context) -> None: ...

        return flow

    def test_one_instance_fails_or_all_of_them(self, flow: Workflow) -> None:
        parts = {"parts": ["a", "bc"]}

        one = run_workflow(flow, context=parts, fail={"count[1]": OSError})
        every = run_workflow(flow, context=parts, fail={"count": OSError, "count[0]": [None]})

        assert one.context["sizes"] == [1, None]
        assert every.context["sizes"] == [1, None]

    def test_one_instance_takes_its_time(self, flow: Workflow) -> None:
        slow = {"count": MINUTE, "count[1]": 2 * MINUTE}

        result = run_workflow(flow, context={"parts": ["a", "bc"]}, slow=slow)

        assert result.elapsed == 2 * MINUTE

    def test_only_mapped_tasks_have_instances(self, flow: Workflow) -> None:
        with pytest.raises(InputError) as refusal:
            run_workflow(
                flow, fail={"last[0]": OSError, "count[7]": OSError}, crash="before start:x[1]"
            )

        assert [str(problem) for problem in refusal.value.problems] == [
            "fail: there is no 'last[0]': task 'last' isn't mapped",
            "crash: there is no task 'x'",
        ]


class TestChildren:
    clean = workflow_of(
        {"work": []},
        functions={"work": lambda context: {"rows": [context.params["day"]]}},
        name="clean",
        params={"type": "object", "properties": {"day": {"type": "string"}}},
    )

    @staticmethod
    def asking(*references: str) -> Workflow:
        def ask(context: Context) -> dict[str, object]:
            results = context.run_workflows([(one, {"day": "monday"}) for one in references])
            return {"rows": [result.context["rows"] for result in results]}

        return workflow_of({"ask": []}, functions={"ask": ask}, name="asking")

    def test_tasks_run_workflows_and_what_stands_for_them(self) -> None:
        result = run_workflow(
            self.asking("acme-etl/clean==1.*", "other"),
            children={"acme-etl/clean==1.*": self.clean, "other": {"rows": 3}},
        )
        assert result.context == {"rows": [["monday"], 3]}
        assert [(run.summary.reference, dict(run.params)) for run in result.children] == [
            ("acme-etl/clean==1.*", {"day": "monday"}),
            ("other", {"day": "monday"}),
        ]

    def test_a_run_fails_as_the_test_says(self) -> None:
        result = run_workflow(self.asking("other"), children={"other": OSError("full")})
        assert result.error is not None
        assert result.error.message.endswith("of other failed: task end: OSError: full")

    def test_what_the_test_does_not_know_of_fails_the_task(self) -> None:
        result = run_workflow(self.asking("other"))
        assert result.error is not None
        assert "give it: children={'other': " in result.error.message

    def test_an_engine_that_dies_leaves_the_runs_to_the_next(self) -> None:
        result = run_workflow(
            self.asking("clean"), children={"clean": self.clean}, crash="after finish"
        )
        assert result.context == {"rows": [["monday"]]}
        assert [event.type for event in result.events].count("child_ended") == 1
        assert len(result.children) == 1
