"""What people ask of live runs, and what becomes of it whichever comes first."""

from datetime import timedelta

import pytest
from support.runs import EngineBench, workflow_of

from cloacina_core.engine.call import Outcome
from cloacina_core.engine.requests import Stop
from cloacina_core.errors import IllegalTransitionError
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.wait import Wait, WaitKind
from cloacina_core.store.database import Database
from cloacina_core.testing import FrozenClock

ONE = workflow_of({"a": []})
TWO = workflow_of({"a": [], "b": ["a"]})
SIDE_BY_SIDE = workflow_of({"a": [], "b": []})
RETRIED = workflow_of(
    {"a": []},
    options={"a": {"retry": RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=1))}},
)
GRACE = timedelta(seconds=10)
APPROVAL = Wait(kind=WaitKind.SIGNAL, signal="approval")


def ask(bench: EngineBench, run_id: RunId, kind: str, **facts: str) -> None:
    """Ask something of a run, and let the engine do it."""
    bench.ask(run_id, kind, **facts)
    bench.step()


def pass_time(bench: EngineBench, clock: FrozenClock, time: timedelta) -> None:
    clock.advance(time)
    bench.ownership.renew(bench.engine.id)
    bench.step()


def next_engine(bench: EngineBench, clock: FrozenClock, run_id: RunId) -> EngineBench:
    """Return another engine, which took a run up after the first one died."""
    clock.advance(timedelta(minutes=1))
    rival = EngineBench(bench.database, clock)
    rival.ownership.claim(run_id, rival.engine.id)
    take_up(rival, run_id)
    return rival


def take_up(bench: EngineBench, run_id: RunId) -> None:
    bench.engine.begin_to_take_up(bench.reader.load(run_id))
    bench.step()


class TestCancel:
    def test_nothing_starts_any_more_and_what_runs_is_told(self, bench: EngineBench):
        run = bench.start(TWO)
        (key,) = bench.executor.calls

        ask(bench, run.run_id, "cancel", reason="enough", asked_by="ann@home")

        assert bench.executor.cancelled == [key]
        assert bench.executor.abandoned == []
        assert bench.history(run.run_id)[3:] == ["cancel_requested", "task_cancelled b"]
        assert bench.result(run.run_id).tasks["b"].reason == "cancelled by ann@home: enough"

    def test_the_run_ends_when_what_ran_has_failed(self, bench: EngineBench):
        run = bench.start(RETRIED)
        ask(bench, run.run_id, "cancel")
        bench.executor.fail("a", may_retry=True)

        bench.step()

        result = bench.result(run.run_id)
        assert result.status is RunStatus.CANCELLED
        assert result.tasks["a"].status is TaskStatus.CANCELLED
        assert result.tasks["a"].attempts[0].outcome is AttemptOutcome.CANCELLED
        assert result.to_json() == run.result().to_json()

    def test_what_was_done_all_the_same_is_kept(self, bench: EngineBench):
        run = bench.start(TWO)
        ask(bench, run.run_id, "cancel")
        bench.executor.succeed("a", n=1)

        bench.step()

        result = bench.result(run.run_id)
        assert result.status is RunStatus.CANCELLED
        assert result.tasks["a"].status is TaskStatus.SUCCEEDED
        assert bench.executor.calls == {}

    def test_what_ignores_it_is_given_up_after_the_grace(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(ONE)
        (key,) = bench.executor.calls
        ask(bench, run.run_id, "cancel")

        pass_time(bench, clock, GRACE)

        assert bench.executor.abandoned == [key]
        result = bench.result(run.run_id)
        assert result.status is RunStatus.CANCELLED
        assert "given up, it hadn't ended after 0:00:10" in str(result.tasks["a"].reason)

    def test_a_run_of_which_nothing_runs_ends_at_once(self, bench: EngineBench):
        run = bench.start(RETRIED)
        bench.executor.fail("a", may_retry=True)
        bench.step()

        ask(bench, run.run_id, "cancel")

        assert bench.result(run.run_id).status is RunStatus.CANCELLED

    def test_a_task_that_waits_ends_with_its_attempt(self, bench: EngineBench):
        run = bench.start(ONE)
        bench.executor.defer("a", APPROVAL)
        bench.step()

        ask(bench, run.run_id, "cancel")

        (attempt,) = bench.result(run.run_id).tasks["a"].attempts
        assert attempt.outcome is AttemptOutcome.CANCELLED
        assert attempt.finished_at is not None

    def test_a_task_that_would_wait_ends_instead(self, bench: EngineBench):
        run = bench.start(ONE)
        ask(bench, run.run_id, "cancel")
        bench.executor.defer("a", APPROVAL)

        bench.step()

        assert bench.result(run.run_id).status is RunStatus.CANCELLED

    def test_a_run_that_succeeded_in_the_same_moment_stays_so(self, bench: EngineBench):
        run = bench.start(ONE)
        bench.executor.succeed("a")

        ask(bench, run.run_id, "cancel")

        assert bench.result(run.run_id).status is RunStatus.SUCCEEDED
        assert "cancel_requested" not in bench.history(run.run_id)

    def test_a_run_that_has_ended_cannot_be_cancelled(self, bench: EngineBench):
        run = bench.start(ONE)
        bench.executor.succeed("a")
        bench.step()

        with pytest.raises(IllegalTransitionError, match="it succeeded"):
            bench.ask(run.run_id, "cancel")

    def test_asking_twice_is_asking_once(self, bench: EngineBench):
        run = bench.start(ONE)
        ask(bench, run.run_id, "cancel")
        ask(bench, run.run_id, "cancel")

        assert bench.history(run.run_id).count("cancel_requested") == 1

    def test_an_engine_that_dies_over_it_leaves_it_to_the_next(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(TWO)
        ask(bench, run.run_id, "cancel")

        rival = next_engine(bench, clock, run.run_id)

        assert rival.executor.calls == {}
        assert rival.result(run.run_id).status is RunStatus.CANCELLED

    def test_a_timeout_of_the_run_wins_over_the_grace(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(workflow_of({"a": []}, timeout=timedelta(seconds=5)))
        ask(bench, run.run_id, "cancel")

        pass_time(bench, clock, timedelta(seconds=5))

        assert bench.result(run.run_id).status is RunStatus.FAILED
        assert bench.reader.load(run.run_id).commands == ()


class TestPause:
    def test_what_runs_goes_on_and_nothing_new_starts(self, bench: EngineBench):
        run = bench.start(TWO)
        ask(bench, run.run_id, "pause")
        assert bench.result(run.run_id).status is RunStatus.PAUSED
        bench.executor.succeed("a")

        bench.step()

        assert bench.executor.calls == {}
        assert bench.result(run.run_id).tasks["a"].status is TaskStatus.SUCCEEDED
        assert bench.history(run.run_id)[-1] == "released"

    def test_the_engine_lets_go_once_nothing_runs(self, bench: EngineBench):
        run = bench.start(TWO)
        ask(bench, run.run_id, "pause")
        assert bench.engine.completion(run.run_id) is not None
        bench.executor.succeed("a")

        bench.step()

        assert bench.engine.completion(run.run_id) is None
        assert bench.reader.summary(run.run_id).engine is None

    def test_it_rests_until_it_is_asked_to_go_on(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(TWO)
        ask(bench, run.run_id, "pause")
        bench.executor.succeed("a")
        bench.step()
        assert bench.ownership.claimable(bench.engine.id) == []
        with pytest.raises(IllegalTransitionError, match="is paused"):
            bench.ownership.claim(run.run_id, bench.engine.id)

        ask(bench, run.run_id, "resume")
        assert bench.ownership.claimable(bench.engine.id) == [run.run_id]
        bench.ownership.claim(run.run_id, bench.engine.id)
        take_up(bench, run.run_id)

        assert bench.executor.names() == ["b"]
        events = bench.reader.events(run.run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert "queued" in bench.history(run.run_id)

    def test_a_run_of_which_something_runs_goes_on_where_it_is(self, bench: EngineBench):
        run = bench.start(SIDE_BY_SIDE)
        bench.executor.succeed("a")
        ask(bench, run.run_id, "pause")

        ask(bench, run.run_id, "resume")
        bench.executor.succeed("b")
        bench.step()

        assert bench.result(run.run_id).status is RunStatus.SUCCEEDED

    def test_a_timer_starts_nothing_meanwhile(self, bench: EngineBench, clock: FrozenClock):
        workflow = workflow_of(
            {"a": [], "b": []},
            options={"a": {"retry": RetryPolicy(max_attempts=2, first_delay=timedelta(seconds=1))}},
        )
        run = bench.start(workflow)
        bench.executor.fail("a", may_retry=True)
        bench.step()
        ask(bench, run.run_id, "pause")

        pass_time(bench, clock, timedelta(minutes=1))
        assert bench.executor.names() == ["b"]
        ask(bench, run.run_id, "resume")

        assert bench.executor.names() == ["b", "a"]

    def test_a_run_whose_last_task_ends_meanwhile_has_ended(self, bench: EngineBench):
        run = bench.start(ONE)
        ask(bench, run.run_id, "pause")
        bench.executor.succeed("a")

        bench.step()

        assert bench.result(run.run_id).status is RunStatus.SUCCEEDED

    def test_a_paused_run_can_be_cancelled(self, bench: EngineBench):
        run = bench.start(TWO)
        ask(bench, run.run_id, "pause")
        bench.executor.succeed("a")
        bench.step()

        bench.ask(run.run_id, "cancel")
        assert bench.ownership.claimable(bench.engine.id) == [run.run_id]
        bench.ownership.claim(run.run_id, bench.engine.id)
        take_up(bench, run.run_id)

        assert bench.result(run.run_id).status is RunStatus.CANCELLED

    def test_what_ran_when_its_engine_died_runs_again_after_the_pause(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(ONE)
        ask(bench, run.run_id, "pause")
        clock.advance(timedelta(minutes=1))
        rival = EngineBench(bench.database, clock)
        assert rival.ownership.claimable(rival.engine.id) == []

        rival.ask(run.run_id, "resume")
        rival.ownership.claim(run.run_id, rival.engine.id)
        take_up(rival, run.run_id)

        (call,) = rival.executor.calls.values()
        assert call.attempt == 2
        assert rival.history(run.run_id)[-5:] == [
            "paused",
            "queued",
            "claimed",
            "attempt_lost a#1",
            "task_started a#2",
        ]

    def test_a_pause_that_came_before_an_engine_is_obeyed_first(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(TWO)
        bench.ask(run.run_id, "pause")

        rival = next_engine(bench, clock, run.run_id)

        assert rival.executor.calls == {}
        assert rival.result(run.run_id).status is RunStatus.PAUSED


class TestDeferral:
    def later(self, clock: FrozenClock, seconds: float) -> Wait:
        return Wait(kind=WaitKind.MOMENT, until=clock.now() + timedelta(seconds=seconds))

    def test_a_slot_is_free_while_a_task_waits(self, database: Database, clock: FrozenClock):
        bench = EngineBench(database, clock, slots=1)
        run = bench.start(SIDE_BY_SIDE)
        bench.executor.defer("a", self.later(clock, 60))

        bench.step()

        assert bench.executor.names() == ["b"]
        assert bench.result(run.run_id).tasks["a"].status is TaskStatus.SLEEPING
        assert "waits until 2026-01-01T00:01:00" in str(bench.result(run.run_id).tasks["a"].reason)

    def test_it_is_called_again_in_the_same_attempt(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(ONE)
        before = bench.executor.defer("a", self.later(clock, 60))
        bench.step()

        pass_time(bench, clock, timedelta(seconds=60))

        (after,) = bench.executor.calls.values()
        assert after.key == before.key
        assert after.waits[0].state == "done"
        bench.executor.succeed("a")
        bench.step()
        assert bench.history(run.run_id)[2:] == [
            "task_started a#1",
            "task_deferred a#1",
            "task_resumed a#1",
            "task_succeeded a#1",
            "run_succeeded",
        ]

    def test_another_engine_goes_on_with_it(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(ONE)
        bench.executor.defer("a", self.later(clock, 300))
        bench.step()

        rival = next_engine(bench, clock, run.run_id)
        assert rival.executor.calls == {}
        pass_time(rival, clock, timedelta(minutes=4))
        rival.executor.succeed("a")
        rival.step()

        (attempt,) = rival.result(run.run_id).tasks["a"].attempts
        assert attempt.engine == rival.engine.id
        assert rival.result(run.run_id).status is RunStatus.SUCCEEDED

    def test_waits_outlive_an_engine_that_dies_behind_them(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(ONE)
        bench.executor.defer("a", APPROVAL)
        bench.step()
        ask(bench, run.run_id, "signal", name="approval", payload='"yes"')

        rival = next_engine(bench, clock, run.run_id)

        (call,) = rival.executor.calls.values()
        assert call.attempt == 2
        assert call.waits[0].payload == '"yes"'

    def test_an_attempt_after_a_failure_waits_anew(self, bench: EngineBench, clock: FrozenClock):
        bench.start(RETRIED)
        bench.executor.defer("a", self.later(clock, 1))
        bench.step()
        pass_time(bench, clock, timedelta(seconds=1))
        bench.executor.fail("a", may_retry=True)
        bench.step()

        pass_time(bench, clock, timedelta(minutes=1))

        (call,) = bench.executor.calls.values()
        assert call.waits == ()

    def test_only_the_time_that_it_runs_counts(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(workflow_of({"a": []}, options={"a": {"timeout": timedelta(seconds=5)}}))
        clock.advance(timedelta(seconds=3))
        bench.executor.defer("a", self.later(clock, 60))
        bench.step()
        pass_time(bench, clock, timedelta(seconds=60))
        (call,) = bench.executor.calls.values()
        assert call.deadline == clock.now() + timedelta(seconds=2)

        pass_time(bench, clock, timedelta(seconds=2))

        assert bench.result(run.run_id).tasks["a"].attempts[0].outcome is AttemptOutcome.TIMED_OUT

    def test_an_engine_that_stops_leaves_waits_as_they_are(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run = bench.start(ONE)
        bench.executor.defer("a", self.later(clock, 60))
        bench.step()

        bench.engine.post(Stop())
        bench.engine.step(patience=0)

        assert bench.result(run.run_id).tasks["a"].status is TaskStatus.SLEEPING


class TestSignals:
    def waiting(self, bench: EngineBench, wait: Wait = APPROVAL) -> RunId:
        run = bench.start(ONE)
        bench.executor.defer("a", wait)
        bench.step()
        return run.run_id

    def payloads(self, bench: EngineBench) -> list[str | None]:
        return [wait.payload for call in bench.executor.calls.values() for wait in call.waits]

    def test_it_wakes_the_task_that_waits_for_it(self, bench: EngineBench):
        run_id = self.waiting(bench)

        ask(bench, run_id, "signal", name="approval", payload='{"by":"ann"}')

        assert self.payloads(bench) == ['{"by":"ann"}']
        assert bench.history(run_id)[4:] == [
            "signal_received",
            "signal_taken a#1",
            "task_resumed a#1",
        ]

    def test_one_that_comes_too_early_is_kept(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(ONE)
        ask(bench, run.run_id, "signal", name="approval", payload="1")
        rival = next_engine(bench, clock, run.run_id)
        rival.executor.defer("a", APPROVAL)

        rival.step()

        assert self.payloads(rival) == ["1"]
        assert rival.reader.load(run.run_id).signals == ()

    def test_one_of_another_name_wakes_nobody(self, bench: EngineBench):
        run_id = self.waiting(bench)

        ask(bench, run_id, "signal", name="other")

        assert bench.executor.calls == {}
        assert [signal.name for signal in bench.reader.load(run_id).signals] == ["other"]

    def test_each_is_taken_once_and_the_oldest_first(self, bench: EngineBench):
        run = bench.start(SIDE_BY_SIDE)
        for number in "12":
            ask(bench, run.run_id, "signal", name="approval", payload=number)
        bench.executor.defer("a", APPROVAL)
        bench.executor.defer("b", APPROVAL)

        bench.step()

        assert self.payloads(bench) == ["1", "2"]

    def test_one_signal_wakes_one_of_two(self, bench: EngineBench):
        run = bench.start(SIDE_BY_SIDE)
        bench.executor.defer("a", APPROVAL)
        bench.executor.defer("b", APPROVAL)
        bench.step()

        ask(bench, run.run_id, "signal", name="approval")

        assert bench.executor.names() == ["a"]

    def test_a_wait_that_took_too_long_is_told_so(self, bench: EngineBench, clock: FrozenClock):
        until = clock.now() + timedelta(seconds=5)
        run_id = self.waiting(bench, Wait(kind=WaitKind.SIGNAL, signal="approval", until=until))

        pass_time(bench, clock, timedelta(seconds=5))

        (call,) = bench.executor.calls.values()
        assert call.waits[0].state == "timed_out"
        assert bench.reader.events(run_id)[-1].reason == "signal 'approval' didn't come"

    def test_a_signal_and_the_end_of_its_wait_in_one_moment_count_once(
        self, bench: EngineBench, clock: FrozenClock
    ):
        until = clock.now() + timedelta(seconds=5)
        run_id = self.waiting(bench, Wait(kind=WaitKind.SIGNAL, signal="approval", until=until))
        bench.ask(run_id, "signal", name="approval", payload="1")

        pass_time(bench, clock, timedelta(seconds=5))

        (call,) = bench.executor.calls.values()
        kept = bench.reader.load(run_id).signals
        assert (call.waits[0].state == "timed_out") == bool(kept)

    def test_a_signal_to_a_run_that_rests_waits_with_it(
        self, bench: EngineBench, clock: FrozenClock
    ):
        run_id = self.waiting(bench)
        ask(bench, run_id, "pause")
        bench.ask(run_id, "signal", name="approval", payload="1")
        assert bench.ownership.claimable(bench.engine.id) == []
        bench.ask(run_id, "resume")

        bench.ownership.claim(run_id, bench.engine.id)
        take_up(bench, run_id)

        assert self.payloads(bench) == ["1"]

    def test_a_timer_of_a_wait_that_is_over_wakes_no_later_one(
        self, bench: EngineBench, clock: FrozenClock
    ):
        until = clock.now() + timedelta(seconds=5)
        run_id = self.waiting(bench, Wait(kind=WaitKind.SIGNAL, signal="approval", until=until))
        ask(bench, run_id, "signal", name="approval")
        (call,) = bench.executor.calls.values()
        bench.executor.defer("a", *call.waits, APPROVAL)
        bench.step()

        pass_time(bench, clock, timedelta(seconds=5))

        assert bench.executor.calls == {}


class TestQueueTimeout:
    def queued(self, bench: EngineBench, clock: FrozenClock, waited: timedelta) -> RunId:
        workflow = workflow_of({"a": []}, queue_timeout=timedelta(minutes=5))
        run = bench.start(workflow, status=RunStatus.QUEUED)
        clock.advance(waited)
        bench.ownership.renew(bench.engine.id)
        bench.ownership.claim(run.run_id, bench.engine.id)
        take_up(bench, run.run_id)
        return run.run_id

    def test_a_run_that_waited_too_long_fails(self, bench: EngineBench, clock: FrozenClock):
        run_id = self.queued(bench, clock, timedelta(minutes=6))

        error = bench.result(run_id).error
        assert error is not None
        assert error.type == "queue-timeout"
        assert bench.executor.calls == {}

    def test_a_run_that_came_in_time_begins(self, bench: EngineBench, clock: FrozenClock):
        self.queued(bench, clock, timedelta(minutes=4))

        assert bench.executor.names() == ["a"]


class TestCallbacks:
    def test_a_timeout_that_ends_a_task_is_told_to_its_callback(
        self, bench: EngineBench, clock: FrozenClock
    ):
        bench.start(workflow_of({"a": []}, options={"a": {"timeout": timedelta(seconds=5)}}))

        pass_time(bench, clock, timedelta(seconds=5))

        (call,) = bench.executor.calls.values()
        assert call.timed_out is not None
        assert call.timed_out.type == "timeout"


class TestLateResults:
    def told(self, bench: EngineBench, run_id: RunId) -> list[str]:
        return [event for event in bench.history(run_id) if event.startswith("commit_rejected")]

    def tell(self, bench: EngineBench, run_id: RunId, task: str = "a") -> None:
        outcome = AttemptOutcome.SUCCEEDED
        bench.commands.tell_late(run_id, task, 1, outcome, engine=EngineId("x" * 26))
        bench.engine.look()
        bench.step()

    def test_who_has_the_run_tells_them_once(self, bench: EngineBench):
        run = bench.start(TWO)

        self.tell(bench, run.run_id)
        self.tell(bench, run.run_id)

        assert self.told(bench, run.run_id) == ["commit_rejected a#1"]
        assert bench.executor.names() == ["a"]

    def test_a_run_that_has_ended_is_told_of_them(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(ONE)
        bench.ownership.stop(bench.engine.id)
        rival = next_engine(bench, clock, run.run_id)
        rival.executor.succeed("a")
        rival.step()

        self.tell(rival, run.run_id)

        assert self.told(bench, run.run_id) == ["commit_rejected a#1"]
        assert bench.result(run.run_id).status is RunStatus.SUCCEEDED

    def test_what_was_stored_after_all_is_not_told_as_late(self, bench: EngineBench):
        run = bench.start(ONE)
        bench.executor.succeed("a")
        bench.step()

        self.tell(bench, run.run_id)

        assert self.told(bench, run.run_id) == []

    def test_an_attempt_that_waits_after_all_is_not_told_as_late(self, bench: EngineBench):
        run = bench.start(ONE)
        bench.executor.defer("a", APPROVAL)
        bench.step()

        outcome = AttemptOutcome.DEFERRED
        bench.commands.tell_late(run.run_id, "a", 1, outcome, engine=EngineId("x" * 26))
        bench.engine.look()
        bench.step()

        assert self.told(bench, run.run_id) == []

    def test_a_run_that_nobody_has_is_told_of_them(self, bench: EngineBench, clock: FrozenClock):
        run = bench.start(TWO)
        bench.ownership.stop(bench.engine.id)

        self.tell(bench, run.run_id)

        assert self.told(bench, run.run_id) == ["commit_rejected a#1"]
        rival = next_engine(bench, clock, run.run_id)
        assert rival.executor.names() == ["a"]

    def test_a_run_that_was_deleted_needs_none(self, bench: EngineBench):
        self.tell(bench, RunId("0" * 26))

    def test_an_attempt_that_was_given_up_here_is_told_by_the_engine_itself(
        self, bench: EngineBench, clock: FrozenClock
    ):
        flow = workflow_of({"a": [], "b": []}, options={"a": {"timeout": timedelta(seconds=1)}})
        run = bench.start(flow)
        (call,) = [one for one in bench.executor.calls.values() if one.task == "a"]
        pass_time(bench, clock, timedelta(seconds=2))

        bench.engine.report(Outcome(key=call.key, outcome=AttemptOutcome.SUCCEEDED))
        bench.step()

        assert self.told(bench, run.run_id) == ["commit_rejected a#1"]
