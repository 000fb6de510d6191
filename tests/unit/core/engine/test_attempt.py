"""However an attempt ends, it ends as data."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from support.runs import soon, workflow_of

from cloacina_core.engine.attempt import AttemptRunner, failure_of
from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.library import TaskCode
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import (
    CloacinaError,
    NotAllowedError,
    StoreUnavailableError,
    WorkflowLoadError,
)
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, encode
from cloacina_core.model.context import Context
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.run import Failure
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.model.workflow import Workflow
from cloacina_core.testing import FrozenClock

MAX_BYTES = 1000
Function = Callable[[Context], object]


def cancelled() -> Stop:
    stop = Stop()
    stop.cancel()
    return stop


def abandoned() -> Stop:
    stop = Stop()
    stop.abandon()
    return stop


def call_of(workflow: Workflow, *, is_last: bool = True, **context: JsonValue) -> TaskCall:
    return TaskCall(
        key=(RunId("run"), 0, 1),
        workflow=workflow.name,
        fingerprint="",
        task="a",
        release=None,
        params={"day": "2026-01-01"},
        context={key: encode(value) for key, value in context.items()},
        deadline=datetime(2026, 1, 1, tzinfo=UTC),
        is_last=is_last,
        max_value_bytes=MAX_BYTES,
    )


def run(
    function: Function,
    *,
    stop: Stop | None = None,
    timed_out: Failure | None = None,
    is_last: bool = True,
    params: type | None = None,
    given: dict[str, JsonValue] | None = None,
    **options: Any,
) -> Outcome:
    """Run a function as an attempt at a task."""
    workflow = workflow_of(
        {"a": []}, functions={"a": function}, options={"a": options}, params=params
    )
    runner = AttemptRunner(lambda call: TaskCode(workflow, "a", str), FrozenClock())
    call = replace(call_of(workflow, is_last=is_last, **(given or {})), timed_out=timed_out)
    if asyncio.iscoroutinefunction(function):
        return asyncio.run(runner.run_async(call, stop or Stop()))
    return runner.run(call, stop or Stop())


def raising(error: BaseException | type[BaseException]) -> Function:
    def task(context: Context) -> None:
        raise error

    return task


def returning(value: object) -> Function:
    def task(context: Context) -> object:
        return value

    return task


class TestSuccess:
    def test_what_a_task_changed_is_the_outcome(self):
        def task(context: Context) -> None:
            context["new"] = 1
            del context["old"]
            context["same"] = context["same"]

        outcome = run(task, given={"old": 1, "same": 2})

        assert outcome.outcome is AttemptOutcome.SUCCEEDED
        assert outcome.changes == {"new": "1", "old": None}

    def test_a_mapping_that_is_returned_is_merged(self):
        assert run(returning({"n": 1})).changes == {"n": "1"}

    def test_a_coroutine_is_awaited(self):
        async def task(context: Context) -> dict[str, int]:
            await asyncio.sleep(0)
            return {"n": context.attempt}

        assert run(task).changes == {"n": "1"}

    def test_a_coroutine_that_a_plain_function_returns_is_awaited_too(self):
        async def later() -> dict[str, int]:
            await asyncio.sleep(0)
            return {"n": 1}

        assert run(lambda context: later()).changes == {"n": "1"}

    def test_params_have_the_types_that_the_workflow_declares(self):
        @dataclass
        class Params:
            day: date

        def task(context: Context) -> dict[str, object]:
            return {"is_date": isinstance(context.params.day, date)}

        assert run(task, params=Params).changes == {"is_date": "true"}

    def test_a_task_knows_whose_attempt_it_is(self):
        def task(context: Context) -> dict[str, object]:
            return {"who": [context.run_id, context.task, context.attempt, str(context.deadline)]}

        assert run(task).changes == {"who": '["run","a",1,"2026-01-01 00:00:00+00:00"]'}

    def test_a_task_can_ask_whether_it_was_given_up(self):
        def task(context: Context) -> dict[str, object]:
            return {"given_up": context.cancelled()}

        assert run(task, stop=cancelled()).changes == {"given_up": "true"}


class TestReturnedTypes:
    @pytest.mark.parametrize("value", [[1, 2], 7, "text", True, object(), {1, 2}])
    def test_only_mappings_and_none_are_results(self, value: object):
        outcome = run(returning(value), retry=soon())

        assert outcome.failure is not None
        assert outcome.failure.type == "cloacina_core.engine.attempt.ResultTypeError"
        assert f"returned {type(value).__name__}; return a mapping" in outcome.failure.message
        assert not outcome.may_retry

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"rows": [{"day": date(2026, 1, 1)}]}, "context value rows[0].day: date is not a"),
            ({"n": float("nan")}, "context value n: nan is not JSON"),
            ({"n": 2**64}, "context value n: the integer doesn't fit in 64 bits"),
            ({"t": "a\x00b"}, "context value t: the text holds a NUL character"),
            ({"t": "\ud800"}, "context value t: the text holds a lone surrogate"),
            ({"s": {1, 2}}, "context value s: set is not a JSON value"),
            ({"\ud800": 1}, "lone surrogate"),
            ({7: 1}, "a key is a string"),
        ],
    )
    def test_a_value_that_is_not_json_is_told_with_its_path(self, value: object, message: str):
        outcome = run(returning(value), retry=soon())

        assert outcome.failure is not None
        assert message in outcome.failure.message
        assert outcome.failure.type == "cloacina_core.errors.ContextValueError"
        assert outcome.failure.traceback == ""
        assert not outcome.may_retry, "the same code would make the same value"

    def test_changes_beyond_the_limit_are_refused_with_the_largest_key(self):
        outcome = run(returning({"small": 1, "large": "x" * MAX_BYTES}))

        assert outcome.failure is not None
        assert f"changed {MAX_BYTES + 2 + len('large') + len('small1')} bytes" in (
            outcome.failure.message
        )
        assert "in key 'large'; the limit is 1000" in outcome.failure.message

    def test_many_keys_count_too(self):
        outcome = run(returning({f"key{n:03}": None for n in range(200)}))

        assert outcome.outcome is AttemptOutcome.FAILED

    def test_a_deep_value_is_refused(self):
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]

        outcome = run(returning({"deep": deep}))

        assert outcome.failure is not None
        assert "levels deep" in outcome.failure.message


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


class ExitingError(Exception):
    def __str__(self) -> str:  # noqa: PLE0307
        sys.exit(0)


class WordlessError(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # noqa: PLE0307


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__(lambda: None)


class NoModuleError(Exception):
    pass


NoModuleError.__module__ = None  # type: ignore[assignment]


class OddlyNamedError(Exception):
    pass


OddlyNamedError.__qualname__ = "Odd\ud800" + "x" * 10_000


class TestFailures:
    def test_an_exception_is_told_with_type_message_and_the_authors_frames(self):
        outcome = run(raising(OSError("disk on fire")))

        failure = outcome.failure
        assert failure is not None
        assert (failure.type, failure.message) == ("OSError", "disk on fire")
        assert failure.traceback.startswith("Traceback (most recent call last):")
        assert "raise error" in failure.traceback
        assert "attempt.py" not in failure.traceback.replace("test_attempt.py", "")

    def test_causes_are_told(self):
        def task(context: Context) -> None:
            try:
                raise KeyError("inner")  # noqa: TRY301
            except KeyError as error:
                raise OSError("outer") from error

        failure = run(task).failure

        assert failure is not None
        assert "KeyError: 'inner'" in failure.traceback

    @pytest.mark.parametrize(
        "error",
        [SystemExit(0), SystemExit("bye"), KeyboardInterrupt(), GeneratorExit(), BaseException()],
        ids=repr,
    )
    def test_also_what_is_no_exception_is_a_failure(self, error: BaseException):
        outcome = run(raising(error))

        assert outcome.outcome is AttemptOutcome.FAILED
        assert outcome.failure is not None
        assert outcome.failure.type == type(error).__name__

    def test_a_coroutine_that_has_a_loop_of_its_own_is_cancelled_when_it_is_asked(self):
        stop = Stop()

        async def later() -> None:
            stop.cancel()
            await asyncio.Event().wait()

        outcome = run(lambda context: later(), stop=stop)

        assert outcome.failure is not None
        assert outcome.failure.type == "asyncio.exceptions.CancelledError"

    @pytest.mark.parametrize("error", [SystemExit(0), asyncio.CancelledError()], ids=repr)
    def test_coroutines_too_fail_with_what_is_no_exception(self, error: BaseException):
        async def task(context: Context) -> None:
            raise error

        assert run(task).outcome is AttemptOutcome.FAILED

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (UnreadableError(), "(can't be read: RuntimeError was raised)"),
            (ExitingError(), "(can't be read: SystemExit was raised)"),
            (WordlessError(), "(can't be read: TypeError was raised)"),
            (ValueError("a\x00b"), "a\\x00b"),
            (ValueError("\ud800"), "\\ud800"),
            (ValueError("ünï"), "ünï"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_message_is_always_something_that_can_be_stored(self, error: Exception, message: str):
        outcome = run(raising(error), retry=soon())

        assert outcome.failure is not None
        assert outcome.failure.message == message
        assert encode(outcome.failure.to_json())

    def test_a_long_message_is_cut(self):
        failure = run(raising(ValueError("x" * 1_000_000))).failure

        assert failure is not None
        assert len(failure.message) < 11_000
        assert failure.message.endswith("... (cut)")

    @pytest.mark.parametrize("error", [NoModuleError(), OddlyNamedError(), UnpicklableError()])
    def test_an_odd_class_is_told_as_well_as_can_be(self, error: Exception):
        failure = run(raising(error), retry=soon()).failure

        assert failure is not None
        assert encode(failure.to_json())
        assert len(failure.type) < 400

    def test_a_recursion_without_end_is_a_failure(self):
        def task(context: Context) -> None:
            task(context)

        failure = run(task).failure

        assert failure is not None
        assert failure.type == "RecursionError"
        assert len(failure.traceback) < 31_000

    def test_names_are_those_that_the_author_wrote(self):
        failure = failure_of(OSError("in _ns.flows"), lambda text: text.replace("_ns.", ""))

        assert failure.message == "in flows"

    def test_code_that_cannot_be_found_is_a_failure(self):
        def find(call: TaskCall) -> TaskCode:
            raise WorkflowLoadError("it can't be imported")

        outcome = AttemptRunner(find, FrozenClock()).run(call_of(workflow_of({"a": []})), Stop())

        assert outcome.failure is not None
        assert outcome.failure.message == "it can't be imported"
        assert not outcome.may_retry


class TestRetry:
    @pytest.mark.parametrize("error", [OSError(), SystemExit(1), StoreUnavailableError("busy")])
    def test_by_default_every_failure_is_worth_another_attempt(self, error: BaseException):
        assert run(raising(error), retry=soon()).may_retry

    @pytest.mark.parametrize("error", [NotAllowedError("trust"), CloacinaError("refused")])
    def test_what_cloacina_refuses_is_not(self, error: Exception):
        assert not run(raising(error), retry=soon()).may_retry

    def test_a_policy_may_want_some_only(self):
        policy = RetryPolicy(max_attempts=3, retry_on=(OSError,))

        assert run(raising(ConnectionError()), retry=policy).may_retry
        assert not run(raising(ValueError()), retry=policy).may_retry

    def test_a_class_that_raises_when_it_is_asked_is_not(self):
        class Hostile(type):
            @property
            def __mro__(cls) -> object:  # type: ignore[override]
                raise SystemExit

        class HostileError(Exception, metaclass=Hostile):
            pass

        policy = RetryPolicy(max_attempts=3, retry_on=("x.Y",))

        assert not run(raising(HostileError()), retry=policy).may_retry


class TestCallbacks:
    def test_on_success_is_called_with_what_the_task_left(self):
        seen: list[object] = []

        run(returning({"n": 1}), on_success=lambda context: seen.append(context.to_dict()))

        assert seen == [{"n": 1}]

    def test_what_on_success_changes_is_not_kept(self):
        def change(context: Context) -> None:
            context["n"] = 2

        assert run(returning({"n": 1}), on_success=change).changes == {"n": "1"}

    def test_on_failure_is_called_with_the_error_after_the_last_attempt(self):
        seen: list[BaseException] = []
        error = OSError("x")

        run(raising(error), on_failure=lambda context, error: seen.append(error))

        assert seen == [error]

    def test_on_failure_is_not_called_when_another_attempt_follows(self):
        seen: list[object] = []

        run(
            raising(OSError()),
            is_last=False,
            retry=soon(),
            on_failure=lambda context, error: seen.append(error),
        )

        assert seen == []

    def test_on_failure_is_called_when_no_other_attempt_is_worth_it(self):
        seen: list[object] = []

        run(
            returning(7),
            is_last=False,
            retry=soon(),
            on_failure=lambda context, error: seen.append(error),
        )

        assert len(seen) == 1

    @pytest.mark.parametrize("function", [returning(None), raising(OSError("x"))])
    def test_nobody_is_called_back_for_an_attempt_that_was_given_up(self, function: Function):
        seen: list[object] = []

        run(
            function,
            stop=abandoned(),
            on_success=lambda context: seen.append("success"),
            on_failure=lambda context, error: seen.append("failure"),
        )

        assert seen == []

    def test_a_success_in_spite_of_a_cancel_is_told(self):
        seen: list[object] = []

        run(
            returning(None),
            stop=cancelled(),
            on_success=lambda context: seen.append("success"),
        )

        assert seen == ["success"]

    def test_a_timeout_is_told_to_the_callback_without_calling_the_function(self):
        seen: list[object] = []

        outcome = run(
            lambda context: seen.append("called"),
            timed_out=Failure(type="timeout", message="too long"),
            on_failure=lambda context, error: seen.append(repr(error)),
        )

        assert seen == ["TimeoutError('too long')"]
        assert outcome.of_callback

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no")])
    def test_a_callback_that_raises_changes_nothing(self, error: BaseException):
        def broken(*_: object) -> None:
            raise error

        outcome = run(returning({"n": 1}), on_success=broken)

        assert outcome.outcome is AttemptOutcome.SUCCEEDED
        assert outcome.callback_error == f"{type(error).__name__}: no"


class TestWrappers:
    def runner(self, wrap: Any) -> tuple[AttemptRunner, TaskCall]:
        workflow = workflow_of({"a": []}, functions={"a": returning({"n": 1})})
        find = TaskCode(workflow, "a", str)
        return AttemptRunner(lambda call: find, FrozenClock(), wrap), call_of(workflow)

    def test_a_wrapper_stands_around_the_function(self):
        seen: list[str] = []

        def wrap(call: TaskCall, function: Callable[[], Any]) -> Any:
            seen.append(f"before {call.task}")
            result = function()
            seen.append("after")
            return result

        runner, call = self.runner(wrap)

        assert runner.run(call, Stop()).changes == {"n": "1"}
        assert seen == ["before a", "after"]

    def test_what_a_wrapper_raises_fails_the_attempt(self):
        def wrap(call: TaskCall, function: Callable[[], Any]) -> Any:
            raise PermissionError("not now")

        runner, call = self.runner(wrap)

        outcome = runner.run(call, Stop())
        assert outcome.failure is not None
        assert outcome.failure.type == "PermissionError"
