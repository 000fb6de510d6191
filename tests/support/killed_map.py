"""The process that the kill test of mapped tasks starts: an engine that dies in midst of a list.

Run as `python -m support.killed_map HOME URL LEDGER submit|resume`. The environment says which
attempt is its end: in the workflow's code, it would make another workflow of it.
"""

import itertools
import os
import signal
import sys
import time
from pathlib import Path

from support.faults.ledger import Ledger
from support.runs import open_runtime, workflow_of

from cloacina_core.model.context import Context
from cloacina_core.model.workflow import Workflow

ITEMS = 60
AT_A_TIME = 3
TASK_SECONDS = 0.005


def workflow(ledger: str) -> Workflow:
    """Return a workflow with a mapped task, and one that adds up what its instances left."""
    begun = itertools.count(1)

    def files(_context: Context) -> dict[str, object]:
        return {"files": [{"size": number} for number in range(ITEMS)]}

    def measure(context: Context) -> dict[str, object]:
        Ledger(Path(ledger)).write("begin", context.index, context.attempt)
        if next(begun) == int(os.environ["CLOACINA_TEST_LIFE"]):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(TASK_SECONDS)
        return {"sizes": context.item["size"]}

    def total(context: Context) -> dict[str, object]:
        return {"total": sum(context["sizes"])}

    return workflow_of(
        {"files": [], "measure": ["files"], "total": ["measure"]},
        functions={"files": files, "measure": measure, "total": total},
        options={"measure": {"map": "files", "max_parallel": AT_A_TIME}},
    )


def main(home: str, url: str, ledger: str, order: str) -> None:
    """Submit the run, or go on with it, and wait for its end."""
    flow = workflow(ledger)
    with open_runtime(Path(home), url, workflows=[flow]) as runtime:
        if order == "submit":
            runtime.submit(flow)
        while any(not summary.status.is_final for summary in runtime.list()):
            time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
