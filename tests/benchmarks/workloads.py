"""What is measured: the workloads, and how often each is repeated."""

from dataclasses import dataclass, replace
from typing import Any

ROWS_OF_RUN, ROWS_OF_TASK = 6, 7
"""How many rows a run, and each of its tasks, writes or changes from beginning to end."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Something to do, the same for all contenders."""

    name: str
    title: str
    act: str
    size: int
    tasks: int
    """How many tasks it has."""
    runs: int = 1
    shape: str = "chain"
    repeats: int = 1
    """How often it is done in each round."""
    rounds: int = 3
    peer_rounds: int | None = None
    """In how many of the rounds peers take part; None for all."""
    peer_size: int | None = None
    """How many runs peers make; their rate is compared."""

    @property
    def rows(self) -> int:
        """How many rows are written or changed."""
        return ROWS_OF_RUN * self.runs + ROWS_OF_TASK * self.tasks

    @property
    def unit(self) -> str:
        """What its rate counts."""
        return "tasks" if self.act == "lone" else "runs"

    def request(self, *, of_peer: bool = False) -> dict[str, Any]:
        """Return what a contender is asked."""
        size = self.peer_size if of_peer and self.peer_size else self.size
        return {"act": self.act, "shape": self.shape, "size": size, "repeats": self.repeats}


def lone_task(repeats: int = 30, rounds: int = 5) -> Workload:
    """Return W1."""
    return Workload("W1", "one run of one task", "lone", 1, 1, repeats=repeats, rounds=rounds)


def chain_of_ten(repeats: int = 10, rounds: int = 5) -> Workload:
    """Return W2."""
    return Workload(
        "W2", "one run of a chain of 10", "lone", 10, 10, repeats=repeats, rounds=rounds
    )


def fan_out(width: int = 100, repeats: int = 3, rounds: int = 3) -> Workload:
    """Return W3."""
    title = f"one run of 1, then {width}, then 1"
    tasks = width + 2
    return Workload("W3", title, "lone", width, tasks, shape="fan", repeats=repeats, rounds=rounds)


def many_runs(count: int = 1_000, **options: Any) -> Workload:
    """Return W4."""
    return Workload(
        "W4", f"{count:,} runs of one task at once", "many", count, count, count, **options
    )


def many_by_threads(count: int = 1_000, **options: Any) -> Workload:
    """Return W4, but each run is submitted by itself, from one of 16 threads."""
    return replace(
        many_runs(count, peer_rounds=0, **options),
        title=f"{count:,} runs, by 16 threads one by one",
        act="by_threads",
    )


def many_tasks(count: int = 1_000, **options: Any) -> Workload:
    """Return W7."""
    title = f"one run of {count:,} tasks in 10 layers"
    return Workload("W7", title, "lone", count, count, shape="layers", **options)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one run of the benchmark measures."""

    workloads: list[Workload]
    histories: list[int]
    """W5: with how many finished runs in the store."""
    with_history: list[Workload]
    """W5: what is done there, and in an empty store."""
    starts: int
    """W6: how many processes are started."""
    in_flight: int
    idle_seconds: float
    peers: list[str]
    """Who takes part, unless the command line says it."""


def short() -> Plan:
    """Return what takes a few minutes; slow peers take part in one round only."""
    once = {"peer_rounds": 1}
    workloads = [
        lone_task(),
        chain_of_ten(),
        fan_out(),
        many_runs(peer_size=200),
        many_by_threads(),
        many_tasks(**once),
    ]
    return Plan(workloads, [20_000], [lone_task(), many_runs()], 3, 2_000, 3, ["dbos"])


def long() -> Plan:
    """Return all, peers in every round."""
    workloads = [
        lone_task(100, 5),
        chain_of_ten(30, 5),
        fan_out(repeats=5, rounds=5),
        many_runs(rounds=5),
        many_by_threads(rounds=5),
        many_runs(10_000, peer_rounds=0),
        many_tasks(rounds=5),
        many_tasks(10_000, peer_rounds=0),
    ]
    with_history = [lone_task(100, 5), many_runs(rounds=5)]
    return Plan(
        workloads, [1_000, 100_000, 1_000_000], with_history, 5, 10_000, 10, ["dbos", "ray"]
    )


def smoke() -> Plan:
    """Return as little as possible, to see that the benchmark works."""
    workloads = [
        lone_task(1, 1),
        chain_of_ten(1, 1),
        fan_out(3, 1, 1),
        many_runs(3, rounds=1),
        many_by_threads(3, rounds=1),
        many_tasks(20, rounds=1),
    ]
    return Plan(workloads, [], [], 0, 3, 0.01, [])


PLANS = {"short": short, "long": long, "smoke": smoke}
