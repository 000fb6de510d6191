"""Tells what was measured: as JSON, or as tables."""

from dataclasses import asdict
from typing import Any

from goals import Goal, judged
from measuring import Aged, Measured, OnStore, Series


def as_json(machine: dict[str, str], results: list[OnStore], missing: list[str]) -> dict[str, Any]:
    """Return all of it as JSON values."""
    return {
        "machine": machine,
        "missing": missing,
        "stores": [_store_as_json(result) for result in results],
        "goals": [asdict(goal) for result in results for goal in judged(result)],
    }


def _store_as_json(result: OnStore) -> dict[str, Any]:
    return {
        "store": result.store,
        "workloads": [_workload_as_json(measured) for measured in result.workloads],
        "with_history": [_aged_as_json(aged) for aged in result.aged],
        "start_seconds": result.starts,
        "unable": result.unable,
        "footprint": result.footprint and asdict(result.footprint),
    }


def _workload_as_json(measured: Measured) -> dict[str, Any]:
    workload, engine = measured.workload, measured.engine
    return {
        "workload": workload.name,
        "title": workload.title,
        "unit": workload.unit,
        "engine": _series_as_json(engine),
        "raw_same_rows": _series_as_json(measured.raw),
        "raw_commit": _series_as_json(measured.commit),
        "times_raw": engine.times(measured.raw),
        "peers": {
            name: {**_series_as_json(peer), "times_engine": peer.times(engine)}
            for name, peer in measured.peers.items()
        },
    }


def _aged_as_json(aged: Aged) -> dict[str, Any]:
    return {
        "workload": aged.workload.name,
        "history": aged.history,
        "empty": _series_as_json(aged.empty),
        "filled": _series_as_json(aged.filled),
        "times_empty": aged.filled.times(aged.empty),
    }


def _series_as_json(series: Series) -> dict[str, Any]:
    return {
        "median_ms": series.seconds * 1000,
        "rate": series.rate,
        "commits": series.commits,
        "rounds_ms": [[one * 1000 for one in several] for several in series.rounds],
    }


def as_text(machine: dict[str, str], results: list[OnStore], missing: list[str]) -> str:
    """Return tables."""
    lines = [", ".join(f"{name} {value}" for name, value in machine.items())]
    missing = missing + [
        f"{result.store}: {reason}" for result in results for reason in result.unable.values()
    ]
    lines += [f"not measured: {reason}" for reason in missing]
    for result in results:
        lines += _tables(result)
    lines += ["", *_goal_table([goal for result in results for goal in judged(result)])]
    return "\n".join(lines)


def _tables(result: OnStore) -> list[str]:
    peers = sorted({name for measured in result.workloads for name in measured.peers})
    beside = "".join(f"{name + ' rate':>13}{'slower':>8}" for name in peers)
    lines = [
        "",
        f"{result.store:<40}{'median ms':>11}{'rate':>15}{'commits':>9}{'x raw':>7}{beside}",
    ]
    lines += [_row(measured, peers) for measured in result.workloads]
    lines += [_aged_row(aged) for aged in result.aged]
    for name, start in result.starts.items():
        lines.append(f"W6 start of a process, {name:<17}{start * 1000:>11.0f}")
    if (footprint := result.footprint) is not None:
        memory = f"{footprint.before_mb:.0f} -> {footprint.in_flight_mb:.0f} MB"
        lines.append(f"peak memory with {footprint.in_flight:,} runs in flight: {memory}")
        lines.append(f"idle engine: {footprint.idle_percent:.2f} % of a processor")
    return lines


def _row(measured: Measured, peers: list[str]) -> str:
    workload, engine = measured.workload, measured.engine
    rate = f"{engine.rate:,.0f} {workload.unit}/s"
    told = f"{workload.name} {workload.title:<37}{engine.seconds * 1000:>11.2f}{rate:>15}"
    told += f"{engine.commits or 0:>9.1f}{engine.times(measured.raw):>7.2f}"
    for name in peers:
        if (peer := measured.peers.get(name)) is None:
            told += f"{'-':>13}{'-':>8}"
        else:
            told += f"{peer.rate:>11,.0f}/s{peer.times(engine):>8.2f}"
    return told


def _aged_row(aged: Aged) -> str:
    title = f"{aged.workload.name} after {aged.history:,} runs"
    times = f"{aged.filled.times(aged.empty):.2f} times an empty store"
    return f"W5 {title:<37}{aged.filled.seconds * 1000:>11.2f}    {times}"


def _goal_table(goals: list[Goal]) -> list[str]:
    if not goals:
        return []
    lines = [f"{'goal':<48}{'wanted':<42}{'measured':<20}"]
    for goal in goals:
        verdict = "met" if goal.met else "not met"
        what = f"{goal.store}: {goal.what}"
        lines.append(f"{what:<48}{goal.wanted:<42}{goal.measured:<20}{verdict}")
    return lines
