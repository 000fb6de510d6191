"""The process that the kill test of children starts: an engine that dies while a task waits.

Run as `python -m support.killed_parent HOME URL LEDGER MOMENT submit|resume`. It dies at the given
moment: when the run that was asked for begins (`begin`), when it is about to end (`end`), or when
the task that waited is called again (`again`); with `never`, it finishes the runs.
"""

import os
import signal
import sys
import time
from pathlib import Path

from support.faults.ledger import Ledger
from support.runs import open_runtime, workflow_of

from cloacina_core.model.context import Context
from cloacina_core.model.workflow import Workflow


def workflows(ledger: str) -> tuple[Workflow, Workflow]:
    """Return a workflow that runs another one, and the other one."""

    def die(moment: str) -> None:
        if os.environ["CLOACINA_TEST_MOMENT"] == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def first(context: Context) -> None:
        Ledger(Path(ledger)).write("child", context.run_id, context.attempt)
        die("begin")

    def last(_context: Context) -> dict[str, object]:
        die("end")
        return {"rows": 3}

    def ask(context: Context) -> dict[str, object]:
        result = context.run_workflow("child")
        die("again")
        return {"rows": result.context["rows"]}

    child = workflow_of(
        {"first": [], "last": ["first"]}, functions={"first": first, "last": last}, name="child"
    )
    return workflow_of({"ask": []}, functions={"ask": ask}, name="parent"), child


def main(home: str, url: str, ledger: str, order: str) -> None:
    """Submit the run, or go on with it, and wait for the end of all."""
    parent, child = workflows(ledger)
    with open_runtime(Path(home), url, workflows=[parent, child]) as runtime:
        if order == "submit":
            runtime.submit(parent)
        while any(not summary.status.is_final for summary in runtime.list()):
            time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
