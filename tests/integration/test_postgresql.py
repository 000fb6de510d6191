"""What is special about PostgreSQL: several hosts, lost connections, locks that meet."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update
from support.postgresql import Server
from support.runs import (
    PATIENCE,
    EngineBench,
    chain_of,
    open_runtime,
    run_of,
    workflow_of,
)

from cloacina_core.errors import (
    IllegalTransitionError,
    OutcomeUnknownError,
    RunOwnedElsewhereError,
    StoreError,
    StoreUnavailableError,
)
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.status import RunStatus
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import ProcessIdentity, hold

CLOCK = SystemClock()
ONE = workflow_of({"a": []})


def setting(database: Database, name: str) -> str:
    with database.read() as connection:
        return str(connection.execute(text(f"SHOW {name}")).scalar())


def kill_connections(server: Server, url: str) -> None:
    """Cut off everybody who is connected to a test's database."""
    name = url.rpartition("/")[2].partition("?")[0]
    server.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )


def test_nothing_is_waited_for_without_end(postgresql_url: str):
    database = Database(postgresql_url, CLOCK)

    assert setting(database, "statement_timeout") == "1min"
    assert setting(database, "lock_timeout") == "10s"
    assert setting(database, "idle_in_transaction_session_timeout") == "1min"
    database.close()


def test_a_writer_that_stops_keeps_its_locks_for_less_than_a_lease(postgresql_url: str):
    query = "SHOW idle_in_transaction_session_timeout"
    with closing(Database(postgresql_url, CLOCK)) as database:
        with database.begin() as connection:
            assert connection.exec_driver_sql(query).scalar() == "10s"
        assert setting(database, "idle_in_transaction_session_timeout") == "1min"
        direct = database.direct_connection()
        with database.begin_directly(direct):
            assert direct._driver.execute(query).fetchone() == ("10s",)


def test_commits_are_synchronous(postgresql_url: str):
    database = Database(postgresql_url, CLOCK)

    assert setting(database, "synchronous_commit") == "on"
    database.close()


def test_a_reader_sees_one_state_of_the_store(postgresql_url: str):
    database = Database(postgresql_url, CLOCK)
    count = select(text("count(*)")).select_from(schema.definitions)
    with database.read() as reading:
        before = reading.execute(count).scalar()
        with database.begin() as writing:
            writing.execute(insert(schema.definitions).values(digest="d", body="{}"))

        assert reading.execute(count).scalar() == before
    database.close()


def test_a_reader_cannot_write(postgresql_url: str):
    database = Database(postgresql_url, CLOCK)

    with pytest.raises(StoreError), database.read() as connection:
        connection.execute(insert(schema.definitions).values(digest="d", body="{}"))
    database.close()


def test_those_who_make_a_store_together_make_one(postgresql_url: str):
    start = threading.Barrier(6)

    def make(_: int) -> None:
        start.wait(PATIENCE)
        Database(postgresql_url, CLOCK).close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make, range(6)))


class TestLostConnections:
    def test_a_commit_that_is_cut_off_has_an_unknown_outcome(
        self, postgresql_server: Server, postgresql_url: str
    ):
        database = Database(postgresql_url, CLOCK)

        with pytest.raises(OutcomeUnknownError), database.begin() as connection:  # noqa: PT012
            connection.execute(insert(schema.definitions).values(digest="d", body="{}"))
            kill_connections(postgresql_server, postgresql_url)
        database.close()

    def test_a_statement_that_is_cut_off_was_not_done(
        self, postgresql_server: Server, postgresql_url: str
    ):
        database = Database(postgresql_url, CLOCK)

        with pytest.raises(StoreUnavailableError) as raised, database.begin() as connection:  # noqa: PT012
            connection.execute(text("SELECT 1"))
            kill_connections(postgresql_server, postgresql_url)
            connection.execute(insert(schema.definitions).values(digest="d", body="{}"))

        assert not isinstance(raised.value, OutcomeUnknownError)
        database.close()

    def test_connections_that_died_in_the_pool_are_replaced(
        self, postgresql_server: Server, postgresql_url: str
    ):
        database = Database(postgresql_url, CLOCK)
        for _ in range(3):
            kill_connections(postgresql_server, postgresql_url)

            with database.read() as connection:
                answer = connection.execute(text("SELECT 1")).scalar()

            assert answer == 1
        database.close()

    def test_runs_go_on_when_connections_are_cut_again_and_again(
        self, tmp_path: Path, postgresql_server: Server, postgresql_url: str
    ):
        flow = workflow_of(chain_of(10))
        stop = threading.Event()

        def cut() -> None:
            while not stop.wait(0.05):
                kill_connections(postgresql_server, postgresql_url)

        with open_runtime(tmp_path, postgresql_url) as runtime:
            accepted: list[str] = []
            cutter = threading.Thread(target=cut)
            cutter.start()
            for number in range(40):
                with suppress(StoreUnavailableError):
                    accepted.append(runtime.submit(flow, {"n": number}).id)
            stop.set()
            cutter.join()

            for run_id in accepted:
                result = runtime.attach(run_id).result(timeout=PATIENCE)
                assert result.status is RunStatus.SUCCEEDED
                assert runtime.get(run_id).to_json() == result.to_json()
                events = runtime.events(run_id)
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                told = [event.task for event in events if event.type == "task_succeeded"]
                assert sorted(filter(None, told)) == sorted(chain_of(10))
            stored = {summary.run_id for summary in runtime.list(limit=1000)}

        assert stored == set(accepted), "what was refused isn't there"
        assert accepted


class TestHosts:
    """Engines of other hosts are judged by their leases, on the database's clock."""

    def elsewhere(self, bench: EngineBench) -> None:
        stranger = ProcessIdentity("elsewhere", 1, "1")
        with bench.database.begin() as connection:
            connection.execute(
                update(schema.engines)
                .where(schema.engines.c.id == bench.engine.id)
                .values(host=stranger.host, pid=stranger.pid)
            )

    def test_the_clock_of_this_host_decides_nothing(self, postgresql_url: str):
        class FastClock(SystemClock):
            def now(self) -> datetime:
                return super().now() + timedelta(days=1)

        database, hurried = Database(postgresql_url, CLOCK), Database(postgresql_url, FastClock())
        theirs, ours = EngineBench(database, CLOCK), EngineBench(hurried, FastClock())
        self.elsewhere(theirs)
        run = theirs.start(ONE)

        with pytest.raises(RunOwnedElsewhereError):
            ours.ownership.claim(run.run_id, ours.engine.id)
        database.close()
        hurried.close()

    def test_a_lease_that_ran_out_frees_the_run(self, postgresql_url: str):
        database = Database(postgresql_url, CLOCK)
        theirs, ours = EngineBench(database, CLOCK), EngineBench(database, CLOCK)
        self.elsewhere(theirs)
        run = theirs.start(ONE)
        with database.begin() as connection:
            of_theirs = schema.leases.c.engine == theirs.engine.id
            connection.execute(update(schema.leases).where(of_theirs).values(until=0))

        ours.ownership.claim(run.run_id, ours.engine.id)

        assert ours.reader.summary(run.run_id).engine == ours.engine.id
        database.close()


class TestLocks:
    def test_of_many_who_claim_a_run_one_gets_it(self, postgresql_url: str):
        database = Database(postgresql_url, CLOCK)
        benches = [EngineBench(database, CLOCK) for _ in range(6)]
        start = threading.Barrier(len(benches))

        def claim(bench: EngineBench) -> list[str]:
            got = []
            for run_id in runs:
                start.wait(PATIENCE)
                with suppress(RunOwnedElsewhereError):
                    bench.ownership.claim(run_id, bench.engine.id)
                    got.append(run_id)
            return got

        runs = [benches[0].start(ONE, status=RunStatus.QUEUED).run_id for _ in range(10)]
        with ThreadPoolExecutor(len(benches)) as pool:
            claimed = [run_id for got in pool.map(claim, benches) for run_id in got]

        assert sorted(claimed) == sorted(runs)
        database.close()

    def test_an_engine_that_ends_waits_for_what_it_is_taking(self, postgresql_url: str):
        """Otherwise it would have runs after its end, and nobody would look for them."""
        database = Database(postgresql_url, CLOCK)
        owner = EngineBench(database, CLOCK)
        run_id = owner.start(ONE, status=RunStatus.QUEUED).run_id
        began = threading.Event()

        def end() -> None:
            began.set()
            owner.ownership.stop(owner.engine.id)

        ending = threading.Thread(target=end)
        with database.begin() as connection:
            assert hold(connection, owner.engine.id)
            ending.start()
            began.wait(PATIENCE)
            ending.join(0.1)  # so long that it would have ended, if it didn't wait
            taken = update(schema.runs).where(schema.runs.c.id == run_id)
            connection.execute(taken.values(engine=owner.engine.id))
        ending.join(PATIENCE)

        assert owner.reader.summary(run_id).engine is None
        database.close()

    def test_an_engine_that_ended_takes_nothing(self, postgresql_url: str):
        database = Database(postgresql_url, CLOCK)
        owner = EngineBench(database, CLOCK)
        run_id = owner.start(ONE, status=RunStatus.QUEUED).run_id
        owner.ownership.stop(owner.engine.id)

        with pytest.raises(StoreUnavailableError):
            owner.ownership.claim(run_id, owner.engine.id)

        assert owner.ownership.claim_all([run_id], owner.engine.id) == []
        database.close()

    def test_who_writes_and_who_claims_never_wait_for_each_other_in_a_circle(
        self, postgresql_url: str
    ):
        """A claim looks at a run and its engine; a commit locks its engine and then the run."""
        database = Database(postgresql_url, CLOCK)
        owner, rival = EngineBench(database, CLOCK), EngineBench(database, CLOCK)
        stop = threading.Event()
        errors: list[Exception] = []
        current = [run_of(ONE).run_id]

        def claim() -> None:
            while not stop.is_set():
                try:
                    rival.ownership.claim(current[0], rival.engine.id)
                except (RunOwnedElsewhereError, IllegalTransitionError):
                    continue
                except StoreError as error:
                    errors.append(error)
                except Exception:  # noqa: BLE001 - not submitted yet
                    continue

        thread = threading.Thread(target=claim)
        thread.start()
        for _ in range(50):
            run = owner.start(ONE)
            current[0] = run.run_id
            owner.executor.succeed("a")
            owner.step()
            assert run.status is RunStatus.SUCCEEDED
        stop.set()
        thread.join()

        assert errors == []
        database.close()


def test_an_engine_writes_on_when_its_connection_died_idle(
    postgresql_server: Server, postgresql_url: str, tmp_path: Path
):
    with open_runtime(tmp_path, postgresql_url) as runtime:
        assert runtime.run(ONE).status is RunStatus.SUCCEEDED
        kill_connections(postgresql_server, postgresql_url)

        assert runtime.run(ONE).status is RunStatus.SUCCEEDED
