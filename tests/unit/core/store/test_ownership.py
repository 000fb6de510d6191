"""Who works on a run: one engine at a time, and nobody's runs are left behind."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from support.runs import EngineBench, workflow_of

from cloacina_core.errors import (
    IllegalTransitionError,
    RunOwnedElsewhereError,
    UnknownRunError,
)
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.status import RunStatus
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import KEPT, ProcessIdentity
from cloacina_core.testing import FrozenClock

ONE = workflow_of({"a": []})
LEASE = timedelta(seconds=15)


@pytest.fixture
def first(database: Database, clock: FrozenClock) -> EngineBench:
    return EngineBench(database, clock)


@pytest.fixture
def second(database: Database, clock: FrozenClock) -> EngineBench:
    return EngineBench(database, clock)


def pretend_process(bench: EngineBench, identity: ProcessIdentity) -> None:
    """Let an engine be registered as that of another process."""
    with bench.database.begin() as connection:
        connection.execute(
            update(schema.engines)
            .where(schema.engines.c.id == bench.engine.id)
            .values(host=identity.host, pid=identity.pid, process_started=identity.started)
        )


def deaths(bench: EngineBench, run_id: RunId) -> int:
    return bench.reader.load(run_id).engine_deaths


class TestProcessIdentity:
    def test_this_process_is_not_gone(self):
        assert not ProcessIdentity.of_this_process().is_gone()

    def test_a_process_that_ended_is_gone(self):
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        me = ProcessIdentity.of_this_process()
        # The real moment of its start isn't needed: what is gone has none.
        other = ProcessIdentity(me.host, process.pid, "1")
        process.communicate(b"\n")

        assert other.is_gone()

    def test_a_zombie_is_gone(self):
        process = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        me = ProcessIdentity.of_this_process()

        assert ProcessIdentity(me.host, process.pid, "1").is_gone()

        process.wait()

    def test_another_process_of_the_same_number_is_another_one(self):
        me = ProcessIdentity.of_this_process()

        assert ProcessIdentity(me.host, me.pid, me.started + "0").is_gone()

    def test_of_another_host_it_cannot_be_known(self):
        assert not ProcessIdentity("elsewhere", 1, "1").is_gone()


class TestClaim:
    def test_a_recorded_run_can_be_claimed(self, first: EngineBench, second: EngineBench):
        run = first.start(ONE, status=RunStatus.QUEUED)

        second.ownership.claim(run.run_id, second.engine.id)

        assert second.reader.summary(run.run_id).engine == second.engine.id

    def test_it_can_be_claimed_once(self, first: EngineBench, second: EngineBench):
        run = first.start(ONE, status=RunStatus.QUEUED)
        first.ownership.claim(run.run_id, first.engine.id)

        with pytest.raises(RunOwnedElsewhereError) as raised:
            second.ownership.claim(run.run_id, second.engine.id)

        assert raised.value.engine == first.engine.id

    def test_the_run_of_an_engine_that_lives_is_its_own(
        self, first: EngineBench, second: EngineBench, clock: FrozenClock
    ):
        run = first.start(ONE)
        clock.advance(LEASE)

        with pytest.raises(RunOwnedElsewhereError):
            second.ownership.claim(run.run_id, second.engine.id)

    def test_a_lease_that_ran_out_ends_that(
        self, first: EngineBench, second: EngineBench, clock: FrozenClock
    ):
        run = first.start(ONE)
        clock.advance(LEASE + timedelta(seconds=1))
        second.ownership.renew(second.engine.id)

        second.ownership.claim(run.run_id, second.engine.id)

        assert second.reader.summary(run.run_id).engine == second.engine.id
        assert deaths(second, run.run_id) == 1

    def test_a_lease_is_renewed_from_now(
        self, first: EngineBench, second: EngineBench, clock: FrozenClock
    ):
        run = first.start(ONE)
        for _ in range(5):
            clock.advance(LEASE)
            assert first.ownership.renew(first.engine.id)

        with pytest.raises(RunOwnedElsewhereError):
            second.ownership.claim(run.run_id, second.engine.id)

    def test_the_run_of_a_process_that_is_gone_is_free_at_once(
        self, first: EngineBench, second: EngineBench
    ):
        run = first.start(ONE)
        me = ProcessIdentity.of_this_process()
        pretend_process(first, ProcessIdentity(me.host, me.pid, "before"))

        second.ownership.claim(run.run_id, second.engine.id)

        assert deaths(second, run.run_id) == 1

    def test_a_run_that_has_ended_is_nobodys(self, first: EngineBench, second: EngineBench):
        run = first.start(ONE)
        first.executor.succeed("a")
        first.step()

        with pytest.raises(IllegalTransitionError, match="it succeeded"):
            second.ownership.claim(run.run_id, second.engine.id)

    def test_a_run_that_is_not_there_is_unknown(self, first: EngineBench):
        with pytest.raises(UnknownRunError):
            first.ownership.claim(first.ids.run_id(), first.engine.id)


class TestDeath:
    def test_a_dead_engine_stays_dead(
        self, first: EngineBench, second: EngineBench, clock: FrozenClock
    ):
        first.start(ONE)
        clock.advance(LEASE + timedelta(seconds=1))
        second.ownership.claimable(second.engine.id)

        assert not first.ownership.renew(first.engine.id)

    def test_one_death_counts_once_however_many_look(
        self, first: EngineBench, second: EngineBench, clock: FrozenClock
    ):
        run = first.start(ONE)
        clock.advance(LEASE + timedelta(seconds=1))
        for _ in range(3):
            second.ownership.claimable(second.engine.id)

        assert deaths(second, run.run_id) == 1

    def test_runs_that_nothing_was_done_at_are_no_suspects(
        self, database: Database, clock: FrozenClock, second: EngineBench
    ):
        busy = EngineBench(database, clock, slots=1)
        suspect, waiting = busy.start(ONE), busy.start(ONE)
        clock.advance(LEASE + timedelta(seconds=1))

        second.ownership.claimable(second.engine.id)

        assert deaths(second, suspect.run_id) == 1
        assert deaths(second, waiting.run_id) == 0

    def test_an_engine_that_stops_in_order_is_no_death(
        self, first: EngineBench, second: EngineBench
    ):
        run = first.start(ONE)

        first.ownership.stop(first.engine.id)

        assert second.ownership.claimable(second.engine.id) == [run.run_id]
        assert deaths(second, run.run_id) == 0

    def test_a_run_whose_engine_is_not_known_at_all_is_free(
        self, first: EngineBench, second: EngineBench
    ):
        run = first.start(ONE)
        with first.database.begin() as connection:
            connection.execute(
                schema.engines.delete().where(schema.engines.c.id == first.engine.id)
            )

        second.ownership.claim(run.run_id, second.engine.id)

        assert second.reader.summary(run.run_id).engine == second.engine.id


class TestClaimable:
    def test_ones_own_runs_and_those_of_the_living_are_not(
        self, first: EngineBench, second: EngineBench
    ):
        first.start(ONE)
        second.start(ONE)

        assert first.ownership.claimable(first.engine.id) == []

    def test_runs_that_have_ended_are_not(self, first: EngineBench, second: EngineBench):
        first.start(ONE)
        first.executor.succeed("a")
        first.step()
        first.ownership.stop(first.engine.id)

        assert second.ownership.claimable(second.engine.id) == []

    def test_they_come_in_pages_oldest_first(self, first: EngineBench):
        runs = [first.start(ONE, status=RunStatus.QUEUED).run_id for _ in range(5)]
        claimable = first.ownership.claimable

        page = claimable(first.engine.id, limit=2)
        rest = claimable(first.engine.id, after=page[-1], limit=9)

        assert page == runs[:2]
        assert rest == runs[2:]


class TestListing:
    def test_engines_are_told_with_what_they_do(
        self, first: EngineBench, second: EngineBench, clock: FrozenClock
    ):
        first.start(ONE)
        first.ownership.renew(first.engine.id, first.engine.load())
        second.ownership.stop(second.engine.id)

        (one,) = first.ownership.engines()
        both = first.ownership.engines(with_stopped=True)

        assert (one.engine_id, one.state, one.live_runs) == (first.engine.id, "alive", 1)
        assert (one.slots, one.slots_used, one.slots_lost) == (16, 1, 0)
        assert {engine.state for engine in both} == {"stopped", "alive"}
        clock.advance(LEASE + timedelta(seconds=1))
        assert [engine.state for engine in first.ownership.engines()] == ["stale"]

    def test_engines_that_ended_long_ago_are_forgotten(
        self, first: EngineBench, database: Database, clock: FrozenClock
    ):
        first.start(ONE)
        first.ownership.stop(first.engine.id)
        clock.advance(KEPT + timedelta(seconds=1))

        last = EngineBench(database, clock)

        told = [engine.engine_id for engine in last.ownership.engines(with_stopped=True)]
        assert told == [last.engine.id]

    def test_one_that_is_dead_is_found_and_buried_once(
        self, first: EngineBench, second: EngineBench, clock: FrozenClock
    ):
        clock.advance(LEASE + timedelta(seconds=1))
        second.ownership.renew(second.engine.id)

        assert second.ownership.dead(second.engine.id) == [first.engine.id]
        assert second.ownership.bury(first.engine.id)
        assert second.ownership.dead(second.engine.id) == []


@pytest.mark.skipif(sys.platform != "linux", reason="others have no /proc")
@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_a_process_that_isnt_shown_isnt_taken_for_dead(
    monkeypatch: pytest.MonkeyPatch, error: type[OSError]
):
    me, read = ProcessIdentity.of_this_process(), Path.read_text

    def hide(path: Path, *arguments: str) -> str:
        if path.name == "stat":  # as hidepid=2 does, and hidepid=1
            raise error(path)
        return read(path, *arguments)

    monkeypatch.setattr(Path, "read_text", hide)

    assert not me.is_gone()
