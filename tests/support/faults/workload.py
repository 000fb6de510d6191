"""The workload: runs with a chain, a fan, and a task that fails at first.

Tasks are short, but longer than a transaction, and there are few slots: whenever an engine dies,
attempts are live.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from random import Random

from support.faults.ledger import Ledger
from support.runs import soon, workflow_of

from cloacina_core.errors import OutcomeUnknownError, StoreUnavailableError
from cloacina_core.model.context import Context
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import Runtime

LONGEST_TASK = 0.06
"""Seconds."""

SLOTS = 3

AFTER = {
    "first": [],
    "second": ["first"],
    "left": ["second"],
    "right": ["second"],
    "shaky": ["second"],
    "last": ["left", "right", "shaky"],
}
IN_ORDER = [("first", "second"), ("second", "left"), ("shaky", "last"), ("left", "last")]
DONE = ["left", "right", "shaky", "last"]
"""What the last task finds in the context, and adds itself to."""


def workflow(ledger: Ledger, longest_task: float = LONGEST_TASK) -> Workflow:
    """Return the workflow whose tasks write down what they do."""

    def work(context: Context) -> dict[str, object]:
        ledger.write("begin", context.run_id, context.task, context.attempt)
        chance = Random(f"{context.run_id}{context.task}{context.attempt}").random()
        time.sleep(chance * longest_task)
        if context.task == "shaky" and context.attempt == 1:
            raise ConnectionError("at first")
        ledger.write("end", context.run_id, context.task, context.attempt)
        joined = context["done"] if context.task == "last" else []
        return {"done": [*joined, context.task], context.task: context.attempt}

    return workflow_of(
        AFTER,
        functions=dict.fromkeys(AFTER, work),
        options={"last": {"merge": "concat"}, "shaky": {"retry": soon(max_attempts=9)}},
    )


def submit(runtime: Runtime, flow: Workflow, ledger: Ledger, keys: Iterable[str]) -> None:
    """Submit a run for each key, some only recorded, and write down what is acknowledged.

    A key that isn't is refused or unknown: the harness hands it in again, later.
    """
    for key in keys:
        detach = Random(key).random() < 1 / 3
        with suppress(OutcomeUnknownError, StoreUnavailableError):
            handle = runtime.submit(flow, {"key": key}, idempotency_key=key, detach=detach)
            ledger.write("accepted", key, handle.id)
