"""Ray, as a contender: it stores nothing, so this is what dispatch alone costs it.

`run_ray.py URL HOME`, of which it needs neither. See `protocol.py`.
"""

from collections.abc import Mapping
from typing import Any

import ray  # type: ignore[import-not-found]  # in its own environment
from protocol import repeated, serve

FIVE_VALUES = {"a": 1, "b": "text", "c": 1.5, "d": None, "e": True}


def nothing(*_contexts: dict[str, Any]) -> dict[str, Any]:
    """Do nothing, and hand on five values."""
    return FIVE_VALUES


step = ray.remote(nothing)


def chain(size: int) -> Any:
    """Take steps one after the other."""
    context: Any = FIVE_VALUES
    for _ in range(size):
        context = step.remote(context)
    return ray.get(context)


def fan(size: int) -> Any:
    """Take one step, then many side by side, then one."""
    first = step.remote(FIVE_VALUES)
    return ray.get(step.remote(*(step.remote(first) for _ in range(size))))


def layers(size: int) -> Any:
    """Take ten layers of steps; each comes after one of the layer above."""
    row: list[Any] = [FIVE_VALUES] * (size // 10)
    for _ in range(10):
        row = [step.remote(above) for above in row]
    return ray.get(row)


def lone(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run a graph again and again, one at a time."""
    run = {"chain": chain, "fan": fan, "layers": layers}[request["shape"]]
    return repeated(lambda: run(request["size"]), request)


def many(request: Mapping[str, Any]) -> dict[str, Any]:
    """Dispatch many calls at once."""
    size = request["size"]
    return repeated(lambda: ray.get([step.remote(FIVE_VALUES) for _ in range(size)]), request)


def main() -> None:
    """Serve."""
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    serve({"lone": lone, "many": many})


if __name__ == "__main__":
    main()
