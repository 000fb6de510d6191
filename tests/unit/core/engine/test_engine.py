"""The engine: what happened is written first, and then acted on."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.runs import EngineBench, HandExecutor, chain_of, run_of, workflow_of

from cloacina_core.engine.call import Outcome
from cloacina_core.engine.engine import Engine, EngineLimits
from cloacina_core.engine.notifier import Notifier
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.requests import EngineStoppedError, Submission, TakeUp
from cloacina_core.engine.run_state import RunState, Upstream
from cloacina_core.errors import (
    IdempotencyConflictError,
    OutcomeUnknownError,
    StoreError,
    StoreUnavailableError,
)
from cloacina_core.foundation.ids import EngineId, IdFactory, RunId
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import Rule
from cloacina_core.model.run import Failure
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitKind
from cloacina_core.store.batch import Batch
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.permits import Permits
from cloacina_core.store.writing import RunWriter
from cloacina_core.testing import FrozenClock

ONE = workflow_of({"a": []})
TWO = workflow_of({"a": [], "b": ["a"]})


class TroubledWriter(RunWriter):
    """Writes, unless the test has put trouble in its way; remembers what it was asked to write."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.before: list[Exception] = []
        """Raised instead of writing, one for each call."""
        self.after: list[Exception] = []
        """Raised once it is written."""
        self.on_write: Callable[[Batch], None] = lambda batch: None
        self.writes = 0

    def write(self, batch: Batch, engine: EngineId) -> None:
        self.on_write(batch)
        if self.before:
            raise self.before.pop(0)
        super().write(batch, engine)
        self.writes += 1
        if self.after:
            raise self.after.pop(0)


@pytest.fixture
def writer(database: Database) -> TroubledWriter:
    return TroubledWriter(database)


@pytest.fixture
def bench(database: Database, clock: FrozenClock, writer: TroubledWriter) -> EngineBench:
    return EngineBench(database, clock, writer=writer)


def refusal(submission: Submission | TakeUp) -> Exception:
    """Return the error that a request was answered with."""
    with pytest.raises(Exception) as raised:
        submission.reply.wait(lambda: False)
    return raised.value


def accepted(request: Submission | TakeUp) -> bool:
    request.reply.wait(lambda: False)
    return True


class TestCommits:
    def test_a_run_and_its_first_starts_are_one_transaction(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        bench.start(TWO)

        assert writer.writes == 1
        assert bench.executor.names() == ["a"]

    def test_an_outcome_and_the_next_start_are_one_transaction(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        bench.start(TWO)
        bench.executor.succeed("a")

        bench.step()

        assert writer.writes == 2
        assert bench.executor.names() == ["b"]

    def test_what_happened_to_many_runs_meanwhile_is_one_transaction(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        submissions = [bench.post(ONE) for _ in range(10)]

        bench.step()

        assert writer.writes == 1
        assert all(accepted(submission) for submission in submissions)

    def test_no_task_starts_and_nobody_is_answered_before_the_commit(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        seen: list[tuple[list[str], bool]] = []
        submission = bench.post(ONE)
        writer.on_write = lambda batch: seen.append(
            (bench.executor.names(), submission.reply._done.is_set)
        )

        bench.step()

        assert seen == [([], False)]

    def test_the_end_of_a_run_is_told_after_its_commit(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        submission = bench.post(ONE)
        bench.step()
        seen: list[bool] = []
        writer.on_write = lambda batch: seen.append(submission.completion.wait(0))
        bench.executor.succeed("a")

        bench.step()

        assert seen == [False]
        assert submission.completion.has_ended

    def test_events_are_numbered_without_holes(self, bench: EngineBench):
        run = bench.start(TWO)
        bench.executor.succeed("a")
        bench.step()
        bench.executor.succeed("b")
        bench.step()

        events = bench.reader.events(run.run_id)

        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert bench.history(run.run_id) == [
            "submitted",
            "claimed",
            "task_started a#1",
            "task_succeeded a#1",
            "task_started b#1",
            "task_succeeded b#1",
            "run_succeeded",
        ]

    def test_the_store_tells_the_same_as_memory(self, bench: EngineBench):
        run = bench.start(TWO, context={"day": "monday"}, params={"n": 1})
        bench.executor.succeed("a", rows=[1, 2])
        bench.step()
        bench.executor.fail("b")
        bench.step()

        assert bench.result(run.run_id).to_json() == run.result().to_json()


class TestSlots:
    def test_no_more_tasks_run_than_there_are_slots(self, database: Database, clock: FrozenClock):
        bench = EngineBench(database, clock, slots=2)

        bench.start(workflow_of({"a": [], "b": [], "c": []}))

        assert bench.executor.names() == ["a", "b"]

    def test_a_free_slot_is_taken(self, database: Database, clock: FrozenClock):
        bench = EngineBench(database, clock, slots=2)
        bench.start(workflow_of({"a": [], "b": [], "c": []}))
        bench.executor.succeed("a")

        bench.step()

        assert bench.executor.names() == ["b", "c"]

    def test_a_call_that_was_given_up_but_runs_on_takes_its_slot(
        self, database: Database, clock: FrozenClock
    ):
        bench = EngineBench(database, clock, slots=1)
        bench.executor.lost = 1

        bench.start(ONE)

        assert bench.executor.names() == []

    def test_runs_of_higher_priority_come_first(self, database: Database, clock: FrozenClock):
        bench = EngineBench(database, clock, slots=1)
        bench.start(workflow_of({"busy": []}))
        bench.post(workflow_of({"low": []}), priority=-1)
        bench.post(workflow_of({"usual": []}))
        bench.post(workflow_of({"high": []}), priority=1)
        order = []

        for _ in range(4):
            bench.step()
            order += bench.executor.names()
            bench.executor.succeed(order[-1])

        assert order == ["busy", "high", "usual", "low"]

    def test_among_equals_the_first_comes_first(self, database: Database, clock: FrozenClock):
        bench = EngineBench(database, clock, slots=1)
        for name in ("x", "y", "z"):
            bench.post(workflow_of({name: []}))
        order = []

        for _ in range(3):
            bench.step()
            order += bench.executor.names()
            bench.executor.succeed(order[-1])

        assert order == ["x", "y", "z"]


class TestIdempotency:
    def test_the_same_request_attaches_to_the_first_run(self, bench: EngineBench):
        first = bench.start(ONE, idempotency_key="k", request_digest="same")

        second = bench.post(ONE, idempotency_key="k", request_digest="same")
        bench.step()

        assert accepted(second)
        assert second.reply.existing == first.run_id

    def test_another_request_conflicts(self, bench: EngineBench):
        first = bench.start(ONE, idempotency_key="k", request_digest="one")

        second = bench.post(ONE, idempotency_key="k", request_digest="two")
        bench.step()

        error = refusal(second)
        assert isinstance(error, IdempotencyConflictError)
        assert (error.key, error.run_id) == ("k", first.run_id)

    def test_two_of_one_key_at_the_same_moment_are_one_run(self, bench: EngineBench):
        first = bench.post(ONE, idempotency_key="k", request_digest="same")
        second = bench.post(ONE, idempotency_key="k", request_digest="same")
        third = bench.post(ONE, idempotency_key="k", request_digest="other")

        bench.step()

        assert accepted(first)
        assert accepted(second)
        assert second.reply.existing == first.run.run_id
        assert isinstance(refusal(third), IdempotencyConflictError)
        assert bench.executor.names() == ["a"]

    def test_a_key_that_another_engine_took_meanwhile_attaches_to_its_run(
        self, bench: EngineBench, writer: TroubledWriter, database: Database, clock: FrozenClock
    ):
        rival = EngineBench(database, clock)
        theirs: list[Any] = []

        def take_the_key(batch: Batch) -> None:
            if not theirs:
                run = rival.start(ONE, idempotency_key="k", request_digest="same")
                theirs.append(run.run_id)

        writer.on_write = take_the_key
        mine = bench.post(ONE, idempotency_key="k", request_digest="same")
        also_mine = bench.post(ONE, idempotency_key="k", request_digest="same")
        other = bench.post(ONE, idempotency_key="k", request_digest="other")
        neighbour = bench.post(TWO)
        bench.step()

        assert accepted(mine)
        assert accepted(also_mine)
        assert {mine.reply.existing, also_mine.reply.existing} == set(theirs)
        assert isinstance(refusal(other), IdempotencyConflictError)
        assert accepted(neighbour)
        assert len(bench.executor.calls) == 1, "the neighbour's task alone"

    def test_a_key_that_cannot_be_looked_up_refuses_the_run_and_not_the_engine(
        self, bench: EngineBench, writer: TroubledWriter, monkeypatch: pytest.MonkeyPatch
    ):
        def broken(keys: object) -> None:
            raise StoreUnavailableError("no answer")

        monkeypatch.setattr(writer, "keys_in_use", broken)
        submission = bench.post(ONE, idempotency_key="k", request_digest="same")
        neighbour = bench.post(ONE)

        bench.step()

        assert isinstance(refusal(submission), StoreUnavailableError)
        assert accepted(neighbour)


class TestTroubleWithTheStore:
    @pytest.fixture(autouse=True)
    def in_no_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cloacina_core.engine.flushing.SHORTEST_PAUSE", timedelta(0))

    def test_a_submission_is_refused_and_nothing_of_it_is_left(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        writer.before = [StoreUnavailableError("full")]
        submission = bench.post(ONE)

        bench.step()

        assert isinstance(refusal(submission), StoreUnavailableError)
        assert bench.executor.names() == []
        assert bench.engine.completion(submission.run.run_id) is None

    def test_those_who_came_with_the_same_key_are_refused_with_it(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        writer.before = [StoreUnavailableError("full")]
        first = bench.post(ONE, idempotency_key="k", request_digest="same")
        second = bench.post(ONE, idempotency_key="k", request_digest="same")

        bench.step()

        assert isinstance(refusal(first), StoreUnavailableError)
        assert isinstance(refusal(second), StoreUnavailableError)

    def test_what_runs_already_is_written_as_soon_as_it_can_be(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        run = bench.start(TWO)
        writer.before = [StoreUnavailableError("full")] * 3
        bench.executor.succeed("a")

        bench.step()

        assert bench.executor.names() == ["b"]
        assert bench.history(run.run_id).count("task_succeeded a#1") == 1

    def test_a_commit_whose_answer_was_lost_is_not_applied_twice(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        run = bench.start(TWO)
        writer.after = [OutcomeUnknownError("cut off")]
        bench.executor.succeed("a")

        bench.step()

        assert bench.executor.names() == ["b"]
        assert bench.history(run.run_id).count("task_succeeded a#1") == 1

    def test_a_commit_that_was_lost_with_its_answer_is_repeated(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        run = bench.start(TWO)
        writer.before = [OutcomeUnknownError("cut off"), StoreUnavailableError("still down")]
        bench.executor.succeed("a")

        bench.step()

        assert bench.history(run.run_id).count("task_succeeded a#1") == 1

    def test_who_submits_is_told_nothing_while_the_outcome_is_in_doubt(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        """Neither "stored" nor "not stored" would be known to be true."""
        writer.after = [OutcomeUnknownError("cut off")]
        submission = bench.post(ONE)
        answered: list[bool] = []
        writer.on_write = lambda batch: answered.append(submission.reply._done.is_set)

        bench.step()

        assert answered == [False, False]
        assert accepted(submission)
        assert bench.result(submission.run.run_id).status is RunStatus.RUNNING

    def test_an_engine_that_is_stopped_meanwhile_claims_nothing(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        submission = bench.post(ONE)
        bench.step()
        bench.executor.succeed("a")
        writer.before = [StoreUnavailableError("full")] * 1000
        writer.on_write = lambda batch: bench.engine._stopping.set()

        bench.engine.step(patience=0)

        assert submission.completion.wait(0)
        assert not submission.completion.has_ended

    def test_a_row_that_the_database_refuses_costs_its_run_alone(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        bad, good = bench.post(ONE), bench.post(ONE)

        def refuse(batch: Batch) -> None:
            if bad.run.run_id in batch.runs():
                raise StoreError("a value is too long")

        writer.on_write = refuse
        bench.step()

        assert isinstance(refusal(bad), StoreError)
        assert accepted(good)
        assert [call.key[0] for call in bench.executor.calls.values()] == [good.run.run_id]

    def test_trouble_in_the_middle_of_writing_run_by_run_forgets_nobody(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        """What is written can't be refused any more; what isn't can't be accepted."""
        bad, first, second = bench.post(ONE), bench.post(ONE), bench.post(ONE)
        calls = []

        def trouble(batch: Batch) -> None:
            calls.append(batch.runs())
            if bad.run.run_id in batch.runs():
                raise StoreError("a value is too long")
            if len(calls) == 4:
                raise StoreUnavailableError("full")

        writer.on_write = trouble
        bench.step()

        stored = {run.run_id for run in (first.run, second.run) if _is_stored(bench, run.run_id)}
        assert len(stored) == 1
        for submission in (first, second):
            if submission.run.run_id in stored:
                assert accepted(submission)
            else:
                assert isinstance(refusal(submission), StoreUnavailableError)


def _is_stored(bench: EngineBench, run_id: RunId) -> bool:
    with bench.database.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM runs WHERE id = ?", (run_id,))
        return bool(found.scalar())


class TestFencing:
    def declare_dead(self, bench: EngineBench, clock: FrozenClock) -> EngineBench:
        clock.advance(timedelta(minutes=1))
        rival = EngineBench(bench.database, clock)
        rival.ownership.claimable(rival.engine.id)
        return rival

    def test_nothing_that_a_dead_engine_writes_counts(self, bench: EngineBench, clock: FrozenClock):
        submission = bench.post(ONE)
        bench.step()
        rival = self.declare_dead(bench, clock)
        bench.executor.succeed("a", rows=[1])

        bench.engine.step(patience=0)

        assert submission.completion.wait(0)
        assert not submission.completion.has_ended
        assert rival.result(submission.run.run_id).status is RunStatus.RUNNING
        assert rival.result(submission.run.run_id).context == {}

    def test_a_dead_engine_accepts_no_run(self, bench: EngineBench, clock: FrozenClock):
        bench.start(ONE)
        self.declare_dead(bench, clock)
        submission = bench.post(ONE)

        bench.engine.step(patience=0)

        assert isinstance(refusal(submission), EngineStoppedError)
        assert not _is_stored(bench, submission.run.run_id)

    def test_it_notices_when_it_renews_its_lease(self, bench: EngineBench, clock: FrozenClock):
        submission = bench.post(ONE)
        bench.step()
        self.declare_dead(bench, clock)

        bench.engine.fence("a test says so")
        bench.step()

        assert submission.completion.wait(0)
        assert not bench.engine.is_alive()

    def test_the_next_engine_goes_on_where_the_dead_one_was(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(TWO)
        bench.executor.succeed("a", rows=[1])
        bench.step()
        rival = self.declare_dead(bench, clock)
        rival.ownership.claim(run.run_id, rival.engine.id)

        taken = TakeUp(_restored(rival, run.run_id))
        rival.engine.post(taken)
        rival.step()
        rival.executor.succeed("b")
        rival.step()

        result = rival.result(run.run_id)
        assert result.status is RunStatus.SUCCEEDED
        assert result.context == {"rows": [1]}
        attempts = result.tasks["b"].attempts
        assert [attempt.outcome for attempt in attempts] == [
            AttemptOutcome.LOST,
            AttemptOutcome.SUCCEEDED,
        ]
        assert result.to_json() == taken.run.result().to_json()


def _restored(bench: EngineBench, run_id: RunId) -> RunState:
    stored = bench.reader.load(run_id)
    return RunState.restore(Plan(stored.definition), stored)


class TestLateResults:
    def test_a_result_after_the_deadline_is_refused_and_recorded(
        self, bench: EngineBench, clock: FrozenClock
    ):
        policy = RetryPolicy(max_attempts=2, first_delay=timedelta(0))
        workflow = workflow_of(
            {"a": []}, options={"a": {"timeout": timedelta(seconds=5), "retry": policy}}
        )
        run = bench.start(workflow)
        (first,) = bench.executor.calls
        clock.advance(timedelta(seconds=5))
        bench.ownership.renew(bench.engine.id)
        bench.step()

        late = Outcome(key=first, outcome=AttemptOutcome.SUCCEEDED, changes={"n": "1"})
        bench.executor.report(late)
        bench.step()

        assert bench.executor.abandoned == [first]
        assert run.tasks[0].status is TaskStatus.RUNNING
        assert bench.history(run.run_id)[2:] == [
            "task_started a#1",
            "attempt_failed a#1",
            "task_started a#2",
            "commit_rejected a#1",
        ]

    def test_a_result_that_comes_with_its_timeout_in_one_step_counts(
        self, bench: EngineBench, clock: FrozenClock
    ):
        workflow = workflow_of({"a": []}, options={"a": {"timeout": timedelta(seconds=5)}})
        run = bench.start(workflow)
        clock.advance(timedelta(seconds=5))
        bench.ownership.renew(bench.engine.id)
        bench.executor.succeed("a")

        bench.step()

        assert run.status is RunStatus.SUCCEEDED

    def test_a_result_of_a_run_that_has_ended_changes_nothing(self, bench: EngineBench):
        run = bench.start(workflow_of({"a": [], "b": []}))
        bench.executor.fail("b")
        bench.step()
        bench.ask(run.run_id, "cancel")
        bench.step()
        bench.clock.advance(timedelta(seconds=10))
        bench.step()
        before = bench.history(run.run_id)

        bench.executor.succeed("a", n=1)
        bench.step()

        assert bench.history(run.run_id) == before

    def test_a_result_reported_twice_counts_once(self, bench: EngineBench):
        run = bench.start(TWO)
        call = bench.executor.succeed("a", n=1)
        again = Outcome(key=call.key, outcome=AttemptOutcome.SUCCEEDED, changes={"n": "2"})
        bench.executor.report(again)

        bench.step()

        assert bench.history(run.run_id).count("task_succeeded a#1") == 1
        assert "commit_rejected a#1" in bench.history(run.run_id)
        assert bench.result(run.run_id).context == {"n": 1}


class TestStop:
    def stop(self, bench: EngineBench) -> None:
        bench.engine.request_stop()
        bench.engine.step(patience=0)

    def test_attempts_are_given_up_and_recorded_as_given_back(self, bench: EngineBench):
        submission = bench.post(TWO)
        bench.step()
        (key,) = bench.executor.calls

        self.stop(bench)

        run_id = submission.run.run_id
        assert bench.executor.abandoned == [key]
        assert bench.history(run_id)[-1] == "released a#1"
        assert submission.completion.wait(0)
        assert not submission.completion.has_ended

    def test_a_run_that_comes_with_the_stop_is_refused(self, bench: EngineBench):
        bench.engine.request_stop()
        submission = bench.post(ONE)

        bench.engine.step(patience=0)

        assert isinstance(refusal(submission), EngineStoppedError)
        assert not _is_stored(bench, submission.run.run_id)
        assert bench.executor.calls == {}

    def test_no_task_starts_any_more(self, bench: EngineBench):
        run = bench.start(TWO)
        bench.executor.succeed("a")

        self.stop(bench)

        assert bench.executor.calls == {}
        assert bench.result(run.run_id).tasks["a"].status is TaskStatus.SUCCEEDED
        assert bench.result(run.run_id).status is RunStatus.RUNNING

    def test_a_run_that_ends_with_the_stop_has_ended(self, bench: EngineBench):
        submission = bench.post(ONE)
        bench.step()
        bench.executor.succeed("a")

        self.stop(bench)

        assert submission.completion.has_ended

    def test_what_was_given_back_is_no_death(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(ONE)
        self.stop(bench)
        bench.ownership.stop(bench.engine.id)

        rival = EngineBench(bench.database, clock)

        assert rival.ownership.claimable(rival.engine.id) == [run.run_id]
        assert rival.reader.load(run.run_id).engine_deaths == 0


class BrokenRule(Rule):
    """A rule with a fault of its own."""

    def decide(self, upstream: object) -> bool | None:
        if isinstance(upstream, Upstream):  # not when the workflow is checked
            raise ZeroDivisionError
        return True

    def to_json(self) -> object:
        return "all_succeeded"


class TestFaults:
    def test_a_fault_at_one_run_is_the_end_of_no_other(
        self, bench: EngineBench, caplog: pytest.LogCaptureFixture
    ):
        bad = bench.post(workflow_of({"a": []}, rules={"a": BrokenRule()}))
        good = bench.post(ONE)

        bench.step()

        assert isinstance(refusal(bad), ZeroDivisionError)
        assert accepted(good)
        assert f"run {bad.run.run_id} can't go on in this engine" in caplog.text

    def test_rows_that_are_not_as_the_engine_left_them_cost_their_run_alone(
        self, bench: EngineBench, clock: FrozenClock
    ):
        changed, other = bench.post(TWO), bench.post(TWO)
        bench.step()
        with bench.database.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE tasks SET attempts = 7 WHERE run_id = ?", (changed.run.run_id,)
            )
        bench.executor.succeed("a", n=1)
        bench.executor.succeed("a", n=2)

        bench.step()

        assert bench.engine.completion(changed.run.run_id) is None
        assert changed.completion.wait(0)
        assert not changed.completion.has_ended
        assert bench.result(other.run.run_id).context == {"n": 2}
        rival = EngineBench(bench.database, clock)
        assert rival.ownership.claimable(rival.engine.id) == [changed.run.run_id]
        assert rival.reader.load(changed.run.run_id).engine_deaths == 1

    def test_an_engine_that_cannot_take_a_run_up_says_so(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(ONE)
        clock.advance(timedelta(minutes=1))
        rival = EngineBench(bench.database, clock)
        rival.ownership.claim(run.run_id, rival.engine.id)
        request = TakeUp(_restored(rival, run.run_id))
        with bench.database.begin() as connection:
            connection.exec_driver_sql("UPDATE tasks SET attempts = 7")
        rival.engine.post(request)

        rival.step()

        assert refusal(request) is not None
        assert rival.engine.completion(run.run_id) is None


class TestThread:
    """The loop, with a real thread."""

    def make(self, database: Database, clock: FrozenClock) -> tuple[Engine, HandExecutor]:
        ids = IdFactory(clock)
        ownership = Ownership(database, timedelta(hours=1))
        executor = HandExecutor()
        engine = Engine(
            ids.engine_id(),
            writer=RunWriter(database),
            commands=CommandStore(database),
            ownership=ownership,
            permits=Permits(database),
            executor=executor,
            notifier=Notifier(),
            clock=clock,
            chance=lambda: 0.0,
            limits=EngineLimits(slots=4, max_value_bytes=1000),
        )
        ownership.register(engine.id, "test")
        return engine, executor

    def test_who_waits_for_an_engine_that_dies_of_itself_is_told(
        self, database: Database, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ):
        engine, _ = self.make(database, clock)
        monkeypatch.setattr(engine, "step", _broken)
        thread = threading.Thread(target=engine.run_forever)

        thread.start()
        thread.join()

        with pytest.raises(EngineStoppedError):
            engine.submit(Submission(run_of(ONE, engine=engine.id), None))

    def test_a_store_that_is_gone_at_the_start_is_no_fault_of_the_engine(
        self, database: Database, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
    ):
        engine, _ = self.make(database, clock)
        answers: list[Any] = [StoreUnavailableError("gone"), True]

        def renew(engine_id: EngineId) -> bool:
            answer = answers.pop(0) if answers else True
            if isinstance(answer, Exception):
                raise answer
            return bool(answer)

        monkeypatch.setattr(engine._ownership, "renew", renew)
        thread = threading.Thread(target=engine.run_forever)
        thread.start()

        completion = engine.submit(Submission(run_of(ONE, engine=engine.id), None))

        assert completion is not None
        engine.request_stop()
        thread.join()

    def test_a_callback_that_raises_harms_nobody(
        self, bench: EngineBench, caplog: pytest.LogCaptureFixture
    ):
        first, second = bench.post(ONE), bench.post(ONE)
        bench.step()
        first.completion.on_complete(_broken)
        for _ in range(2):
            bench.executor.succeed("a")

        bench.step()

        assert first.completion.has_ended
        assert second.completion.has_ended
        assert "a callback at the end of run" in caplog.text


def _broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_a_chain_costs_two_commits_and_one_for_each_link(
    bench: EngineBench, writer: TroubledWriter
):
    bench.start(workflow_of(chain_of(10)))
    for number in range(10):
        bench.executor.succeed(f"t{number}")
        bench.step()

    assert writer.writes == 11


def test_failures_are_told_with_their_reason(bench: EngineBench):
    run = bench.start(ONE)
    bench.executor.fail("a")

    bench.step()

    error = bench.result(run.run_id).error
    assert error == Failure(type="OSError", message="broken", task="a")
    assert bench.reader.events(run.run_id)[-1].reason == "task a: OSError: broken"


class TestLosingTheLease:
    def test_a_fenced_engine_writes_nothing_and_gives_up_its_attempts(self, bench: EngineBench):
        run = bench.start(ONE)
        (key,) = bench.executor.calls
        bench.executor.succeed("a", rows=[1])
        bench.engine.fence("a test says so")

        bench.step()

        assert bench.result(run.run_id).status is RunStatus.RUNNING
        assert bench.result(run.run_id).context == {}
        assert key in bench.executor.abandoned
        assert not bench.engine.is_alive()

    def test_what_it_could_not_write_before_is_kept_to_be_told(
        self, bench: EngineBench, writer: TroubledWriter
    ):
        run = bench.start(ONE)
        bench.executor.succeed("a", rows=[1])
        writer.before = [StoreUnavailableError("no answer")]
        writer.on_write = lambda _: bench.engine.fence("a test says so")

        bench.engine.step(patience=0)

        (late,) = bench.engine._late.take()
        assert late == (run.run_id, "a", 1, AttemptOutcome.SUCCEEDED)

    def test_it_knows_which_runs_it_left(self, bench: EngineBench):
        run = bench.start(ONE)
        bench.engine.fence("a test says so")
        bench.step()

        assert bench.engine.live_runs() == [run.run_id]


class TestDraining:
    def test_what_runs_may_end_and_nothing_begins(self, bench: EngineBench):
        run = bench.start(TWO)
        assert not bench.engine.drain(0)
        bench.step()
        bench.executor.succeed("a")

        bench.step()

        assert bench.engine.drain(0)
        assert bench.executor.names() == []
        assert bench.result(run.run_id).tasks["a"].status is TaskStatus.SUCCEEDED

    def test_no_run_is_accepted(self, bench: EngineBench):
        bench.engine.drain(0)

        submission = bench.post(ONE)
        bench.step()

        assert isinstance(refusal(submission), EngineStoppedError)


class TestRoom:
    def test_there_is_room_for_so_many_runs(self, bench: EngineBench):
        before = bench.engine.room()

        bench.start(ONE)

        assert before == 16 * 16
        assert bench.engine.room() == before  # it runs, and waits for no slot

    def test_a_run_that_only_waits_takes_none(self, clock: FrozenClock, database: Database):
        bench = EngineBench(database, clock, max_live_runs=2)
        for _ in range(2):
            bench.start(ONE)
        assert bench.engine.room() == 0

        bench.executor.defer("a", Wait(kind=WaitKind.SIGNAL, signal="approval"))
        bench.step()
        assert bench.engine.room() == 1

        bench.executor.fail("a")
        bench.step()
        assert bench.engine.room() == 2

    def test_a_run_that_goes_on_takes_room_again(self, clock: FrozenClock, database: Database):
        bench = EngineBench(database, clock, max_live_runs=2)
        run = bench.start(ONE)
        bench.executor.defer("a", Wait(kind=WaitKind.SIGNAL, signal="approval"))
        bench.step()

        bench.ask(run.run_id, "signal", name="approval", payload="1")
        bench.step()

        assert bench.engine.room() == 1

    def test_a_run_that_waits_for_its_next_attempt_takes_none(
        self, clock: FrozenClock, database: Database
    ):
        bench = EngineBench(database, clock, max_live_runs=2)
        retry = RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=1))
        bench.start(workflow_of({"a": []}, options={"a": {"retry": retry}}))

        bench.executor.fail("a", may_retry=True)
        bench.step()

        assert bench.engine.room() == 2

    def test_there_is_a_bound_on_those_that_only_wait(self, clock: FrozenClock, database: Database):
        bench = EngineBench(database, clock, max_live_runs=2)
        for _ in range(10 * 2):
            bench.start(ONE)
            bench.executor.defer("a", Wait(kind=WaitKind.SIGNAL, signal="approval"))
            bench.step()

        assert bench.engine.room() == 0
