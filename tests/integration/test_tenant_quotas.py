"""Quotas of live runs hold however runs become live: asked for by tasks, or tried again."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Row, select, update
from support.runs import PATIENCE, open_runtime, workflow_of
from support.tenants import Team, admin_of, made

from cloacina_core import RetryPolicy, Workflow
from cloacina_core.cli import main
from cloacina_core.errors import OverQuotaError, TenantSuspendedError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import EngineId, IdFactory
from cloacina_core.model.context import Context
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.model.tenant import Quotas, TenantUsage
from cloacina_core.runtime import DatabaseAdmin, Runtime
from cloacina_core.store import schema
from cloacina_core.store.admission import Admission
from cloacina_core.store.database import Database
from cloacina_core.store.reading import RunFilter

CLOCK = SystemClock()
HOUR = timedelta(hours=1)
ENGINE = IdFactory(CLOCK).engine_id()


@pytest.fixture
def store_url(empty_store_url: str) -> str:
    """Return an installation's database as it is before its first tenant."""
    return empty_store_url


@pytest.fixture
def admin(tmp_path: Path, store_url: str) -> Iterator[DatabaseAdmin]:
    with admin_of(tmp_path, store_url) as admin:
        yield admin


def fail(_context: Context) -> None:
    raise ValueError("as it should")


FAILING = workflow_of({"only": []}, functions={"only": fail})


def failed_runs(runtime: Runtime, count: int) -> list[str]:
    """Run some runs to their ends, all of which fail."""
    return [runtime.run(FAILING, timeout=PATIENCE).summary.run_id for _ in range(count)]


def retried(runtime: Runtime, runs: list[str]) -> int:
    """Have runs wait for an engine again that ended; return of how many that was accepted."""
    accepted = 0
    for run_id in runs:
        try:
            runtime.retry(run_id, detach=True)
        except OverQuotaError:
            continue
        accepted += 1
    return accepted


def test_tasks_that_ask_in_the_same_moment_get_no_more_runs_than_the_quota(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    engines, askers, quota = 2, 5, 6
    together = threading.Barrier(engines * askers)
    may_end = threading.Event()
    asked: set[tuple[str, str]] = set()

    def ask(context: Context) -> None:
        asker = (context.run_id, context.task)
        if asker not in asked:  # it is called again when it is told
            asked.add(asker)
            together.wait(PATIENCE)
        context.run_workflow("child")

    def work(_context: Context) -> None:
        may_end.wait(PATIENCE)

    child = workflow_of({"work": []}, functions={"work": work}, name="child")
    tasks = [f"ask{number}" for number in range(askers)]
    # With a task that stays, a parent of which all askers were refused doesn't end and make room.
    parent = workflow_of(
        {task: [] for task in [*tasks, "stay"]},
        functions={**dict.fromkeys(tasks, ask), "stay": work},
        name="parent",
    )
    team = made(admin, "acme", Quotas(live_runs=quota))

    with ExitStack() as stack:
        runtimes = [
            stack.enter_context(open_runtime(tmp_path, team.url, workflows=[child, parent]))
            for _ in range(engines)
        ]
        parents = [runtime.submit(parent) for runtime in runtimes]
        failed, children = 0, 0
        end = time.monotonic() + PATIENCE
        while failed + children < engines * askers and time.monotonic() < end:
            states = [runtimes[0].get(one.id).tasks[task] for one in parents for task in tasks]
            failed = sum(state.status is TaskStatus.FAILED for state in states)
            children = len(runtimes[0].list(RunFilter(workflow="child")))
            time.sleep(0.02)
        may_end.set()
        ends = [one.result(PATIENCE) for one in parents]

    told = {
        attempt.error.message.partition(":")[0]
        for one in ends
        for task in one.tasks.values()
        for attempt in task.attempts
        if attempt.error is not None
    }
    assert (children, failed) == (quota - engines, engines * askers - (quota - engines))
    assert told == {"over the quota of live runs"}


def test_what_a_tenant_uses_is_told_beside_its_quotas(
    admin: DatabaseAdmin, tmp_path: Path, store_url: str
) -> None:
    may_end = threading.Event()

    def work(_context: Context) -> None:
        may_end.wait(PATIENCE)

    team = made(admin, "acme", Quotas(live_runs=5, runs_per_minute=9, storage_bytes=2**40))
    made(admin, "zenith")
    with open_runtime(tmp_path, team.url) as runtime:
        ended = runtime.run(workflow_of({"a": []}), timeout=PATIENCE)
        run = runtime.submit(workflow_of({"a": []}, functions={"a": work}, name="waits"))
        end = time.monotonic() + PATIENCE
        while not (usage := admin.usage("acme")).slots and time.monotonic() < end:
            time.sleep(0.05)
        environment = {"CLOACINA_HOME": str(tmp_path), "CLOACINA_DATABASE_URL": store_url}
        shown = CliRunner().invoke(main, ["tenant", "show", "acme"], env=environment).stdout
        may_end.set()
        run.result(PATIENCE)
    after = admin.usage("acme")

    assert ended.status is RunStatus.SUCCEEDED
    assert (usage.live_runs, usage.runs_per_minute, usage.slots, usage.engines) == (1, 2, 1, 1)
    assert usage.storage_bytes > 0
    lines = {line[:15].strip(): line[15:].strip() for line in shown.splitlines()}
    assert lines["live runs"] == "1 of 5"
    assert lines["runs per minute"] == "2 of 9"
    assert lines["storage bytes"].endswith("of 1024.0 GiB")
    assert lines["slots"] == "1 in 1 engine, each of which has unlimited"
    assert (after.live_runs, after.runs_per_minute, after.slots, after.engines) == (0, 2, 0, 0)
    assert admin.usage("zenith") == TenantUsage(
        runs_per_minute=None, storage_bytes=admin.usage("zenith").storage_bytes
    )


def test_an_ended_run_is_tried_again_only_as_the_quota_has_room(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    team = made(admin, "acme", Quotas(live_runs=1))
    with open_runtime(tmp_path, team.url, workflows=[FAILING]) as runtime:
        first, second = failed_runs(runtime, 2)

    with open_runtime(tmp_path, team.url, recover=False) as runtime:
        runtime.retry(first, detach=True)
        with pytest.raises(OverQuotaError) as told:
            runtime.retry(second, detach=True)
        refused = runtime.get(second).summary.status

    assert (told.value.quota, told.value.exit_status) == ("live_runs", 8)
    assert refused is RunStatus.FAILED


def test_what_is_tried_again_counts_within_the_minute(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme", Quotas(runs_per_minute=2))

    with open_runtime(tmp_path, team.url, workflows=[FAILING]) as runtime:
        first, _ = failed_runs(runtime, 2)
        with pytest.raises(OverQuotaError, match="runs per minute"):
            runtime.retry(first, detach=True)


def test_nothing_of_a_suspended_tenant_is_tried_again(admin: DatabaseAdmin, tmp_path: Path) -> None:
    team = made(admin, "acme")

    with open_runtime(tmp_path, team.url, workflows=[FAILING]) as runtime:
        (run_id,) = failed_runs(runtime, 1)
        admin.suspend_tenant("acme")
        with pytest.raises(TenantSuspendedError):
            runtime.retry(run_id, detach=True)


def test_who_tries_again_in_the_same_moment_is_no_more_than_the_quota(
    admin: DatabaseAdmin, tmp_path: Path
) -> None:
    team = made(admin, "acme")
    with open_runtime(tmp_path, team.url, workflows=[FAILING]) as runtime:
        runs = failed_runs(runtime, 12)
    admin.set_quotas("acme", {"live_runs": 5})
    together = threading.Barrier(4)

    def retry(number: int) -> int:
        with open_runtime(tmp_path, team.url, recover=False) as runtime:
            together.wait(PATIENCE)
            return retried(runtime, runs[number::4])

    with ThreadPoolExecutor(4) as pool:
        accepted = list(pool.map(retry, range(4)))

    assert sum(accepted) == 5


def kept_places(database: Database) -> Sequence[Row[Any]]:
    with database.read() as connection:
        return connection.execute(select(schema.kept_places)).all()


def engines_of(places: Sequence[Row[Any]]) -> list[str]:
    return [place.engine for place in places]


def await_event(runtime: Runtime, run_id: str, kind: str) -> None:
    """Wait until the history of a run tells of something."""
    end = time.monotonic() + PATIENCE
    while kind not in (found := [one.type.value for one in runtime.events(run_id)]):
        assert time.monotonic() < end, found
        time.sleep(0.01)


class TestPlaces:
    """What is kept for runs that tasks asked for, between the question and the runs."""

    @pytest.fixture
    def team(self, admin: DatabaseAdmin) -> Team:
        return made(admin, "acme", Quotas(live_runs=3))

    @pytest.fixture
    def database(self, team: Team) -> Iterator[Database]:
        database = Database(team.url, CLOCK)
        yield database
        database.close()

    def test_a_place_that_is_kept_is_nobody_elses(
        self, team: Team, database: Database, tmp_path: Path
    ) -> None:
        ids = IdFactory(CLOCK)
        admission = Admission(database)

        first = admission.reserve(ENGINE, [ids.run_id(), ids.run_id()])
        second = admission.reserve(ENGINE, [ids.run_id(), ids.run_id()])
        with open_runtime(tmp_path, team.url, workflows=[FAILING], recover=False) as runtime:
            runtime.submit(FAILING, detach=True)
            with pytest.raises(OverQuotaError):
                runtime.submit(FAILING, detach=True)

        assert first is None
        assert isinstance(second, OverQuotaError)
        assert (second.most, second.used) == (3, 2)

    def test_a_place_that_was_kept_for_nothing_is_free_in_the_end(self, database: Database) -> None:
        ids = IdFactory(CLOCK)
        admission = Admission(database)
        admission.reserve(ENGINE, [ids.run_id() for _ in range(3)])
        with database.begin() as connection:
            connection.execute(update(schema.kept_places).values(until=0))

        later = admission.reserve(ENGINE, [ids.run_id() for _ in range(3)])

        assert later is None
        assert len(kept_places(database)) == 3

    def test_places_of_an_engine_that_ended_are_free(
        self, team: Team, database: Database, tmp_path: Path
    ) -> None:
        ids = IdFactory(CLOCK)
        admission = Admission(database)
        with open_runtime(tmp_path, team.url) as runtime:
            ours = EngineId(runtime.engine_id)
            admission.reserve(ours, [ids.run_id(), ids.run_id()])
            admission.reserve(ENGINE, [ids.run_id()])

        assert engines_of(kept_places(database)) == [ENGINE]

    def test_places_of_an_attempt_that_was_given_up_are_free(
        self, team: Team, database: Database, tmp_path: Path
    ) -> None:
        may_ask = threading.Event()
        asking = Workflow("asking")
        child = workflow_of({"work": []}, name="child")

        @asking.task(
            timeout=timedelta(milliseconds=200),
            retry=RetryPolicy(max_attempts=2, first_delay=HOUR, longest_delay=HOUR),
        )
        def ask(context: Context) -> None:
            may_ask.wait(PATIENCE)
            context.run_workflow("child")

        with open_runtime(tmp_path, team.url, workflows=[asking, child]) as runtime:
            run = runtime.submit(asking)
            await_event(runtime, run.id, "attempt_failed")
            may_ask.set()
            await_event(runtime, run.id, "commit_rejected")
            end = time.monotonic() + PATIENCE
            while kept_places(database) and time.monotonic() < end:
                time.sleep(0.01)
            kept = kept_places(database)

        assert kept == []

    def test_a_place_is_kept_until_the_run_is_there(
        self, team: Team, database: Database, tmp_path: Path
    ) -> None:
        def ask(context: Context) -> None:
            context.run_workflow("child")

        child = workflow_of({"work": []}, name="child")
        parent = workflow_of({"ask": []}, functions={"ask": ask}, name="parent")
        with open_runtime(tmp_path, team.url, workflows=[child, parent]) as runtime:
            end = runtime.run(parent, timeout=PATIENCE)

        assert end.summary.status is RunStatus.SUCCEEDED
        assert kept_places(database) == []
