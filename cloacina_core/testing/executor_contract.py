"""The tests that every executor must pass, for its maker to derive from.

    class TestThreadExecutor(ExecutorContract):
        def make_executor(self, runner: AttemptRunner) -> Executor:
            return ThreadExecutor(runner)

An executor that can't give up a call that runs derives from `InlineExecutorContract`, one whose
calls have processes of their own from `IsolatingExecutorContract`.

pytest tells more about a broken promise when `conftest.py` says
`pytest.register_assert_rewrite("cloacina_core.testing.executor_contract")` before the import.
"""
# ruff: noqa: S101, D102 - assertions are what tests are made of; their names say what they claim

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, ClassVar

from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.capture import Capture
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.engine.library import WorkflowLibrary
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, encode
from cloacina_core.model.run import Failure
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.model.wait import Wait, WaitKind, WaitState
from cloacina_core.testing.contract_workflow import contract_workflow

AT_ONCE = 8
_SHORT = 0.001
DEADLINE = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Bench:
    """An executor at work, and what it reported."""

    def __init__(self, suite: "InlineExecutorContract", executor: Executor) -> None:
        self.executor = executor
        self._suite = suite
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._attempts = itertools.count(1)
        executor.start(self._outcomes.put)

    def submit(
        self,
        task: str,
        *,
        instance: tuple[JsonValue, int] | None = None,
        waits: tuple[Wait, ...] = (),
        timed_out: Failure | None = None,
        **context: JsonValue,
    ) -> AttemptKey:
        """Submit a call of a task of `contract_workflow`, and return its key.

        Args:
            task: the name of the task.
            instance: the item and the index, for a mapped task.
            waits: what earlier calls of the attempt waited for.
            timed_out: set when only the callback is to be called.
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
            waits=waits,
            timed_out=timed_out,
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

    def run(self, task: str, **given: Any) -> Outcome:
        """Submit a call, and return its outcome; see `submit`."""
        key = self.submit(task, **given)
        outcome = self.outcome()
        assert outcome.key == key
        return outcome


class InlineExecutorContract:
    """What even an executor promises that runs each call in its caller's thread.

    Derive from `ExecutorContract` unless your executor can't give up a call that runs.
    """

    patience_seconds: ClassVar[float] = 30.0
    """How long to wait for an outcome before the executor counts as broken."""

    many: ClassVar[int] = 200
    """How many calls are handed in at once: fewer where each is expensive."""

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
        capture = Capture(pass_on=False)
        capture.start()
        bench = Bench(self, executor)
        try:
            yield bench
        finally:
            executor.stop()
            capture.stop()

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

    def test_a_failure_may_be_retried_if_the_task_says_so(self) -> None:
        with self.working() as bench:
            assert bench.run("fail").may_retry
            assert not bench.run("fail_for_good").may_retry
            assert not bench.run("return_a_list").may_retry

    def test_what_a_task_prints_and_logs_is_kept(self) -> None:
        with self.working() as bench:
            outcome = bench.run("talk")

        assert sorted((stream, line) for _, stream, line in outcome.logs) == [
            ("stderr", "complained"),
            ("stdout", "printed"),
            ("warning", "contract: logged"),
        ]

    def test_what_one_task_prints_is_not_another_s(self) -> None:
        with self.working() as bench:
            bench.run("talk")

            assert bench.run("double", number=1).logs == ()

    def test_a_task_that_changes_too_much_fails(self) -> None:
        with self.working() as bench:
            outcome = bench.run("return_too_much")

        assert outcome.failure is not None
        assert "the limit is 1000000" in outcome.failure.message
        assert not outcome.may_retry

    def test_a_task_that_changes_what_no_context_holds_fails(self) -> None:
        with self.working() as bench:
            outcome = bench.run("return_a_set")

        assert outcome.failure is not None
        assert "members: set is not a JSON value" in outcome.failure.message

    def test_a_task_that_waits_is_called_again_with_what_came(self) -> None:
        with self.working() as bench:
            deferred = bench.run("wait_for_approval")
            (wait,) = deferred.waits
            came = replace(wait, state=WaitState.DONE, payload='"yes"')
            outcome = bench.run("wait_for_approval", waits=(came,))

        assert deferred.outcome is AttemptOutcome.DEFERRED
        assert (wait.kind, wait.signal) == (WaitKind.SIGNAL, "approval")
        assert outcome.changes == {"approval": '"yes"'}

    def test_a_callback_is_called_for_an_attempt_that_is_over(self, tmp_path: Path) -> None:
        late = Failure(type="timeout", message="too long")

        with self.working() as bench:
            outcome = bench.run("call_back", timed_out=late, folder=str(tmp_path))

        assert outcome.of_callback
        assert outcome.failure == late
        assert [said.name for said in tmp_path.iterdir()] == ["late: TimeoutError"]

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
            keys = [bench.submit(task, number=1) for task in itertools.islice(tasks, self.many)]
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

    can_kill: ClassVar[bool] = False
    """Whether a call that is given up is ended from outside, so that nobody need tell it."""

    def test_calls_run_side_by_side(self, tmp_path: Path) -> None:
        with self.working() as bench:
            for _ in range(AT_ONCE):
                bench.submit("meet", folder=str(tmp_path), number=AT_ONCE)

            outcomes = [bench.outcome() for _ in range(AT_ONCE)]

        assert {outcome.outcome for outcome in outcomes} == {AttemptOutcome.SUCCEEDED}

    def test_calls_that_run_when_it_is_stopped_report(self, tmp_path: Path) -> None:
        with self.working() as bench:
            key = bench.begin("work_until_allowed_to_end", tmp_path)
            bench.executor.stop()

            (tmp_path / "end").touch()

            outcome = bench.outcome()
            assert outcome.key == key
            assert outcome.outcome is AttemptOutcome.SUCCEEDED

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
            assert self.can_kill or (tmp_path / "was told").exists()

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


class IsolatingExecutorContract(ExecutorContract):
    """What an executor promises whose calls have processes of their own: to kill and to survive."""

    can_kill: ClassVar[bool] = True

    def test_a_process_that_ends_is_the_failure_of_its_attempt_alone(self, tmp_path: Path) -> None:
        with self.working() as bench:
            neighbour = bench.begin("work_until_allowed_to_end", tmp_path)
            crashed = bench.run("end_the_process")
            (tmp_path / "end").touch()
            unharmed = bench.outcome()

        assert crashed.outcome is AttemptOutcome.FAILED
        assert crashed.failure is not None
        assert crashed.failure.type == "worker-crashed"
        assert crashed.may_retry
        assert unharmed.key == neighbour
        assert unharmed.outcome is AttemptOutcome.SUCCEEDED

    def test_a_call_that_is_deaf_is_ended_and_takes_no_slot(self, tmp_path: Path) -> None:
        with self.working() as bench:
            deaf = bench.begin("work_until_allowed_to_end", tmp_path)

            bench.executor.abandon(deaf)

            outcome = bench.outcome()
            assert outcome.key == deaf
            assert outcome.outcome is AttemptOutcome.FAILED
            assert bench.executor.lost == 0
