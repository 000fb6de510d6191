"""Durable workflows, shipped as signed wheels. This is what authors of workflows need.

Importing this package imports the standard library only; `Runtime` and its companions are loaded
when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from cloacina_core.model import rules
from cloacina_core.model.child import ChildResult, ChildRunError
from cloacina_core.model.context import Context
from cloacina_core.model.polling.result import Fire, Poll, Skip, fire, skip
from cloacina_core.model.polling.trigger import Trigger
from cloacina_core.model.retry import RetryPolicy, TransientError
from cloacina_core.model.task import Task, task
from cloacina_core.model.wait import WaitTimeoutError
from cloacina_core.model.workflow import Workflow

if TYPE_CHECKING:
    from cloacina_core.runtime import (
        AsyncRuntime,
        DatabaseAdmin,
        Quotas,
        RunHandle,
        RunResult,
        Runtime,
    )

__all__ = [
    "AsyncRuntime",
    "ChildResult",
    "ChildRunError",
    "Context",
    "DatabaseAdmin",
    "Fire",
    "Poll",
    "Quotas",
    "RetryPolicy",
    "RunHandle",
    "RunResult",
    "Runtime",
    "Skip",
    "Task",
    "TransientError",
    "Trigger",
    "WaitTimeoutError",
    "Workflow",
    "fire",
    "rules",
    "skip",
    "task",
]

_HEAVY = frozenset({"AsyncRuntime", "DatabaseAdmin", "Quotas", "RunHandle", "RunResult", "Runtime"})


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        from cloacina_core import runtime  # noqa: PLC0415 - a worker must not pay for SQLAlchemy

        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
