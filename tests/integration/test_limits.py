"""How much runs at a time is limited over all engines of a store, on both databases."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from support.runs import PATIENCE, open_runtime, workflow_of

from cloacina_core.cli.limits import limits as limits_command
from cloacina_core.cli.runs import runs as runs_command
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.context import Context
from cloacina_core.model.status import RunStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import RunHandle, Runtime
from cloacina_core.store.database import Database

MOST = 2


class Busy:
    """Counts how many calls of a task are under way, in all runtimes of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[Any, int] = {}
        self.most = 0
        self.calls = 0
        self._beat = threading.Event()

    def __call__(self, context: Context) -> None:
        key = context.params.get("customer")
        with self._lock:
            self.calls += 1
            self._now[key] = self._now.get(key, 0) + 1
            self.most = max(self.most, *self._now.values())
        self._beat.wait(0.005)
        with self._lock:
            self._now[key] -= 1


@pytest.fixture
def busy() -> Busy:
    return Busy()


@pytest.fixture
def runtimes(tmp_path: Path, store_url: str) -> Iterator[Callable[[Workflow], Sequence[Runtime]]]:
    """Return what opens two runtimes on one store, each with an engine of its own."""
    with ExitStack() as stack:

        def two(workflow: Workflow) -> Sequence[Runtime]:
            opened = [open_runtime(tmp_path, store_url, workflows=[workflow]) for _ in range(2)]
            for runtime in opened:
                stack.enter_context(runtime)
            return opened

        yield two


def all_succeed(handles: Sequence[RunHandle]) -> None:
    for handle in handles:
        assert handle.result(timeout=PATIENCE).status is RunStatus.SUCCEEDED


def submitted_to_each(
    runtimes: Sequence[Runtime], workflow: Workflow, count: int, **options: Any
) -> list[RunHandle]:
    return [
        runtimes[number % 2].submit(workflow, {"customer": number // 2 % 2}, **options)
        for number in range(count)
    ]


def test_attempts_of_a_limit_are_never_more_than_it_allows(
    runtimes: Callable[[Workflow], Sequence[Runtime]], busy: Busy
):
    workflow = workflow_of(
        {"a": [], "b": ["a"]},
        functions={"a": busy, "b": busy},
        options={"a": {"limits": ["crm-api"]}, "b": {"limits": ["crm-api"]}},
    )
    both = runtimes(workflow)
    both[0].set_limit("crm-api", MOST)

    handles = [both[number % 2].submit(workflow) for number in range(12)]

    all_succeed(handles)
    assert busy.calls == 24
    assert busy.most <= MOST
    assert both[0].limits()[0].at_work == 0


def test_live_runs_of_a_workflow_are_never_more_than_it_allows(
    runtimes: Callable[[Workflow], Sequence[Runtime]], busy: Busy
):
    workflow = workflow_of({"a": []}, functions={"a": busy}, max_live_runs=MOST)
    both = runtimes(workflow)

    handles = [both[number % 2].submit(workflow) for number in range(12)]

    all_succeed(handles)
    assert busy.most <= MOST


def test_runs_of_a_key_go_one_after_the_other_and_those_of_others_beside_them(
    runtimes: Callable[[Workflow], Sequence[Runtime]], busy: Busy
):
    workflow = workflow_of(
        {"a": []},
        functions={"a": busy},
        concurrency_key="customer:{customer}",
    )
    both = runtimes(workflow)

    handles = submitted_to_each(both, workflow, 12)

    all_succeed(handles)
    assert busy.most == 1
    keys = {both[0].get(handle.id).summary.concurrency_key for handle in handles}
    assert keys == {"customer:0", "customer:1"}


def test_a_key_given_with_the_run_counts_for_any_workflow(
    runtimes: Callable[[Workflow], Sequence[Runtime]], busy: Busy
):
    workflow = workflow_of({"a": []}, functions={"a": busy})
    both = runtimes(workflow)

    all_succeed([both[number % 2].submit(workflow, concurrency_key="one") for number in range(6)])

    assert busy.most == 1


def test_the_oldest_of_the_highest_priority_is_next(tmp_path: Path, store_url: str):
    began: list[int] = []
    gate = threading.Event()

    def first(context: Context) -> None:
        gate.wait(PATIENCE)
        began.append(context.params["n"])

    workflow = workflow_of({"a": []}, functions={"a": first}, max_live_runs=1)
    with open_runtime(tmp_path, store_url) as runtime:
        handles = [runtime.submit(workflow, {"n": 0})]
        handles += [
            runtime.submit(workflow, {"n": number}, priority=number % 2) for number in range(1, 5)
        ]
        gate.set()
        all_succeed(handles)

    assert began[-2:] == [2, 4]
    assert sorted(began[:3]) == [0, 1, 3]


def test_starts_in_any_period_are_never_more_than_the_rate(
    runtimes: Callable[[Workflow], Sequence[Runtime]], store_url: str
):
    period = timedelta(seconds=1)
    workflow = workflow_of({"a": []}, options={"a": {"limits": ["crm-api"]}})
    both = runtimes(workflow)
    both[0].set_limit("crm-api", rate="3/1s")
    database = Database(store_url, SystemClock())

    with database.read() as connection:
        before = database.now_micros(connection)
    all_succeed([both[number % 2].submit(workflow) for number in range(7)])

    with database.read() as connection:
        last = connection.execute(text("SELECT max(started_at) FROM attempts")).scalar_one()
    database.close()
    # Seven at three in a period need two whole ones between the first that is let in and the last.
    assert last - before > 2 * period / timedelta(microseconds=1)


def test_a_runtime_that_takes_up_nothing_does_its_own_limited_runs(tmp_path: Path, store_url: str):
    workflow = workflow_of({"a": []}, max_live_runs=1)
    with open_runtime(tmp_path, store_url, recover=False) as runtime:
        other = runtime.submit(workflow, detach=True)
        runtime.cancel(other.id)
        all_succeed([runtime.submit(workflow) for _ in range(3)])


def test_a_queued_run_that_waits_for_its_turn_can_be_cancelled(tmp_path: Path, store_url: str):
    gate = threading.Event()
    workflow = workflow_of(
        {"a": []}, functions={"a": lambda _: gate.wait(PATIENCE) and None}, max_live_runs=1
    )
    with open_runtime(tmp_path, store_url) as runtime:
        first = runtime.submit(workflow)
        second = runtime.submit(workflow)
        second.cancel(reason="not needed")

        assert second.result(timeout=PATIENCE).status is RunStatus.CANCELLED
        gate.set()
        all_succeed([first])


HOLDER = """
import os, sys, time
from pathlib import Path
from support.runs import open_runtime, workflow_of

def hold(context):
    os.write(1, b"holding\\n")
    time.sleep(600)

workflow = workflow_of(
    {"a": []}, functions={"a": hold}, options={"a": {"limits": ["crm-api"]}}, name="holder",
    concurrency_key="one",
)
with open_runtime(Path(sys.argv[1]), sys.argv[2]) as runtime:
    runtime.submit(workflow).result()
"""


def test_an_engine_that_was_killed_keeps_no_room(tmp_path: Path, store_url: str):
    workflow = workflow_of({"a": []}, options={"a": {"limits": ["crm-api"]}})
    with open_runtime(tmp_path, store_url) as runtime:
        runtime.set_limit("crm-api", 1)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), store_url],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "holding\n"
            waiting = runtime.submit(workflow)
            (task,) = runtime.explain(waiting.id).tasks
            while task.reason.kind != "limit":
                (task,) = runtime.explain(waiting.id).tasks
            assert task.reason.facts["taken"] == 1
            holder.send_signal(signal.SIGKILL)

        all_succeed([waiting])


def test_the_command_line_sets_lists_and_removes_limits_and_explains(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CLOACINA_HOME", str(tmp_path))
    monkeypatch.setenv("CLOACINA_DATABASE_URL", store_url)
    workflow = workflow_of({"a": []}, options={"a": {"limits": ["crm-api"]}})
    shell = CliRunner()

    assert shell.invoke(limits_command, ["set", "crm-api"]).exit_code == 2
    assert shell.invoke(limits_command, ["set", "crm-api", "0", "--rate", "10/1m"]).exit_code == 0
    listed = json.loads(shell.invoke(limits_command, ["list", "--json"]).stdout)
    assert listed == [{"name": "crm-api", "size": 0, "rate": "10/1m", "at_work": 0, "started": 0}]
    with open_runtime(tmp_path, store_url) as runtime:
        run = runtime.submit(workflow)
        told = shell.invoke(runs_command, ["explain", run.id])
        assert "a ready: limit 'crm-api' has room for 0" in told.stdout
        assert "next: cloacina limits list" in told.stderr
        as_json = json.loads(shell.invoke(runs_command, ["explain", run.id, "--json"]).stdout)
        assert as_json["tasks"][0]["reason"]["kind"] == "limit"

        assert shell.invoke(limits_command, ["remove", "crm-api"]).exit_code == 0
        all_succeed([run])
    assert shell.invoke(limits_command, ["remove", "crm-api"]).exit_code == 3
