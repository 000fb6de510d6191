"""What the hot paths cost, each beside the least work that could do the same, in the same rounds.

    python tests/benchmarks/bench_micro.py [--json] [--rounds N] [--size N]

Only the ratios mean something on another machine.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from hot_paths import HotPath, hot_paths
from protocol import seconds
from redaction_paths import redaction_paths


@dataclass(frozen=True, slots=True)
class Cost:
    """What a hot path costs, for each unit."""

    name: str
    microseconds: float
    least_microseconds: float
    beside: str
    ratio: float


def cost_of(path: HotPath, rounds: int) -> Cost:
    """Return the best of some rounds; in each, both ways take their turn."""
    ours, least = [], []
    for _ in range(rounds):
        material = path.prepare()
        ours.append(seconds(partial(path.ours, material)))
        least.append(seconds(partial(path.least, material)))
    scale = 1e6 / path.units
    return Cost(
        name=path.name,
        microseconds=min(ours) * scale,
        least_microseconds=min(least) * scale,
        beside=path.beside,
        ratio=min(ours) / min(least),
    )


def as_text(costs: list[Cost]) -> str:
    """Return a table."""
    lines = [f"{'each':<30}{'us':>9}{'a second':>11}{'least us':>10}{'ratio':>8}  beside"]
    for cost in costs:
        rate = 1e6 / cost.microseconds
        lines.append(
            f"{cost.name:<30}{cost.microseconds:>9.2f}{rate:>11,.0f}"
            f"{cost.least_microseconds:>10.2f}{cost.ratio:>8.1f}  {cost.beside}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=200)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        hot_paths(options.size, Path(folder)) as paths,
    ):
        redaction = redaction_paths(options.size)
        costs = [cost_of(path, options.rounds) for path in (*paths, *redaction)]
    told = json.dumps([asdict(cost) for cost in costs], indent=2)
    print(told if options.json else as_text(costs))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
