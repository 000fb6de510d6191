"""Tasks run other workflows, in one engine or in several, on both databases."""

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.runs import PATIENCE, EngineBench, open_runtime, soon, workflow_of
from support.waiting import wait_until

from cloacina_core import ChildRunError, Context, Workflow
from cloacina_core.cli.runs import runs as runs_command
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.child import Child
from cloacina_core.model.run import RunSummary
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import RunStatus
from cloacina_core.model.wait import Wait, WaitKind
from cloacina_core.runtime import Runtime
from cloacina_core.store.checking import check
from cloacina_core.store.database import Database
from cloacina_core.store.reading import RunFilter
from cloacina_core.store.retention import Expiry, Retention

LEASE = timedelta(seconds=1.5)


DAY = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}


def child_of(work: Callable[[Context], object], **options: Any) -> Workflow:
    return workflow_of({"work": []}, functions={"work": work}, name="child", **options)


def parent_of(ask: Callable[[Context], object], **options: Any) -> Workflow:
    return workflow_of({"ask": []}, functions={"ask": ask}, options={"ask": options}, name="parent")


def ask_one(context: Context) -> dict[str, object]:
    result = context.run_workflow("child")
    return {"rows": result.context["rows"]}


def only_child(runtime: Runtime, run_id: str) -> RunSummary:
    (child,) = runtime.list(RunFilter(parent=runtime.get(run_id).run_id))
    return child


class Gate:
    """A task that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.begun = threading.Event()

    def __call__(self, context: Context) -> dict[str, object]:
        self.begun.set()
        while not self.is_open.wait(0.02):
            if context.cancelled():
                raise InterruptedError
        return {"rows": [1]}


def test_a_task_runs_another_workflow_and_gets_its_result(tmp_path: Path, store_url: str):
    child = child_of(lambda context: {"rows": [context.params["day"]]}, params=DAY)

    async def ask(context: Context) -> dict[str, object]:
        one = context.run_workflow(child, {"day": "monday"})
        two = context.run_workflows([("child", {"day": day}) for day in ("tuesday", "friday")])
        return {"rows": [row for each in (one, *two) for row in each.context["rows"]]}

    parent = parent_of(ask)
    with open_runtime(tmp_path, store_url, workflows=[child]) as runtime:
        result = runtime.run(parent, timeout=PATIENCE)
        children = runtime.list(RunFilter(parent=result.run_id))
        assert not list(check(runtime._view.database))

    assert result.context == {"rows": ["monday", "tuesday", "friday"]}
    assert [(c.status, c.parent and c.parent.task, c.depth) for c in children] == [
        (RunStatus.SUCCEEDED, "ask", 1)
    ] * 3
    asker = StartedBy(kind=StarterKind.TASK, name="ask", run_id=result.run_id)
    assert [c.started_by for c in children] == [asker] * 3


def test_a_failure_fails_the_attempt_and_a_retry_runs_it_anew(tmp_path: Path, store_url: str):
    attempts: list[str] = []

    def work(context: Context) -> dict[str, object]:
        attempts.append(context.run_id)
        if len(attempts) == 1:
            raise OSError("full")
        return {"rows": []}

    with open_runtime(tmp_path, store_url, workflows=[child_of(work)]) as runtime:
        result = runtime.run(parent_of(ask_one, retry=soon()), timeout=PATIENCE)

    first, second = result.tasks["ask"].attempts
    assert result.status is RunStatus.SUCCEEDED
    assert first.error is not None
    assert first.error.type == "cloacina_core.model.child.ChildRunError"
    assert first.error.message == f"run {attempts[0]} of child failed: task work: OSError: full"
    assert second.error is None
    assert len(set(attempts)) == 2


@pytest.mark.parametrize(
    ("what", "params", "message"),
    [
        ("nosuch-package", None, "'nosuch-package'"),
        ("not a reference", None, "is not a reference"),
        ("child", {"day": 3}, "3 is not of type 'string'"),
    ],
)
def test_what_cannot_begin_fails_the_attempt_for_good(
    tmp_path: Path, what: str, params: dict[str, Any] | None, message: str
):
    told: list[BaseException] = []
    child = child_of(lambda _: None, params=DAY)
    parent = workflow_of(
        {"ask": []},
        functions={"ask": lambda context: context.run_workflow(what, params)},
        options={"ask": {"retry": soon(), "on_failure": lambda _, error: told.append(error)}},
    )
    with open_runtime(tmp_path, f"sqlite:///{tmp_path / 's.db'}", workflows=[child]) as runtime:
        result = runtime.run(parent, timeout=PATIENCE)

    assert result.error is not None
    assert message in result.error.message
    assert len(result.tasks["ask"].attempts) == 1
    assert [type(error).__name__ for error in told] == ["ChildRefusedError"]


def test_a_failure_can_be_caught(tmp_path: Path, store_url: str):
    def broken(_context: Context) -> None:
        raise OSError("full")

    def ask(context: Context) -> dict[str, object]:
        try:
            context.run_workflow("child")
        except ChildRunError as error:
            return {"why": str(error.failure), "id": error.run_id}
        return {}

    with open_runtime(tmp_path, store_url, workflows=[child_of(broken)]) as runtime:
        result = runtime.run(parent_of(ask), timeout=PATIENCE)
        child = only_child(runtime, result.run_id)

    assert result.context == {"why": "task work: OSError: full", "id": child.run_id}


def test_a_run_may_be_left_to_itself(tmp_path: Path, store_url: str):
    gate = Gate()

    def ask(context: Context) -> dict[str, object]:
        return {"id": context.run_workflow("child", wait=False)}

    with open_runtime(tmp_path, store_url, workflows=[child_of(gate)]) as runtime:
        result = runtime.run(parent_of(ask), timeout=PATIENCE)
        child = only_child(runtime, result.run_id)
        assert result.context == {"id": child.run_id}
        assert not child.status.is_final
        gate.is_open.set()
        assert runtime.attach(child.run_id).result(PATIENCE).status is RunStatus.SUCCEEDED


def test_the_run_that_is_waited_for_may_end_in_another_engine(tmp_path: Path, store_url: str):
    gate = Gate()
    child, parent = child_of(gate), parent_of(ask_one)
    first = open_runtime(tmp_path, store_url, workflows=[child])
    with open_runtime(tmp_path, store_url, workflows=[child, parent], recover=False) as second:
        run_id = first.submit(parent).id
        assert gate.begun.wait(PATIENCE)
        waited_for = only_child(second, run_id).run_id
        first.close()
        with open_runtime(tmp_path, store_url, workflows=[child], recover=False) as third:
            other = third.resume(waited_for)
            handle = second.resume(run_id)
            gate.is_open.set()
            result = handle.result(PATIENCE)
            ended = other.result(PATIENCE)
            assert (result.summary.engine, ended.summary.engine) == (
                second.engine_id,
                third.engine_id,
            )

    assert result.status is RunStatus.SUCCEEDED
    assert result.context == {"rows": [1]}


def test_who_goes_on_with_a_run_goes_on_with_what_it_waits_for(tmp_path: Path, store_url: str):
    gate = Gate()
    child, parent = child_of(gate), parent_of(ask_one)
    with open_runtime(tmp_path, store_url, workflows=[child], recover=False) as first:
        run_id = first.submit(parent).id
        assert gate.begun.wait(PATIENCE)
    gate.is_open.set()
    with open_runtime(tmp_path, store_url, workflows=[child, parent], recover=False) as second:
        assert second.resume(run_id).result(PATIENCE).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("recover", [True, False])
def test_a_run_of_a_limited_workflow_takes_its_turn(
    tmp_path: Path, store_url: str, *, recover: bool
):
    child = child_of(lambda _: {"rows": [1]}, max_live_runs=1)

    def ask(context: Context) -> dict[str, object]:
        results = context.run_workflows([("child", None)] * 3)
        return {"rows": [result.context["rows"] for result in results]}

    with open_runtime(tmp_path, store_url, workflows=[child], recover=recover) as runtime:
        assert runtime.run(parent_of(ask), timeout=PATIENCE).context == {"rows": [[1]] * 3}


def test_parents_that_fill_an_engine_get_children_that_take_their_turn(
    tmp_path: Path, store_url: str
):
    child, parent = child_of(lambda _: {"rows": [1]}, max_live_runs=5), parent_of(ask_one)
    with open_runtime(tmp_path, store_url, workflows=[child], max_live_runs=3) as runtime:
        handles = list(runtime.submit_many(parent, [None] * 3))
        results = [handle.result(PATIENCE) for handle in handles]

    assert [result.status for result in results] == [RunStatus.SUCCEEDED] * 3


def test_a_cancel_crosses_engines(tmp_path: Path, store_url: str):
    gate = Gate()
    child, parent = child_of(gate), parent_of(ask_one)
    grace = timedelta(milliseconds=200)
    first = open_runtime(tmp_path, store_url, workflows=[child])
    run_id = first.submit(parent).id
    assert gate.begun.wait(PATIENCE)
    waited_for = only_child(first, run_id).run_id
    first.close()
    gate.begun.clear()
    with (
        open_runtime(tmp_path, store_url, workflows=[child], recover=False) as third,
        open_runtime(
            tmp_path, store_url, workflows=[parent], recover=False, cancel_grace=grace
        ) as second,
    ):
        other = third.resume(waited_for)
        assert gate.begun.wait(PATIENCE)
        handle = second.resume(run_id)
        handle.cancel(reason="enough")
        assert handle.result(PATIENCE).status is RunStatus.CANCELLED
        assert other.result(PATIENCE).status is RunStatus.CANCELLED


def test_a_pause_and_a_resume_reach_what_is_waited_for(tmp_path: Path, store_url: str):
    gate = Gate()
    child = workflow_of({"work": [], "more": ["work"]}, functions={"work": gate}, name="child")
    with open_runtime(tmp_path, store_url, workflows=[child]) as runtime:
        handle = runtime.submit(parent_of(ask_one))
        assert gate.begun.wait(PATIENCE)
        waited_for = only_child(runtime, handle.id).run_id
        handle.pause()
        wait_until(lambda: runtime.get(waited_for).status is RunStatus.PAUSED)
        gate.is_open.set()
        for run_id in (handle.id, waited_for):
            wait_until(lambda run_id=run_id: runtime.get(run_id).summary.engine is None)
        runtime.unpause(handle.id)
        wait_until(lambda: runtime.get(handle.id).status is RunStatus.SUCCEEDED)
        told = [event.type.value for event in runtime.events(waited_for)]

    assert told[told.index("paused") :].count("claimed") == 1
    assert told[-1] == "run_succeeded"


def test_a_run_is_kept_while_its_parent_lives(tmp_path: Path, store_url: str):
    gate = Gate()

    def ask(context: Context) -> None:
        context.run_workflow("quick")
        context.run_workflow("child")

    quick = workflow_of({"a": []}, name="quick")
    expiry = Expiry(RunStatus.SUCCEEDED, older_than=timedelta(0))
    with open_runtime(tmp_path, store_url, workflows=[child_of(gate), quick]) as runtime:
        handle = runtime.submit(parent_of(ask))
        assert gate.begun.wait(PATIENCE)
        retention = Retention(runtime._view.database)
        assert retention.count(expiry) == retention.discard(expiry) == 0
        gate.is_open.set()
        handle.result(PATIENCE)
        assert retention.discard(expiry) == 3
        assert not list(check(runtime._view.database))


def test_the_command_line_tells_who_asked_for_whom(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with open_runtime(tmp_path, url, workflows=[child_of(lambda _: {"rows": []})]) as runtime:
        run_id = runtime.run(parent_of(ask_one), timeout=PATIENCE).run_id
        child = only_child(runtime, run_id)

    def told(*arguments: str) -> str:
        result = CliRunner().invoke(
            runs_command,
            arguments,
            env={"CLOACINA_HOME": str(tmp_path), "CLOACINA_DATABASE_URL": url},
            catch_exceptions=False,
        )
        assert result.exit_code == 0
        return result.stdout

    assert child.run_id in told("show", run_id)
    assert f"started by task ask of run {run_id}" in told("show", child.run_id)
    listed = told("list", "--parent", run_id)
    assert child.run_id in listed
    assert run_id not in listed


def test_many_runs_are_begun_and_asked_in_one_transaction(store_url: str):
    clock = SystemClock()
    child = child_of(lambda _: None)
    parent = parent_of(lambda _: None)
    wait = Wait(kind=WaitKind.CHILDREN, children=(Child(reference="child"),) * 2)
    with closing(Database(store_url, clock)) as database:
        bench = EngineBench(database, clock, children=[child])
        runs = [bench.post(parent).run for _ in range(3)]
        bench.step()
        for _ in runs:
            bench.executor.defer("ask", wait)
        bench.step()
        assert bench.executor.names() == ["work"] * 6
        for run in runs:
            bench.ask(run.run_id, "cancel")
        bench.step()
        assert len(bench.executor.cancelled) == 6
        for _ in range(6):
            bench.executor.fail("work")
        bench.step()
        listed = bench.reader.summaries(RunFilter())
        assert [run.status for run in listed] == [RunStatus.CANCELLED] * 9
        assert not list(check(database))
