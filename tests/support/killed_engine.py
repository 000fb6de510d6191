"""The process that the kill tests kill: an engine whose tasks write down what they do.

Run as `python -m support.killed_engine HOME URL LEDGER submit COUNT` or `... resume`. Each line of
the ledger is one side effect: it is on disk before the task goes on.
"""

import os
import sys
import time
from pathlib import Path
from random import Random

from support.runs import open_runtime, soon, workflow_of

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.model.context import Context
from cloacina_core.model.workflow import Workflow

LONGEST_TASK = 0.06
"""Seconds."""

SLOTS = 3
"""Few, so that there is always something left to do."""


def ledger_line(*words: object) -> bytes:
    """Return one line of the ledger."""
    return (" ".join(map(str, words)) + "\n").encode()


def write_down(ledger: str, *words: object) -> None:
    """Append a line in one write, so that no kill can tear it, and have it on disk."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, ledger_line(*words))
    os.fsync(file)
    os.close(file)


def workflow(ledger: str) -> Workflow:
    """Return a workflow with a chain, a fan and a task that fails at first."""

    def work(context: Context) -> dict[str, object]:
        write_down(ledger, "begin", context.run_id, context.task, context.attempt)
        time.sleep(
            Random(f"{context.run_id}{context.task}{context.attempt}").random() * LONGEST_TASK
        )
        if context.task == "shaky" and context.attempt == 1:
            raise ConnectionError("at first")
        write_down(ledger, "end", context.run_id, context.task, context.attempt)
        joined = context["done"] if context.task == "last" else []
        return {"done": [*joined, context.task], context.task: context.attempt}

    after = {
        "first": [],
        "second": ["first"],
        "left": ["second"],
        "right": ["second"],
        "shaky": ["second"],
        "last": ["left", "right", "shaky"],
    }
    return workflow_of(
        after,
        functions=dict.fromkeys(after, work),
        options={
            "last": {"merge": "concat"},
            "shaky": {"retry": soon(max_attempts=9)},
        },
    )


def main(home: str, url: str, ledger: str, order: str, count: str = "0") -> None:
    """Submit runs and tell their ids as they are accepted, or go on with all there are."""
    flow = workflow(ledger)
    with open_runtime(Path(home), url, workflows=[flow], slots=SLOTS) as runtime:
        for number in range(int(count)):
            run_id = runtime.submit(flow, {"n": number}).id
            write_down(ledger, "accepted", run_id)
        write_down(ledger, order)
        while any(not summary.status.is_final for summary in runtime.list(limit=1000)):
            time.sleep(0.01)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except StoreUnavailableError as error:
        sys.exit(str(error))
