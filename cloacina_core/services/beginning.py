"""Starts the run of what is due, and has it written down: the same for all that starts runs."""

import logging
from collections.abc import Callable
from typing import TypeVar

from cloacina_core.errors import (
    CloacinaError,
    IdempotencyConflictError,
    OverQuotaError,
    StoreUnavailableError,
    TenantSuspendedError,
)
from cloacina_core.foundation.ids import RunId

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PASSING = (StoreUnavailableError, OverQuotaError, TenantSuspendedError)
"""Why a run isn't accepted now, and may be later."""
_MOST_PROBLEMS = 3


def begin_run(
    due: T,
    start: Callable[[T], RunId],
    *,
    started: Callable[[T, RunId], object],
    failed: Callable[[T, str], object],
    whose: str,
) -> bool:
    """Start a run, once however often this is called; False when it has to be tried again later.

    Args:
        due: what asks for the run.
        start: accepts its run, or finds that it was accepted.
        started: writes down which run it has.
        failed: writes down why it has none, and never will.
        whose: who asks, for the log, as `schedule 'nightly'`.

    Raises:
        StoreError: the store can't be written, and it stays due.
    """
    try:
        started(due, start(due))
    except IdempotencyConflictError as error:  # it was started before what it asks for was changed
        started(due, RunId(error.run_id))
    except _PASSING as error:  # it stays due, for a later look or another engine
        _log.warning("the run of %s can't be accepted now: %s", whose, error)
        return False
    except CloacinaError as error:
        _log.warning("%s can't start a run: %s", whose, error)
        failed(due, reason_of(error))
    return True


def reason_of(error: CloacinaError) -> str:
    """Return why something can't be started, in one line with the first problems, for a history."""
    told = "; ".join(str(problem) for problem in error.problems[:_MOST_PROBLEMS])
    more = len(error.problems) - _MOST_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    return f"{error.code}: {error.message}{f': {told}{rest}' if told else ''}"
