"""Durable workflows, shipped as signed wheels. This is what authors of workflows need.

Each name is imported when it is first asked for. What authors need imports the standard library
only; `Runtime` and its companions import the rest.
"""

from typing import TYPE_CHECKING

from cloacina_core.foundation.lazy_names import lazy_names

if TYPE_CHECKING:
    from cloacina_core.model import rules
    from cloacina_core.model.child import ChildResult, ChildRunError
    from cloacina_core.model.context import Context
    from cloacina_core.model.polling.result import Fire, Poll, Skip, fire, skip
    from cloacina_core.model.polling.trigger import Trigger
    from cloacina_core.model.retry import RetryPolicy, TransientError
    from cloacina_core.model.run import RunResult
    from cloacina_core.model.task import Task, task
    from cloacina_core.model.tenant import Quotas
    from cloacina_core.model.wait import WaitTimeoutError
    from cloacina_core.model.workflow import Workflow
    from cloacina_core.runtime.administration import DatabaseAdmin
    from cloacina_core.runtime.asynchronous import AsyncRuntime
    from cloacina_core.runtime.handle import RunHandle
    from cloacina_core.runtime.runtime import Runtime
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "cloacina_core.model": "rules",
            "cloacina_core.model.child": "ChildResult ChildRunError",
            "cloacina_core.model.context": "Context",
            "cloacina_core.model.polling.result": "Fire Poll Skip fire skip",
            "cloacina_core.model.polling.trigger": "Trigger",
            "cloacina_core.model.retry": "RetryPolicy TransientError",
            "cloacina_core.model.run": "RunResult",
            "cloacina_core.model.task": "Task task",
            "cloacina_core.model.tenant": "Quotas",
            "cloacina_core.model.wait": "WaitTimeoutError",
            "cloacina_core.model.workflow": "Workflow",
            "cloacina_core.runtime.administration": "DatabaseAdmin",
            "cloacina_core.runtime.asynchronous": "AsyncRuntime",
            "cloacina_core.runtime.handle": "RunHandle",
            "cloacina_core.runtime.runtime": "Runtime",
        },
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
