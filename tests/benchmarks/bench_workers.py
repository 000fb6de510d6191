"""What a process for each attempt costs, beside other ways to have one, in the same rounds.

    python tests/benchmarks/bench_workers.py [--json] [--rounds N] [--size N]

Only the ratios mean something on another machine.
"""
# ruff: noqa: T201 - printing is what it is for

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from worker_peers import START_METHODS, by_multiprocessing, by_subprocess, milliseconds

if TYPE_CHECKING:
    from worker_measures import Workers


def process_per_call(workers: "Workers", rounds: int, size: int) -> dict[str, float]:
    """Return milliseconds, by way; the best round of each counts."""
    ways: dict[str, Callable[[], object]] = {
        "a worker's attempt": lambda: workers.run("nothing", {}),
        **{f"multiprocessing {one}": by_multiprocessing(one) for one in START_METHODS},
        "subprocess python -I -S": by_subprocess,
    }
    for way in ways.values():
        way()  # whatever is made at the first time
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(milliseconds(way, size))
    return {name: min(several) for name, several in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=100)
    options = parser.parse_args()
    # Not by the processes that peers spawn, which import this file.
    from worker_measures import Workers, megabytes, round_trips, runs_each_second  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "workers")
        code.mkdir()
        workers = Workers(code)
        told: dict[str, dict[str, float]] = {
            "a process for each call, ms": process_per_call(workers, options.rounds, options.size),
            "a round trip, us": round_trips(workers, options.rounds, options.size),
            "memory of its own, MB": megabytes(workers, code),
        }
        workers.pool.close()
        told["runs of one task each second"] = {
            "SQLite": runs_each_second(Path(folder), 10 * options.size)
        }
    if options.json:
        print(json.dumps(told, indent=2))
        return
    for title, values in told.items():
        print(title)
        for name, value in values.items():
            print(f"  {name:<32}{value:>10.2f}")


if __name__ == "__main__":
    main()
