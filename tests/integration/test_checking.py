"""A store that engines wrote is sound; each kind of damage is found, and named with its run."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from benchmarks.filled_store import fill
from sqlalchemy import delete, insert, update
from support.runs import EngineBench, soon, workflow_of

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.rules import all_done
from cloacina_core.model.status import RunStatus
from cloacina_core.store import checking, schema, sqlite
from cloacina_core.store.checking import KINDS, Damage, check
from cloacina_core.store.database import Database
from cloacina_core.store.retention import Expiry, Retention

CLOCK = SystemClock()
FLOW = workflow_of(
    {"a": [], "b": ["a"], "c": ["b"]},
    options={"a": {"retry": soon(first_delay=timedelta(0))}},
    rules={"c": all_done},
)
GHOST = "0" * 26


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, CLOCK)
    yield database
    database.close()


@pytest.fixture
def bench(database: Database) -> EngineBench:
    return EngineBench(database, CLOCK)


@pytest.fixture
def run_id(bench: EngineBench) -> RunId:
    return failed_run(bench)


def failed_run(bench: EngineBench) -> RunId:
    """Return a run that failed after a retry of its first task."""
    bench.executor.calls.clear()
    run_id = bench.start(FLOW, params={"n": 1}, context={"m": 1}).run_id
    bench.executor.fail("a", may_retry=True)
    bench.step()
    bench.executor.succeed("a", rows=[1])
    bench.step()
    bench.executor.fail("b")
    bench.step()
    bench.executor.succeed("c", n=2)
    bench.step()
    return run_id


def found(database: Database) -> list[Damage]:
    return list(check(database))


def test_an_empty_store_is_sound(database: Database):
    assert found(database) == []


def test_what_an_engine_wrote_is_sound(database: Database, run_id: RunId):
    assert found(database) == []


def test_every_moment_of_a_run_is_sound(bench: EngineBench, database: Database):
    bench.start(FLOW)
    assert found(database) == []
    bench.executor.fail("a", may_retry=True)
    bench.step()
    assert found(database) == []
    bench.executor.succeed("a")
    bench.step()
    bench.engine.request_stop()
    bench.step()
    assert found(database) == []


def test_every_moment_of_a_mapped_task_is_sound(bench: EngineBench, database: Database):
    flow = workflow_of({"a": [], "b": ["a"]}, options={"b": {"map": "items"}})
    bench.start(flow)
    bench.executor.succeed("a", items=[1, 2])
    bench.step()
    assert found(database) == []
    bench.executor.succeed("b[0]", doubled=2)
    bench.step()
    assert found(database) == []
    bench.executor.succeed("b[1]", doubled=4)
    bench.step()
    assert found(database) == []


def test_a_filled_store_is_sound(store_url: str):
    fill(store_url, 10, tasks=3)
    with closing(Database(store_url, CLOCK)) as database:
        assert found(database) == []


def test_what_retention_has_not_deleted_yet_is_no_damage(database: Database, run_id: RunId):
    assert Retention(database).discard(Expiry(RunStatus.FAILED, older_than=timedelta(0))) == 1

    assert found(database) == []


def of(table: Any, run_id: RunId, **which: Any) -> list[Any]:
    return [table.c.run_id == run_id, *(table.c[name] == value for name, value in which.items())]


def change(table: Any, run_id: RunId, values: dict[str, Any], **which: Any) -> Any:
    return update(table).where(*of(table, run_id, **which)).values(**values)


def insert_log(*, run_id: RunId | str, task: str, body: str, attempt: int = 1) -> Any:
    values = {"run_id": run_id, "task": task, "attempt": attempt, "body": body}
    return insert(schema.logs).values(seq=99, part=1, at=0, **values)


def drop(table: Any, run_id: RunId, **which: Any) -> Any:
    return delete(table).where(*of(table, run_id, **which))


def set_run(run_id: RunId, **values: Any) -> Any:
    return update(schema.runs).where(schema.runs.c.id == run_id).values(**values)


Harm = Callable[[RunId], Any]

DAMAGE: list[tuple[str, str, Harm]] = [
    (
        "changed-payload",
        "the params was changed",
        lambda run: change(schema.payloads, run, {"body": '{"n": 2}'}, kind="params"),
    ),
    (
        "changed-payload",
        "the output of task a was changed",
        lambda run: change(schema.payloads, run, {"digest": "sha256:0"}, kind="output", task="a"),
    ),
    (
        "missing-definition",
        "its definition gone isn't there",
        lambda run: set_run(run, definition="gone"),
    ),
    (
        "orphan",
        "1 rows in logs of a run that isn't there",
        lambda run: insert_log(run_id=GHOST, task="a", body="[]"),
    ),
    (
        "unknown-task",
        "logs of task 'x', which it hasn't",
        lambda run: insert_log(run_id=run, task="x", body="[]"),
    ),
    (
        "unknown-value",
        "the log of attempt 2 at a can't be read",
        lambda run: insert_log(run_id=run, task="a", attempt=2, body="[["),
    ),
    (
        "unknown-value",
        "event 3 is 'nonsense'",
        lambda run: change(schema.events, run, {"type": "nonsense"}, seq=3),
    ),
    ("gap-in-history", "event 4 is missing", lambda run: drop(schema.events, run, seq=4)),
    ("gap-in-history", "it has no events", lambda run: drop(schema.events, run)),
    (
        "history-disagrees",
        "it is succeeded; its events say failed",
        lambda run: set_run(run, status="succeeded"),
    ),
    (
        "history-disagrees",
        "task b is succeeded after 1 attempts; its events say failed after 1",
        lambda run: change(schema.tasks, run, {"status": "succeeded"}, name="b"),
    ),
    (
        "history-disagrees",
        "the events say that task b is failed; it has no row",
        lambda run: drop(schema.tasks, run, name="b"),
    ),
    (
        "history-disagrees",
        "task b is failed, and no event says so",
        lambda run: change(schema.events, run, {"task": "a"}, task="b"),
    ),
    (
        "attempts-disagree",
        "attempt 1 at a is missing",
        lambda run: drop(schema.attempts, run, task="a", number=1),
    ),
    (
        "attempts-disagree",
        "task a counts 2 attempts, and 1 are there",
        lambda run: drop(schema.attempts, run, task="a", number=2),
    ),
    (
        "attempts-disagree",
        "task a is succeeded, and its last attempt is failed",
        lambda run: change(schema.attempts, run, {"outcome": "failed"}, task="a", number=2),
    ),
    (
        "attempts-disagree",
        "attempt 2 at a came after one that succeeded",
        lambda run: change(schema.attempts, run, {"outcome": "succeeded"}, task="a", number=1),
    ),
    (
        "unfinished",
        "attempt 1 at b has half an end",
        lambda run: change(schema.attempts, run, {"finished_at": None}, task="b"),
    ),
    (
        "unfinished",
        "it is failed, and has no time of its end",
        lambda run: set_run(run, finished_at=None),
    ),
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def damaged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[RunId], list[Damage]]:
    """A run for each damage, each with its own, and what a check finds in all of them."""
    if request.param == "sqlite":
        return _damaged(f"sqlite:///{tmp_path_factory.mktemp('damage') / 'store.db'}")
    with request.getfixturevalue("postgresql_server").database() as url:
        return _damaged(url)


def _damaged(url: str) -> tuple[list[RunId], list[Damage]]:
    with closing(Database(url, CLOCK)) as database:
        bench = EngineBench(database, CLOCK)
        runs = [failed_run(bench) for _ in DAMAGE]
        with database.begin() as connection:
            for run_id, (_, _, harm) in zip(runs, DAMAGE, strict=True):
                connection.execute(harm(run_id))
        return runs, found(database)


@pytest.mark.parametrize("number", range(len(DAMAGE)), ids=lambda number: DAMAGE[number][1])
def test_damage_is_found(damaged: tuple[list[RunId], list[Damage]], number: int):
    runs, damage = damaged
    kind, message, _ = DAMAGE[number]
    run_id = GHOST if kind == "orphan" else runs[number]

    of_run = [(item.kind, item.message) for item in damage if item.run_id == run_id]

    assert (kind, message) in of_run
    assert all(item.mend for item in damage)


def test_only_what_was_damaged_is_found(damaged: tuple[list[RunId], list[Damage]]):
    runs, damage = damaged
    orphan = next(number for number, (kind, _, _) in enumerate(DAMAGE) if kind == "orphan")

    assert {item.run_id for item in damage} == {*runs, GHOST} - {runs[orphan]}


def test_a_definition_that_was_changed_is_found(database: Database, run_id: RunId):
    with database.begin() as connection:
        connection.execute(update(schema.definitions).values(body='{"tasks": []}'))

    assert "changed-definition" in {damage.kind for damage in found(database)}


def test_rows_without_a_run_are_counted_by_run(database: Database, run_id: RunId):
    """Before, between and behind the runs that are there."""
    with database.begin() as connection:
        connection.execute(delete(schema.runs).where(schema.runs.c.id == run_id))
        for ghost in (GHOST, "z" * 26):
            connection.execute(insert_log(run_id=ghost, task="a", body="[]"))

    damage = found(database)

    assert {item.kind for item in damage} == {"orphan"}
    assert {item.run_id for item in damage} == {GHOST, run_id, "z" * 26}


def test_pages_join_without_a_seam(
    bench: EngineBench, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checking, "RUNS_IN_PAGE", 2)
    runs = [bench.start(FLOW).run_id for _ in range(4)]
    with database.begin() as connection:
        connection.execute(drop(schema.events, runs[1], seq=2))
        connection.execute(drop(schema.events, runs[2], seq=2))
    told: list[tuple[int, int]] = []

    damage = list(check(database, lambda done, total: told.append((done, total))))

    assert {item.run_id for item in damage if item.kind == "gap-in-history"} == set(runs[1:3])
    assert told == [(2, 4), (4, 4), (4, 4)]


SWAPPED = ("ix_runs_package", "ix_runs_workflow")
LOST = ("events", "runs")  # what stands there can't be read at all


@pytest.mark.parametrize("names", [SWAPPED, LOST])
def test_a_damaged_file_of_sqlite_is_found(tmp_path: Path, names: tuple[str, str]):
    path = tmp_path / "store.db"
    with closing(Database(f"sqlite:///{path}", CLOCK)) as database:
        EngineBench(database, CLOCK).start(FLOW)
    module = sqlite.choose_library().module
    with closing(module.connect(str(path))) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(  # one in the place of the other
            "UPDATE sqlite_schema SET rootpage = (SELECT sum(rootpage) FROM sqlite_schema "
            "WHERE name IN (:one, :other)) - rootpage WHERE name IN (:one, :other)",
            {"one": names[0], "other": names[1]},
        )
        connection.commit()

    with closing(Database(f"sqlite:///{path}", CLOCK)) as database:
        damage = found(database)

    assert {item.kind for item in damage} == {"damaged-file"}


def test_every_kind_has_a_test():
    tested = {kind for kind, _, _ in DAMAGE} | {"changed-definition", "damaged-file"}
    tested |= {"damaged-blob", "missing-blob", "missing-use", "unused-blob"}  # test_spilling
    tested |= {"missing-child"}  # in the tests of children

    assert tested == KINDS
