"""How the benchmark talks to what it measures: one line of JSON asks, one line answers.

Every contender is a process of its own, in an environment of its own, so nobody's memory, threads
or libraries are another's. This module needs the standard library only: peers import it too.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Act: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Does what a request asks, and returns what was measured."""


def serve(acts: Mapping[str, Act]) -> None:
    """Answer requests, each by the act that it names, until there are no more."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        request = json.loads(line)
        answer = {**acts[request["act"]](request), "peak_mb": peak_mb()}
        print(json.dumps(answer), file=answers, flush=True)


def repeated(action: Callable[[], object], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return how long an action took, for each of the times that the request wants."""
    return {"seconds": [seconds(action) for _ in range(request["repeats"])]}


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    if sys.platform == "linux":  # where `ru_maxrss` begins with what the parent had
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
