"""Measures in rounds: in each, every contender does the same, one after the other.

So what else the machine does hits them all, and the ratios mean something though the times may not.
"""

import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from contenders import Contender, Program, UnavailableError
from filled_store import fill
from stores import Store
from workloads import Plan, Workload, lone_task

Tell = Callable[[str], object]
"""Shows what is being done."""


@dataclass
class Series:
    """What one contender took for one workload."""

    size: int
    """How many tasks or runs each of the times is for."""
    rounds: list[list[float]] = field(default_factory=list)
    """Seconds, by round."""
    commits: float | None = None
    """How many transactions it wrote each time, where that is known."""

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(one for several in self.rounds for one in several)

    @property
    def rate(self) -> float:
        """Tasks, or runs, each second."""
        return self.size / self.seconds

    def times(self, other: "Series") -> float:
        """How many times as long as another it takes for one task or run, in the median round."""
        pairs = zip(self.rounds, other.rounds, strict=False)
        scale = other.size / self.size
        return scale * statistics.median(
            statistics.median(mine) / statistics.median(theirs) for mine, theirs in pairs
        )


@dataclass
class Measured:
    """One workload on one store."""

    workload: Workload
    engine: Series
    raw: Series
    """The same rows in as many transactions, with the bare driver."""
    commit: Series
    """One raw commit, measured in the same rounds."""
    peers: dict[str, Series]


@dataclass
class Aged:
    """W5: a workload on a store with a history, beside the same on an empty one."""

    workload: Workload
    history: int
    empty: Series
    filled: Series


@dataclass
class Footprint:
    """What it takes to be there."""

    in_flight: int
    in_flight_mb: float
    """The most memory of the process while so many runs had begun and none had ended."""
    before_mb: float
    idle_percent: float


@dataclass
class OnStore:
    """All that was measured on one store."""

    store: str
    workloads: list[Measured] = field(default_factory=list)
    aged: list[Aged] = field(default_factory=list)
    starts: dict[str, float] = field(default_factory=dict)
    """W6: seconds from process start to first result."""
    footprint: Footprint | None = None
    unable: dict[str, str] = field(default_factory=dict)
    """Which peers can't take part here, and why."""


@dataclass(frozen=True)
class Bench:
    """Measures on one store after the other."""

    engine: Program
    raw: Program
    peers: Mapping[str, Program]
    tell: Tell

    def measure(self, store: Store, plan: Plan) -> OnStore:
        """Return all that the plan wants to know of a store."""
        result = OnStore(store.name)
        self._measure_workloads(store, plan, result)
        result.aged = self._aged(store, plan)
        self.tell(f"{store.name}: W6, memory, idle")
        able = {one: program for one, program in self.peers.items() if one not in result.unable}
        result.starts = self._starts(store, plan.starts, able)
        result.footprint = self._footprint(store, plan)
        return result

    def _measure_workloads(self, store: Store, plan: Plan, result: OnStore) -> None:
        with ExitStack() as stack:
            engine = stack.enter_context(self.engine.running(store.new()))
            raw = stack.enter_context(self.raw.running(store.new()))
            peers = {}
            for name, program in self.peers.items():
                contender = stack.enter_context(program.running(store.new()))
                try:
                    contender.ask(**lone_task(1).request())
                except UnavailableError as error:
                    result.unable[name] = str(error)
                else:
                    peers[name] = contender
            for workload in plan.workloads:
                self.tell(f"{store.name}: {workload.name} {workload.title}")
                result.workloads.append(_rounds(workload, engine, raw, peers))

    def _aged(self, store: Store, plan: Plan) -> list[Aged]:
        results = []
        for history in plan.histories:
            self.tell(f"{store.name}: W5 with {history:,} finished runs in the store")
            url = store.new()
            fill(url, history)
            with self.engine.running(store.new()) as empty, self.engine.running(url) as filled:
                results += [
                    _side_by_side(workload, history, empty, filled)
                    for workload in plan.with_history
                ]
        return results

    def _starts(self, store: Store, count: int, peers: Mapping[str, Program]) -> dict[str, float]:
        programs = {"cloacina": self.engine, **peers}
        taken: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(count):
            for name, program in programs.items():
                taken[name].append(program.cold_start(store.new()))
        return {name: statistics.median(several) for name, several in taken.items() if several}

    def _footprint(self, store: Store, plan: Plan) -> Footprint:
        with self.engine.running(store.new()) as engine:
            engine.ask(**lone_task(3).request())
            idle = engine.ask("idle", seconds=plan.idle_seconds)
            held = engine.ask("in_flight", size=plan.in_flight)
        return Footprint(plan.in_flight, held["mb"], held["before_mb"], idle["percent"])


def _rounds(
    workload: Workload, engine: Contender, raw: Contender, peers: Mapping[str, Contender]
) -> Measured:
    size = workload.runs if workload.unit == "runs" else workload.tasks
    if workload.peer_rounds == 0:
        peers = {}
    measured = Measured(
        workload,
        engine=Series(size),
        raw=Series(size),
        commit=Series(1),
        peers={name: Series(workload.peer_size or size) for name in peers},
    )
    for contender in (engine, *peers.values()):  # the first time is another matter: see W6
        _warm_up(contender, workload)
    for number in range(workload.rounds):
        _ask(measured.engine, engine, **workload.request())
        commits = max(1, round(measured.engine.commits or 1))
        few = min(workload.repeats, 10)
        _ask(measured.raw, raw, act="same_rows", commits=commits, rows=workload.rows, repeats=few)
        _ask(measured.commit, raw, act="commit", repeats=30)
        if workload.peer_rounds is None or number < workload.peer_rounds:
            for name, contender in peers.items():
                _ask(measured.peers[name], contender, **workload.request(of_peer=True))
    return measured


def _warm_up(contender: Contender, workload: Workload) -> None:
    contender.ask(**{**workload.request(), "size": min(workload.size, 10), "repeats": 3})


def _ask(series: Series, contender: Contender, *, act: str, **details: object) -> None:
    answer = contender.ask(act, **details)
    series.rounds.append(answer["seconds"])
    series.commits = answer.get("commits", series.commits)


def _side_by_side(workload: Workload, history: int, empty: Contender, filled: Contender) -> Aged:
    aged = Aged(workload, history, Series(workload.tasks), Series(workload.tasks))
    for contender in (empty, filled):
        _warm_up(contender, workload)
    for _ in range(workload.rounds):
        _ask(aged.empty, empty, **workload.request())
        _ask(aged.filled, filled, **workload.request())
    return aged
