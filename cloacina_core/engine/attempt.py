"""Runs one attempt: makes its context, calls the function, and turns however it ends into data."""

import asyncio
import inspect
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.capture import LogSink, capturing, storable
from cloacina_core.engine.library import TaskCode
from cloacina_core.engine.live_logs import LiveLogs
from cloacina_core.engine.secrets import AttemptSecrets, ReadSecret, no_secrets
from cloacina_core.engine.spilling import Spill, ValueTooLargeError
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import (
    CloacinaError,
    SecretInContextError,
    SecretProviderError,
    StoreUnavailableError,
)
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.names import plain_text
from cloacina_core.model.child import ChildRefusedError, ChildResult
from cloacina_core.model.context import Context, TaskInfo, no_child
from cloacina_core.model.retry import RetryPolicy, qualified_name
from cloacina_core.model.run import Failure
from cloacina_core.model.spilled import Encoded
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.model.typed import convert_fields, is_record_type
from cloacina_core.model.wait import Wait, WaitOrderError, Waits

Wrap: TypeAlias = Callable[[TaskCall, Callable[[], Any]], Any]
"""Calls a function on behalf of an attempt; plugins stand around it."""

MAX_TYPE_LENGTH = 300
MAX_MESSAGE_LENGTH = 10_000
MAX_TRACEBACK_LENGTH = 30_000


class ResultTypeError(TypeError):
    """A task returned something that isn't a mapping or None."""


def direct(_call: TaskCall, function: Callable[[], Any]) -> Any:
    """Call a function without anything around it."""
    return function()


class AttemptRunner:
    """Runs attempts in the thread, or on the event loop, of its caller."""

    def __init__(
        self,
        find: Callable[[TaskCall], TaskCode],
        clock: Clock,
        wrap: Wrap = direct,
        *,
        spill: Spill | None = None,
        child: Callable[[RunId], ChildResult] = no_child,
        live: LiveLogs | None = None,
        secrets: ReadSecret = no_secrets,
    ) -> None:
        """Prepare.

        Args:
            find: returns the code of a call's task.
            clock: tells the time.
            wrap: calls the task's function.
            spill: where large values go; None leaves them in the outcomes.
            child: reads a run that a task asked for and that has ended.
            live: tells what attempts say while they run; None leaves it to the outcomes.
            secrets: returns the values of secrets.
        """
        self._secrets = secrets
        self._find = find
        self._live = live
        self._child = child
        self._clock = clock
        self._wrap = wrap
        self._spill = spill

    def run(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run an attempt to its end. Never raises: also what a task raises to exit is data.

        A coroutine runs on an event loop of its own.

        Args:
            call: the attempt.
            stop: tells whether it is to end, and whether anybody still waits for its end.
        """
        with capturing(self._sink(call)) as sink:
            attempt = self._attempt(call, sink, stop)
            try:
                code = self._find(call)
                context = attempt.begin(code)
                if call.timed_out is not None:
                    return attempt.told_late(call.timed_out)
                returned = self._wrap(call, lambda: _finished(code.task.function(context), stop))
                return attempt.succeeded(returned)
            except BaseException as error:  # noqa: BLE001 - SystemExit too is this attempt's failure
                return attempt.failed(error)
            finally:
                attempt.let_go()

    async def run_async(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run an attempt at an `async def` task on the running event loop."""
        with capturing(self._sink(call)) as sink:
            attempt = self._attempt(call, sink, stop)
            try:
                code = self._find(call)
                context = attempt.begin(code)
                returned: Any = code.task.function(context)
                returned = await returned
                return attempt.succeeded(returned)
            except BaseException as error:  # noqa: BLE001 - as above; cancelled coroutines too
                return attempt.failed(error)
            finally:
                attempt.let_go()

    def _sink(self, call: TaskCall) -> LogSink:
        if self._live is None:
            return LogSink(self._clock)
        if call.timed_out is not None:  # that attempt runs no more
            return LogSink(self._clock, known=self._live.known)
        return self._live.sink(call.key)

    def _attempt(self, call: TaskCall, sink: LogSink, stop: Stop) -> "_Attempt":
        return _Attempt(
            call,
            sink,
            clock=self._clock,
            stop=stop,
            spill=self._spill,
            child=self._child,
            secrets=AttemptSecrets(call, self._secrets, sink, stop),
        )

    def wants_loop(self, call: TaskCall) -> bool:
        """Whether the call's task may share an event loop with others: an `async def`.

        With plugins around attempts it may not: they stand around a call in a thread. Nor may it
        when its code can't be found: running it tells the reason, as its failure.
        """
        if self._wrap is not direct or call.timed_out is not None:
            return False
        try:
            return self._find(call).task.is_async
        except Exception:  # noqa: BLE001 - see above
            return False


def _finished(returned: Any, stop: Stop) -> Any:
    """Return what a task's function returned; a coroutine is run, and cancelled when it is asked.

    Raises:
        BaseException: whatever the coroutine raises.
    """
    if not inspect.iscoroutine(returned):
        return returned

    async def wait() -> Any:
        loop, waiting = asyncio.get_running_loop(), asyncio.current_task()

        def cancel() -> None:
            if waiting is not None:
                with suppress(RuntimeError):  # it ended meanwhile, and its loop with it
                    loop.call_soon_threadsafe(waiting.cancel)

        stop.listen(cancel)
        try:
            return await returned
        finally:
            stop.forget(cancel)

    return asyncio.run(wait())


class _Attempt:
    """One attempt from its context to its outcome."""

    def __init__(
        self,
        call: TaskCall,
        sink: LogSink,
        *,
        clock: Clock,
        stop: Stop,
        spill: Spill | None,
        child: Callable[[RunId], ChildResult],
        secrets: AttemptSecrets,
    ) -> None:
        self._call = call
        self._secrets = secrets
        self._child = child
        self._sink = sink
        self._stop = stop
        self._spill = spill
        self._waits = Waits(clock.now, call.waits)
        self._code: TaskCode | None = None
        self._context: Context | None = None

    def begin(self, code: TaskCode) -> Context:
        self._code = code
        call, declared = self._call, code.workflow.params
        params: Mapping[str, Any] = call.params
        if isinstance(declared, type) and is_record_type(declared):
            params = convert_fields(call.params, declared)
        info = TaskInfo(
            run_id=call.run_id,
            workflow=call.workflow,
            task=call.task,
            index=call.index,
            attempt=call.attempt,
            deadline=call.deadline,
            release=call.release,
            cancelled=self._stop.cancelled,
            waits=self._waits,
            child=self._child,
            secret=self._secrets.get,
        )
        self._context = Context.of_texts(call.context, params=params, info=info, item=call.item)
        return self._context

    def let_go(self) -> None:
        """Let go of the code. Errors and their frames may keep this attempt itself for a while."""
        if self._code is not None:
            self._code.let_go()

    def succeeded(self, returned: object) -> Outcome:
        code, context = self._code, self._context
        if code is None or context is None:
            raise AssertionError("an attempt succeeds after it began")
        if self._waits.deferral is not None:  # the function caught it, and went on
            return self._deferred(self._waits.deferral.waits)
        if isinstance(returned, Mapping):
            context.update(returned)
        elif returned is not None:
            raise ResultTypeError(
                f"task {self._call.name!r} returned {type(returned).__name__}; "
                "return a mapping, which is merged into the context, or None"
            )
        changed = context.changes()
        self._secrets.refuse_changes(changed)
        changes = self._spilled(changed)
        self._check_size(changes)
        callback_error = None
        if not self._stop.abandoned():  # else the task hasn't succeeded, whatever this says
            callback_error = self._call_back(code.task.on_success, context)
        return Outcome(
            key=self._call.key,
            outcome=AttemptOutcome.SUCCEEDED,
            changes=changes,
            callback_error=callback_error,
            logs=self._sink.close(),
            secrets=self._secrets.names,
            isolation=code.isolation,
        )

    def _spilled(self, changes: Mapping[str, str | None]) -> Mapping[str, Encoded | None]:
        if self._spill is None or self._stop.abandoned():
            return changes
        return self._spill.each(changes, f"task {self._call.name} of run {self._call.run_id}")

    def _check_size(self, changes: Mapping[str, Encoded | None]) -> None:
        texts = {key: text if isinstance(text, str) else "" for key, text in changes.items()}
        sizes = {key: len(f"{key}{text}".encode()) for key, text in texts.items()}
        total, limit = sum(sizes.values()), self._call.max_value_bytes
        if total > limit:
            largest = max(sizes, key=lambda key: sizes[key])
            raise ValueTooLargeError(
                f"task {self._call.name!r} changed {total} bytes of context, {sizes[largest]} of "
                f"them in key {largest!r}; the limit is {limit} (setting max_value_bytes). "
                "Store large data elsewhere and hand on where it is"
            )

    def _deferred(self, waits: tuple[Wait, ...]) -> Outcome:
        try:
            self._secrets.refuse_waits(waits)
        except SecretInContextError as error:
            return self._ended(error)
        return Outcome(
            key=self._call.key,
            outcome=AttemptOutcome.DEFERRED,
            waits=waits,
            logs=self._sink.close(),
            secrets=self._secrets.names,
        )

    def told_late(self, failure: Failure) -> Outcome:
        """Tell the author's callback of an attempt that is over already."""
        code, context = self._code, self._context
        callback_error = None
        if code is not None and context is not None:
            error = TimeoutError(failure.message)
            callback_error = self._call_back(code.task.on_failure, context, error)
        return Outcome(
            key=self._call.key,
            outcome=AttemptOutcome.TIMED_OUT,
            failure=failure,
            callback_error=callback_error,
            logs=self._sink.close(),
            secrets=self._secrets.names,
            of_callback=True,
        )

    def failed(self, error: BaseException) -> Outcome:
        if self._call.timed_out is not None:  # its code can't be found or begun any more
            return self.told_late(self._call.timed_out)
        if self._waits.deferral is not None:  # also when something on its way replaced it
            return self._deferred(self._waits.deferral.waits)
        return self._ended(error)

    def _ended(self, error: BaseException) -> Outcome:
        """Return the outcome of an attempt that fails."""
        may_retry = self._may_retry(error)
        callback_error = None
        if (
            self._code
            and self._context is not None  # it may be empty
            and (self._call.is_last or not may_retry)
            and not self._context.cancelled()
        ):
            callback_error = self._call_back(self._code.task.on_failure, self._context, error)
        return Outcome(
            key=self._call.key,
            outcome=AttemptOutcome.FAILED,
            failure=failure_of(error, self._plain),
            may_retry=may_retry,
            callback_error=callback_error,
            logs=self._sink.close(),
            secrets=self._secrets.names,
            isolation=self._code.isolation if self._code else None,
        )

    def _plain(self, text: str) -> str:
        """Return a text as the author may read it: with the names of theirs, and no secrets."""
        plain = self._code.plain if self._code else plain_text
        return plain(self._secrets.text(text))

    def _may_retry(self, error: BaseException) -> bool:
        deterministic = isinstance(
            error,
            ResultTypeError
            | ValueTooLargeError
            | WaitOrderError
            | ChildRefusedError
            | CloacinaError,
        ) and not isinstance(error, StoreUnavailableError | SecretProviderError)
        policy = self._code.task.retry if self._code else RetryPolicy()
        try:
            return not deterministic and policy.wants(error)
        except BaseException:  # noqa: BLE001 - it asks the error, whose class may do anything
            return False

    def _call_back(self, callback: Callable[..., object] | None, *arguments: object) -> str | None:
        if callback is None:
            return None
        try:
            callback(*arguments)
        except BaseException as error:  # noqa: BLE001 - a callback changes nothing any more
            failure = failure_of(error, lambda text: plain_text(self._secrets.text(text)))
            return f"{failure.type}: {failure.message}"
        return None


def failure_of(error: BaseException, plain: Callable[[str], str]) -> Failure:
    """Return an exception as data.

    Args:
        error: the exception; its methods may raise, and its texts hold anything.
        plain: makes module names those that the author wrote.
    """
    return Failure(
        type=storable(_read(lambda: plain(qualified_name(type(error)))), MAX_TYPE_LENGTH),
        message=storable(_read(lambda: plain(_message(error))), MAX_MESSAGE_LENGTH),
        traceback=storable(_read(lambda: plain(_traceback(error))), MAX_TRACEBACK_LENGTH),
    )


def _read(part: Callable[[], str]) -> str:
    """Return one part of what an exception tells of itself, which runs code of its class."""
    try:
        return part()
    except BaseException as error:  # noqa: BLE001 - also SystemExit, from a user's __str__
        return f"(can't be read: {type(error).__name__} was raised)"


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, CloacinaError) else str(error)


def _traceback(error: BaseException) -> str:
    """Return the traceback of the author's code: the first frames are ours."""
    if isinstance(error, CloacinaError):  # its message says all
        return ""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(
        ("cloacina_core.", "pluggy.")
    ):
        frames = frames.tb_next
    told = traceback.TracebackException(type(error), error, frames, compact=True)
    return "".join(told.format())
