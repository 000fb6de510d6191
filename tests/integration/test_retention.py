"""Runs that were kept long enough go, whole and for good; all others stay as they are."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update
from support.runs import PATIENCE, EngineBench, nothing, open_runtime, workflow_of

from cloacina_core.errors import UnknownRunError
from cloacina_core.foundation.clock import SystemClock, to_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.period import Period
from cloacina_core.model.limit import Limit, Rate
from cloacina_core.model.status import RunStatus
from cloacina_core.services.retention import RetentionService, expiries, sweep
from cloacina_core.store import retention, schema
from cloacina_core.store.database import Database
from cloacina_core.store.permits import Permits, Wanted
from cloacina_core.store.reading import RunFilter
from cloacina_core.store.retention import Expiry, Retention

CLOCK = SystemClock()
ONE = workflow_of({"a": []})
DAY = Period(timedelta(days=1))
FOREVER = Period(None)


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, CLOCK)
    yield database
    database.close()


@pytest.fixture
def bench(database: Database) -> EngineBench:
    return EngineBench(database, CLOCK)


def ended(bench: EngineBench, *, days_ago: float, failed: bool = False) -> RunId:
    """Return a run that ended some days ago."""
    run_id = bench.start(ONE, params={"n": 1}).run_id
    if failed:
        bench.executor.fail("a")
    else:
        bench.executor.succeed("a", rows=[1])
    bench.step()
    at = to_micros(CLOCK.now() - timedelta(days=days_ago))
    with bench.database.begin() as connection:
        connection.execute(
            update(schema.runs).where(schema.runs.c.id == run_id).values(finished_at=at)
        )
    return run_id


def rows_left(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in schema.metadata.sorted_tables
            if table not in (schema.engines, schema.leases)
        }


def swept(database: Database, succeeded: Period = DAY, others: Period = DAY) -> int:
    return sweep(Retention(database), expiries(succeeded, others), lambda _: False, CLOCK)


def test_a_run_that_goes_leaves_nothing(bench: EngineBench, database: Database):
    for _ in range(3):
        ended(bench, days_ago=2)

    assert swept(database) == 3

    assert set(rows_left(database).values()) == {0}


def test_a_run_that_is_not_old_enough_stays_whole(bench: EngineBench, database: Database):
    young = ended(bench, days_ago=0.5)
    before = bench.result(young).to_json()
    ended(bench, days_ago=2)

    assert swept(database) == 1

    assert bench.result(young).to_json() == before
    assert len(bench.history(young)) == 5


def test_a_live_run_stays_however_old_it_is(bench: EngineBench, database: Database):
    run_id = bench.start(ONE).run_id
    with database.begin() as connection:
        connection.execute(update(schema.runs).values(created_at=1, started_at=1, finished_at=1))

    assert swept(database) == 0

    assert bench.reader.summary(run_id).status is RunStatus.RUNNING


def test_a_status_that_is_not_final_is_never_asked_for():
    with pytest.raises(ValueError, match="never deleted"):
        Expiry(RunStatus.PAUSED, older_than=timedelta(0))


def test_runs_that_failed_are_kept_for_their_own_time(bench: EngineBench, database: Database):
    failed = ended(bench, days_ago=2, failed=True)
    ended(bench, days_ago=2)

    assert swept(database, others=Period(timedelta(days=3))) == 1

    assert bench.reader.summary(failed).status is RunStatus.FAILED


def test_what_is_kept_for_ever_is_never_deleted(bench: EngineBench, database: Database):
    ended(bench, days_ago=10_000)

    assert swept(database, FOREVER, FOREVER) == 0
    assert len(bench.reader.summaries(RunFilter())) == 1


def test_a_long_run_goes_in_small_transactions(
    bench: EngineBench, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "ROWS_IN_TRANSACTION", 100)
    run_id = ended(bench, days_ago=2)
    with database.begin() as connection:
        rows = [
            {"run_id": run_id, "seq": seq, "at": 1, "type": "callback_failed"}
            for seq in range(100, 1000)
        ]
        connection.execute(insert(schema.events), rows)
    sizes = []
    with monkeypatch.context() as patch:
        clear = Retention.clear
        patch.setattr(Retention, "clear", lambda self: sizes.append(clear(self)) or sizes[-1])

        swept(database)

    assert max(sizes) <= 101
    assert len(sizes) > 9
    assert set(rows_left(database).values()) == {0}


def test_a_run_is_gone_at_once_and_for_everybody(bench: EngineBench, database: Database):
    run_id = ended(bench, days_ago=2)

    Retention(database).discard(Expiry(RunStatus.SUCCEEDED, older_than=timedelta(days=1)))

    assert bench.reader.summaries(RunFilter()) == []
    with pytest.raises(UnknownRunError):
        bench.reader.find(run_id)


def test_what_a_sweep_that_died_left_is_deleted_by_the_next(bench: EngineBench, database: Database):
    ended(bench, days_ago=2)
    Retention(database).discard(Expiry(RunStatus.SUCCEEDED, older_than=timedelta(days=1)))

    assert swept(database) == 0

    left = rows_left(database)
    assert left["events"] == left["payloads"] == left["discarded_runs"] == 0


def test_a_sweep_ends_when_it_is_told_to(bench: EngineBench, database: Database):
    for _ in range(2):
        ended(bench, days_ago=2)

    assert sweep(Retention(database), expiries(DAY, DAY), lambda _: True, CLOCK) == 2

    swept(database)
    assert rows_left(database)["events"] == 0


class TestDefinitions:
    def test_one_that_is_used_stays(self, bench: EngineBench, database: Database):
        ended(bench, days_ago=2)
        run_id = bench.start(ONE).run_id

        swept(database)

        assert rows_left(database)["definitions"] == 1
        assert bench.reader.load(run_id).definition.name == ONE.name

    def test_one_that_went_comes_again_with_the_next_run(
        self, bench: EngineBench, database: Database
    ):
        ended(bench, days_ago=2)
        swept(database)

        run_id = bench.start(ONE).run_id

        assert bench.reader.load(run_id).definition.name == ONE.name

    def test_a_run_that_comes_at_the_same_time_keeps_its_definition(
        self, bench: EngineBench, database: Database
    ):
        """An engine finds the definition there, so it doesn't write it; then it is deleted."""
        done = threading.Event()

        def forget() -> None:
            while not done.is_set():
                Retention(database).forget_definitions()

        sweeper = threading.Thread(target=forget)
        sweeper.start()
        try:
            for _ in range(30):
                run_id = bench.start(ONE).run_id
                assert bench.reader.load(run_id).definition.name == ONE.name
                with database.begin() as connection:
                    connection.execute(schema.runs.delete())
        finally:
            done.set()
            sweeper.join(PATIENCE)


def test_several_that_sweep_at_once_share_the_work(
    bench: EngineBench, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "RUNS_IN_TRANSACTION", 2)
    for _ in range(20):
        ended(bench, days_ago=2)
    young = ended(bench, days_ago=0)

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: swept(database), range(4)))
    swept(database)

    assert sum(counts) == 20
    left = rows_left(database)
    assert (left["runs"], left["events"], left["discarded_runs"]) == (1, 5, 0)
    assert bench.result(young).status is RunStatus.SUCCEEDED


def test_an_engine_sweeps_when_it_starts(tmp_path: Path, store_url: str):
    flow = workflow_of({"a": []}, functions={"a": nothing})
    with open_runtime(tmp_path, store_url) as runtime:
        old = runtime.run(flow, timeout=PATIENCE).run_id
    database = Database(store_url, CLOCK)
    with database.begin() as connection:
        connection.execute(update(schema.runs).values(finished_at=1))

    gone = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        forget = Retention.forget_definitions
        patch.setattr(Retention, "forget_definitions", lambda self: (forget(self), gone.set())[0])
        with open_runtime(tmp_path, store_url) as runtime:
            assert gone.wait(PATIENCE)
            with pytest.raises(UnknownRunError):
                runtime.get(old)
    database.close()


def test_a_sweep_that_fails_is_logged(database: Database, caplog: pytest.LogCaptureFixture):
    database.close()
    service = RetentionService(Retention(database), expiries(DAY, DAY), CLOCK)

    service.start()
    service.stop()

    assert "can't delete old runs" in caplog.text


def test_a_start_counts_for_its_rate_though_its_run_is_gone(bench: EngineBench, database: Database):
    run_id = ended(bench, days_ago=0.5)
    permits = Permits(database)
    permits.set(Limit(name="daily", rate=Rate(1, timedelta(days=7))))
    first, second = (
        Wanted(run, "a", 1, ("daily",), is_start=True) for run in (run_id, RunId("next"))
    )
    assert permits.take([first], bench.engine.id) == [None]

    assert swept(database, succeeded=Period(timedelta(hours=1))) == 1

    (refusal,) = permits.take([second], bench.engine.id)
    assert refusal is not None


def test_who_goes_on_and_asks_again_is_not_in_their_own_way(bench: EngineBench, database: Database):
    run_id = bench.start(ONE, params={"n": 1}).run_id
    bench.step()
    permits, engine = Permits(database), bench.engine.id
    permits.set(Limit(name="one", size=1))
    goes_on = Wanted(run_id, "a", 1, ("one",), is_start=False)

    assert permits.take([goes_on], engine) == [None]
    assert permits.take([goes_on], engine) == [None]
    (other,) = permits.take([Wanted(run_id, "a", 2, ("one",), is_start=True)], engine)
    assert other is not None
