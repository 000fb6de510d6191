"""Crash points: how they are written, and which transactions they mean."""

import pytest

from cloacina_core.errors import InputError
from cloacina_core.store.batch import Batch
from cloacina_core.testing import CrashPoint
from cloacina_core.testing.crash_point import Crashes, EngineKilledError

SUBMIT = Batch(new_runs=[{"id": "r"}])
START = Batch(new_attempts=[{"run_id": "r", "task": "extract", "number": 2}])
COMMIT = Batch(attempt_ends=[{"of_task": "extract", "attempt": 2, "outcome": "succeeded"}])
LOST = Batch(attempt_ends=[{"of_task": "extract", "attempt": 2, "outcome": "lost"}])
FINISH = Batch(run_changes=[{"run_id": "r", "status": "failed"}])
CLAIM = Batch(run_changes=[{"run_id": "r", "status": "running"}])
BATCHES = [SUBMIT, START, COMMIT, LOST, FINISH, CLAIM]


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("before submit", CrashPoint("before", "submit")),
        ("after finish", CrashPoint("after", "finish")),
        ("after start:extract", CrashPoint("after", "start", "extract")),
        ("before commit:load.all-v2", CrashPoint("before", "commit", "load.all-v2")),
        ("before commit:extract#12", CrashPoint("before", "commit", "extract", 12)),
    ],
)
def test_a_point_is_read_and_written_alike(text: str, point: CrashPoint) -> None:
    assert CrashPoint.parse(text) == point
    assert str(point) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "during start:extract",
        "before",
        "before start",
        "before start:",
        "before submit:extract",
        "before commit:extract#0",
        "before commit:extract#",
        "before  submit",
        "before submit ",
    ],
)
def test_anything_else_is_refused_and_the_notation_told(text: str) -> None:
    with pytest.raises(InputError, match="isn't a crash point") as refused:
        CrashPoint.parse(text)

    assert "start:TASK" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("before submit", [SUBMIT]),
        ("after start:extract", [START]),
        ("after start:extract#2", [START]),
        ("after start:extract#1", []),
        ("after start:load", []),
        ("before commit:extract", [COMMIT]),
        ("before commit:extract#2", [COMMIT]),
        ("before commit:extract#3", []),
        ("before commit:load", []),
        ("before finish", [FINISH]),
    ],
)
def test_a_point_means_the_transactions_with_its_step(text: str, meant: list[Batch]) -> None:
    point = CrashPoint.parse(text)

    assert [batch for batch in BATCHES if point.is_in(batch)] == meant


def test_each_crash_happens_once_and_only_on_its_side() -> None:
    crashes = Crashes([CrashPoint.parse("after submit")])

    crashes.strike("before", SUBMIT)
    with pytest.raises(EngineKilledError, match="after submit"):
        crashes.strike("after", SUBMIT)
    crashes.strike("after", SUBMIT)

    assert crashes.pending == []
    assert [str(point) for point in crashes.happened] == ["after submit"]


def test_a_point_given_twice_happens_twice() -> None:
    crashes = Crashes([CrashPoint.parse("before submit")] * 2)

    for _ in range(2):
        with pytest.raises(EngineKilledError):
            crashes.strike("before", SUBMIT)

    crashes.strike("before", SUBMIT)
    assert len(crashes.happened) == 2
