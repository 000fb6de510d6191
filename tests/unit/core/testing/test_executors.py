"""The executors of the core keep the public contract, and some promises of their own."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.workers import environment_of, make_worker_pool

from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.executors.inline import InlineExecutor
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.engine.executors.threads import ThreadExecutor
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.testing import (
    ExecutorContract,
    InlineExecutorContract,
    IsolatingExecutorContract,
    contract_workflow,
)
from cloacina_core.worker.pool.pools import StartMethod
from cloacina_core.worker.runner import WorkerRunner

PATIENCE_SECONDS = 30


class TestThreadExecutor(ExecutorContract):
    def make_executor(self, runner: AttemptRunner) -> Executor:
        return ThreadExecutor(runner)

    def test_a_thread_that_was_given_up_is_lost_until_it_returns(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("work_until_allowed_to_end", tmp_path)
            assert bench.executor.lost == 0

            bench.executor.abandon(key)

            assert bench.executor.lost == 1
            bench.run("double", number=1)
            (tmp_path / "end").touch()
            assert bench.outcome().key == key
            assert bench.executor.lost == 0

    def test_no_thread_outlives_the_executor_and_its_last_call(self, tmp_path: Path) -> None:
        before = set(threading.enumerate())
        with self.working() as bench:
            bench.run("double_later", number=1)
            key = bench.begin("work_until_given_up", tmp_path)
            started = set(threading.enumerate()) - before
            bench.executor.stop()
            bench.executor.abandon(key)
            bench.outcome()

        for thread in started:
            thread.join(PATIENCE_SECONDS)
        assert {thread.name for thread in started} == {"cloacina-task", "cloacina-asyncio"}
        assert not any(thread.is_alive() for thread in started)


@pytest.fixture(scope="module", params=StartMethod)
def workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerRunner]:
    folder = tmp_path_factory.mktemp("code")
    shutil.copy(contract_workflow.__file__, folder)
    entry_points = {"executor_contract": "contract_workflow:contract_workflow"}
    environment = environment_of(folder, entry_points)
    pool = make_worker_pool(request.param)
    yield WorkerRunner(lambda call: environment, pool, SystemClock())
    pool.close()


@pytest.mark.slow
class TestWorkers(IsolatingExecutorContract):
    many = 10

    @pytest.fixture(autouse=True)
    def _workers(self, workers: WorkerRunner) -> None:
        self.runner = workers

    def make_executor(self, runner: AttemptRunner) -> Executor:
        return ThreadExecutor(self.runner)


class TestInlineExecutor(InlineExecutorContract):
    def make_executor(self, runner: AttemptRunner) -> InlineExecutor:
        return InlineExecutor(runner)

    def drive(self, executor: Executor) -> None:
        assert isinstance(executor, InlineExecutor)
        while executor.run_next():
            pass

    def test_a_call_that_is_given_up_before_it_ran_never_runs(self) -> None:
        with self.working() as bench:
            given_up = bench.submit("double", number=1)
            kept = bench.submit("double", number=2)

            bench.executor.abandon(given_up)

            executor = bench.executor
            assert isinstance(executor, InlineExecutor)
            assert executor.run_next()
            assert not executor.run_next()
            assert bench.outcome().key == kept

    def test_coroutines_run_inside_an_event_loop_too(self) -> None:
        async def in_a_notebook() -> object:
            with self.working() as bench:
                return bench.run("double_later", number=21).changes

        assert asyncio.run(in_a_notebook()) == {"number": "42"}
