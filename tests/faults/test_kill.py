"""`kill -9` at any point loses nothing, commits nothing twice, and leaves nothing half done.

Engines in processes of their own are killed at moments that a seed decides, until one lives long
enough to end all runs. What must hold then is read from what everybody can read: results, events,
and the ledger that the tasks wrote. Another seed: `CLOACINA_TEST_SEED=7`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from support.postgresql import Server, running_server
from support.runs import PATIENCE, open_runtime

from cloacina_core.engine.planner import MAX_ENGINE_DEATHS
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.model.run import RunResult
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.store.checking import Damage, check
from cloacina_core.store.database import Database

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
SEED = int(os.environ.get("CLOACINA_TEST_SEED", "20260101"))
KILLS = int(os.environ.get("CLOACINA_TEST_KILLS", "10"))
RUNS = 5
"""How many each engine is given."""

SHORTEST_LIFE, LONGEST_LIFE = 0.1, 0.5
"""Seconds from the moment at which an engine is at work to its death."""

UNKNOWN = (AttemptOutcome.LOST, AttemptOutcome.RELEASED)
OUTCOMES = (EventType.TASK_SUCCEEDED, EventType.ATTEMPT_FAILED)
ENDS = (EventType.RUN_SUCCEEDED, EventType.RUN_FAILED)


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with request.getfixturevalue("postgresql_server").database() as url:
        yield url


@dataclass
class Ledger:
    """What the tasks and the submitter wrote down."""

    path: Path

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]

    def accepted(self) -> list[str]:
        return [words[1] for words in self.lines() if words[0] == "accepted"]

    def begun(self) -> Counter[tuple[str, str, int]]:
        return Counter(
            (words[1], words[2], int(words[3])) for words in self.lines() if words[0] == "begin"
        )


@dataclass
class Killed:
    """What a series of kills left, once a last engine had all the time it needed."""

    results: dict[str, RunResult]
    events: dict[str, list[RunEvent]]
    damage: list[Damage]
    """What a check of the store finds."""
    ledger: Ledger
    kills: int


@pytest.fixture
def killed(tmp_path: Path, store_url: str) -> Killed:
    random = Random(SEED)
    ledger = Ledger(tmp_path / "ledger")
    ledger.path.touch()
    search = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))

    def start(order: str, count: int = 0) -> "subprocess.Popen[bytes]":
        arguments = [str(tmp_path), store_url, str(ledger.path), order, str(count)]
        return subprocess.Popen(
            [sys.executable, "-m", "support.killed_engine", *arguments],
            env={**os.environ, "PYTHONPATH": search},
        )

    kills = lines = 0
    process = start("submit", RUNS)
    for turn in range(KILLS):
        _wait_for_work(process, ledger, before=lines)
        time.sleep(random.uniform(SHORTEST_LIFE, LONGEST_LIFE))
        process.send_signal(signal.SIGKILL)
        kills += process.wait(PATIENCE) == -signal.SIGKILL
        lines = len(ledger.lines())
        # Always new work: otherwise the last kills would find nothing left to do.
        process = start("submit", RUNS if turn < KILLS - 1 else 0)
    assert process.wait(PATIENCE) == 0
    with closing(Database(store_url, SystemClock())) as database:
        damage = list(check(database))
    with open_runtime(tmp_path, store_url, recover=False) as runtime:
        stored = [summary.run_id for summary in runtime.list(limit=1000)]
        return Killed(
            results={run_id: runtime.get(run_id) for run_id in stored},
            events={run_id: list(runtime.events(run_id)) for run_id in stored},
            damage=damage,
            ledger=ledger,
            kills=kills,
        )


def _wait_for_work(process: "subprocess.Popen[bytes]", ledger: Ledger, before: int) -> None:
    """Wait until an engine has written something down, or ended because nothing was left."""
    deadline = time.monotonic() + PATIENCE
    while len(ledger.lines()) <= before and process.poll() is None:
        assert time.monotonic() < deadline, "the engine never began to work"
        time.sleep(0.001)


def test_kills_lose_nothing_and_repeat_nothing_that_was_recorded(killed: Killed):
    """One series of kills, and all that must hold behind it."""
    _assert_something_was_tested(killed)
    assert killed.damage == []
    assert set(killed.ledger.accepted()) <= set(killed.results)
    for run_id, result in killed.results.items():
        if result.status is RunStatus.SUCCEEDED:
            _assert_the_result_is_that_of_the_last_attempts(result)
        else:
            _assert_it_was_given_up_rightly(killed.events[run_id], result)
        _assert_attempts_are_in_order(result)
        _assert_each_attempt_began_once(killed.ledger, result)
        _assert_history_is_dense_and_folds_to_the_state(killed.events[run_id], result)


def _assert_something_was_tested(killed: Killed) -> None:
    """A series that never hits anything would pass whatever the engine does."""
    attempts = [
        attempt
        for result in killed.results.values()
        for task in result.tasks.values()
        for attempt in task.attempts
    ]
    succeeded = [run for run in killed.results.values() if run.status is RunStatus.SUCCEEDED]
    # Some are given up: on a busy machine, engines die before anything comes of the oldest runs.
    assert len(succeeded) >= 0.5 * len(killed.ledger.accepted())
    assert killed.kills >= KILLS / 2
    assert any(attempt.outcome is AttemptOutcome.LOST for attempt in attempts)
    assert len({attempt.engine for attempt in attempts}) > KILLS / 2


def _assert_the_result_is_that_of_the_last_attempts(result: RunResult) -> None:
    assert result.context["done"] == ["left", "right", "shaky", "last"]
    for name, task in result.tasks.items():
        assert task.status is TaskStatus.SUCCEEDED
        assert task.attempts[-1].outcome is AttemptOutcome.SUCCEEDED
        assert result.context[name] == task.attempts[-1].number


def _assert_it_was_given_up_rightly(events: list[RunEvent], result: RunResult) -> None:
    """Three engines died at it, one after the other, and nothing came of it in between.

    It is bad luck, for these engines were killed from outside; but they can't know that. One that
    died after it took the run, and before it wrote anything of it, counts too, and has no event.
    """
    assert result.error is not None
    assert result.error.type == "engine-deaths"
    outcomes = [event.seq for event in events if event.type in OUTCOMES]
    since = max(outcomes, default=0)
    claims = [event for event in events if event.type is EventType.CLAIMED and event.seq > since]
    deaths = re.fullmatch(r"taken up after (\d+) engine deaths", claims[-1].reason or "")
    assert deaths is not None
    assert int(deaths[1]) >= MAX_ENGINE_DEATHS
    lost = [event for event in events if event.type is EventType.ATTEMPT_LOST and event.seq > since]
    assert 1 <= len({event.engine for event in lost}) <= MAX_ENGINE_DEATHS


def _assert_attempts_are_in_order(result: RunResult) -> None:
    for task in result.tasks.values():
        assert [attempt.number for attempt in task.attempts] == [
            number + 1 for number in range(len(task.attempts))
        ]
        outcomes = [attempt.outcome for attempt in task.attempts]
        assert outcomes.count(AttemptOutcome.SUCCEEDED) <= 1
        assert AttemptOutcome.SUCCEEDED not in outcomes[:-1]
        for earlier, later in pairwise(task.attempts):
            assert earlier.finished_at is not None
            assert earlier.started_at <= earlier.finished_at <= later.started_at
    for name, before in [("second", "first"), ("last", "shaky"), ("last", "left")]:
        for attempt in result.tasks[name].attempts:
            ended = result.tasks[before].attempts[-1].finished_at
            assert ended is not None
            assert ended <= attempt.started_at, "no task starts before those before it are recorded"


def _assert_each_attempt_began_once(ledger: Ledger, result: RunResult) -> None:
    """A task may run again, but always under a new number: that is what a ledger can rely on."""
    begun = {key: count for key, count in ledger.begun().items() if key[0] == result.run_id}
    assert set(begun.values()) <= {1}
    recorded = {
        (result.run_id, task.name, attempt.number)
        for task in result.tasks.values()
        for attempt in task.attempts
    }
    assert set(begun) <= recorded
    for task in result.tasks.values():
        for attempt in task.attempts:
            if attempt.outcome not in UNKNOWN:
                assert (result.run_id, task.name, attempt.number) in begun


def _assert_history_is_dense_and_folds_to_the_state(
    events: list[RunEvent], result: RunResult
) -> None:
    assert [event.seq for event in events] == [number + 1 for number in range(len(events))]
    types = [event.type for event in events]
    assert types[0] is EventType.SUBMITTED
    assert types[-1] in ENDS
    assert sum(types.count(end) for end in ENDS) == 1

    told: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.task is not None:
            told[event.task].append(_FOLD[event.type])
    for name, task in result.tasks.items():
        expected: list[str] = []
        for attempt in task.attempts:
            assert attempt.outcome is not None
            expected += ["started", attempt.outcome.value]
        if task.status is TaskStatus.CANCELLED:
            expected += ["cancelled"]
        assert told[name] == expected


_FOLD = {
    EventType.TASK_STARTED: "started",
    EventType.TASK_SUCCEEDED: "succeeded",
    EventType.ATTEMPT_FAILED: "failed",
    EventType.ATTEMPT_LOST: "lost",
    EventType.RELEASED: "released",
    EventType.COMMIT_REJECTED: "rejected",
    EventType.TASK_CANCELLED: "cancelled",
}
