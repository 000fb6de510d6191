"""The range of medians over several runs of the benchmark, as the tables of the documentation.

python tests/benchmarks/bench_engine.py --json > first.json       (and again, some times)
python tests/benchmarks/ranges.py first.json second.json ...
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = (
    "| store | workload | median | rate | commits | times raw | DBOS takes |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def rows(told: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a row of the table for each workload on each store."""
    for number, store in enumerate(told[0]["stores"]):
        for place in range(len(store["workloads"])):
            same = [one["stores"][number]["workloads"][place] for one in told]
            yield _row(store["store"], same)


def _row(store: str, same: list[dict[str, Any]]) -> str:
    first = same[0]
    dbos = [one["peers"]["dbos"]["times_engine"] for one in same if "dbos" in one["peers"]]
    cells = [
        store,
        first["title"],
        _span([one["engine"]["median_ms"] for one in same]) + " ms",
        _span([one["engine"]["rate"] for one in same]) + f" {first['unit']}/s",
        _span([one["engine"]["commits"] for one in same]),
        _span([one["times_raw"] for one in same]),
        _span(dbos) + " times" if dbos else "",
    ]
    return f"| {' | '.join(cells)} |"


def _span(values: list[float]) -> str:
    low, high = _short(min(values)), _short(max(values))
    return low if low == high else f"{low} to {high}"


def _short(value: float) -> str:
    """Return two significant digits, or a whole number."""
    return f"{value:.2g}" if value < 10 else f"{round(value, 1 - len(str(int(value))) + 1):,.0f}"


def main() -> None:
    """Print the table."""
    told = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    print("\n".join([HEAD, *rows(told)]))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
