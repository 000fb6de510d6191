"""Why an attempt failed whose process couldn't say it: kinds of failure, and how they read."""

import os
import signal

from cloacina_core.engine.attempt import failure_of
from cloacina_core.engine.call import LogEntry, Outcome, TaskCall
from cloacina_core.errors import CloacinaError, StoreUnavailableError
from cloacina_core.model.run import Failure
from cloacina_core.model.status import AttemptOutcome

CRASHED = "worker-crashed"
"""The process ended before it answered."""
IMPORT_FAILED = "worker-import"
"""The code can't be imported, or importing it ended the process, or took too long."""
PROTOCOL = "worker-protocol"
"""The process sent something that no attempt sends."""
NOT_STARTED = "worker-start"
"""There is no process for the attempt."""


class WorkerFailedError(Exception):
    """An attempt can't be run, or failed without an outcome of its own.

    Attributes:
        failure: why, as data.
        may_retry: whether it may be different another time.
        logs: what was printed on the way, if that isn't told elsewhere.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        traceback: str = "",
        may_retry: bool = True,
        logs: tuple[LogEntry, ...] = (),
    ) -> None:
        super().__init__(message)
        self.failure = Failure(type=kind, message=message, traceback=traceback)
        self.may_retry = may_retry
        self.logs = logs


class WorkerLostError(WorkerFailedError):
    """The worker failed together with its attempt: it can serve no other."""


def failed(call: TaskCall, failure: Failure, *, may_retry: bool) -> Outcome:
    """Return the outcome of a call that failed without one of its own."""
    if call.timed_out is not None:  # the attempt was over before, and stays what it was
        return Outcome(
            key=call.key,
            outcome=AttemptOutcome.TIMED_OUT,
            failure=call.timed_out,
            callback_error=str(failure),
            of_callback=True,
        )
    return Outcome(
        key=call.key, outcome=AttemptOutcome.FAILED, failure=failure, may_retry=may_retry
    )


def refused(call: TaskCall, error: CloacinaError) -> Outcome:
    """Return the outcome of a call whose release or environment is refused."""
    may_retry = isinstance(error, StoreUnavailableError)
    return failed(call, failure_of(error, str), may_retry=may_retry)


def crash(status: int) -> WorkerFailedError:
    """Return why an attempt failed whose process ended by itself before it answered.

    Args:
        status: as `os.waitpid` tells it.
    """
    return WorkerFailedError(CRASHED, f"its process {how_it_ended(status)}")


def how_it_ended(status: int) -> str:
    """Return how a process ended that nobody here killed, as one clause.

    Args:
        status: as `os.waitpid` tells it.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code} before it answered"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    guess = ", perhaps out of memory" if -code == signal.SIGKILL else ""
    return f"was ended by signal {name}{guess}"
