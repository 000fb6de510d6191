"""The runtime on real databases: what is submitted runs, whoever dies, closes or comes twice."""

import asyncio
import contextlib
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from support.runs import (
    PATIENCE,
    chain_of,
    fan_of,
    open_runtime,
    settings_of,
    soon,
    workflow_of,
)

from cloacina_core.engine.library import MissingCodeError
from cloacina_core.engine.requests import EngineStoppedError
from cloacina_core.errors import (
    ContextValueError,
    IdempotencyConflictError,
    IllegalTransitionError,
    InputError,
    ParamsError,
    ResultTimeoutError,
    RunOwnedElsewhereError,
    SecretHasFieldsError,
    StoreUnavailableError,
    UnknownRunError,
)
from cloacina_core.model.context import Context
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.model.rules import all_done, any_succeeded, failed, none_failed
from cloacina_core.model.run import RunResult
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import AsyncRuntime, RunHandle, Runtime
from cloacina_core.runtime.asynchronous import AsyncRunHandle
from cloacina_core.runtime.asynchronous_events import AsyncSentEvents, AsyncSubscriptions
from cloacina_core.runtime.asynchronous_schedules import AsyncSchedules
from cloacina_core.runtime.asynchronous_secrets import AsyncSecrets
from cloacina_core.runtime.asynchronous_triggers import AsyncTriggers
from cloacina_core.runtime.schedules import Schedules
from cloacina_core.runtime.secrets import Secrets
from cloacina_core.runtime.sent_events import SentEvents
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.runtime.triggers import Triggers
from cloacina_core.store import schema
from cloacina_core.store.ownership import ProcessIdentity


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url) as runtime:
        yield runtime


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


def finished(handle: RunHandle) -> RunResult:
    return handle.result(timeout=PATIENCE)


def history(runtime: Runtime, run_id: str) -> list[str]:
    return [event.type.value for event in runtime.events(run_id)]


def outcomes(result: RunResult, task: str) -> list[str | None]:
    return [attempt.outcome for attempt in result.tasks[task].attempts]


class Gate:
    """A task that tells when it runs, and goes on when it is let."""

    def __init__(self) -> None:
        self.runs = threading.Semaphore(0)
        self.opened = threading.Event()
        self.count = 0

    def __call__(self, context: Context) -> dict[str, int]:
        self.count += 1
        self.runs.release()
        assert self.opened.wait(PATIENCE)
        return {"attempt": context.attempt}

    def wait_until_it_runs(self) -> None:
        assert self.runs.acquire(timeout=PATIENCE)


def gated(gate: Gate, **options: Any) -> Workflow:
    def a(context: Context) -> dict[str, int]:
        return gate(context)

    return workflow_of({"a": []}, functions={"a": a}, options={"a": options})


class TestRunning:
    def test_a_workflow_runs_to_its_result(self, runtime: Runtime):
        flow = Workflow("sales")

        @flow.task
        def extract(context: Context) -> dict[str, Any]:
            return {"rows": [1, 2, 3], "day": context.params["day"]}

        @flow.task(after=[extract])
        async def summarise(context: Context) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"total": sum(context["rows"])}

        result = runtime.run(flow, {"day": "monday"}, context={"unit": "€"}, timeout=PATIENCE)

        assert result.status is RunStatus.SUCCEEDED
        assert result.context == {"unit": "€", "rows": [1, 2, 3], "day": "monday", "total": 6}
        assert runtime.get(result.run_id).to_json() == result.to_json()
        assert history(runtime, result.run_id) == [
            "submitted",
            "claimed",
            "task_started",
            "task_succeeded",
            "task_started",
            "task_succeeded",
            "run_succeeded",
        ]

    def test_a_failed_run_is_a_result(self, runtime: Runtime):
        def broken(context: Context) -> None:
            raise OSError("no \x00 disk \ud800")

        flow = workflow_of({"a": [], "b": ["a"]}, functions={"a": broken})

        result = runtime.run(flow, timeout=PATIENCE)

        assert result.status is RunStatus.FAILED
        assert result.error is not None
        assert (result.error.task, result.error.type) == ("a", "OSError")
        assert result.error.message == "no \\x00 disk \\ud800"
        assert result.tasks["b"].status is TaskStatus.SKIPPED
        assert runtime.get(result.run_id).to_json() == result.to_json()

    def test_params_are_checked_and_filled_and_typed(self, runtime: Runtime):
        @dataclass
        class Params:
            day: date
            limit: int = 10

        flow = Workflow("typed", params=Params)

        @flow.task
        def look(context: Context) -> dict[str, Any]:
            return {"type": type(context.params.day).__name__, "limit": context.params.limit}

        result = runtime.run(flow, {"day": date(2026, 1, 1)}, timeout=PATIENCE)

        assert result.params == {"day": "2026-01-01", "limit": 10}
        assert result.context == {"type": "date", "limit": 10}
        with pytest.raises(ParamsError):
            runtime.submit(flow, {"day": "tomorrow"})

    def test_branches_run_by_their_rules(self, runtime: Runtime):
        def broken(context: Context) -> None:
            raise OSError

        flow = workflow_of(
            {"a": [], "b": [], "mend": ["a"], "both": ["a", "b"], "clean": ["mend", "both"]},
            rules={"mend": failed("a"), "clean": none_failed},
            functions={"a": broken},
        )

        result = runtime.run(flow, timeout=PATIENCE)

        assert {name: task.status.value for name, task in result.tasks.items()} == {
            "a": "failed",
            "b": "succeeded",
            "mend": "succeeded",
            "both": "skipped",
            "clean": "succeeded",
        }

    def test_tasks_that_may_run_together_do(self, runtime: Runtime):
        together = threading.Barrier(8)

        def meet(context: Context) -> None:
            together.wait(PATIENCE)

        names = [f"t{n}" for n in range(8)]
        flow = workflow_of({n: [] for n in names}, functions=dict.fromkeys(names, meet))

        assert runtime.run(flow, timeout=PATIENCE).status is RunStatus.SUCCEEDED

    def test_coroutines_run_together_too(self, runtime: Runtime):
        arrived: list[str] = []
        together = asyncio.Event()

        async def meet(context: Context) -> None:
            arrived.append(context.task)
            if len(arrived) == 8:
                together.set()
            await together.wait()

        names = [f"t{n}" for n in range(8)]
        flow = workflow_of({n: [] for n in names}, functions=dict.fromkeys(names, meet))

        assert runtime.run(flow, timeout=PATIENCE).status is RunStatus.SUCCEEDED

    def test_wide_and_long_workflows_run(self, runtime: Runtime):
        def count(context: Context) -> dict[str, Any]:
            return {"seen": [context.task]}

        tasks = fan_of(50)
        middle = [name for name in tasks if name.startswith("m")]
        flow = workflow_of(
            tasks,
            functions=dict.fromkeys(middle, count),
            options={"last": {"merge": "concat"}},
        )
        chain = workflow_of(chain_of(50), name="chain")

        wide, long = runtime.submit(flow), runtime.submit(chain)

        assert finished(wide).context == {"seen": middle}
        assert finished(long).status is RunStatus.SUCCEEDED
        assert runtime.get(wide.id).context == {"seen": middle}

    def test_values_mean_the_same_on_both_databases(self, runtime: Runtime):
        """Refused before a database sees them: none of the two is asked what it takes."""
        for value in (float("nan"), 2**64, "a\x00b", "\ud800"):

            def task(context: Context, value: object = value) -> dict[str, object]:
                return {"v": value}

            result = runtime.run(workflow_of({"a": []}, functions={"a": task}), timeout=PATIENCE)

            assert result.error is not None
            assert result.error.type == "cloacina_core.errors.ContextValueError"


class TestRetries:
    def test_a_task_is_tried_again_until_it_succeeds(self, runtime: Runtime):
        def shaky(context: Context) -> dict[str, int]:
            if context.attempt < 3:
                raise ConnectionError("later")
            return {"attempt": context.attempt}

        flow = workflow_of({"a": []}, functions={"a": shaky}, options={"a": {"retry": soon()}})

        result = runtime.run(flow, timeout=PATIENCE)

        assert result.context == {"attempt": 3}
        assert outcomes(result, "a") == ["failed", "failed", "succeeded"]
        pauses = [
            later.started_at - earlier.finished_at
            for earlier, later in zip(
                result.tasks["a"].attempts, result.tasks["a"].attempts[1:], strict=False
            )
            if earlier.finished_at
        ]
        assert pauses[0] >= timedelta(milliseconds=9)
        assert pauses[1] >= timedelta(milliseconds=19)

    def test_callbacks_are_called_once_at_the_end(self, runtime: Runtime):
        called: list[str] = []

        def broken(context: Context) -> None:
            raise OSError(f"attempt {context.attempt}")

        flow = workflow_of(
            {"good": [], "bad": []},
            functions={"bad": broken},
            options={
                "good": {"on_success": lambda context: called.append("good")},
                "bad": {
                    "retry": soon(max_attempts=2),
                    "on_failure": lambda context, error: called.append(str(error)),
                },
            },
        )

        runtime.run(flow, timeout=PATIENCE)

        assert sorted(called) == ["attempt 2", "good"]

    def test_a_callback_that_fails_is_recorded(self, runtime: Runtime):
        def broken(context: Context) -> None:
            raise ValueError("oops")

        flow = workflow_of({"a": []}, options={"a": {"on_success": broken}})

        result = runtime.run(flow, timeout=PATIENCE)

        assert result.status is RunStatus.SUCCEEDED
        reasons = [
            event.reason
            for event in runtime.events(result.run_id)
            if event.type is EventType.CALLBACK_FAILED
        ]
        assert reasons == ["ValueError: oops"]


class TestTimeouts:
    def test_an_attempt_ends_at_its_deadline_and_its_late_result_is_refused(self, runtime: Runtime):
        gate = Gate()
        flow = gated(gate, timeout=timedelta(milliseconds=50))

        result = runtime.run(flow, timeout=PATIENCE)

        assert outcomes(result, "a") == ["timed_out"]
        assert result.context == {}
        gate.opened.set()

    def test_a_task_learns_that_it_was_given_up(self, runtime: Runtime):
        given_up = threading.Event()

        def patient(context: Context) -> None:
            while not context.cancelled():
                time.sleep(0.005)
            given_up.set()

        flow = workflow_of(
            {"a": []},
            functions={"a": patient},
            options={"a": {"timeout": timedelta(milliseconds=50)}},
        )

        runtime.run(flow, timeout=PATIENCE)

        assert given_up.wait(PATIENCE)

    def test_a_coroutine_is_cancelled_at_its_deadline(self, runtime: Runtime):
        cancelled = threading.Event()

        async def patient(context: Context) -> None:
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        flow = workflow_of(
            {"a": []},
            functions={"a": patient},
            options={"a": {"timeout": timedelta(seconds=1)}},  # it has begun by then
        )

        result = runtime.run(flow, timeout=PATIENCE)

        assert outcomes(result, "a") == ["timed_out"]
        assert cancelled.wait(PATIENCE)

    def test_a_timeout_may_be_tried_again(self, runtime: Runtime):
        def slow_once(context: Context) -> None:
            while context.attempt == 1 and not context.cancelled():
                time.sleep(0.005)

        flow = workflow_of(
            {"a": []},
            functions={"a": slow_once},
            options={"a": {"timeout": timedelta(milliseconds=100), "retry": soon()}},
        )

        assert outcomes(runtime.run(flow, timeout=PATIENCE), "a") == ["timed_out", "succeeded"]

    def test_a_run_ends_at_its_own_deadline(self, runtime: Runtime):
        gate = Gate()
        flow = workflow_of(
            {"a": [], "b": ["a"]}, functions={"a": gate}, timeout=timedelta(milliseconds=100)
        )

        result = runtime.run(flow, timeout=PATIENCE)

        assert result.status is RunStatus.FAILED
        assert result.error is not None
        assert result.error.type == "timeout"
        assert {task.status for task in result.tasks.values()} == {TaskStatus.CANCELLED}
        assert runtime.get(result.run_id).to_json() == result.to_json()
        gate.opened.set()

    def test_who_waits_too_short_is_told_that_the_run_goes_on(self, runtime: Runtime):
        gate = Gate()
        handle = runtime.submit(gated(gate))

        with pytest.raises(ResultTimeoutError) as raised:
            handle.result(timeout=0.01)

        assert raised.value.run_id == handle.id
        gate.opened.set()
        assert finished(handle).status is RunStatus.SUCCEEDED


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"context": {"": 1}}, ContextValueError),
            ({"context": {"x" * 201: 1}}, ContextValueError),
            ({"context": {"\ud800": 1}}, ContextValueError),
            ({"context": {"n": float("inf")}}, ContextValueError),
            ({"context": {"n": {1, 2}}}, ContextValueError),
            ({"params": {"n": object}}, ParamsError),
            ({"params": {"n": "\x00"}}, ParamsError),
            ({"idempotency_key": ""}, InputError),
            ({"idempotency_key": "x" * 256}, InputError),
            ({"idempotency_key": "\ud800"}, InputError),
            ({"idempotency_key": "\x00"}, InputError),
            ({"idempotency_key": 7}, InputError),
            ({"priority": 2**31}, InputError),
            ({"priority": 1.5}, InputError),
            ({"priority": True}, InputError),
        ],
        ids=str,
    )
    def test_what_no_store_can_hold_is_refused_before_the_engine_sees_it(
        self, runtime: Runtime, options: dict[str, Any], error: type[Exception]
    ):
        with pytest.raises(error):
            runtime.submit(workflow_of({"a": []}), **options)

        assert runtime.run(workflow_of({"a": []}), timeout=PATIENCE).status == "succeeded"
        assert len(runtime.list()) == 1

    def test_keys_and_priorities_may_be_as_large_as_said(self, runtime: Runtime):
        handle = runtime.submit(
            workflow_of({"a": []}), idempotency_key="ü" * 255, priority=-(2**31) + 1
        )

        assert finished(handle).summary.priority == -(2**31) + 1

    def test_an_unknown_run_is_told(self, runtime: Runtime):
        for look in (runtime.get, runtime.attach, runtime.resume, runtime.events, runtime.logs):
            with pytest.raises(UnknownRunError):
                look("0" * 26)


class TestIdempotency:
    def test_the_same_request_attaches_and_another_one_conflicts(self, runtime: Runtime):
        flow = workflow_of({"a": []})
        first = runtime.submit(flow, {"n": 1, "m": 2}, idempotency_key="k")

        again = runtime.submit(flow, {"m": 2, "n": 1}, idempotency_key="k")

        assert again.id == first.id
        assert finished(again).to_json() == finished(first).to_json()
        with pytest.raises(IdempotencyConflictError) as raised:
            runtime.submit(flow, {"n": 2}, idempotency_key="k")
        assert raised.value.run_id == first.id

    def test_many_threads_with_one_key_make_one_run(self, runtime: Runtime):
        flow = workflow_of({"a": []})
        start = threading.Barrier(16)

        def submit(_: int) -> str:
            start.wait(PATIENCE)
            handle = runtime.submit(flow, idempotency_key="k")
            return finished(handle).run_id

        with ThreadPoolExecutor(16) as pool:
            ids = set(pool.map(submit, range(16)))

        assert len(ids) == 1
        assert len(runtime.list()) == 1

    def test_two_engines_with_one_key_make_one_run(self, tmp_path: Path, store_url: str):
        flow = workflow_of({"a": []})
        start = threading.Barrier(8)
        with open_runtime(tmp_path, store_url) as one, open_runtime(tmp_path, store_url) as two:

            def submit(turn: int) -> set[str]:
                ids = set()
                for number in range(10):
                    start.wait(PATIENCE)
                    handle = (one, two)[turn % 2].submit(flow, idempotency_key=f"k{number}")
                    ids.add(f"{number} {finished(handle).run_id}")
                return ids

            with ThreadPoolExecutor(8) as pool:
                ids = set().union(*pool.map(submit, range(8)))

            assert len(ids) == 10
            assert len(one.list()) == 10


class TestManyRuns:
    def test_priority_decides_who_gets_the_only_slot(self, tmp_path: Path, store_url: str):
        gate, order = Gate(), []

        def note(context: Context) -> None:
            order.append(context.params["who"])

        flow = workflow_of({"a": []}, functions={"a": note}, name="noted")
        with open_runtime(tmp_path, store_url, slots=1) as runtime:
            blocker = runtime.submit(gated(gate))
            gate.wait_until_it_runs()
            handles = [
                runtime.submit(flow, {"who": who}, priority=priority)
                for who, priority in [("low", -1), ("first", 0), ("second", 0), ("high", 9)]
            ]
            gate.opened.set()
            for handle in (blocker, *handles):
                finished(handle)

        assert order == ["high", "first", "second", "low"]

    def test_a_slow_task_blocks_no_other_run(self, runtime: Runtime):
        gate = Gate()
        slow = runtime.submit(gated(gate))
        gate.wait_until_it_runs()

        quick = [runtime.run(workflow_of({"a": []}), timeout=PATIENCE) for _ in range(3)]

        assert {result.status for result in quick} == {RunStatus.SUCCEEDED}
        assert slow.status() is RunStatus.RUNNING
        gate.opened.set()

    def test_many_threads_submit_at_once(self, runtime: Runtime):
        flow = workflow_of(chain_of(3))

        def submit(number: int) -> RunResult:
            return runtime.run(flow, {"n": number}, timeout=PATIENCE)

        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(submit, range(100)))

        assert {result.status for result in results} == {RunStatus.SUCCEEDED}
        assert [result.params["n"] for result in results] == list(range(100))
        assert len(runtime.list(limit=1000)) == 100


class TestTwoRuntimes:
    def test_each_keeps_to_its_own_runs(self, tmp_path: Path, store_url: str):
        gate = Gate()
        flow = gated(gate)
        with (
            open_runtime(tmp_path, store_url, workflows=[flow]) as one,
            open_runtime(tmp_path, store_url, workflows=[flow]) as two,
        ):
            handle = one.submit(flow)
            gate.wait_until_it_runs()

            two._host.look()
            with pytest.raises(RunOwnedElsewhereError) as raised:
                two.resume(handle.id)
            watching = two.attach(handle.id)

            assert raised.value.engine == one.engine_id
            gate.opened.set()
            assert finished(watching).to_json() == finished(handle).to_json()
            assert gate.count == 1

    def test_a_run_that_is_given_back_goes_on_in_the_next_runtime(
        self, tmp_path: Path, store_url: str
    ):
        gate = Gate()

        def b(context: Context) -> dict[str, int]:
            return gate(context)

        def a(context: Context) -> dict[str, int]:
            return {"a": context.attempt}

        flow = workflow_of({"a": [], "b": ["a"]}, functions={"a": a, "b": b})
        with open_runtime(tmp_path, store_url) as first:
            handle = first.submit(flow)
            gate.wait_until_it_runs()
        gate.opened.set()

        with open_runtime(tmp_path, store_url, workflows=[flow]) as second:
            result = finished(second.attach(handle.id))

        assert result.status is RunStatus.SUCCEEDED
        assert result.context == {"a": 1, "attempt": 2}
        assert outcomes(result, "b") == ["released", "succeeded"]
        assert len(result.tasks["a"].attempts) == 1

    def test_the_run_of_a_dead_process_is_taken_up_at_once(self, tmp_path: Path, store_url: str):
        gate = Gate()
        flow = gated(gate)
        dead = open_runtime(tmp_path, store_url)
        handle = dead.submit(flow)
        gate.wait_until_it_runs()
        me = ProcessIdentity.of_this_process()
        with dead._view.begin() as connection:
            connection.execute(update(schema.engines).values(pid=me.pid, process_started="before"))

        with open_runtime(tmp_path, store_url, workflows=[flow], lease=LONG) as alive:
            gate.wait_until_it_runs()
            gate.opened.set()
            result = finished(alive.attach(handle.id))
            dead.close()

        assert outcomes(result, "a") == ["lost", "succeeded"]

    def test_a_sleeping_task_sleeps_on_in_the_next_runtime(self, tmp_path: Path, store_url: str):
        def shaky(context: Context) -> None:
            if context.attempt == 1:
                raise ConnectionError

        policy = soon(first_delay=timedelta(seconds=1))
        flow = workflow_of({"a": []}, functions={"a": shaky}, options={"a": {"retry": policy}})
        with open_runtime(tmp_path, store_url) as first:
            handle = first.submit(flow)
            wait_for(lambda: first.get(handle.id).tasks["a"].status is TaskStatus.SLEEPING)

        with open_runtime(tmp_path, store_url, workflows=[flow]) as second:
            result = finished(second.attach(handle.id))

        assert outcomes(result, "a") == ["failed", "succeeded"]
        first_attempt, second_attempt = result.tasks["a"].attempts
        assert first_attempt.finished_at is not None
        assert second_attempt.started_at - first_attempt.finished_at >= timedelta(seconds=1)

    def test_a_recorded_run_is_taken_up_by_whoever_comes(self, tmp_path: Path, store_url: str):
        flow = workflow_of({"a": []})
        with open_runtime(tmp_path, store_url, recover=False) as first:
            handle = first.submit(flow, detach=True)
            assert handle.status() is RunStatus.QUEUED

        with open_runtime(tmp_path, store_url, workflows=[flow]) as second:
            result = finished(second.attach(handle.id))

        assert result.status is RunStatus.SUCCEEDED
        assert result.summary.started_at is not None

    def test_recovery_takes_up_more_runs_than_fit_on_a_page(self, tmp_path: Path, store_url: str):
        """Runs whose code isn't here must not hide those behind them."""
        strange, known = workflow_of({"x": []}, name="strange"), workflow_of({"a": []})
        with open_runtime(tmp_path, store_url, recover=False) as first:
            for _ in range(120):
                first.submit(strange, detach=True)
            handle = first.submit(known, detach=True)

        with open_runtime(tmp_path, store_url, workflows=[known]) as second:
            wait_for(lambda: second.get(handle.id).status.is_final)

            assert second.get(handle.id).status is RunStatus.SUCCEEDED
            with pytest.raises(MissingCodeError):
                second.resume(second.list(limit=200)[-1].run_id)

    def test_a_damaged_run_keeps_no_other_waiting(
        self, tmp_path: Path, store_url: str, caplog: pytest.LogCaptureFixture
    ):
        flow = workflow_of({"a": []})
        with open_runtime(tmp_path, store_url, recover=False) as first:
            damaged = first.submit(flow, {"n": 1}, detach=True)
            whole = first.submit(flow, detach=True)
            with first._view.begin() as connection:
                connection.execute(update(schema.payloads).values(body='{"n": 2}'))

        with open_runtime(tmp_path, store_url, workflows=[flow]) as second:
            wait_for(lambda: second.get(whole.id).status.is_final)

        assert f"run {damaged.id} can't be taken up" in caplog.text

    def test_a_run_that_has_ended_cannot_be_resumed(self, runtime: Runtime):
        result = runtime.run(workflow_of({"a": []}), timeout=PATIENCE)

        with pytest.raises(IllegalTransitionError):
            runtime.resume(result.run_id)
        assert finished(runtime.attach(result.run_id[:20])).to_json() == result.to_json()

    def test_two_threads_that_resume_one_run_both_get_it(self, tmp_path: Path, store_url: str):
        flow = workflow_of({"a": []})
        with open_runtime(tmp_path, store_url, recover=False) as first:
            ids = [first.submit(flow, detach=True).id for _ in range(10)]

        start = threading.Barrier(4)
        with open_runtime(tmp_path, store_url, workflows=[flow], recover=False) as second:

            def resume(_: int) -> None:
                for run_id in ids:
                    start.wait(PATIENCE)
                    with contextlib.suppress(IllegalTransitionError):
                        assert finished(second.resume(run_id)).status is RunStatus.SUCCEEDED

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(resume, range(4)))

            assert all(history(second, run_id).count("claimed") == 1 for run_id in ids)


LONG = timedelta(hours=1)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.005)


class TestClosing:
    def test_closing_twice_is_nothing(self, tmp_path: Path, store_url: str):
        runtime = open_runtime(tmp_path, store_url)

        runtime.close()
        runtime.close()

    def test_who_closes_second_comes_back_when_all_is_done(self, tmp_path: Path, store_url: str):
        runtime = open_runtime(tmp_path, store_url)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: runtime.close(), range(4)))

        assert not runtime._host.engine.is_alive()

    def test_a_closed_runtime_accepts_nothing(self, tmp_path: Path, store_url: str):
        runtime = open_runtime(tmp_path, store_url)
        runtime.close()

        with pytest.raises(EngineStoppedError):
            runtime.submit(workflow_of({"a": []}))
        with pytest.raises(StoreUnavailableError):
            runtime.list()

    def test_who_waits_is_told_when_the_run_is_given_back(self, tmp_path: Path, store_url: str):
        gate = Gate()
        runtime = open_runtime(tmp_path, store_url)
        handle = runtime.submit(gated(gate))
        gate.wait_until_it_runs()

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(handle.result)
            runtime.close()

            with pytest.raises(StoreUnavailableError):
                waiting.result(timeout=PATIENCE)
        gate.opened.set()

    def test_no_submission_is_lost_or_made_up_while_it_closes(self, tmp_path: Path, store_url: str):
        flow = workflow_of({"a": []})
        runtime = open_runtime(tmp_path, store_url)
        accepted: list[str] = []

        def submit_until_closed() -> None:
            with contextlib.suppress(StoreUnavailableError):
                while True:
                    accepted.append(runtime.submit(flow).id)

        threads = [threading.Thread(target=submit_until_closed) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(accepted) > 20)
        runtime.close()
        for thread in threads:
            thread.join(PATIENCE)

        with open_runtime(tmp_path, store_url, workflows=[flow]) as second:
            for run_id in accepted:
                assert finished(second.attach(run_id)).status is RunStatus.SUCCEEDED
            stored = {summary.run_id for summary in second.list(limit=100_000)}
        assert set(accepted) <= stored
        # One submission of each thread may have been under way, its answer never given.
        assert len(stored) <= len(accepted) + len(threads)

    def test_no_thread_is_left(self, tmp_path: Path, store_url: str):
        before = {thread for thread in threading.enumerate() if thread.is_alive()}
        with open_runtime(tmp_path, store_url) as runtime:
            runtime.observe(lambda event: None)
            runtime.run(workflow_of({"a": []}), timeout=PATIENCE)

        left = set(threading.enumerate()) - before
        for thread in left:
            thread.join(PATIENCE)
        assert not [thread for thread in left if thread.is_alive()]


class TestWatching:
    def test_observers_are_told_what_was_committed(self, runtime: Runtime):
        told: list[RunEvent] = []
        done = threading.Event()

        def observe(event: RunEvent) -> None:
            told.append(event)
            if event.type is EventType.RUN_SUCCEEDED:
                done.set()

        runtime.observe(observe)
        result = runtime.run(workflow_of({"a": []}), timeout=PATIENCE)

        assert done.wait(PATIENCE)
        stored = runtime.events(result.run_id)
        assert [(event.seq, event.type) for event in told] == [
            (event.seq, event.type) for event in stored
        ]

    def test_what_tasks_print_and_log_can_be_read(self, tmp_path: Path, store_url: str):
        def chatty(context: Context) -> None:
            sys.stdout.write(f"hello from {context.task}\n")
            sys.stderr.write("with a \x00 and a \ud800")
            logging.getLogger("acme").warning("careful")

        flow = workflow_of({"a": [], "b": []}, functions={"a": chatty, "b": chatty})

        # Opened here: pytest puts its own streams in place of ours when it leaves a fixture.
        with open_runtime(tmp_path, store_url) as runtime:
            run_id = runtime.run(flow, timeout=PATIENCE).run_id

            lines = [(line.stream, line.text) for line in runtime.logs(run_id, task="a")]
            assert lines == [
                ("stdout", "hello from a"),
                ("warning", "acme: careful"),
                ("stderr", "with a \\x00 and a \\ud800"),
            ]
            assert len(runtime.logs(run_id)) == 6

    def test_lines_are_kept_once_with_two_runtimes_open(self, tmp_path: Path, store_url: str):
        def chatty(context: Context) -> None:
            sys.stdout.write("hello\n")
            logging.getLogger("acme").warning("careful")

        flow = workflow_of({"a": []}, functions={"a": chatty})
        with open_runtime(tmp_path, store_url) as one, open_runtime(tmp_path, store_url) as two:
            for runtime in (one, two):
                result = runtime.run(flow, timeout=PATIENCE)
                assert len(runtime.logs(result.run_id)) == 2


class TestAsync:
    def test_runs_can_be_awaited_together(self, tmp_path: Path, store_url: str):
        async def main() -> list[RunResult]:
            runtime = AsyncRuntime(open_runtime(tmp_path, store_url))
            async with runtime:
                flow = workflow_of({"a": []})
                return await asyncio.gather(*(runtime.run(flow, {"n": n}) for n in range(10)))

        results = asyncio.run(main())

        assert [result.params["n"] for result in results] == list(range(10))
        assert {result.status for result in results} == {RunStatus.SUCCEEDED}

    def test_all_that_may_take_a_while_can_be_awaited(self):
        quick = {"acting_as", "asking_as", "engine_id", "observe", "sources"}

        for thread, loop in (
            (Runtime, AsyncRuntime),
            (RunHandle, AsyncRunHandle),
            (Schedules, AsyncSchedules),
            (Secrets, AsyncSecrets),
            (SentEvents, AsyncSentEvents),
            (Subscriptions, AsyncSubscriptions),
            (Triggers, AsyncTriggers),
        ):
            waits = {name for name in vars(thread) if not name.startswith("_")} - quick
            assert waits - vars(loop).keys() - {"local", "of", "on_end"} == set()
            for name in waits & vars(loop).keys() - {"id", "open"}:
                awaits = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
                assert any(is_one(vars(loop)[name]) for is_one in awaits), name

    def test_a_secret_may_lose_its_fields_where_that_is_said(self, tmp_path: Path):
        async def main() -> None:
            async with AsyncRuntime(open_runtime(tmp_path, "sqlite://")) as runtime:
                await runtime.secrets.set("crm", {"password": "correct horse"})
                with pytest.raises(SecretHasFieldsError):
                    await runtime.secrets.set("crm", "battery staple")
                info, _ = await runtime.secrets.set("crm", "battery staple", replace_fields=True)
                assert info.fields == ()

        asyncio.run(main())

    def test_a_run_is_steered_and_looked_at(self, tmp_path: Path, store_url: str):
        async def main() -> None:
            async with AsyncRuntime(open_runtime(tmp_path, store_url)) as runtime:
                flow = workflow_of(
                    {"a": [], "b": ["a"]},
                    functions={"a": lambda context: context.wait_for("go"), "b": lambda _: 1 / 0},
                )
                handle = await runtime.submit(flow)
                await runtime.set_limit("api", 1)
                assert [use.limit.name for use in await runtime.limits()] == ["api"]
                await runtime.remove_limit("api")
                await runtime.pause(handle.id)
                await runtime.unpause(handle.id)
                assert (await runtime.explain(handle.id)).run_id == handle.id
                await runtime.signal(handle.id, "go")
                failed = await handle.result(timeout=PATIENCE)
                assert await handle.status() is failed.status is RunStatus.FAILED
                again = [await runtime.retry(handle.id), await runtime.fork(handle.id, "b")]
                for one in again:
                    assert (await one.result(timeout=PATIENCE)).status is RunStatus.FAILED
                waiting = await runtime.rerun(handle.id)
                await runtime.cancel(waiting.id)
                assert (await waiting.result(timeout=PATIENCE)).status is RunStatus.CANCELLED
                assert len(await runtime.list(limit=2)) == 2
                assert (await runtime.get(waiting.id)).status is RunStatus.CANCELLED
                assert (await runtime.events(waiting.id, limit=1))[0].seq == 1
                assert await runtime.logs(waiting.id) == []
                assert (await runtime.definition_of(handle.id)).name == flow.name
                assert await runtime.drain(PATIENCE)
                assert await runtime.is_idle()

        asyncio.run(main())

    def test_a_wait_may_time_out_and_the_run_goes_on(self, tmp_path: Path, store_url: str):
        gate = Gate()

        async def main() -> RunResult:
            async with AsyncRuntime(open_runtime(tmp_path, store_url)) as runtime:
                handle = await runtime.submit(gated(gate))
                with pytest.raises(ResultTimeoutError):
                    await handle.result(timeout=0.01)
                gate.opened.set()
                return await handle.result(timeout=PATIENCE)

        assert asyncio.run(main()).status is RunStatus.SUCCEEDED

    def test_a_loop_that_was_closed_harms_no_engine(self, tmp_path: Path, store_url: str):
        gate = Gate()
        with open_runtime(tmp_path, store_url) as runtime:

            async def give_up() -> str:
                handle = await AsyncRuntime(runtime).submit(gated(gate))
                with contextlib.suppress(ResultTimeoutError):
                    await handle.result(timeout=0.01)
                return handle.id

            run_id = asyncio.run(give_up())
            gate.opened.set()

            assert finished(runtime.attach(run_id)).status is RunStatus.SUCCEEDED
            assert runtime.run(workflow_of({"a": []}), timeout=PATIENCE).status == "succeeded"


class TestInMemory:
    def test_a_runtime_may_live_without_a_file(self, tmp_path: Path):
        with open_runtime(tmp_path, "sqlite://") as runtime:
            flow = workflow_of(chain_of(5))
            with ThreadPoolExecutor(8) as pool:
                results = list(
                    pool.map(lambda n: runtime.run(flow, {"n": n}, timeout=PATIENCE), range(30))
                )
                loaded = list(pool.map(lambda r: runtime.get(r.run_id).to_json(), results))

        assert loaded == [result.to_json() for result in results]


def test_a_runtime_that_cannot_register_leaves_nothing_open(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise StoreUnavailableError("full")

    monkeypatch.setattr("cloacina_core.store.ownership.Ownership.register", refuse)
    before = sys.stdout

    with pytest.raises(StoreUnavailableError):
        Runtime(settings_of(tmp_path, sqlite_url), Plugins())

    assert sys.stdout is before


# Whatever shape a workflow has, and however its tasks end: what the store tells of a finished run
# is what the engine knew of it.

RULES = [all_done, any_succeeded, none_failed]


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    count = draw(st.integers(1, 7))
    names = [f"t{n}" for n in range(count)]
    after, rules, options, functions = {}, {}, {}, {}
    for index, name in enumerate(names):
        after[name] = draw(
            st.lists(st.sampled_from(names[:index]), unique=True) if index else st.just([])
        )
        if after[name] and draw(st.booleans()):
            rules[name] = draw(st.sampled_from(RULES))
        policy = draw(st.sampled_from(["later", "concat", "error"]))
        retry = soon(max_attempts=2, first_delay=timedelta(0))
        options[name] = {"merge": policy, "retry": retry}
        functions[name] = _scripted(
            draw(st.sampled_from(["write", "write", "delete", "fail", "fail once", "slow"])),
            draw(st.sampled_from("xy")),
        )
    return workflow_of(after, rules=rules, options=options, functions=functions)


def _scripted(script: str, key: str) -> Callable[[Context], object]:
    def task(context: Context) -> None:
        if script == "fail" or (script == "fail once" and context.attempt == 1):
            raise OSError(context.task)
        if script == "slow":
            time.sleep(0.003)
        if script == "delete":
            context.pop(key, None)
        else:
            context[key] = [context.task]

    return task


@pytest.fixture(scope="module")
def shared_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    home = tmp_path_factory.mktemp("shared")
    with open_runtime(home, f"sqlite:///{home / 'store.db'}?synchronous=NORMAL") as runtime:
        yield runtime


@settings(
    max_examples=int(os.environ.get("CLOACINA_TEST_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(workflows())
def test_the_store_knows_a_finished_run_as_the_engine_did(
    shared_runtime: Runtime, workflow: Workflow
):
    handle = shared_runtime.submit(workflow, context={"x": ["submitted"]})

    result = handle.result(timeout=PATIENCE)

    assert shared_runtime.get(result.run_id).to_json() == result.to_json()
    events = shared_runtime.events(result.run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for task in result.tasks.values():
        assert [attempt.number for attempt in task.attempts] == list(
            range(1, len(task.attempts) + 1)
        )
        assert all(attempt.outcome is not AttemptOutcome.LOST for attempt in task.attempts)
