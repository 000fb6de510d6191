"""Runs are steered from any process, and tasks wait without a thread, on both databases."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.distributions import install
from support.runs import PATIENCE, open_runtime, soon, workflow_of

from cloacina_core.cli.runs import runs as runs_command
from cloacina_core.engine.library import MissingCodeError
from cloacina_core.errors import IllegalTransitionError, InputError, NotFoundError, UnknownRunError
from cloacina_core.model.context import Context
from cloacina_core.model.rules import all_done
from cloacina_core.model.run import RunResult
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.wait import WaitTimeoutError
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import AsyncRuntime, RunHandle, Runtime
from cloacina_core.store.checking import check

A_MOMENT = timedelta(milliseconds=20)


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url, cancel_grace=timedelta(milliseconds=200)) as runtime:
        yield runtime


def finished(handle: RunHandle) -> RunResult:
    return handle.result(timeout=PATIENCE)


def history(runtime: Runtime, run_id: str) -> list[str]:
    return [event.type.value for event in runtime.events(run_id)]


class Told:
    """Lets a test wait until a run's history tells something."""

    def __init__(self, runtime: Runtime, what: str) -> None:
        self._what = what
        self._seen = threading.Semaphore(0)
        runtime.observe(self)

    def __call__(self, event: Any) -> None:
        if event.type.value == self._what:
            self._seen.release()

    def wait(self) -> None:
        assert self._seen.acquire(timeout=PATIENCE)


def waiting_for_approval(calls: list[int] | None = None) -> Workflow:
    def ask(context: Context) -> dict[str, Any]:
        if calls is not None:
            calls.append(context.attempt)
        answer: Any = context.wait_for("approval")
        return {"by": answer["by"]}

    return workflow_of({"ask": []}, functions={"ask": ask})


class TestWaiting:
    def test_a_sleep_is_slept_once(self, runtime: Runtime):
        calls = []

        def nap(context: Context) -> dict[str, int]:
            calls.append("called")
            context.sleep(A_MOMENT)
            context.sleep(A_MOMENT)
            return {"calls": len(calls)}

        result = runtime.run(workflow_of({"a": []}, functions={"a": nap}), timeout=PATIENCE)

        assert result.context == {"calls": 3}
        assert len(result.tasks["a"].attempts) == 1

    def test_a_coroutine_waits_just_so(self, runtime: Runtime):
        async def nap(context: Context) -> dict[str, bool]:
            await asyncio.sleep(0)
            context.sleep(A_MOMENT)
            return {"done": True}

        workflow = workflow_of({"a": []}, functions={"a": nap})

        assert runtime.run(workflow, timeout=PATIENCE).context == {"done": True}

    def test_a_condition_is_asked_until_it_holds(self, runtime: Runtime):
        answers = [False, False, True]

        def wait(context: Context) -> None:
            context.wait_until(lambda: answers.pop(0), every=A_MOMENT)
            context.sleep(A_MOMENT)  # called again: the condition isn't asked any more

        result = runtime.run(workflow_of({"a": []}, functions={"a": wait}), timeout=PATIENCE)

        assert result.status is RunStatus.SUCCEEDED
        assert answers == []

    def test_a_wait_that_takes_too_long_can_be_caught(self, runtime: Runtime):
        def wait(context: Context) -> dict[str, list[str]]:
            late = []
            try:
                context.wait_for("approval", timeout=A_MOMENT)
            except WaitTimeoutError as error:
                late.append(str(error).partition(" until")[0])
            try:
                context.wait_until(lambda: False, every=A_MOMENT, timeout=A_MOMENT)
            except WaitTimeoutError:
                late.append("condition")
            return {"late": late}

        result = runtime.run(workflow_of({"a": []}, functions={"a": wait}), timeout=PATIENCE)

        assert result.context == {"late": ["signal 'approval' didn't come", "condition"]}

    def test_waiting_takes_no_slot(self, tmp_path: Path, store_url: str):
        with open_runtime(tmp_path, store_url, slots=1) as runtime:
            deferred = Told(runtime, "task_deferred")
            waiting = runtime.submit(waiting_for_approval())
            deferred.wait()

            assert finished(runtime.submit(workflow_of({"b": []}))).status is RunStatus.SUCCEEDED
            waiting.signal("approval", {"by": "ann"})
            assert finished(waiting).context == {"by": "ann"}

    def test_it_outlives_its_runtime(self, tmp_path: Path, store_url: str):
        calls: list[int] = []
        workflow = waiting_for_approval(calls)
        with open_runtime(tmp_path, store_url) as runtime:
            deferred = Told(runtime, "task_deferred")
            run_id = runtime.submit(workflow).id
            deferred.wait()

        with open_runtime(tmp_path, store_url, workflows=[workflow], recover=False) as runtime:
            runtime.signal(run_id, "approval", {"by": "bob"})
            result = finished(runtime.resume(run_id))

        assert result.context == {"by": "bob"}
        assert calls == [1, 1]

    def test_what_each_call_printed_is_kept(self, tmp_path: Path, store_url: str):
        def chatty(context: Context) -> None:
            print("before")  # noqa: T201
            context.sleep(A_MOMENT)
            print("after")  # noqa: T201

        with open_runtime(tmp_path, store_url) as runtime:  # in the test: pytest captures, too
            result = runtime.run(workflow_of({"a": []}, functions={"a": chatty}), timeout=PATIENCE)
            lines = [line.text for line in runtime.logs(result.run_id)]

        assert lines == ["before", "before", "after"]

    def test_a_deferral_is_no_exception_that_authors_catch(self, runtime: Runtime):
        def careless(context: Context) -> None:
            try:
                context.sleep(A_MOMENT)
            except Exception as error:
                raise AssertionError from error

        result = runtime.run(workflow_of({"a": []}, functions={"a": careless}), timeout=PATIENCE)

        assert result.status is RunStatus.SUCCEEDED

    def test_a_task_must_ask_for_the_same_waits(self, runtime: Runtime):
        names = ["first", "second"]

        def fickle(context: Context) -> None:
            context.wait_for(names.pop(0), timeout=A_MOMENT)

        workflow = workflow_of({"a": []}, functions={"a": fickle}, options={"a": {"retry": soon()}})
        result = runtime.run(workflow, timeout=PATIENCE)

        assert result.error is not None
        assert result.error.type == "cloacina_core.model.wait.WaitOrderError"
        assert len(result.tasks["a"].attempts) == 1


class TestCancel:
    def test_a_coroutine_is_cancelled(self, runtime: Runtime):
        started, ended = threading.Event(), threading.Event()

        async def sleepy(context: Context) -> None:
            started.set()
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                ended.set()

        handle = runtime.submit(workflow_of({"a": []}, functions={"a": sleepy}))
        assert started.wait(PATIENCE)

        handle.cancel(reason="enough")

        result = finished(handle)
        assert result.status is RunStatus.CANCELLED
        assert ended.is_set()
        assert result.tasks["a"].attempts[0].outcome is AttemptOutcome.CANCELLED

    def test_a_thread_may_end_in_good_order(self, runtime: Runtime):
        started = threading.Event()

        def polite(context: Context) -> dict[str, str]:
            started.set()
            while not context.cancelled():
                threading.Event().wait(0.01)
            return {"kept": "this"}

        handle = runtime.submit(workflow_of({"a": [], "b": ["a"]}, functions={"a": polite}))
        assert started.wait(PATIENCE)

        handle.cancel()

        result = finished(handle)
        assert result.status is RunStatus.CANCELLED
        assert result.tasks["a"].status is TaskStatus.SUCCEEDED
        assert result.tasks["b"].status is TaskStatus.CANCELLED

    def test_a_thread_that_ignores_it_is_given_up(self, runtime: Runtime):
        started, let_go = threading.Event(), threading.Event()

        def deaf(context: Context) -> None:
            started.set()
            let_go.wait(PATIENCE)

        handle = runtime.submit(workflow_of({"a": []}, functions={"a": deaf}))
        assert started.wait(PATIENCE)

        handle.cancel()

        result = finished(handle)
        let_go.set()
        assert result.status is RunStatus.CANCELLED
        assert "given up" in str(result.tasks["a"].reason)

    def test_another_process_s_run_is_cancelled(self, runtime: Runtime, tmp_path: Path):
        url = runtime.settings.database_url
        deferred = Told(runtime, "task_deferred")
        handle = runtime.submit(waiting_for_approval())
        deferred.wait()

        with open_runtime(tmp_path, url, recover=False) as other:
            other.cancel(handle.id)

        assert finished(handle).status is RunStatus.CANCELLED

    def test_a_run_that_nobody_has_needs_no_code_for_it(self, tmp_path: Path, store_url: str):
        with open_runtime(tmp_path, store_url, recover=False) as runtime:
            run_id = runtime.submit(waiting_for_approval(), detach=True).id

        with open_runtime(tmp_path, store_url, recover=False) as other:
            other.cancel(run_id)

            assert other.get(run_id).status is RunStatus.CANCELLED
            with pytest.raises(IllegalTransitionError):
                other.cancel(run_id)


class TestPause:
    def test_a_paused_run_rests_and_goes_on(self, tmp_path: Path, store_url: str):
        workflow = waiting_for_approval()
        with open_runtime(tmp_path, store_url, workflows=[workflow]) as runtime:
            deferred, released = Told(runtime, "task_deferred"), Told(runtime, "released")
            handle = runtime.submit(workflow)
            deferred.wait()
            handle.pause(reason="lunch")
            released.wait()
            assert handle.status() is RunStatus.PAUSED
            handle.signal("approval", {"by": "ann"})
            assert runtime.attach(handle.id).status() is RunStatus.PAUSED

            result = finished(runtime.resume(handle.id))

        assert result.context == {"by": "ann"}

    def test_a_recorded_run_is_paused_without_an_engine(self, tmp_path: Path, store_url: str):
        workflow = workflow_of({"a": []})
        with open_runtime(tmp_path, store_url, recover=False) as runtime:
            handle = runtime.submit(workflow, detach=True)

            runtime.pause(handle.id)
            assert handle.status() is RunStatus.PAUSED
            runtime.unpause(handle.id)

            assert handle.status() is RunStatus.QUEUED
            assert history(runtime, handle.id) == ["submitted", "paused", "queued"]
            assert finished(runtime.resume(handle.id)).status is RunStatus.SUCCEEDED


class Flaky:
    """A workflow whose middle fails until it is mended."""

    def __init__(self) -> None:
        self.broken = True
        self.calls: list[str] = []
        after = {"a": [], "b": ["a"], "c": ["b"], "other": ["a"]}
        self.workflow = workflow_of(
            after,
            functions={name: self.task(name) for name in after},
            rules={"other": all_done},
            name="flaky",
        )

    def task(self, name: str) -> Callable[[Context], dict[str, Any]]:
        def call(context: Context) -> dict[str, Any]:
            self.calls.append(name)
            if name == "b" and self.broken:
                raise ValueError("broken")
            seen = context.get("seen", [])
            assert isinstance(seen, list)
            return {"seen": [*seen, name], f"by_{name}": context.attempt}

        return call


class TestRepeating:
    def test_a_retry_goes_on_from_what_failed(self, runtime: Runtime):
        flaky = Flaky()
        failed = runtime.run(flaky.workflow, timeout=PATIENCE)
        assert failed.tasks["c"].status is TaskStatus.SKIPPED
        flaky.broken = False
        flaky.calls.clear()

        result = finished(runtime.retry(failed.run_id, reason="mended"))

        assert result.status is RunStatus.SUCCEEDED
        assert result.error is None
        assert flaky.calls == ["b", "c"]
        assert [attempt.number for attempt in result.tasks["b"].attempts] == [1, 2]
        assert result.context["by_b"] == 2
        assert result == runtime.get(failed.run_id)
        events = runtime.events(failed.run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert "retried" in history(runtime, failed.run_id)

    def test_only_what_failed_can_be_retried(self, runtime: Runtime):
        run_id = runtime.run(workflow_of({"a": []}), timeout=PATIENCE).run_id

        with pytest.raises(IllegalTransitionError, match="succeeded"):
            runtime.retry(run_id)

    def test_one_of_two_who_retry_is_refused(self, runtime: Runtime):
        run_id = runtime.run(Flaky().workflow, timeout=PATIENCE).run_id
        runtime.retry(run_id, detach=True)

        with pytest.raises(IllegalTransitionError):
            runtime.retry(run_id, detach=True)

    def test_a_rerun_is_a_new_run_of_the_same(self, runtime: Runtime):
        flaky = Flaky()
        first = runtime.run(flaky.workflow, {"n": 1}, context={"k": 2}, timeout=PATIENCE)
        flaky.broken = False

        second = finished(runtime.rerun(first.run_id))

        assert second.run_id != first.run_id
        assert second.summary.origin == first.run_id
        assert (second.params, second.context["k"]) == ({"n": 1}, 2)
        assert second.status is RunStatus.SUCCEEDED

    def test_a_fork_takes_over_what_is_not_behind_its_task(self, runtime: Runtime):
        flaky = Flaky()
        flaky.broken = False
        first = runtime.run(flaky.workflow, timeout=PATIENCE)
        flaky.calls.clear()

        second = finished(runtime.fork(first.run_id, "b", context={"seen": ["edited"], "x": 1}))

        assert flaky.calls == ["b", "c"]
        assert second.context["x"] == 1
        assert second.tasks["a"].reason == f"taken over from run {first.run_id}"
        assert second.tasks["a"].attempts == ()
        assert runtime.get(second.run_id).to_json() == second.to_json()
        assert runtime.get(first.run_id).to_json() == first.to_json()

    def test_edits_are_what_the_forked_task_sees(self, runtime: Runtime):
        def source(context: Context) -> dict[str, int]:
            return {"n": 1, "gone": 1}

        def double(context: Context) -> dict[str, Any]:
            return {"n": context["n"] * 2, "has_gone": "gone" not in context}  # type: ignore[operator]

        workflow = workflow_of(
            {"source": [], "double": ["source"]}, functions={"source": source, "double": double}
        )
        first = runtime.run(workflow, timeout=PATIENCE)

        handle = runtime.fork(first.run_id, "double", context={"n": 21, "gone": None})

        assert finished(handle).context == {"n": 42, "has_gone": True}

    def test_a_fork_with_a_key_is_made_once(self, runtime: Runtime):
        first = runtime.run(workflow_of({"a": [], "b": ["a"]}), timeout=PATIENCE)

        forks = [runtime.fork(first.run_id, "b", idempotency_key="k").id for _ in range(2)]

        assert forks[0] == forks[1]

    def test_an_unknown_task_is_told_with_its_neighbours(self, runtime: Runtime):
        first = runtime.run(workflow_of({"extract": []}), timeout=PATIENCE)

        with pytest.raises(InputError) as raised:
            runtime.fork(first.run_id, "extrct")

        assert raised.value.hint == "did you mean extract?"

    def test_a_rerun_is_pinned_to_the_release_and_refused_without_it(
        self, tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
    ):
        source = """
            from cloacina_core import Workflow
            nightly = Workflow("nightly")
            @nightly.task
            def a(context):
                return {"version": VERSION}
        """
        entry_points = {"cloacina.workflows": {"nightly": "steered_flows:nightly"}}
        for version in ("1.0", "2.0"):
            modules = {"steered_flows.py": source.replace("VERSION", version)}
            folder = tmp_path / version
            install(folder, "steered", version, modules=modules, entry_points=entry_points)
        with monkeypatch.context() as path:
            path.syspath_prepend(tmp_path / "1.0")
            with open_runtime(tmp_path, store_url) as runtime:
                first = runtime.run("steered", timeout=PATIENCE)
                second = finished(runtime.rerun(first.run_id))
                assert second.release == first.release
        monkeypatch.delitem(sys.modules, "steered_flows")

        monkeypatch.syspath_prepend(tmp_path / "2.0")
        with open_runtime(tmp_path, store_url) as runtime:
            with pytest.raises(NotFoundError):
                runtime.rerun(first.run_id)
            assert runtime.run("steered", timeout=PATIENCE).context == {"version": 2.0}

    def test_a_fork_goes_on_in_another_engine(self, tmp_path: Path, store_url: str):
        flaky = Flaky()
        flaky.broken = False
        with open_runtime(tmp_path, store_url, recover=False) as runtime:
            first = runtime.run(flaky.workflow, timeout=PATIENCE)
            fork_id = runtime.fork(first.run_id, "c", context={"e": 1}, detach=True).id
        flaky.calls.clear()

        with open_runtime(tmp_path, store_url, workflows=[flaky.workflow]) as runtime:
            result = finished(runtime.attach(fork_id))

        assert flaky.calls == ["c"]
        assert result.context["e"] == 1

    def test_without_its_code_nothing_begins(self, tmp_path: Path, store_url: str):
        with open_runtime(tmp_path, store_url) as runtime:
            run_id = runtime.run(Flaky().workflow, timeout=PATIENCE).run_id

        with open_runtime(tmp_path, store_url) as runtime:
            with pytest.raises(MissingCodeError):
                runtime.retry(run_id)
            with pytest.raises(MissingCodeError):
                runtime.rerun(run_id)
            assert runtime.get(run_id).status is RunStatus.FAILED


def test_asyncio_can_steer_runs_too(tmp_path: Path, store_url: str):
    async def main() -> RunResult:
        async with AsyncRuntime(open_runtime(tmp_path, store_url)) as runtime:
            handle = await runtime.submit(waiting_for_approval())
            await handle.signal("approval", {"by": "ann"})
            return await handle.result(PATIENCE)

    assert asyncio.run(main()).context == {"by": "ann"}


def test_a_timeout_is_told_to_on_failure(runtime: Runtime):
    told: list[str] = []
    done, let_go = threading.Event(), threading.Event()

    def on_failure(context: Context, error: BaseException) -> None:
        told.append(f"{context.task}: {error!r}")
        done.set()

    def hang(context: Context) -> None:
        let_go.wait(PATIENCE)

    options = {"a": {"timeout": timedelta(milliseconds=50), "on_failure": on_failure}}
    workflow = workflow_of({"a": []}, functions={"a": hang}, options=options)

    runtime.run(workflow, timeout=PATIENCE)

    assert done.wait(PATIENCE)
    let_go.set()
    assert told == ["a: TimeoutError('the attempt took longer than 0:00:00.050000')"]


class TestCommands:
    """The command line, on the store of a runtime that is open, and takes up nothing by itself."""

    @pytest.fixture
    def runtime(self, tmp_path: Path, store_url: str) -> Iterator[Runtime]:
        with open_runtime(tmp_path, store_url, recover=False) as runtime:
            yield runtime

    @pytest.fixture
    def call(self, runtime: Runtime, tmp_path: Path) -> Callable[..., Any]:
        def call(*words: str, status: int = 0) -> Any:
            options = ["--json", "--home", str(tmp_path), "--database-url"]
            arguments = [*words, *options, runtime.settings.database_url]
            result = CliRunner().invoke(runs_command, arguments, catch_exceptions=False)
            assert result.exit_code == status, result.output
            return json.loads(result.stdout) if status == 0 else result.stderr

        return call

    def test_a_signal_and_a_cancel_reach_the_engine_that_has_the_run(
        self, runtime: Runtime, call: Callable[..., Any]
    ):
        approved = runtime.submit(waiting_for_approval())
        refused = runtime.submit(waiting_for_approval())

        call("signal", approved.id, "approval", "--data", '{"by": "ann"}')
        call("cancel", refused.id, "--reason", "no")

        assert finished(approved).context == {"by": "ann"}
        assert finished(refused).status is RunStatus.CANCELLED

    def test_filters_choose_and_a_dry_run_touches_nothing(
        self, runtime: Runtime, call: Callable[..., Any]
    ):
        workflow = workflow_of({"a": []}, name="many")
        ids = sorted(runtime.submit(workflow, detach=True).id for _ in range(3))
        runtime.submit(workflow_of({"a": []}, name="other"), detach=True)
        choice = ("--status", "queued", "--workflow", "many")

        assert [run["run_id"] for run in call("pause", *choice, "--dry-run")] == ids
        assert {runtime.get(run_id).status for run_id in ids} == {RunStatus.QUEUED}
        assert [run["status"] for run in call("pause", *choice)] == ["paused"] * 3
        assert [run["status"] for run in call("resume", "--workflow", "many")] == ["queued"] * 3
        assert call("cancel", "--workflow", "many", "--older-than", "1h", "--dry-run") == []
        assert [run["status"] for run in call("cancel", *choice)] == ["cancelled"] * 3
        assert [run["status"] for run in call("retry", ids[0], "--detach")] == ["queued"]

    def test_who_chooses_nothing_or_too_much_is_told(self, call: Callable[..., Any]):
        assert "not both" in call("cancel", status=2)
        assert "not both" in call("cancel", "0", "--status", "queued", status=2)
        assert "isn't JSON" in call("signal", "0", "go", "--data", "{", status=2)
        assert "unknown-run" in call("cancel", "0", status=3)


CHILD = """
import sys
from pathlib import Path
from support.runs import open_runtime
from tests_waiting import waiting

with open_runtime(Path(sys.argv[1]), sys.argv[2]) as runtime:
    handles = [runtime.submit(waiting) for _ in range(2)]
    print(*(handle.id for handle in handles), flush=True)
    print(*(handle.result(60).status.value for handle in handles), flush=True)
"""

WAITING = """
from cloacina_core import Workflow

waiting = Workflow("waiting")

@waiting.task
def ask(context):
    context.wait_for("approval")
"""


def test_another_process_is_steered_by_the_command_line(tmp_path: Path, store_url: str):
    (tmp_path / "tests_waiting.py").write_text(WAITING)
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, str(tmp_path)])}
    command = [sys.executable, "-c", CHILD, str(tmp_path), store_url]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first, second = child.stdout.readline().split()

        for words in (["signal", first, "approval"], ["cancel", second]):
            options = ["--home", str(tmp_path), "--database-url", store_url]
            program = [sys.executable, "-m", "cloacina_core", "runs", *words, *options]
            subprocess.run(program, check=True, capture_output=True, env=environment)

        assert child.stdout.readline().split() == ["succeeded", "cancelled"]
    assert child.returncode == 0


def test_nobody_steers_a_run_that_is_not_there(runtime: Runtime):
    for verb in (runtime.cancel, runtime.pause, runtime.retry, runtime.rerun):
        with pytest.raises(UnknownRunError):
            verb("0")


def test_the_history_of_a_steered_run_agrees_with_its_state(runtime: Runtime):
    flaky = Flaky()
    failed = runtime.run(flaky.workflow, timeout=PATIENCE)
    flaky.broken = False
    finished(runtime.retry(failed.run_id))
    finished(runtime.fork(failed.run_id, "b"))
    deferred, released = Told(runtime, "task_deferred"), Told(runtime, "released")
    waiting = runtime.submit(waiting_for_approval())
    deferred.wait()
    waiting.pause()
    released.wait()
    assert list(check(runtime._view.database)) == []
    waiting.signal("approval", {"by": "ann"})
    finished(runtime.resume(waiting.id))

    assert list(check(runtime._view.database)) == []
