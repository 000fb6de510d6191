"""The engine, as a contender: `run_cloacina.py URL HOME`. See `protocol.py`."""

import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from protocol import peak_mb, repeated, serve
from sqlalchemy import select

from cloacina_core import Context, RunHandle, Runtime, Workflow, task
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.store import schema
from cloacina_core.store.database import Database

SUBMITTERS = 16


def five_values(context: Context) -> dict[str, object]:
    """Do nothing, and hand on five values: what each task of a workload does."""
    return {"a": context.attempt, "b": "text", "c": 1.5, "d": None, "e": True}


def chain(length: int) -> Workflow:
    """Return a workflow of tasks one after the other."""
    return _layers(f"chain_{length}", length, 1)


def layered(size: int) -> Workflow:
    """Return a workflow in ten layers; each task comes after one of the layer above."""
    return _layers(f"layers_{size}", 10, size // 10)


def fan(width: int) -> Workflow:
    """Return a workflow of one task, then many side by side, then one."""
    flow = Workflow(f"fan_{width}")
    middle = [f"m{number}" for number in range(width)]
    flow.add(task(name="first")(five_values))
    for name in middle:
        flow.add(task(name=name, after=["first"])(five_values))
    flow.add(task(name="last", after=middle)(five_values))
    return flow


def _layers(name: str, layers: int, width: int) -> Workflow:
    flow = Workflow(name)
    for layer in range(layers):
        for number in range(width):
            before = [f"t{layer - 1}_{number}"] if layer else []
            flow.add(task(name=f"t{layer}_{number}", after=before)(five_values))
    return flow


class Contender:
    """An open runtime, and what can be asked of it."""

    def __init__(self, runtime: Runtime, url: str) -> None:
        self._runtime = runtime
        self._store = Database(url, SystemClock())
        self._flows: dict[tuple[str, int], Workflow] = {}

    def lone(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a workflow again and again, one run at a time."""
        flow = self._flow(request["shape"], request["size"])
        return self._counting(request, lambda: self._runtime.run(flow))

    def many(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Submit many runs of one task together, and wait for them all."""
        flow, count = self._flow("chain", 1), request["size"]
        return self._counting(request, lambda: _wait_for(self._submit(flow, count)))

    def by_threads(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Submit many runs of one task, each by itself from one of several threads."""
        flow, count = self._flow("chain", 1), request["size"]
        return self._counting(request, lambda: self._run_by_threads(flow, count))

    def in_flight(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the memory that it takes to have many runs begun and none ended."""
        before, gate = peak_mb(), threading.Event()

        @task
        def held(_context: Context) -> None:
            gate.wait()

        flow = Workflow("held", tasks=[held])
        handles = self._submit(flow, request["size"])
        answer = {"before_mb": before, "mb": peak_mb()}
        gate.set()
        _wait_for(handles)
        return answer

    def idle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return how much processor time it takes to wait for nothing."""
        began = time.process_time()
        time.sleep(request["seconds"])
        return {"percent": (time.process_time() - began) / request["seconds"] * 100}

    def _flow(self, shape: str, size: int) -> Workflow:
        flow = self._flows.get((shape, size))
        if flow is None:
            make = {"chain": chain, "fan": fan, "layers": layered}[shape]
            flow = self._flows[shape, size] = make(size)
            flow.definition()
        return flow

    def _submit(self, flow: Workflow, count: int) -> Sequence[RunHandle]:
        return self._runtime.submit_many(flow, [None] * count)

    def _run_by_threads(self, flow: Workflow, count: int) -> None:
        with ThreadPoolExecutor(SUBMITTERS) as submitters:
            handles = list(submitters.map(lambda _: self._runtime.submit(flow), range(count)))
        _wait_for(handles)

    def _counting(self, request: Mapping[str, Any], action: Any) -> dict[str, Any]:
        before = self._transactions()
        measured = repeated(action, request)
        return {**measured, "commits": (self._transactions() - before) / request["repeats"]}

    def _transactions(self) -> int:
        """Return how many transactions this engine has written runs with."""
        engines = schema.engines.c
        wanted = select(engines.writes).where(engines.id == self._runtime.engine_id)
        with self._store.read() as connection:
            return int(connection.execute(wanted).scalar_one())


def _wait_for(handles: Iterable[RunHandle]) -> None:
    for handle in handles:
        handle.result()


def main() -> None:
    """Serve."""
    url, home = sys.argv[1:]
    with Runtime.open(url, home=Path(home)) as runtime:
        contender = Contender(runtime, url)
        serve(
            {
                "lone": contender.lone,
                "many": contender.many,
                "by_threads": contender.by_threads,
                "in_flight": contender.in_flight,
                "idle": contender.idle,
            }
        )


if __name__ == "__main__":
    main()
