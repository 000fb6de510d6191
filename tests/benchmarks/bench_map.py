"""How the time of a run grows with the instances of a mapped task, and what they hold of memory.

    python tests/benchmarks/bench_map.py [--json] [--synchronous FULL|NORMAL] [--sizes 100 1000]

Only the ratios mean something on another machine: one that grows faster than the number of
instances has found work that isn't done once for each. `take up` is how long
it takes to read a run of which nine of ten instances have ended, and to decide how it goes on.
"""
# ruff: noqa: T201 - printing is what it is for

import argparse
import json
import resource
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from cloacina_core import Context, Runtime, Workflow
from cloacina_core.engine import planner
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.run_state import RunState
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.names import split_instance
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.store.database import Database
from cloacina_core.store.reading import RunReader

SIZES = (100, 1_000, 10_000)
UNDER_WAY = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of so many instances."""

    instances: int
    run_seconds: float
    take_up_seconds: float
    peak_mb: float
    """Of the process, so far."""

    @property
    def rate(self) -> float:
        """How many instances end each second."""
        return self.instances / self.run_seconds


flow = Workflow("mapped")


@flow.task(map="items", max_parallel=UNDER_WAY)
def work(context: Context) -> dict[str, object]:
    """Do next to nothing with the item."""
    return {"rows": context.item["size"]}


@flow.task(after=[work])
def total(context: Context) -> dict[str, object]:
    """Read what all instances left."""
    return {"total": sum(context["rows"])}


def measure(runtime: Runtime, url: str, size: int) -> Measured:
    """Run a map over so many items, then take the run up as if its engine had died near the end."""
    items = [{"name": f"file-{number:06}.csv", "size": number} for number in range(size)]
    began = time.perf_counter()
    result = runtime.run(flow, context={"items": items})
    run_seconds = time.perf_counter() - began
    assert result.context["total"] == sum(range(size))
    return Measured(
        instances=size,
        run_seconds=run_seconds,
        take_up_seconds=_take_up_seconds(url, result.run_id, size),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _take_up_seconds(url: str, run_id: RunId, size: int) -> float:
    database = Database(url, SystemClock())
    began = time.perf_counter()
    stored = RunReader(database).load(run_id)
    rows = {
        name: row
        for name, row in stored.tasks.items()
        if name != "total" and (split_instance(name)[1] or 0) < size * 9 // 10
    }
    rows["work"] = replace(rows["work"], status=TaskStatus.RUNNING)
    summary = replace(stored.summary, status=RunStatus.RUNNING)
    unfinished = replace(stored, summary=summary, tasks=rows)
    run = RunState.restore(Plan(stored.definition), unfinished)
    decisions = planner.take_up(run)
    spent = time.perf_counter() - began
    assert len(decisions) == UNDER_WAY
    database.close()
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--synchronous", choices=["FULL", "NORMAL"], default="FULL")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{Path(name) / 'bench.db'}?synchronous={options.synchronous}"
        with Runtime.open(url, home=Path(name)) as runtime:
            measured = [measure(runtime, url, size) for size in options.sizes]
    _print(measured, as_json=options.json)


def _print(measured: list[Measured], *, as_json: bool) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [asdict(row) for row in measured]
        print(json.dumps({"workloads": rows}, indent=2))
        return
    print(f"{'instances':>10}{'run s':>9}{'each s':>9}{'take up s':>11}{'peak MB':>9}")
    for row in measured:
        print(
            f"{row.instances:>10,}{row.run_seconds:>9.2f}{row.rate:>9,.0f}"
            f"{row.take_up_seconds:>11.3f}{row.peak_mb:>9.0f}"
        )
    for small, large in pairwise(measured):
        run = large.run_seconds / small.run_seconds
        take_up = large.take_up_seconds / small.take_up_seconds
        times = large.instances / small.instances
        print(f"{times:g} times the instances: {run:.1f} times the run, {take_up:.1f} the take-up")


if __name__ == "__main__":
    main()
