"""The hot paths of the engine, each beside the least work that could do the same."""

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from packaging.version import Version

sys.path.append(str(Path(__file__).parents[1]))  # the tests' support
from support.runs import fan_of, run_of, workflow_of

from cloacina_core.engine import planner
from cloacina_core.engine.call import Outcome
from cloacina_core.engine.journal import Journal
from cloacina_core.engine.run_state import RunState
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.model.release import Reference, Release
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.plugin.resolution import choose_release
from cloacina_core.store.batch import Batch
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.reading import RunReader
from cloacina_core.store.sqlite import choose_library
from cloacina_core.store.writing import RunWriter

CLOCK = SystemClock()
IDS = IdFactory(CLOCK)
LEASE = timedelta(hours=1)
FIVE_VALUES = {"a": "1", "b": '"text"', "c": "1.5", "d": "null", "e": "true"}
ROWS_OF_RUN = 13
"""How many rows a run of one task writes or changes."""


@dataclass(frozen=True, slots=True)
class HotPath:
    """Something that the engine does very often."""

    name: str
    units: int
    """How many of them are done at once."""
    prepare: Callable[[], Any]
    """Makes what both ways are given; not measured."""
    ours: Callable[[Any], object]
    least: Callable[[Any], object]
    beside: str
    """What the least work is."""


@contextmanager
def hot_paths(size: int, folder: Path) -> Iterator[list[HotPath]]:
    """Yield all of them, each with `size` tasks, runs or releases."""
    library = choose_library()
    raw = library.module.connect(str(folder / "raw.db"), isolation_level=None)
    raw.execute(f"PRAGMA journal_mode = {library.journal_mode}")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("CREATE TABLE raw_rows (id INTEGER PRIMARY KEY, a, b, c, d, e, f, g)")
    database = Database(f"sqlite:///{folder / 'micro.db'}", CLOCK)
    with closing(raw), closing(database):
        stored = _Stored(database, size)
        yield [
            planning(size),
            merging(size),
            resolving(size),
            journalling(size),
            writing(size, stored, raw),
            claiming(size, stored, raw),
            loading(size, stored, raw),
        ]


def planning(width: int) -> HotPath:
    """Decide all of a run of one task, then many, then one."""
    flow = workflow_of(fan_of(width))
    behind = run_of(flow).plan.behind

    def decide(run: RunState) -> None:
        decisions = deque(planner.begin(run))
        while decisions:
            decision = decisions.popleft()
            if isinstance(decision, planner.Ready):
                decisions += planner.attempt_succeeded(run, decision.task)

    def walk(run: RunState) -> None:
        left = [len(tasks) for tasks in run.plan.before]
        ready = deque(number for number, count in enumerate(left) if not count)
        while ready:
            for number in behind[ready.popleft()]:
                left[number] -= 1
                if not left[number]:
                    ready.append(number)

    beside = "a walk over the graph"
    return HotPath("plan a task", width + 2, lambda: run_of(flow), decide, walk, beside)


def merging(width: int) -> HotPath:
    """Make what a task sees that comes after many, each of which wrote five values."""
    flow = workflow_of(fan_of(width))

    def prepare() -> RunState:
        run = run_of(flow)
        for number, state in enumerate(run.tasks[:-1]):
            state.changes = {f"{key}{number}": text for key, text in FIVE_VALUES.items()}
            state.status = TaskStatus.SUCCEEDED
            run.count_ending(number)
        return run

    def update(run: RunState) -> None:
        seen: dict[str, str | None] = {}
        for state in run.tasks[:-1]:
            seen.update(state.changes or {})

    def view(run: RunState) -> None:
        run.view_before(width + 1)

    return HotPath("merge a task's five values", width, prepare, view, update, "dict.update")


def resolving(count: int) -> HotPath:
    """Choose among releases."""
    releases = [
        Release(
            source="installed",
            package="acme",
            version=f"1.{number}",
            digest=digest_of_text(str(number)),
            workflows=("nightly",),
        )
        for number in range(count)
    ]
    reference = Reference.parse("acme/nightly>=1.0")

    def newest(candidates: list[Release]) -> Release:
        return max(candidates, key=lambda release: Version(release.version))

    return HotPath(
        "resolve: look at a release",
        count,
        lambda: releases,
        lambda candidates: choose_release(reference, candidates),
        newest,
        "the newest of all",
    )


def journalling(count: int) -> HotPath:
    """Write down, in memory, all that happens to runs of one task."""
    flow = workflow_of({"only": []})
    engine = IDS.engine_id()

    def append(runs: list[RunState]) -> None:
        rows: list[dict[str, str]] = []
        for run in runs:
            rows += [dict.fromkeys("abcdefgh", run.run_id) for _ in range(ROWS_OF_RUN)]

    return HotPath(
        "journal a run of one task",
        count,
        lambda: [run_of(flow, ids=IDS, engine=engine) for _ in range(count)],
        lambda runs: journalled(Journal(engine, CLOCK.now), runs),
        append,
        f"{ROWS_OF_RUN} rows of 8 values",
    )


def journalled(journal: Journal, runs: list[RunState]) -> list[Batch]:
    """Return two batches: runs of one task that begin, and their ends."""
    for run in runs:
        journal.submitted(run, None)
        journal.attempt_started(run, 0)
    begun = journal.take()
    for run in runs:
        key, outcome = (run.run_id, 0, 1), AttemptOutcome.SUCCEEDED
        journal.attempt_ended(run, 0, Outcome(key=key, outcome=outcome, changes=FIVE_VALUES))
        run.tasks[0].status = TaskStatus.SUCCEEDED
        journal.task_ended(run, 0)
        journal.finished(run, RunStatus.SUCCEEDED, None)
    ended = journal.take()
    return [begun, ended]


class _Stored:
    """A store with an engine, and one run of many tasks."""

    def __init__(self, database: Database, size: int) -> None:
        self.ownership = Ownership(database, LEASE)
        self.writer = RunWriter(database)
        self.reader = RunReader(database)
        self.engine = self.new_engine()
        self.journal = Journal(self.engine, CLOCK.now)
        self.flow = workflow_of({"only": []})
        self.large = self._add_large(size)

    def new_engine(self) -> Any:
        engine = IDS.engine_id()
        self.ownership.register(engine, "bench")
        return engine

    def runs(self, count: int) -> list[RunState]:
        return [run_of(self.flow, ids=IDS, engine=self.engine) for _ in range(count)]

    def write(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.writer.write(batch, self.engine)

    def add_queued(self, count: int) -> list[RunId]:
        """Return runs that nobody works on."""
        runs = [run_of(self.flow, ids=IDS, status=RunStatus.QUEUED) for _ in range(count)]
        for run in runs:
            self.journal.submitted(run, None)
        self.write([self.journal.take()])
        return [run.run_id for run in runs]

    def _add_large(self, size: int) -> RunId:
        run = run_of(workflow_of(fan_of(size)), ids=IDS, engine=self.engine)
        self.journal.submitted(run, None)
        for number in range(len(run.tasks)):
            self.journal.attempt_started(run, number)
        self.write([self.journal.take()])
        return run.run_id


def writing(count: int, stored: _Stored, raw: Any) -> HotPath:
    """Write runs of one task to the store, in two transactions."""

    def executemany(batches: list[Batch]) -> None:
        for _ in batches:
            _write_raw(raw, count * ROWS_OF_RUN // 2)

    return HotPath(
        "write a run of one task",
        count,
        lambda: journalled(stored.journal, stored.runs(count)),
        stored.write,
        executemany,
        f"{ROWS_OF_RUN} raw rows",
    )


def claiming(count: int, stored: _Stored, raw: Any) -> HotPath:
    """Claim runs that nobody works on, one by one."""

    def claim(runs: list[RunId]) -> None:
        for run_id in runs:
            stored.ownership.claim(run_id, stored.engine)

    def update(runs: list[RunId]) -> None:
        for number, _ in enumerate(runs, 1):
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("UPDATE raw_rows SET e = e + 1 WHERE id = ?", (number,))
            raw.execute("COMMIT")

    few = max(1, count // 10)
    return HotPath(
        "claim a run", few, lambda: stored.add_queued(few), claim, update, "a raw commit"
    )


def loading(count: int, stored: _Stored, raw: Any) -> HotPath:
    """Load a run of many tasks from the store."""

    def select(_: object) -> None:
        wanted = "SELECT * FROM raw_rows WHERE id <= ?"
        raw.execute(wanted, (2 * count,)).fetchall()  # a row of the task, and one of its attempt

    return HotPath(
        "load a task of a run",
        count,
        lambda: stored.large,
        stored.reader.load,
        select,
        "2 raw rows",
    )


_ids = itertools.count(1)


def _write_raw(raw: Any, rows: int) -> None:
    values = [(next(_ids), "a", "b", "c", None, 2, 1, "x" * 50) for _ in range(rows)]
    raw.execute("BEGIN IMMEDIATE")
    raw.executemany("INSERT INTO raw_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    raw.execute("COMMIT")
