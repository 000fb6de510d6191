"""For tests of workflows, executors and blob stores. Needs no plugin of pytest, nor pytest itself.

Call a task's function with a plain `Context` to test that function alone. To test a workflow, run
it here: on the real engine and a database in memory, with a clock that only jumps, so that a retry
after five minutes takes no time.

>>> from datetime import timedelta
>>> from cloacina_core import Context, RetryPolicy, Workflow
>>> from cloacina_core.testing import run_workflow

>>> nightly = Workflow("nightly")
>>> @nightly.task(retry=RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=5)))
... def extract(context: Context) -> dict[str, list[int]]:
...     return {"amounts": [3, 4]}
>>> @nightly.task(after=[extract])
... async def summarise(context: Context) -> dict[str, int]:
...     return {"total": sum(context["amounts"])}

What comes out, and how it came about:

>>> result = run_workflow(nightly)
>>> result.status == "succeeded", result.context["total"]
(True, 7)
>>> [event.type.value for event in result.events][-3:]
['task_started', 'task_succeeded', 'run_succeeded']

A failure of the first attempt, and the pause before the second one:

>>> result = run_workflow(nightly, fail={"extract": [TimeoutError("no answer"), None]})
>>> [str(attempt.outcome) for attempt in result.tasks["extract"].attempts]
['failed', 'succeeded']
>>> str(result.elapsed)
'0:05:00'

An engine that dies when `extract` has done its work and nothing tells of it yet. The next engine
runs the task again, which is why effects on the world must bear repetition:

>>> result = run_workflow(nightly, crash="before commit:extract")
>>> [str(attempt.outcome) for attempt in result.tasks["extract"].attempts]
['lost', 'succeeded']
>>> result.context["total"]
7

A task that waits is sent what it waits for, and the clock jumps there:

>>> from cloacina_core.testing import Signal
>>> release = Workflow("release")
>>> @release.task
... def approve(context: Context) -> dict[str, object]:
...     return {"by": context.wait_for("approval", timeout=timedelta(days=1))}
>>> result = run_workflow(release, signals=[Signal("approval", "ann", after=timedelta(hours=2))])
>>> result.context["by"], str(result.elapsed)
('ann', '2:00:00')

A task that runs another workflow gets what the test says of it: a workflow that is run, the context
that such a run leaves, or what it fails with.

>>> report = Workflow("report")
>>> @report.task
... def count(context: Context) -> dict[str, object]:
...     clean = context.run_workflow("acme-etl/clean==1.*", {"day": "2026-01-05"})
...     return {"count": len(clean.context["rows"])}
>>> run_workflow(report, children={"acme-etl/clean==1.*": {"rows": [1, 2]}}).context["count"]
2
>>> print(run_workflow(report, children={"acme-etl/clean==1.*": OSError("full")}).error.type)
cloacina_core.model.child.ChildRunError

`WorkflowHarness` does the same for several runs on one store. Makers of executors derive their
tests from `ExecutorContract`, makers of blob stores from `BlobStoreContract`.
"""

from cloacina_core.testing.blob_store_contract import BlobStoreContract
from cloacina_core.testing.clock import FrozenClock
from cloacina_core.testing.crash_point import CrashPoint
from cloacina_core.testing.executor_contract import (
    ExecutorContract,
    InlineExecutorContract,
    IsolatingExecutorContract,
)
from cloacina_core.testing.harness import RunStalledError, WorkflowHarness, run_workflow
from cloacina_core.testing.result import HarnessResult
from cloacina_core.testing.signals import Sent, Signal

__all__ = [
    "BlobStoreContract",
    "CrashPoint",
    "ExecutorContract",
    "FrozenClock",
    "HarnessResult",
    "InlineExecutorContract",
    "IsolatingExecutorContract",
    "RunStalledError",
    "Sent",
    "Signal",
    "WorkflowHarness",
    "run_workflow",
]
