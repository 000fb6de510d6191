"""What the registry costs, each beside the least work that could do the same, in the same rounds.

    python tests/benchmarks/bench_registry.py [--json] [--rounds N] [--size N]

Only the ratios mean something on another machine.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from audit_paths import audit_paths
from bench_micro import Cost, as_text, cost_of
from hot_paths import HotPath

Group: TypeAlias = Callable[[int, Path], AbstractContextManager[list[HotPath]]]
"""Yields hot paths, when told how much there is in the registry, and a folder for it."""

GROUPS: tuple[Group, ...] = (audit_paths,)


def costs_of(group: Group, size: int, rounds: int) -> list[Cost]:
    """Return what the paths of a group cost."""
    with tempfile.TemporaryDirectory() as folder, group(size, Path(folder)) as paths:
        return [cost_of(path, rounds) for path in paths]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=100_000)
    options = parser.parse_args()
    costs = [cost for group in GROUPS for cost in costs_of(group, options.size, options.rounds)]
    told = json.dumps([asdict(cost) for cost in costs], indent=2)
    print(told if options.json else as_text(costs))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
