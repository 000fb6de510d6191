"""The goals: what was wanted, what was measured. Nothing depends on whether they are met."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from measuring import Measured, OnStore
from stores import SQLITE_NORMAL

MORE_THAN_DBOS = 10
LONE_COMMITS, LONE_MS = 2, 1
CHAIN_COMMITS, CHAIN_TIMES = 11, 1.5
TASKS_PER_SECOND = RUNS_PER_SECOND = 3_000
MANY_TASKS_SECONDS = 0.5
TEN_TIMES_THE_TASKS = 12
TIMES_WHEN_FILLED = 1.2
IN_FLIGHT_MB = 100
IDLE_PERCENT = 1


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal on one store."""

    store: str
    what: str
    wanted: str
    measured: str
    met: bool


def judged(result: OnStore) -> list[Goal]:
    """Return how a store stands to the goals that were measured."""
    goals = [*_of_workloads(result), *_of_history(result), *_of_footprint(result)]
    return [Goal(result.store, *told) for told in goals]


Told = tuple[str, str, str, bool]


def _of_workloads(result: OnStore) -> Iterator[Told]:
    # Without a wait for the disk in it, a raw commit is no measure of anything else.
    commits_wait = result.store != SQLITE_NORMAL
    for measured in result.workloads:
        match measured.workload.name:
            case "W1" if commits_wait:
                limit = LONE_COMMITS * _raw_ms(measured) + LONE_MS
                yield _at_most("W1", "2 raw commits + 1 ms", limit, _ms(measured))
            case "W2" if commits_wait:
                limit = CHAIN_COMMITS * _raw_ms(measured) * CHAIN_TIMES
                yield _at_most("W2", "11 raw commits x 1.5", limit, _ms(measured))
            case "W3":
                yield _at_least("W3", "tasks/s", TASKS_PER_SECOND, measured.engine.rate)
            case "W4" if measured.workload.act == "many":
                yield from _of_many(result.store, measured)
    yield from _of_many_tasks(result)


def _of_many(store: str, measured: Measured) -> Iterator[Told]:
    what = f"W4, {measured.workload.runs:,} runs"
    if store != SQLITE_NORMAL:
        yield _at_least(what, "runs/s", RUNS_PER_SECOND, measured.engine.rate)
    for name, wanted in (("dbos", MORE_THAN_DBOS), ("ray", 1)):
        if peer := measured.peers.get(name):
            yield _at_least(what, f"times {name}", wanted, peer.times(measured.engine))


def _of_many_tasks(result: OnStore) -> Iterator[Told]:
    series = [one for one in result.workloads if one.workload.name == "W7"]
    for measured in series[:1]:
        what = f"W7, {measured.workload.tasks:,} tasks"
        yield _at_most(what, "", MANY_TASKS_SECONDS * 1000, _ms(measured))
    for fewer, more in pairwise(series):
        times = more.engine.seconds / fewer.engine.seconds
        what = f"W7, {more.workload.tasks:,} tasks"
        told = f"{times:.1f} times {fewer.workload.tasks:,}"
        yield (what, f"at most {TEN_TIMES_THE_TASKS} times", told, times <= TEN_TIMES_THE_TASKS)


def _of_history(result: OnStore) -> Iterator[Told]:
    for aged in result.aged:
        times = aged.filled.times(aged.empty)
        what = f"W5, {aged.workload.name} after {aged.history:,} runs"
        wanted = f"at most {TIMES_WHEN_FILLED} times empty"
        yield (what, wanted, f"{times:.2f} times", times <= TIMES_WHEN_FILLED)


def _of_footprint(result: OnStore) -> Iterator[Told]:
    if (footprint := result.footprint) is None:
        return
    what = f"memory with {footprint.in_flight:,} runs in flight"
    megabytes = footprint.in_flight_mb
    yield (what, f"under {IN_FLIGHT_MB} MB", f"{megabytes:.0f} MB", megabytes < IN_FLIGHT_MB)
    percent = footprint.idle_percent
    yield ("idle engine", f"under {IDLE_PERCENT} %", f"{percent:.2f} %", percent < IDLE_PERCENT)


def _at_most(what: str, why: str, limit_ms: float, measured_ms: float) -> Told:
    reason = f" ({why})" if why else ""
    wanted = f"at most {limit_ms:.2f} ms{reason}"
    return what, wanted, f"{measured_ms:.2f} ms", measured_ms <= limit_ms


def _at_least(what: str, unit: str, wanted: float, measured: float) -> Told:
    return what, f"at least {wanted:,} {unit}", f"{measured:,.1f}", measured >= wanted


def _ms(measured: Measured) -> float:
    return measured.engine.seconds * 1000


def _raw_ms(measured: Measured) -> float:
    return measured.commit.seconds * 1000
