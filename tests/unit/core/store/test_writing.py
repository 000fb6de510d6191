"""Everything of a batch is written, or nothing; and only what is as the writer thought."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
from sqlalchemy import Table, func, select
from support.runs import EngineBench, run_of, workflow_of

from cloacina_core.engine.call import Outcome
from cloacina_core.engine.journal import Journal
from cloacina_core.engine.run_state import RunState
from cloacina_core.foundation.ids import EngineId
from cloacina_core.model.event import EventType
from cloacina_core.model.status import AttemptOutcome, RunStatus
from cloacina_core.store import schema
from cloacina_core.store.batch import Batch, GuardError, StaleEngineError
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.store.writing import KeyTakenError, RunWriter
from cloacina_core.testing import FrozenClock

ONE = workflow_of({"a": []})
CLOCK = FrozenClock()


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database(IN_MEMORY, CLOCK)
    yield database
    database.close()


@pytest.fixture
def bench(database: Database) -> EngineBench:
    return EngineBench(database, CLOCK)


class Pen:
    """A journal with a writer: what is written down can be written at once."""

    def __init__(self, bench: EngineBench) -> None:
        self.bench = bench
        self.journal = Journal(bench.engine.id, CLOCK.now)
        self.writer = RunWriter(bench.database)

    def write(self) -> Batch:
        batch = self.journal.take()
        self.writer.write(batch, self.bench.engine.id)
        return batch

    def submit(self, key: str | None = None) -> RunState:
        run = run_of(
            ONE, clock=CLOCK, ids=self.bench.ids, engine=self.bench.engine.id, idempotency_key=key
        )
        self.journal.submitted(run, "digest" if key else None)
        return run


@pytest.fixture
def pen(bench: EngineBench) -> Pen:
    return Pen(bench)


def count(database: Database, table: Table) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def outcome_of(run: RunState) -> Outcome:
    return Outcome(key=(run.run_id, 0, 1), outcome=AttemptOutcome.SUCCEEDED, changes={"n": "1"})


def test_nothing_of_an_unknown_engine_is_written(pen: Pen, database: Database):
    pen.submit()
    batch = pen.journal.take()

    with pytest.raises(StaleEngineError):
        pen.writer.write(batch, EngineId("0" * 26))

    assert count(database, schema.runs) == 0


def test_nothing_of_a_dead_engine_is_written(pen: Pen, database: Database):
    pen.bench.ownership.stop(pen.bench.engine.id)
    pen.submit()

    with pytest.raises(StaleEngineError):
        pen.write()

    assert count(database, schema.runs) == 0


def test_a_batch_that_was_written_is_not_written_again(pen: Pen, database: Database):
    run = pen.submit()
    batch = pen.write()

    pen.writer.write(batch, pen.bench.engine.id)

    assert count(database, schema.runs) == 1
    assert pen.bench.history(run.run_id) == ["submitted"]


def test_a_dead_engine_is_told_so_even_if_its_batch_was_written(pen: Pen):
    pen.submit()
    batch = pen.write()
    pen.bench.ownership.stop(pen.bench.engine.id)

    with pytest.raises(StaleEngineError):
        pen.writer.write(batch, pen.bench.engine.id)


def test_a_key_in_use_refuses_the_whole_batch(pen: Pen, database: Database):
    pen.submit("k")
    pen.write()
    pen.submit()
    pen.submit("k")

    with pytest.raises(KeyTakenError):
        pen.write()

    assert count(database, schema.runs) == 1
    assert count(database, schema.events) == 1


def test_keys_in_use_tell_their_runs(pen: Pen):
    run = pen.submit("k")
    pen.write()

    known = pen.writer.keys_in_use(["k", "other"])

    assert {key: (found.run_id, found.request_digest) for key, found in known.items()} == {
        "k": (run.run_id, "digest")
    }


class TestGuards:
    """A row is changed only while it is what the writer thinks."""

    def started(self, pen: Pen) -> RunState:
        run = pen.submit()
        pen.journal.attempt_started(run, 0)
        pen.write()
        return run

    def test_an_attempt_ends_once(self, pen: Pen, database: Database):
        run = self.started(pen)
        twin = deepcopy(run)
        pen.journal.attempt_ended(run, 0, outcome_of(run))
        pen.write()
        pen.journal.attempt_ended(twin, 0, outcome_of(twin))

        with pytest.raises(GuardError):
            pen.write()

        assert count(database, schema.payloads) == 1

    def test_only_the_engine_that_began_an_attempt_ends_it(self, pen: Pen):
        run = self.started(pen)
        rival = Pen(EngineBench(pen.bench.database, CLOCK))
        rival.journal.attempt_ended(run, 0, outcome_of(run))

        with pytest.raises(GuardError):
            rival.write()

    def test_a_task_changes_only_from_the_status_and_attempt_that_are_known(self, pen: Pen):
        run = self.started(pen)
        with pen.bench.database.begin() as connection:
            connection.execute(schema.tasks.update().values(attempts=2))
        run.tasks[0].status = run.tasks[0].status.SUCCEEDED
        pen.journal.task_ended(run, 0)

        with pytest.raises(GuardError):
            pen.write()

    @pytest.mark.parametrize("change", [{"engine": "0" * 26}, {"status": "cancelled"}])
    def test_a_run_ends_only_by_its_engine_and_while_it_runs(
        self, pen: Pen, change: dict[str, str]
    ):
        run = self.started(pen)
        with pen.bench.database.begin() as connection:
            connection.execute(schema.runs.update().values(**change))
        pen.journal.finished(run, RunStatus.SUCCEEDED, None)

        with pytest.raises(GuardError):
            pen.write()

    def test_one_wrong_row_of_many_refuses_all(self, pen: Pen, database: Database):
        first, second = self.started(pen), self.started(pen)
        with database.begin() as connection:
            of_second = schema.tasks.c.run_id == second.run_id
            connection.execute(schema.tasks.update().where(of_second).values(attempts=2))
        for run in (first, second):
            pen.journal.attempt_ended(run, 0, outcome_of(run))
            run.tasks[0].status = run.tasks[0].status.SUCCEEDED
            pen.journal.task_ended(run, 0)

        with pytest.raises(GuardError):
            pen.write()

        assert pen.bench.result(first.run_id).tasks["a"].attempts[0].outcome is None


class TestBatch:
    def test_it_is_divided_by_run_without_loss(self, pen: Pen, database: Database):
        runs = [pen.submit() for _ in range(3)]
        for run in runs:
            pen.journal.attempt_started(run, 0)
            pen.journal.attempt_ended(run, 0, outcome_of(run))
        batch = pen.journal.take()

        parts = batch.by_run()

        assert list(parts) == [run.run_id for run in runs]
        assert batch.runs() == set(parts)
        for part in parts.values():
            part.number = pen.journal.next_number()
            pen.writer.write(part, pen.bench.engine.id)
        assert count(database, schema.runs) == 3
        assert count(database, schema.attempts) == 3

    def test_runs_can_be_left_out(self, pen: Pen, database: Database):
        first, second = pen.submit(), pen.submit()
        batch = pen.journal.take()

        rest = batch.without({first.run_id})

        assert rest.runs() == {second.run_id}
        assert rest.number == batch.number
        pen.writer.write(rest, pen.bench.engine.id)
        assert count(database, schema.definitions) == 1

    def test_it_is_empty_until_a_row_is_in_it(self, pen: Pen):
        assert not pen.journal.batch

        pen.journal.event(run_of(ONE), EventType.SUBMITTED)

        assert pen.journal.batch
