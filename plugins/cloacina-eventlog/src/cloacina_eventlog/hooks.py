"""What Cloacina calls: an observer of events, and a wrapper around attempts."""

import logging
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from cloacina_core.plugin import AttemptCall, RunEvent, hookimpl
from cloacina_eventlog.eventlog import EventLog

_log = logging.getLogger(__name__)


@hookimpl
def cloacina_run_event(event: RunEvent) -> None:
    """Write an event down. When that fails, Cloacina logs the error."""
    _eventlog().append(event.to_json())


@hookimpl(wrapper=True)
def cloacina_run_task(call: AttemptCall) -> Generator[None, Any, Any]:
    """Write down how long an attempt's function took."""
    began = time.monotonic()
    raised = True
    try:
        result = yield
        raised = False
    finally:
        _tell(call, time.monotonic() - began, raised=raised)
    return result


def _tell(call: AttemptCall, seconds: float, *, raised: bool) -> None:
    entry = {
        "type": "attempt_timed",
        "run_id": call.run_id,
        "task": call.task,
        "attempt": call.attempt,
        "seconds": round(seconds, 6),
        "raised": raised,
    }
    try:
        _eventlog().append(entry)
    except OSError as error:
        # What a wrapper raises fails the attempt, and a log isn't worth that.
        _log.warning("can't write down how long an attempt took: %s", error)


def _eventlog() -> EventLog:
    return EventLog.of(os.environ, Path.cwd())
