"""Mapped tasks in the runtime, on real databases, with real threads."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.runs import PATIENCE, open_runtime, soon

from cloacina_core.model.context import Context
from cloacina_core.model.status import AttemptOutcome, RunStatus, TaskStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import Runtime

_log = logging.getLogger(__name__)

MANY = 200
LONG_NAME = "a" * 100


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url) as runtime:
        yield runtime


def shop() -> Workflow:
    """Return parts -> count, which fails for `bad` and at first for `shaky` -> total."""
    flow = Workflow("shop")

    @flow.task(map="parts", map_failures=1, max_parallel=4, retry=soon(max_attempts=2))
    def count(context: Context) -> dict[str, object]:
        _log.warning("counting %s", context.item)
        if context.item == "bad":
            raise ValueError("no such part")
        if context.item == "shaky" and context.attempt == 1:
            raise ConnectionError("at first")
        return {"sizes": len(context.item), "tokens": context.idempotency_token}

    @flow.task(after=[count])
    async def total(context: Context) -> dict[str, object]:
        return {"total": sum(size for size in context["sizes"] if size is not None)}

    return flow


def test_a_mapped_task_runs_to_its_result(runtime: Runtime):
    result = runtime.run(shop(), context={"parts": ["a", "bad", "shaky", "äöü"]})

    assert result.status is RunStatus.SUCCEEDED
    assert result.context["sizes"] == [1, None, 5, 3]
    assert result.context["total"] == 9
    assert result.context["tokens"][3] == f"{result.run_id}/count[3]"
    instances = result.tasks["count"].instances
    assert instances is not None
    assert [len(instance.attempts) for instance in instances] == [1, 2, 2, 1]
    assert runtime.get(result.run_id).to_json() == result.to_json()


def test_events_and_logs_are_those_of_one_instance_or_of_all(runtime: Runtime):
    run_id = runtime.run(shop(), context={"parts": ["a", "bad"]}).run_id

    of_one = [event.type.value for event in runtime.events(run_id, task="count[0]")]
    of_all = {event.task for event in runtime.events(run_id, task="count")}

    assert of_one == ["task_started", "task_succeeded"]
    assert of_all == {"count", "count[0]", "count[1]"}
    (line,) = runtime.logs(run_id, task="count[0]")
    assert (line.task, line.text) == ("count[0]", f"{__name__}: counting a")
    assert len(runtime.logs(run_id, task="count")) == 3
    assert runtime.events(run_id, task="Count") == []
    assert runtime.events(run_id, task="coun_") == []


def test_many_instances_end_in_any_order_and_stand_in_theirs(runtime: Runtime):
    flow = Workflow("many")

    @flow.task(map="numbers")
    def double(context: Context) -> dict[str, int]:
        return {"doubled": 2 * context.item}

    @flow.task(after=[double], map="doubled")
    async def add(context: Context) -> dict[str, int]:
        return {"sums": context.item + context.index}

    result = runtime.run(flow, context={"numbers": list(range(MANY))})

    assert result.context["doubled"] == [2 * number for number in range(MANY)]
    assert result.context["sums"] == [3 * number for number in range(MANY)]


def test_the_longest_name_has_room_for_an_index(runtime: Runtime):
    flow = Workflow("long")

    @flow.task(name=LONG_NAME, map="numbers")
    def say(context: Context) -> dict[str, int]:
        _log.warning("%s", context.index)
        return {"index": context.index}

    result = runtime.run(flow, context={"numbers": [0] * 11})

    assert result.status is RunStatus.SUCCEEDED
    assert len(runtime.logs(result.run_id, task=f"{LONG_NAME}[10]")) == 1


def test_a_mapped_run_goes_on_in_another_runtime(tmp_path: Path, store_url: str):
    reached, opened = threading.Event(), threading.Event()
    flow = Workflow("gated")

    @flow.task(map="numbers", max_parallel=1)
    def wait(context: Context) -> dict[str, int]:
        if context.item == 2:
            reached.set()
            assert opened.wait(PATIENCE)
        return {"seen": context.item}

    with open_runtime(tmp_path, store_url) as first:
        handle = first.submit(flow, context={"numbers": [0, 1, 2, 3]})
        assert reached.wait(PATIENCE)
    opened.set()
    with open_runtime(tmp_path, store_url, workflows=[flow]) as second:
        result = second.attach(handle.id).result(timeout=PATIENCE)

    assert result.context["seen"] == [0, 1, 2, 3]
    instances = result.tasks["wait"].instances
    assert instances is not None
    outcomes = [[attempt.outcome for attempt in one.attempts] for one in instances]
    good = AttemptOutcome.SUCCEEDED
    assert outcomes == [[good], [good], [AttemptOutcome.RELEASED, good], [good]]


class TestRepeating:
    """A run with a mapped task that failed is run again, in part."""

    @pytest.fixture
    def calls(self) -> list[str]:
        return []

    @pytest.fixture
    def flow(self, calls: list[str]) -> Workflow:
        flow = Workflow("flaky")

        @flow.task(map="parts", max_parallel=1)
        def weigh(context: Context) -> dict[str, int]:
            calls.append(context.item)
            if context.item == "bad" and calls.count("bad") == 1:
                raise ConnectionError("at first")
            return {"sizes": len(context.item)}

        @flow.task(after=[weigh])
        def total(context: Context) -> dict[str, int]:
            calls.append("total")
            return {"total": sum(context["sizes"])}

        return flow

    def test_a_retry_keeps_the_instances_that_succeeded(
        self, runtime: Runtime, flow: Workflow, calls: list[str]
    ):
        parts = {"parts": ["a", "bad", *(f"part {number}" for number in range(40))]}
        failed = runtime.run(flow, context=parts)
        assert failed.status is RunStatus.FAILED
        assert calls == ["a", "bad"]

        result = runtime.retry(failed.run_id).result(timeout=PATIENCE)

        assert result.status is RunStatus.SUCCEEDED
        assert calls[2:] == [*parts["parts"][1:], "total"]
        assert result.context["sizes"] == [len(part) for part in parts["parts"]]
        assert runtime.get(failed.run_id).to_json() == result.to_json()

    def test_a_fork_takes_over_the_lists(self, runtime: Runtime, flow: Workflow, calls: list[str]):
        first = runtime.run(flow, context={"parts": ["a", "bc"]})
        calls.clear()

        result = runtime.fork(first.run_id, "total", context={"sizes": [5]}).result(PATIENCE)

        assert calls == ["total"]
        assert result.context["total"] == 5
        assert runtime.get(result.run_id).tasks["weigh"].status is TaskStatus.SUCCEEDED
