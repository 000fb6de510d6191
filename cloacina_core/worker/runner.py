"""Runs attempts in worker processes."""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from cloacina_core.engine.attempt import Wrap, direct, failure_of
from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.capture import LogSink
from cloacina_core.engine.secrets import AttemptSecrets, ReadSecret, no_secrets
from cloacina_core.engine.spilling import Spill
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import CloacinaError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.child import ChildResult
from cloacina_core.model.context import no_child
from cloacina_core.model.isolation import Isolation, WorkerEnvironment
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.run import Failure
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.model.wait import Deferral
from cloacina_core.worker.confinement import Limits
from cloacina_core.worker.conversation import Conversation
from cloacina_core.worker.failures import (
    NOT_STARTED,
    WorkerFailedError,
    WorkerLostError,
    failed,
    refused,
)
from cloacina_core.worker.pool.lending import Loan, Pool
from cloacina_core.worker.processes import remove_folder

Accept: TypeAlias = Callable[[tuple[str, ...], WorkerEnvironment], None]
"""Takes what a process is kept from, and whose code it is to run."""

_ROOM = 1024 * 1024
"""What an outcome has beside its values, in bytes: errors, tracebacks, waits."""

_OWN_FOLDER = str(Path(__file__).resolve().parents[1])
"""That of `cloacina_core`, some of whose modules are imported when they are needed."""


class TaskFailedError(Exception):
    """Raised to plugins around an attempt whose task failed in another process."""


class _Attempt:
    """What is known of one attempt on its way."""

    def __init__(self, call: TaskCall, stop: Stop, sink: LogSink, secrets: AttemptSecrets) -> None:
        self.call = call
        self.stop = stop
        self.sink = sink
        self.secrets = secrets
        self.policy = RetryPolicy()
        self.enforced: tuple[str, ...] = ()

    def take(self, told: Mapping[str, Any], environment: WorkerEnvironment) -> None:
        """Learn what an import came to.

        Raises:
            WorkerFailedError: the code can't be imported, or isn't what its release says.
        """
        workflow = self.call.workflow
        if (failure := told[workflow].get("failure")) is not None:
            raise WorkerFailedError(
                failure["type"],
                failure["message"],
                traceback=failure["traceback"],
                may_retry=False,
            )
        definition = told[workflow]["definition"]
        environment.verify(workflow, definition)
        for task in definition["tasks"]:
            if task["name"] == self.call.task:
                self.policy = RetryPolicy.from_json(task["retry"])


class WorkerRunner:
    """Runs attempts in processes, and waits for them in its caller's thread."""

    def __init__(  # noqa: PLR0913 - what it needs of others; all but four by name
        self,
        environment: Callable[[TaskCall], WorkerEnvironment],
        pool: Pool,
        clock: Clock,
        wrap: Wrap = direct,
        *,
        spill: Spill | None = None,
        child: Callable[[RunId], ChildResult] = no_child,
        limits: Limits | None = None,
        accept: Accept = lambda _enforced, _environment: None,
        sink: Callable[[TaskCall], LogSink] | None = None,
        secrets: ReadSecret = no_secrets,
    ) -> None:
        """Prepare.

        Args:
            environment: returns where the code of a call's release is; raises a `CloacinaError`.
            pool: lends the processes.
            clock: tells the time.
            wrap: stands around each attempt, in this process.
            spill: where large values go; None leaves them in the outcomes.
            child: reads a run that a task asked for and that has ended.
            limits: what the process of an attempt may use.
            accept: takes what a process is kept from, before it runs code of the release; raises a
                `CloacinaError` when that isn't enough.
            sink: returns what takes the lines of a call; None: they are told with its outcome.
            secrets: returns the values of secrets.
        """
        self._secrets = secrets
        self._environment = environment
        self._pool = pool
        self._wrap = wrap
        self._spill = spill
        self._child = child
        self._limits = limits or Limits()
        self._accept = accept
        self._sink = sink or (lambda _call: LogSink(clock))

    def run(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run an attempt to its end. Never raises: whatever its process does is data."""
        sink = self._sink(call)
        attempt = _Attempt(call, stop, sink, AttemptSecrets(call, self._secrets, sink, stop))
        if call.timed_out is not None or self._wrap is direct:
            outcome = self._outcome(attempt)
        else:
            outcome = self._wrapped(attempt)
        return dataclasses.replace(
            outcome,
            logs=attempt.sink.close(),
            secrets=attempt.secrets.names,
            isolation=Isolation.WORKER,
            enforced=attempt.enforced,
        )

    async def run_async(self, call: TaskCall, stop: Stop) -> Outcome:
        """Never called: see `wants_loop`."""
        raise NotImplementedError("an attempt in another process is waited for in a thread")

    def wants_loop(self, call: TaskCall) -> bool:  # noqa: ARG002 - all alike
        """Return False: coroutines run on a loop in their own process."""
        return False

    def _wrapped(self, attempt: _Attempt) -> Outcome:
        """Run an attempt with plugins around it, which are told how it ended."""
        outcomes: list[Outcome] = []

        def run() -> None:
            outcome = self._outcome(attempt)
            outcomes.append(outcome)
            if outcome.outcome is AttemptOutcome.DEFERRED:
                raise Deferral(outcome.waits)
            if outcome.failure is not None:
                raise TaskFailedError(str(outcome.failure))

        try:
            self._wrap(attempt.call, run)
        except (TaskFailedError, Deferral):
            pass
        except BaseException as error:  # noqa: BLE001 - what a plugin raises fails the attempt
            return self._failed(attempt, failure_of(error, str), may_retry=True)
        if not outcomes:
            reason = Failure(type="not-run", message="a plugin didn't call the task")
            return self._failed(attempt, reason, may_retry=False)
        return outcomes[0]

    def _outcome(self, attempt: _Attempt) -> Outcome:
        """Run an attempt in a process, and return how it ended."""
        try:
            environment = self._environment(attempt.call)
            return self._run_in(environment, attempt)
        except CloacinaError as error:
            return refused(attempt.call, error)
        except WorkerFailedError as error:
            for _, stream, line in error.logs:
                attempt.sink.line(stream, line)
            failure = attempt.secrets.clean_failure(error.failure)
            return self._failed(attempt, failure, may_retry=error.may_retry)
        except OSError as error:  # of this process: it has no descriptors, memory or disk left
            reason = Failure(type=NOT_STARTED, message=f"no process for the attempt: {error}")
            return self._failed(attempt, reason, may_retry=True)

    def _run_in(self, environment: WorkerEnvironment, attempt: _Attempt) -> Outcome:
        loan = self._pool.lend(environment, attempt.stop)
        is_usable = True
        try:
            for _, stream, line in loan.logs:
                attempt.sink.line(stream, line)
            if loan.told is not None:
                attempt.take(loan.told, environment)
            return self._converse(loan, environment, attempt)
        except (WorkerLostError, OSError):
            is_usable = False
            raise
        finally:
            loan.end(is_usable=is_usable)

    def _converse(self, loan: Loan, environment: WorkerEnvironment, attempt: _Attempt) -> Outcome:
        name = "/".join(map(str, attempt.call.key))
        folder = tempfile.mkdtemp(dir=self._pool.folder)
        conversation = Conversation(
            attempt.call,
            name,
            sink=attempt.sink,
            most_bytes=self._most_bytes(attempt.call),
            spill=self._spill,
            child=self._child,
            secrets=attempt.secrets,
            accept=lambda enforced: self._accept(enforced, environment),
            verify=lambda told: attempt.take(told, environment),
        )
        try:
            lines = loan.worker.begin(self._message(environment, attempt, name, folder))
            with closing(lines):
                return attempt.secrets.clean(conversation.hold(loan.worker, lines, attempt.stop))
        finally:
            attempt.enforced = conversation.enforced
            remove_folder(folder)  # if its keeper couldn't

    def _most_bytes(self, call: TaskCall) -> int:
        """Return how long a message of an attempt may be; JSON in JSON is at most twice as long."""
        spilled = 0 if self._spill is None else self._spill.max_spilled_bytes
        return 2 * max(call.max_value_bytes, spilled) + _ROOM

    def _message(
        self, environment: WorkerEnvironment, attempt: _Attempt, name: str, folder: str
    ) -> dict[str, JsonValue]:
        spill, capabilities = self._spill, environment.capabilities
        return {
            "attempt": name,
            "workflow": attempt.call.workflow,
            "folder": folder,
            "limits": dataclasses.asdict(self._limits),
            "readable": [_OWN_FOLDER, *map(str, environment.folders)],
            "capabilities": None if capabilities is None else sorted(capabilities),
            "spill": spill
            and {"spill_bytes": spill.spill_bytes, "max_spilled_bytes": spill.max_spilled_bytes},
        }

    def _failed(self, attempt: _Attempt, failure: Failure, *, may_retry: bool) -> Outcome:
        wanted = attempt.policy.wants_kind(failure.type, failure.message)
        return failed(attempt.call, failure, may_retry=may_retry and wanted)
