"""What a namespace costs: a package of 12 modules is loaded, run and kept, beside plain imports.

    python tests/benchmarks/bench_loading.py [--json] [--rounds N] [--namespaces N] [--cycles N]

Only the ratios mean something on another machine.
"""
# ruff: noqa: T201 - printing is what it is for

import argparse
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType

from protocol import peak_mb

from cloacina_core.foundation.digest import digest_of_text
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.wheel.writer import with_record

MODULE = '''
"""One of the modules of a package of usual size."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from bench_pkg.core import VERSION

@dataclass(frozen=True)
class Row:
    name: str
    amount: float
    tags: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps({"name": self.name, "amount": self.amount, "tags": self.tags})

''' + "".join(
    f"def step_{number}(rows: list[Row]) -> float:\n"
    f"    return sum(row.amount for row in rows) * {number}\n\n"
    for number in range(20)
)
CALLS = "def import_inside():\n    from bench_pkg.core import VERSION\n    return VERSION\n"


def package_files(version: int) -> dict[str, str]:
    """Return the 12 modules; importing `bench_pkg.flows` imports them all."""
    parts = [f"part_{number}" for number in range(9)]
    flows = "".join(f"from bench_pkg import {part}\n" for part in parts)
    return {
        "bench_pkg/__init__.py": "",
        "bench_pkg/core.py": f"VERSION = {version}\n",
        "bench_pkg/flows.py": flows + CALLS,
        **{f"bench_pkg/{part}.py": MODULE for part in parts},
    }


def contents_of(version: int) -> ReleaseContents:
    """Return the package as the registry hands it over."""
    return ReleaseContents(
        package="bench-pkg",
        version=str(version),
        digest=digest_of_text(str(version)),
        files=with_record(
            {path: text.encode() for path, text in package_files(version).items()},
            "bench_pkg.dist-info",
        ),
        top_levels=("bench_pkg",),
    )


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def plain_import(folder: Path) -> ModuleType:
    """Import the package from disk, as if it hadn't been imported before."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench_pkg"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module("bench_pkg.flows")
    finally:
        sys.path.remove(str(folder))


def unpack(folder: Path) -> None:
    """Write the package's files into a folder."""
    for path, text in package_files(0).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def compare_loads(folder: Path, load: Callable[[int], object], rounds: int) -> dict[str, float]:
    """Return the milliseconds of each way to get at the package; the first is the baseline."""
    sys.dont_write_bytecode = True
    plain_import(folder)  # what the package itself needs is there from now on
    compiling = [milliseconds(lambda: plain_import(folder)) for _ in range(rounds)]
    sys.dont_write_bytecode = False
    plain_import(folder)
    cached = [milliseconds(lambda: plain_import(folder)) for _ in range(rounds)]
    first, *further = [milliseconds(partial(load, v)) for v in range(rounds + 1)]
    return {
        "plain import, compiling": statistics.median(compiling),
        "plain import, from .pyc": statistics.median(cached),
        "namespace, first version": first,
        "namespace, each further version": statistics.median(further),
    }


def nanoseconds(call: Callable[[], object], calls: int) -> float:
    """Return how long one call takes, in the best of five tries."""
    return min(milliseconds(lambda: [call() for _ in range(calls)]) for _ in range(5)) * 1e6 / calls


def compare_calls(plain: ModuleType, namespaced: ModuleType, rounds: int) -> dict[str, float]:
    """Return the microseconds of the same work by code of either; the first is the baseline."""
    costs = {}
    for name, module in (("plain", plain), ("namespace", namespaced)):
        rows = [module.part_0.Row(str(number), number) for number in range(100)]
        costs[name] = nanoseconds(partial(module.part_0.step_7, rows), 100 * rounds) / 1000
    return costs


def compare_checks(rounds: int) -> dict[str, float]:
    """Return the milliseconds of compiling all sources, and of hashing them beside it."""
    contents = contents_of(0)
    sources = [member for member in contents.files if member.endswith(".py")]

    def compile_all() -> None:
        for member in sources:
            compile(contents.files[member], member, "exec")

    def hash_all() -> None:
        for member in sources:
            contents.source(member)

    return {
        "compile": statistics.median(milliseconds(compile_all) for _ in range(rounds)),
        "hash and compare": statistics.median(milliseconds(hash_all) for _ in range(rounds)),
    }


def measure_memory(
    folder: Path, loader: NamespaceLoader, namespaces: int, cycles: int
) -> dict[str, float]:
    """Return by how many MB the process grows; the baseline is what the package itself takes."""
    start = peak_mb()
    copies = [plain_import(folder) for _ in range(namespaces)]
    before = peak_mb()
    for version in range(namespaces):
        loader.load(contents_of(1_000_000 + version)).import_module("bench_pkg.flows")
    loaded = peak_mb()
    for version in range(cycles):
        contents = contents_of(2_000_000 + version)
        loader.load(contents).import_module("bench_pkg.flows")
        loader.unload(contents.digest)
    return {
        f"{len(copies)} plain copies": before - start,
        f"{namespaces} namespaces": loaded - before,
        f"{cycles} loads and unloads beside them": peak_mb() - loaded,
    }


def print_table(title: str, costs: Mapping[str, float]) -> None:
    """Print costs and their ratios to the first."""
    baseline = next(iter(costs.values())) or 1
    what, unit = title.rsplit(", ", 1)
    print(f"{what:<34}{unit:>10}{'ratio':>8}")
    for what, cost in costs.items():
        print(f"{what:<34}{cost:>10.2f}{cost / baseline:>8.2f}")
    print()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--namespaces", type=int, default=100)
    parser.add_argument("--cycles", type=int, default=1000)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name, NamespaceLoader() as loader:
        tables = measured(Path(name), loader, options)
    if options.json:
        print(json.dumps(tables, indent=2))
        return
    for title, costs in tables.items():
        print_table(title, costs)


def measured(
    folder: Path, loader: NamespaceLoader, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return what was measured, by what it is and its unit."""
    rounds = options.rounds
    unpack(folder)

    def load(version: int) -> ModuleType:
        return loader.load(contents_of(version)).import_module("bench_pkg.flows")

    loads = compare_loads(folder, load, rounds)
    plain, namespaced = plain_import(folder), load(0)
    calls = 1_000 * rounds
    imports = {
        "plain": nanoseconds(plain.import_inside, calls),
        "namespace": nanoseconds(namespaced.import_inside, calls),
    }
    return {
        "12 modules, ms": loads,
        "sums of 100 rows, each call, us": compare_calls(plain, namespaced, rounds),
        "an import in a function, each call, ns": imports,
        "the sources of 12 modules, ms": compare_checks(rounds),
        "memory, MB": measure_memory(folder, loader, options.namespaces, options.cycles),
    }


if __name__ == "__main__":
    main()
