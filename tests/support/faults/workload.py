"""The workload: runs with all kinds of tasks, one that fails at first, two that wait, a mapped one.

Tasks are short, but longer than a transaction, and there are few slots: whenever an engine dies,
attempts are live.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from random import Random

from support.faults.ledger import Ledger
from support.runs import soon, workflow_of

from cloacina_core.errors import IllegalTransitionError, OutcomeUnknownError, StoreUnavailableError
from cloacina_core.foundation.names import instance_name
from cloacina_core.model.context import Context
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import Runtime

LONGEST_TASK = 0.04
"""Seconds."""

SLOTS = 3
SIGNAL = "go-on"

AFTER = {
    "first": [],
    "second": ["first"],
    "left": ["second"],
    "shaky": ["second"],
    "nap": ["second"],
    "approval": ["second"],
    "each": ["second"],
    "last": ["left", "shaky", "nap", "approval", "each"],
}
IN_ORDER = [(before, name) for name, all_before in AFTER.items() for before in all_before]
WAITING = ("nap", "approval")
"""Tasks that wait: their functions are called again, in the same attempt, when it is over."""

ITEMS = 3
DONE = ["left", "shaky", "nap", "approval", "last"]
"""What the last task finds in the context, and adds itself to."""


def workflow(ledger: Ledger, longest_task: float = LONGEST_TASK) -> Workflow:
    """Return the workflow whose tasks write down what they do."""

    def pause(context: Context) -> None:
        chance = Random(f"{context.idempotency_token}{context.attempt}").random()
        time.sleep(chance * longest_task)

    def work(context: Context) -> dict[str, object]:
        ledger.write("begin", context.run_id, context.task, context.attempt)
        pause(context)
        if context.task == "shaky" and context.attempt == 1:
            raise ConnectionError("at first")
        if context.task == "nap":
            context.sleep(timedelta(seconds=longest_task))
        joined = context["done"] if context.task == "last" else []
        return {"done": [*joined, context.task], context.task: context.attempt}

    def second(context: Context) -> dict[str, object]:
        return {**work(context), "items": list(range(ITEMS))}

    def each(context: Context) -> dict[str, object]:
        name = instance_name(context.task, context.index or 0)
        ledger.write("begin", context.run_id, name, context.attempt)
        pause(context)
        return {"squares": context.item**2}

    def approval(context: Context) -> dict[str, object]:
        done = work(context)
        return {**done, "approved_for": context.wait_for(SIGNAL)}

    functions = {**dict.fromkeys(AFTER, work), "second": second, "each": each, "approval": approval}
    return workflow_of(
        AFTER,
        functions=functions,
        options={
            "last": {"merge": {"done": "concat"}},
            "shaky": {"retry": soon(max_attempts=9)},
            "each": {"map": "items"},
        },
    )


def submit(runtime: Runtime, flow: Workflow, ledger: Ledger, keys: Iterable[str]) -> None:
    """Submit a run for each key, some only recorded, and write down what is acknowledged.

    A key that isn't is refused or unknown: the harness hands it in again, later.
    """
    for key in keys:
        ledger.write("wanted", key)
        detach = Random(key).random() < 1 / 3
        with suppress(OutcomeUnknownError, StoreUnavailableError):
            handle = runtime.submit(flow, {"key": key}, idempotency_key=key, detach=detach)
            ledger.write("accepted", key, handle.id)


def approve(runtime: Runtime, ledger: Ledger) -> bool:
    """Send each live run the signal that it waits for; return whether there is any live run."""
    live = [summary for summary in runtime.list(limit=1000) if not summary.status.is_final]
    signalled = {run_id for (run_id,) in ledger.lines("signalled")}
    for summary in live:
        if summary.run_id not in signalled:
            with suppress(IllegalTransitionError):  # it has ended just now
                runtime.signal(summary.run_id, SIGNAL, summary.idempotency_key)
            ledger.write("signalled", summary.run_id)
    return bool(live)
