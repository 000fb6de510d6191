"""Lines of attempts that run are stored, fenced like all else; whoever follows sees them."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.runs import PATIENCE, EngineBench, open_runtime, soon, workflow_of

from cloacina_core.engine.call import AttemptKey, LogEntry, Outcome
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.context import Context
from cloacina_core.model.isolation import Isolation
from cloacina_core.model.run import Failure, LogLine
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import AsyncRuntime, Runtime
from cloacina_core.runtime.following import RunFollower
from cloacina_core.store.database import Database
from cloacina_core.store.reading import RunReader

CLOCK = SystemClock()
LOG = logging.getLogger("talk")
FLOW = workflow_of({"a": [], "b": ["a"]})


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    with closing(Database(store_url, CLOCK)) as database:
        yield database


@pytest.fixture
def bench(database: Database) -> EngineBench:
    return EngineBench(database, CLOCK)


def line(text: str, at: int = 1) -> LogEntry:
    return at, "stdout", text


def stored(bench: EngineBench, run_id: RunId, task: str | None = None) -> list[str]:
    return [found.text for found in bench.reader.logs(run_id, task=task)]


def key_of(bench: EngineBench, task: str) -> AttemptKey:
    return next(key for key, call in bench.executor.calls.items() if call.name == task)


def test_lines_of_a_running_attempt_are_stored(bench: EngineBench):
    run_id = bench.start(FLOW).run_id
    key = key_of(bench, "a")

    bench.engine.tell(key, [line("one", 1), line("two", 2)])
    bench.step()
    bench.engine.tell(key, [line("three", 3)])
    bench.step()

    assert stored(bench, run_id) == ["one", "two", "three"]
    bench.executor.report(
        Outcome(key=key, outcome=AttemptOutcome.SUCCEEDED, logs=(line("four", 4),))
    )
    bench.step()
    assert stored(bench, run_id) == ["one", "two", "three", "four"]
    assert stored(bench, run_id, "b") == []


def test_lines_of_an_attempt_that_was_given_up_are_dropped(bench: EngineBench):
    run_id = bench.start(FLOW).run_id
    key = key_of(bench, "a")
    bench.executor.fail("a")
    bench.step()

    bench.engine.tell(key, [line("late")])
    bench.step()

    assert stored(bench, run_id) == []


def test_lines_of_an_engine_that_was_declared_dead_are_refused(
    bench: EngineBench, database: Database
):
    run_id = bench.start(FLOW).run_id
    key = key_of(bench, "a")
    bench.ownership.stop(bench.engine.id)

    bench.engine.tell(key, [line("stale")])
    bench.step()

    assert stored(bench, run_id) == []
    assert not bench.engine.is_alive()


def test_lines_stay_with_an_attempt_that_is_lost(bench: EngineBench, database: Database):
    run_id = bench.start(FLOW).run_id
    bench.engine.tell(key_of(bench, "a"), [line("before the end")])
    bench.step()
    bench.ownership.stop(bench.engine.id)
    after = EngineBench(database, CLOCK)
    after.ownership.claim(run_id, after.engine.id)
    after.engine.begin_to_take_up(after.reader.load(run_id))
    after.step()

    after.engine.tell(key_of(after, "a"), [line("once more", 2)])
    after.step()

    told = [(one.attempt, one.text) for one in after.reader.logs(run_id)]
    assert told == [(1, "before the end"), (2, "once more")]


def test_an_attempt_keeps_what_it_had_around_it(bench: EngineBench):
    run_id = bench.start(workflow_of({"a": []}, options={"a": {"retry": soon()}})).run_id
    enforced = ("no-new-privileges", "landlock-read-files")
    failure = Failure(type="OSError", message="broken")
    bench.executor.report(
        Outcome(
            key=key_of(bench, "a"),
            outcome=AttemptOutcome.FAILED,
            failure=failure,
            isolation=Isolation.WORKER,
            enforced=enforced,
        )
    )
    bench.step()

    (attempt,) = bench.result(run_id).tasks["a"].attempts
    assert attempt.isolation is Isolation.WORKER
    assert attempt.enforced == enforced
    assert attempt.to_json()["enforced"] == list(enforced)


class Talk:
    """A task that says something, and then waits until it may say the rest."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def __call__(self, context: Context) -> None:
        LOG.warning("first")
        assert self.may_end.wait(PATIENCE)
        LOG.warning("last")

    def workflow(self) -> Workflow:
        return workflow_of(
            {"a": [], "b": ["a"]}, functions={"a": self, "b": lambda _: LOG.warning("b")}
        )


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.may_end.set()


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url) as runtime:
        yield runtime


def test_who_follows_sees_lines_as_they_come_and_ends_with_the_run(
    runtime: Runtime, store_url: str, talk: Talk
):
    """From another connection, which hears of it as another process does."""
    handle = runtime.submit(talk.workflow())
    with closing(Database(store_url, CLOCK)) as database:
        lines = RunFollower(database, RunReader(database)).logs(handle.id)
        first = next(lines)
        assert not handle.status().is_final

        talk.may_end.set()

        assert [first.text, *(one.text for one in lines)] == [
            "talk: first",
            "talk: last",
            "talk: b",
        ]
        assert handle.status().is_final


def test_the_lines_of_one_task_can_be_followed(runtime: Runtime, talk: Talk):
    handle = runtime.submit(talk.workflow())
    talk.may_end.set()

    assert [one.text for one in runtime.follow_logs(handle.id, task="b")] == ["talk: b"]


def test_a_run_that_has_ended_is_followed_to_its_end(runtime: Runtime, talk: Talk):
    talk.may_end.set()
    result = runtime.run(talk.workflow(), timeout=PATIENCE)

    followed = list(runtime.follow_logs(result.run_id))

    assert followed == list(runtime.logs(result.run_id))
    assert len(followed) == 3


async def _followed(runtime: Runtime, run_id: RunId, talk: Talk) -> list[LogLine]:
    found = []
    async for one in AsyncRuntime(runtime).follow_logs(run_id):
        found.append(one)
        talk.may_end.set()
    return found


def test_coroutines_follow_too(runtime: Runtime, talk: Talk):
    handle = runtime.submit(talk.workflow())

    found = asyncio.run(_followed(runtime, handle.id, talk))

    assert [one.text for one in found] == ["talk: first", "talk: last", "talk: b"]


def test_attempts_in_this_process_say_so(runtime: Runtime):
    result = runtime.run(workflow_of({"a": []}), timeout=PATIENCE)

    (attempt,) = result.tasks["a"].attempts
    assert attempt.isolation is Isolation.HOST
    assert attempt.enforced == ()
    assert runtime.get(result.run_id).tasks["a"].attempts == (attempt,)
