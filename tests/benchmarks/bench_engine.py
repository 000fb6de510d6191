"""How long runs take, beside the bare cost of the same durable commits on the same disk.

    python tests/benchmarks/bench_engine.py [--json] [--rounds N] [--synchronous FULL|NORMAL]

Prints medians. Only the ratios mean something on another machine. A raw commit is one insert and
one update of 300 bytes in a transaction, with the bare driver, in the journal mode in use.
"""
# ruff: noqa: T201 - printing is what it is for

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloacina_core import Context, Runtime, Workflow, task
from cloacina_core.store.sqlite import choose_library

RAW_COMMITS = 300
MANY_RUNS = 1_000
SUBMITTERS = 16
LAYERS, WIDTH = 10, 100


@dataclass(frozen=True, slots=True)
class Measured:
    """One workload."""

    name: str
    median_ms: float
    raw_ms: float
    """The cost of the raw commits that it can't do without, one after the other."""
    rate: float
    """Tasks, or runs, each second."""
    unit: str

    @property
    def ratio(self) -> float:
        """How many times the raw cost it takes."""
        return self.median_ms / self.raw_ms


def _no_op(context: Context) -> dict[str, object]:
    return {"a": context.attempt, "b": "text", "c": 1.5, "d": None, "e": True}


def chain(length: int) -> Workflow:
    """Return a workflow of tasks one after the other."""
    names = [f"t{number}" for number in range(length)]
    flow = Workflow(f"chain_{length}")
    for name, before in zip(names, [None, *names], strict=False):
        flow.add(task(name=name, after=[before] if before else [])(_no_op))
    return flow


def fan(width: int) -> Workflow:
    """Return a workflow of one task, then many side by side, then one."""
    middle = [f"m{number}" for number in range(width)]
    flow = Workflow(f"fan_{width}")
    flow.add(task(name="first")(_no_op))
    for name in middle:
        flow.add(task(name=name, after=["first"])(_no_op))
    flow.add(task(name="last", after=middle)(_no_op))
    return flow


def layered(layers: int, width: int) -> Workflow:
    """Return a workflow in layers; each task comes after one of the layer above."""
    flow = Workflow(f"layers_{layers}_{width}")
    for layer in range(layers):
        for number in range(width):
            before = [f"t{layer - 1}_{number}"] if layer else []
            flow.add(task(name=f"t{layer}_{number}", after=before)(_no_op))
    return flow


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def raw_commit_ms(folder: Path, synchronous: str) -> float:
    """Return the median cost of one raw commit."""
    library = choose_library()
    connection = library.module.connect(str(folder / "raw.db"), isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {library.journal_mode}")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)")
    body = "x" * 300

    def commit() -> None:
        connection.execute("BEGIN IMMEDIATE")
        cursor = connection.execute("INSERT INTO t (body) VALUES (?)", (body,))
        connection.execute("UPDATE t SET body = ? WHERE id = ?", (body, cursor.lastrowid))
        connection.execute("COMMIT")

    costs = [seconds(commit) for _ in range(RAW_COMMITS)]
    connection.close()
    return statistics.median(costs) * 1000


def measure(runtime: Runtime, raw_ms: float, rounds: int) -> list[Measured]:
    """Measure all workloads on an open runtime."""
    measured = []
    one, ten, wide, deep = chain(1), chain(10), fan(WIDTH), layered(LAYERS, WIDTH)
    for name, flow, tasks, commits in (
        ("W1 one task", one, 1, 2),
        ("W2 chain of 10", ten, 10, 11),
        (f"W3 1 -> {WIDTH} -> 1", wide, WIDTH + 2, 4),
        (f"W7 {LAYERS * WIDTH} tasks in {LAYERS} layers", deep, LAYERS * WIDTH, LAYERS + 1),
    ):
        runtime.run(flow)
        repeats = max(3, rounds // tasks)
        cost = statistics.median(
            seconds(lambda flow=flow: runtime.run(flow)) for _ in range(repeats)
        )
        measured.append(Measured(name, cost * 1000, raw_ms * commits, tasks / cost, "tasks/s"))
    costs = [seconds(lambda: _submit_many(runtime, one)) for _ in range(3)]
    cost = statistics.median(costs)
    name = f"W4 {MANY_RUNS} runs at once"
    measured.append(Measured(name, cost * 1000, raw_ms * 2 * MANY_RUNS, MANY_RUNS / cost, "runs/s"))
    return measured


def _submit_many(runtime: Runtime, flow: Workflow) -> None:
    with ThreadPoolExecutor(SUBMITTERS) as submitters:
        handles = list(submitters.map(lambda _: runtime.submit(flow), range(MANY_RUNS)))
    for handle in handles:
        handle.result()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--synchronous", choices=["FULL", "NORMAL"], default="FULL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw_ms = raw_commit_ms(folder, options.synchronous)
        url = f"sqlite:///{folder / 'bench.db'}?synchronous={options.synchronous}"
        with Runtime.open(url, home=folder) as runtime:
            measured = measure(runtime, raw_ms, options.rounds)
    _print(raw_ms, measured, as_json=options.json)


def _print(raw_ms: float, measured: list[Measured], *, as_json: bool) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [{**asdict(row), "ratio": row.ratio} for row in measured]
        print(json.dumps({"raw_commit_ms": raw_ms, "workloads": rows}, indent=2))
        return
    print(f"one raw commit: {raw_ms:.3f} ms")
    print(f"{'workload':<28}{'median ms':>11}{'raw ms':>9}{'ratio':>8}{'rate':>18}")
    for row in measured:
        rate = f"{row.rate:,.0f} {row.unit}"
        print(f"{row.name:<28}{row.median_ms:>11.2f}{row.raw_ms:>9.2f}{row.ratio:>8.2f}{rate:>18}")


if __name__ == "__main__":
    main()
