"""The benchmarks start, and print what they should; what they measure so quickly means nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def printed_by(script: str, *arguments: str) -> Any:
    command = [sys.executable, str(HERE / script), "--json", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_benchmark_of_the_engine_tells_times_ratios_and_goals() -> None:
    told = printed_by("bench_engine.py", "--smoke", "--stores", "SQLite FULL")

    (store,) = told["stores"]
    assert [one["workload"] for one in store["workloads"]] == ["W1", "W2", "W3", "W4", "W4", "W7"]
    # A run begins and ends with a commit each; a slow machine takes one more.
    assert store["workloads"][0]["engine"]["commits"] >= 2
    assert all(one["times_raw"] > 0 for one in store["workloads"])
    assert {"SQLite FULL"} == {goal["store"] for goal in told["goals"]}
    assert store["footprint"]["in_flight_mb"] > 0


def test_the_benchmark_of_the_hot_paths_sets_each_beside_the_least_work() -> None:
    told = printed_by("bench_micro.py", "--size", "3", "--rounds", "1")

    assert len(told) == 12
    assert all(cost["ratio"] > 0 for cost in told)


def test_the_benchmark_of_the_registry_sets_each_beside_the_least_work() -> None:
    told = printed_by("bench_registry.py", "--size", "600", "--rounds", "1")

    assert len(told) == 5
    assert all(cost["ratio"] > 0 for cost in told)


def test_the_benchmark_of_loading_compares_with_plain_imports() -> None:
    told = printed_by("bench_loading.py", "--rounds", "1", "--namespaces", "2", "--cycles", "2")

    assert told["12 modules, ms"]["namespace, first version"] > 0
    assert "2 namespaces" in told["memory, MB"]


def test_the_benchmark_of_resolution_sets_each_beside_a_look_up() -> None:
    told = printed_by("bench_resolve.py", "--sizes", "60")

    assert {cost["releases"] for cost in told} == {60}
    assert told[0]["ratio"] == 1
    assert any(cost["what"].startswith("choose") for cost in told)


def test_the_benchmark_of_ingest_sets_each_step_beside_the_least_work() -> None:
    told = printed_by("bench_ingest.py", "--rounds", "1", "--megabytes", "0.1")

    assert [cost["name"] for cost in told][3:] == [
        "ingest, 0.1 MB",
        "open again, 0.1 MB",
        "verify: envelope and hash, 0.1 MB",
    ]
    assert all(cost["ratio"] > 0 for cost in told)


def test_the_benchmark_of_workers_sets_them_beside_other_processes() -> None:
    told = printed_by("bench_workers.py", "--rounds", "1", "--size", "2")

    assert len(told["a process for each call, ms"]) == 5
    assert told["runs of one task each second"]["SQLite"] > 0


def test_the_benchmark_of_starting_sets_commands_beside_plain_python() -> None:
    told = printed_by("bench_start.py", "--rounds", "1")

    assert next(iter(told)) == "python -c pass"
    assert "cloacina runs list" in told
    assert all(milliseconds > 0 for milliseconds in told.values())
