"""What observers are told can be found again in the store, on both databases."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.runs import PATIENCE, open_runtime, workflow_of

from cloacina_core import Context
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.event import EventType
from cloacina_core.model.status import RunStatus
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime, open_view
from cloacina_core.store.history import StoredHistory

LONG_AGO = datetime.fromisoformat("2020-01-01T00:00:00Z")


def fail(context: Context) -> None:
    raise ValueError("no rows")


def ask(context: Context) -> None:
    context.sleep(timedelta(0))
    context.wait_for("approval", timeout=timedelta(days=1))


def rest(context: Context) -> None:
    context.sleep(timedelta(days=1))


FAILS = workflow_of({"a": []}, functions={"a": fail}, tags={"team": "etl"})
ASKS = workflow_of({"ask": [], "rest": []}, functions={"ask": ask, "rest": rest}, name="asks")


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url) as runtime:
        yield runtime


@pytest.fixture
def history(runtime: Runtime) -> Iterator[StoredHistory]:
    view = open_view(runtime.settings, Plugins())
    yield view.history
    view.close()


def fail_some(runtime: Runtime, count: int) -> list[str]:
    handles = runtime.submit_many(FAILS, [None] * count)
    return [handle.result(PATIENCE).run_id for handle in handles]


def test_ends_come_page_by_page_each_once(runtime: Runtime, history: StoredHistory):
    wanted = fail_some(runtime, 7)

    found, after, last = [], LONG_AGO, None
    while page := history.ends(RunStatus.FAILED, after, last, limit=3):
        found += page
        after, last = page[-1].at, page[-1].run_id

    assert sorted(event.run_id for event in found) == sorted(wanted)
    assert [(event.at, event.run_id) for event in found] == sorted(
        (event.at, event.run_id) for event in found
    )


def test_an_end_is_the_last_event_of_its_run(runtime: Runtime, history: StoredHistory):
    (run_id,) = fail_some(runtime, 1)
    runtime.retry(run_id).result(PATIENCE)

    (end,) = history.ends(RunStatus.FAILED, LONG_AGO)

    assert end == runtime.events(run_id)[-1]
    assert end.type is EventType.RUN_FAILED


def test_the_moment_of_an_end_is_that_by_which_pages_go_on(
    runtime: Runtime, history: StoredHistory
):
    (run_id,) = fail_some(runtime, 1)

    (end,) = history.ends(RunStatus.FAILED, LONG_AGO)

    assert end.at == runtime.get(run_id).summary.finished_at
    assert history.ends(RunStatus.FAILED, end.at) == []
    assert history.ends(RunStatus.SUCCEEDED, LONG_AGO) == []


def test_what_waits_for_a_signal_is_told_and_nothing_else(runtime: Runtime, history: StoredHistory):
    handle = runtime.submit(ASKS)
    wait_for(runtime, handle.id, "waits for signal")

    waits, following = history.signal_waits()

    (wait,) = waits
    assert (wait.run_id, wait.task, wait.signal) == (handle.id, "ask", "approval")
    assert wait.until is not None
    told = [event for event in runtime.events(handle.id) if event.task == "ask"]
    assert (wait.seq, wait.since) == (told[-1].seq, told[-1].at)
    assert following is None
    assert history.signal_waits_of(RunId(handle.id)) == [wait]


def test_a_wait_that_is_over_isnt_told(runtime: Runtime, history: StoredHistory):
    handle = runtime.submit(ASKS)
    wait_for(runtime, handle.id, "waits for signal")
    runtime.signal(handle.id, "approval")
    wait_for(runtime, handle.id, "", EventType.TASK_SUCCEEDED)

    assert history.signal_waits() == ([], None)


def test_waits_come_page_by_page(runtime: Runtime, history: StoredHistory):
    handles = runtime.submit_many(ASKS, [None] * 3)
    for handle in handles:
        wait_for(runtime, handle.id, "waits for signal")

    first, following = history.signal_waits(limit=2)
    second, end = history.signal_waits(following, limit=2)

    assert [wait.run_id for wait in (*first, *second)] == sorted(one.id for one in handles)
    assert end is None


def test_runs_are_described_with_their_tags(runtime: Runtime, history: StoredHistory):
    (run_id,) = fail_some(runtime, 1)

    described = history.describe({RunId(run_id), RunId("01m8fqbadv0rtr0bx26mey6hgh")})

    assert list(described) == [run_id]
    assert described[RunId(run_id)].tags == {"team": "etl"}
    assert described[RunId(run_id)].summary == runtime.get(run_id).summary


def wait_for(
    runtime: Runtime, run_id: str, reason: str, type_: EventType = EventType.TASK_DEFERRED
) -> None:
    """Wait for an event of a run."""
    for _ in range(int(PATIENCE * 100)):
        if any(
            event.type is type_ and (event.reason or "").startswith(reason)
            for event in runtime.events(run_id)
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"run {run_id} has no event {type_}")
