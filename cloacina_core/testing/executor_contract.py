"""The tests that every executor must pass, for its maker to derive from.

    class TestThreadExecutor(ExecutorContract):
        def make_executor(self, runner: AttemptRunner) -> Executor:
            return ThreadExecutor(runner)

pytest tells more about a broken promise when `conftest.py` says
`pytest.register_assert_rewrite("cloacina_core.testing.executor_contract")` before the import.
"""
# ruff: noqa: S101, D102 - assertions are what tests are made of; their names say what they claim

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import ClassVar

from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.engine.library import WorkflowLibrary
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, encode
from cloacina_core.model.context import Context
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.model.workflow import Workflow

MANY = 200
_SHORT = 0.001
DEADLINE = datetime(2026, 1, 1, 12, tzinfo=UTC)

contract_workflow = Workflow("executor_contract")
"""The workflow whose tasks are called. An executor that doesn't use the runner it is given, because
its workers find code by themselves, lets them find this one."""


@contract_workflow.task
def double(context: Context) -> dict[str, int]:
    """Change one key."""
    return {"number": 2 * context["number"]}


@contract_workflow.task
async def double_later(context: Context) -> dict[str, int]:
    """Change one key, after others had their turn."""
    await asyncio.sleep(0)
    return {"number": 2 * context["number"]}


@contract_workflow.task
def tell(context: Context) -> dict[str, JsonValue]:
    """Tell what an attempt can know of itself."""
    return {
        "run": context.run_id,
        "task": context.task,
        "attempt": context.attempt,
        "deadline": context.deadline and context.deadline.isoformat(),
        "day": context.params["day"],
    }


@contract_workflow.task(map="numbers")
def double_item(context: Context) -> dict[str, int]:
    """Change one key, by what this instance is for."""
    return {"number": 2 * context.item, "index": context.index}


@contract_workflow.task
def fail(_context: Context) -> None:
    """Fail."""
    raise ConnectionError("nobody answers")


@contract_workflow.task
def leave(_context: Context) -> None:
    """Try to end the process."""
    raise SystemExit(3)


@contract_workflow.task
def return_a_list(_context: Context) -> list[int]:
    """Return what no task may return."""
    return [1, 2]


@contract_workflow.task
def work_until_given_up(context: Context) -> None:
    """Go on until nobody waits for the outcome any more."""
    _say(context, "began")
    while not context.cancelled():
        time.sleep(_SHORT)
    _say(context, "was told")


@contract_workflow.task
def work_until_allowed_to_end(context: Context) -> None:
    """Go on whether anybody waits for the outcome or not."""
    _say(context, "began")
    while not Path(context["folder"], "end").exists():
        time.sleep(_SHORT)


@contract_workflow.task
async def wait_for_ever(context: Context) -> None:
    """Wait for what never happens."""
    _say(context, "began")
    await asyncio.Event().wait()


@contract_workflow.task
async def hold_the_loop_until_given_up(context: Context) -> None:
    """Do in a coroutine what no coroutine should: let no other have its turn."""
    _say(context, "began")
    while not context.cancelled():
        time.sleep(_SHORT)  # noqa: ASYNC251 - that is the point


def _say(context: Context, word: str) -> None:
    """Tell the test something while the task runs, wherever that is: by a file."""
    Path(context["folder"], word).touch()


class Bench:
    """An executor at work, and what it reported."""

    def __init__(self, suite: "InlineExecutorContract", executor: Executor) -> None:
        self.executor = executor
        self._suite = suite
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._attempts = itertools.count(1)
        executor.start(self._outcomes.put)

    def submit(
        self, task: str, *, instance: tuple[JsonValue, int] | None = None, **context: JsonValue
    ) -> AttemptKey:
        """Submit a call of a task of `contract_workflow`, and return its key.

        Args:
            task: the name of the task.
            instance: the item and the index, for a mapped task.
            **context: what the task sees.
        """
        item, index = instance or (None, None)
        definition = contract_workflow.definition()
        number = [known.name for known in definition.tasks].index(task)
        key: AttemptKey = (RunId("contract"), number, next(self._attempts))
        call = TaskCall(
            key=key,
            workflow=definition.name,
            fingerprint=definition.fingerprint,
            task=task,
            release=None,
            params={"day": "2026-01-01"},
            context={name: encode(value) for name, value in context.items()},
            item=None if instance is None else encode(item),
            index=index,
            deadline=DEADLINE,
            is_last=True,
            max_value_bytes=1_000_000,
        )
        self.executor.submit(call)
        return key

    def begin(self, task: str, folder: Path) -> AttemptKey:
        """Submit a call that says so in a folder when it begins, and wait until it does."""
        key = self.submit(task, folder=str(folder))
        give_up = time.monotonic() + self._suite.patience_seconds
        while not (folder / "began").exists():
            assert time.monotonic() < give_up, "the executor didn't begin the call"
            time.sleep(_SHORT)
        return key

    def outcome(self) -> Outcome:
        """Return the next outcome that is reported."""
        self._suite.drive(self.executor)
        try:
            return self._outcomes.get(timeout=self._suite.patience_seconds)
        except Empty:
            raise AssertionError("the executor reported no outcome") from None

    def run(
        self, task: str, *, instance: tuple[JsonValue, int] | None = None, **context: JsonValue
    ) -> Outcome:
        """Submit a call, and return its outcome."""
        key = self.submit(task, instance=instance, **context)
        outcome = self.outcome()
        assert outcome.key == key
        return outcome


class InlineExecutorContract:
    """What even an executor promises that runs each call in its caller's thread.

    Derive from `ExecutorContract` unless your executor can't give up a call that runs.
    """

    patience_seconds: ClassVar[float] = 30.0
    """How long to wait for an outcome before the executor counts as broken."""

    def make_executor(self, runner: AttemptRunner) -> Executor:
        """Return a new executor.

        Args:
            runner: knows the code of `contract_workflow`, and runs attempts in its caller's thread
                or on its caller's event loop.
        """
        raise NotImplementedError("a suite for an executor says how to make one")

    def drive(self, executor: Executor) -> None:
        """Make an executor work that only does so when told to. Others need nothing."""

    @contextmanager
    def working(self) -> Iterator[Bench]:
        """Yield a new executor at work."""
        library = WorkflowLibrary(())
        library.register(contract_workflow)
        executor = self.make_executor(AttemptRunner(library.find, SystemClock()))
        bench = Bench(self, executor)
        try:
            yield bench
        finally:
            executor.stop()

    def test_a_call_reports_what_its_task_changed(self) -> None:
        with self.working() as bench:
            outcome = bench.run("double", number=21)

        assert outcome.outcome is AttemptOutcome.SUCCEEDED
        assert outcome.changes == {"number": "42"}
        assert outcome.failure is None

    def test_a_call_reports_once(self) -> None:
        with self.working() as bench:
            bench.run("double", number=1)

            bench.run("double", number=2)  # holds the key of the outcome against the call's

    def test_a_coroutine_is_run_to_its_end(self) -> None:
        with self.working() as bench:
            outcome = bench.run("double_later", number=21)

        assert outcome.changes == {"number": "42"}

    def test_a_task_knows_which_attempt_it_is(self) -> None:
        with self.working() as bench:
            outcome = bench.run("tell")

        _, _, attempt = outcome.key
        assert outcome.changes == {
            "run": '"contract"',
            "task": '"tell"',
            "attempt": str(attempt),
            "deadline": '"2026-01-01T12:00:00+00:00"',
            "day": '"2026-01-01"',
        }

    def test_an_instance_of_a_mapped_task_knows_its_item(self) -> None:
        with self.working() as bench:
            outcome = bench.run("double_item", instance=(21, 3))

        assert outcome.changes == {"number": "42", "index": "3"}

    def test_a_failure_is_told_with_type_message_and_traceback(self) -> None:
        with self.working() as bench:
            outcome = bench.run("fail")

        assert outcome.outcome is AttemptOutcome.FAILED
        assert outcome.failure is not None
        assert outcome.failure.type == "ConnectionError"
        assert outcome.failure.message == "nobody answers"
        assert outcome.failure.traceback.endswith("ConnectionError: nobody answers\n")
        assert outcome.changes is None

    def test_a_task_that_exits_ends_only_its_attempt(self) -> None:
        with self.working() as bench:
            exited = bench.run("leave")
            after = bench.run("double", number=1)

        assert exited.outcome is AttemptOutcome.FAILED
        assert exited.failure is not None
        assert exited.failure.type == "SystemExit"
        assert after.outcome is AttemptOutcome.SUCCEEDED

    def test_a_task_that_returns_something_else_than_a_mapping_fails(self) -> None:
        with self.working() as bench:
            outcome = bench.run("return_a_list")

        assert outcome.outcome is AttemptOutcome.FAILED
        assert outcome.failure is not None
        assert "returned list" in outcome.failure.message

    def test_of_many_calls_at_once_each_is_reported(self) -> None:
        tasks = itertools.cycle(["double", "double_later", "fail"])

        with self.working() as bench:
            keys = [bench.submit(task, number=1) for task in itertools.islice(tasks, MANY)]
            outcomes = [bench.outcome() for _ in keys]

        assert sorted(outcome.key for outcome in outcomes) == sorted(keys)

    def test_giving_up_a_call_that_ended_changes_nothing(self) -> None:
        with self.working() as bench:
            ended = bench.run("double", number=1)
            bench.executor.abandon(ended.key)

            assert bench.executor.lost == 0
            bench.run("double", number=2)

    def test_giving_up_an_unknown_call_changes_nothing(self) -> None:
        with self.working() as bench:
            bench.executor.abandon((RunId("nobody"), 0, 1))

            assert bench.executor.lost == 0
            bench.run("double", number=1)

    def test_stopping_again_changes_nothing(self) -> None:
        with self.working() as bench:
            bench.run("double", number=1)
            bench.run("double_later", number=1)
            bench.executor.stop()

            bench.executor.stop()

    def test_an_executor_that_never_worked_can_be_stopped(self) -> None:
        with self.working() as bench:
            bench.executor.stop()

        assert bench.executor.lost == 0


class ExecutorContract(InlineExecutorContract):
    """What an executor promises: to run calls side by side, and to give them up when asked."""

    def test_a_call_that_takes_long_delays_no_other(self, tmp_path: Path) -> None:
        with self.working() as bench:
            long = bench.begin("work_until_given_up", tmp_path)

            bench.run("double", number=1)
            bench.executor.abandon(long)
            assert bench.outcome().key == long

    def test_a_coroutine_that_waits_delays_no_other(self, tmp_path: Path) -> None:
        with self.working() as bench:
            long = bench.begin("wait_for_ever", tmp_path)

            bench.run("double_later", number=1)
            bench.executor.abandon(long)
            assert bench.outcome().key == long

    def test_a_call_that_is_given_up_is_told_and_reports_when_it_ends(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("work_until_given_up", tmp_path)

            bench.executor.abandon(key)

            assert bench.outcome().key == key
            assert (tmp_path / "was told").exists()

    def test_a_call_that_is_asked_to_end_is_told_and_still_counts(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("work_until_given_up", tmp_path)

            bench.executor.cancel(key)

            assert bench.outcome().key == key
            assert (tmp_path / "was told").exists()
            assert bench.executor.lost == 0

    def test_a_coroutine_that_is_asked_to_end_is_cancelled(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("wait_for_ever", tmp_path)

            bench.executor.cancel(key)

            outcome = bench.outcome()
            assert outcome.key == key
            assert outcome.outcome is not AttemptOutcome.SUCCEEDED

    def test_nobody_is_asked_to_end_who_does_not_run(self) -> None:
        with self.working() as bench:
            bench.executor.cancel((RunId("nobody"), 0, 1))

            assert bench.executor.lost == 0

    def test_a_call_that_is_given_up_before_it_began_reports_too(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.submit("work_until_given_up", folder=str(tmp_path))

            bench.executor.abandon(key)

            assert bench.outcome().key == key

    def test_a_coroutine_that_is_given_up_is_cancelled(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("wait_for_ever", tmp_path)

            bench.executor.abandon(key)

            outcome = bench.outcome()
            assert outcome.key == key
            assert outcome.outcome is not AttemptOutcome.SUCCEEDED

    def test_a_coroutine_that_is_given_up_before_its_turn_reports_too(self, tmp_path: Path) -> None:
        with self.working() as bench:
            holding = bench.begin("hold_the_loop_until_given_up", tmp_path)
            waiting = bench.submit("wait_for_ever", folder=str(tmp_path))

            bench.executor.abandon(waiting)
            bench.executor.abandon(holding)

            assert {bench.outcome().key, bench.outcome().key} == {holding, waiting}

    def test_a_call_that_was_given_up_and_ended_takes_no_slot(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("work_until_given_up", tmp_path)

            bench.executor.abandon(key)
            bench.executor.abandon(key)
            bench.outcome()

            assert bench.executor.lost == 0

    def test_a_call_that_is_deaf_to_being_given_up_delays_no_other(self, tmp_path: Path) -> None:
        with self.working() as bench:
            deaf = bench.begin("work_until_allowed_to_end", tmp_path)

            bench.executor.abandon(deaf)

            keys = {bench.submit("double", number=1), deaf}
            (tmp_path / "end").touch()
            assert {bench.outcome().key, bench.outcome().key} == keys

    def test_stopping_waits_for_no_call_that_runs(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("work_until_given_up", tmp_path)

            bench.executor.stop()

            bench.executor.abandon(key)
            assert bench.outcome().key == key
