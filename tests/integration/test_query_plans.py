"""What engines and users ask all the time is found through an index, however much is stored.

The statements are those that the code sends: they are heard, and then explained by the database.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from benchmarks.filled_store import fill
from sqlalchemy import event, text
from support.runs import LEASE, EngineBench, workflow_of

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.limit import Limit, Rate
from cloacina_core.model.starter import StarterKind
from cloacina_core.model.status import RunStatus
from cloacina_core.store.claiming import Claims, CodeHere
from cloacina_core.store.database import Database
from cloacina_core.store.direct import DirectConnection, DirectStatement
from cloacina_core.store.history import StoredHistory
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.reading import RunFilter, RunReader
from cloacina_core.store.retention import Expiry, Retention
from cloacina_core.store.writing import RunWriter

CLOCK = SystemClock()
RUNS = 3000
"""Enough for PostgreSQL to think an index worth while."""
GROWING = {"runs", "payloads", "tasks", "attempts", "logs", "events"}
"""Tables with rows for each run that there ever was."""
WHOLE_TABLE = re.compile(r"SCAN (\w+)$|Seq Scan on (\w+)")
SORTED = re.compile(r"TEMP B-TREE FOR ORDER BY|Sort Key")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    if request.param == "sqlite":
        yield from _filled(f"sqlite:///{tmp_path_factory.mktemp('plans') / 'store.db'}")
        return
    with request.getfixturevalue("postgresql_server").database() as url:
        yield from _filled(url)


def _filled(url: str) -> Iterator[Database]:
    fill(url, RUNS)
    database = Database(url, CLOCK)
    yield database
    database.close()


@dataclass(frozen=True, slots=True)
class Said:
    """A statement that was sent to the database."""

    connection: object
    statement: str
    parameters: Any

    @property
    def is_a_setting(self) -> bool:
        return self.statement.startswith("SET LOCAL enable")


@contextmanager
def heard(database: Database) -> Iterator[list[Said]]:
    """Yield the statements that are sent to the database."""
    said: list[Said] = []

    def hear(
        connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        said.append(Said(connection, statement, parameters[0] if many else parameters))

    execute = DirectConnection.execute

    def hear_directly(self: Any, statement: DirectStatement, rows: Any) -> Any:
        said.append(Said(self, statement.text, statement.bind(rows[0])))
        return execute(self, statement, rows)

    event.listen(database._engine, "before_cursor_execute", hear)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectConnection, "execute", hear_directly)
        yield said
    event.remove(database._engine, "before_cursor_execute", hear)


def plan_of(database: Database, said: Said, settings: list[str]) -> str:
    word = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.read() as connection:
        for setting in settings:
            connection.exec_driver_sql(setting)
        rows = connection.exec_driver_sql(f"{word} {said.statement}", said.parameters).all()
    return "\n".join([said.statement, *(str(row[-1]) for row in rows)])


def plans(database: Database, action: Callable[[], object]) -> list[str]:
    with heard(database) as all_said:
        action()
    found = []
    for said in all_said:
        settings = [
            before.statement
            for before in all_said
            if before.is_a_setting and before.connection is said.connection
        ]
        if re.match(r"SELECT .*\bFROM\b|UPDATE|DELETE", said.statement, re.DOTALL):
            found.append(plan_of(database, said, settings))
    return found


def whole_tables(plan: str) -> set[str]:
    return {match[1] or match[2] for match in WHOLE_TABLE.finditer(plan)} & GROWING


def some_run(database: Database) -> RunId:
    with database.read() as connection:
        query = text(f"SELECT id FROM runs ORDER BY id LIMIT 1 OFFSET {RUNS // 2}")
        return RunId(connection.execute(query).scalar_one())


SCHEDULES = StarterKind.SCHEDULE, StarterKind.BACKFILL
LISTINGS = {
    "all": RunFilter(),
    "status": RunFilter(status=RunStatus.FAILED),
    "workflow": RunFilter(workflow="rare"),
    "package": RunFilter(package="rare"),
    "both": RunFilter(package="rare", workflow="rare"),
    "schedule": RunFilter(started_by=SCHEDULES, starter="rare"),
    "time": RunFilter(since=CLOCK.now() - timedelta(hours=2), until=CLOCK.now()),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_a_page_of_a_listing_is_found_and_not_sorted(database: Database, name: str):
    reader, before = RunReader(database), some_run(database)

    (first,) = plans(database, lambda: reader.summaries(LISTINGS[name]))
    (second,) = plans(database, lambda: reader.summaries(LISTINGS[name], before=before))

    for plan in (first, second):
        assert not whole_tables(plan), plan
        if database.is_sqlite:  # PostgreSQL knows how few rows it is about, and may sort those
            assert not SORTED.search(plan), plan


def test_runs_of_a_schedule_are_found_among_those_that_rules_started(database: Database):
    reader = RunReader(database)

    (plan,) = plans(database, lambda: reader.summaries(LISTINGS["schedule"]))

    assert "ix_runs_starter" in plan, plan


def test_one_run_is_found_with_all_that_is_of_it(database: Database):
    reader, run_id = RunReader(database), some_run(database)

    found = plans(
        database,
        lambda: (
            reader.find(run_id[:20]),
            reader.load(run_id),
            reader.events(run_id, after=2),
            list(reader.logs(run_id)),
        ),
    )

    assert len(found) >= 8
    for plan in found:
        assert not whole_tables(plan), plan


def test_runs_to_take_up_are_found_among_live_ones(database: Database):
    ownership = Ownership(database, LEASE)
    engine = EngineId("0" * 26)

    found = plans(database, lambda: ownership.claimable(engine, after=RunId("0" * 26)))

    assert found
    for plan in found:
        assert not whole_tables(plan), plan
        if " runs" in plan:
            assert "ix_runs_live" in plan or "ix_runs_status" in plan, plan


def test_a_run_lives_and_ends_without_a_look_at_others(database: Database):
    bench = EngineBench(database, CLOCK)

    def live() -> None:
        bench.start(workflow_of({"a": []}), params={"n": 1}, idempotency_key="k")
        bench.executor.succeed("a", rows=[1])
        bench.step()
        RunWriter(database).keys_in_use(["k"])
        bench.ownership.stop(bench.engine.id)

    found = plans(database, live)

    assert any(plan.startswith("UPDATE tasks") for plan in found)
    for plan in found:
        assert not whole_tables(plan), plan


def test_a_run_without_limits_costs_no_statement_for_them(database: Database):
    bench = EngineBench(database, CLOCK)
    claims = Claims(database, CodeHere(sources=(), has=lambda _: True))
    workflow = workflow_of({"a": []})

    with heard(database) as said:
        bench.start(workflow)
        bench.executor.succeed("a")
        bench.step()
        queued = bench.start(workflow, status=RunStatus.QUEUED)
        claims.claim(bench.engine.id, 1)
    bench.ownership.stop(bench.engine.id)

    assert queued.run_id
    assert said
    for one in said:
        assert not re.search(r"permits|\blimits\b|advisory", one.statement), one.statement


def test_room_is_looked_for_among_live_runs_and_by_index(database: Database):
    bench = EngineBench(database, CLOCK)
    claims = Claims(database, CodeHere(sources=(), has=lambda _: True))
    bench.permits.set(Limit(name="crm-api", size=1, rate=Rate(5, timedelta(minutes=1))))
    workflow = workflow_of(
        {"a": []}, options={"a": {"limits": ["crm-api"]}}, max_live_runs=1, name="limited"
    )

    def live() -> None:
        bench.start(workflow, concurrency_key="one")
        bench.start(workflow, concurrency_key="one")
        bench.executor.succeed("a")
        bench.start(workflow, status=RunStatus.QUEUED, concurrency_key="one")
        claims.claim(bench.engine.id, 1)

    found = plans(database, live)
    bench.ownership.stop(bench.engine.id)

    assert any("permits" in plan for plan in found)
    assert any("max_live_per_key" in plan for plan in found)
    for plan in found:
        assert not whole_tables(plan), plan


def test_runs_to_delete_are_found_by_the_time_of_their_end(database: Database):
    retention = Retention(database)
    oldest = Expiry(RunStatus.SUCCEEDED, older_than=timedelta(days=19, hours=23))

    def sweep() -> None:
        assert retention.discard(oldest)
        while retention.clear():
            pass
        retention.forget_definitions()

    found = plans(database, sweep)

    assert len(found) >= 8
    assert any("ix_runs_finished" in plan for plan in found)
    for plan in found:
        assert not whole_tables(plan), plan


def test_the_ends_of_runs_are_found_by_their_time(database: Database):
    history, run_id = StoredHistory(database), some_run(database)
    lately = CLOCK.now() - timedelta(minutes=5)

    found = plans(
        database,
        lambda: (
            history.ends(RunStatus.FAILED, lately),
            history.ends(RunStatus.FAILED, lately, run_id),
            history.describe({run_id}),
            history.signal_waits_of(run_id),
            history.signal_waits(),
        ),
    )

    assert "ix_runs_finished" in found[0]
    assert "ix_runs_finished" in found[1]
    for plan in found:
        assert not whole_tables(plan), plan


def test_a_definition_is_looked_up_among_runs_by_an_index(database: Database):
    (plan,) = plans(database, Retention(database).forget_definitions)

    assert not whole_tables(plan), plan
    assert "ix_runs_definition" in plan, plan
