"""What engines wrote can be read, found and listed; what was tampered with is refused."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from support.runs import EngineBench, workflow_of

from cloacina_core.engine.call import Outcome
from cloacina_core.errors import InputError, StoreError, UnknownRunError
from cloacina_core.foundation.clock import to_micros
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.run import RunSummary
from cloacina_core.model.status import AttemptOutcome, RunStatus
from cloacina_core.store import schema
from cloacina_core.store.database import IN_MEMORY, Database
from cloacina_core.store.reading import RunFilter
from cloacina_core.testing import FrozenClock

ONE = workflow_of({"a": []})
OTHER = workflow_of({"b": []}, name="other")


@pytest.fixture
def bench(clock: FrozenClock) -> Iterator[EngineBench]:
    database = Database(IN_MEMORY, clock)
    yield EngineBench(database, clock)
    database.close()


class TestFinding:
    def test_the_beginning_of_an_id_is_enough(self, bench: EngineBench, clock: FrozenClock):
        first = bench.start(ONE).run_id
        clock.advance(timedelta(days=400))
        second = bench.start(ONE).run_id
        length = next(n for n in range(1, 27) if first[:n] != second[:n])

        assert bench.reader.find(first[:length]) == first
        assert bench.reader.find(f" {second[:length].upper()}\n") == second

    def test_a_whole_id_is_found(self, bench: EngineBench):
        runs = [bench.start(ONE).run_id for _ in range(3)]

        assert [bench.reader.find(run_id) for run_id in runs] == runs

    def test_a_beginning_of_several_is_refused(self, bench: EngineBench):
        run_id = bench.start(ONE).run_id
        bench.start(ONE)

        with pytest.raises(InputError, match="more than one run begins with"):
            bench.reader.find(run_id[:2])

    @pytest.mark.parametrize("text", ["", "zzzz", "not an id", "0" * 27, "%", "_"])
    def test_what_names_no_run_is_unknown(self, bench: EngineBench, text: str):
        bench.start(ONE)

        with pytest.raises(UnknownRunError):
            bench.reader.find(text)


class TestListing:
    def ids(self, summaries: list[RunSummary]) -> list[RunId]:
        return [summary.run_id for summary in summaries]

    def test_the_newest_run_comes_first(self, bench: EngineBench):
        runs = [bench.start(ONE).run_id for _ in range(3)]

        assert self.ids(bench.reader.summaries(RunFilter())) == runs[::-1]

    def test_pages_follow_each_other(self, bench: EngineBench):
        runs = [bench.start(ONE).run_id for _ in range(5)]

        first = bench.reader.summaries(RunFilter(), limit=2)
        second = bench.reader.summaries(RunFilter(), before=first[-1].run_id, limit=2)

        assert self.ids(first + second) == runs[:0:-1]

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (RunFilter(workflow="flow"), 2),
            (RunFilter(workflow="other"), 1),
            (RunFilter(status=RunStatus.RUNNING), 2),
            (RunFilter(status=RunStatus.SUCCEEDED), 1),
            (RunFilter(status=RunStatus.SUCCEEDED, workflow="flow"), 0),
            (RunFilter(package="acme"), 0),
        ],
    )
    def test_runs_can_be_filtered(self, bench: EngineBench, wanted: RunFilter, found: int):
        for workflow in (ONE, ONE, OTHER):
            bench.start(workflow)
        bench.executor.succeed("b")
        bench.step()

        assert len(bench.reader.summaries(wanted)) == found

    def test_runs_can_be_filtered_by_time(self, bench: EngineBench, clock: FrozenClock):
        runs, moments = [], []
        for _ in range(3):
            moments.append(clock.now())
            runs.append(bench.start(ONE).run_id)
            clock.advance(timedelta(milliseconds=1))

        middle = RunFilter(since=moments[1], until=moments[2])

        assert self.ids(bench.reader.summaries(middle)) == [runs[1]]
        assert self.ids(bench.reader.summaries(RunFilter(since=moments[1]))) == runs[:0:-1]
        assert self.ids(bench.reader.summaries(RunFilter(until=moments[1]))) == runs[:1]


class TestHistory:
    def test_a_long_history_comes_in_pages(
        self, bench: EngineBench, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("cloacina_core.store.reading._PAGE", 2)
        run_id = bench.start(ONE).run_id

        pages = list(bench.reader.history(run_id))

        assert [[event.seq for event in page] for page in pages] == [[1, 2], [3]]
        assert list(bench.reader.history(run_id, after=2)) == pages[1:]

    def test_lines_of_attempts_side_by_side_are_mixed(self, bench: EngineBench, clock: FrozenClock):
        """And those of an attempt that began later come later."""
        run = bench.start(workflow_of({"a": [], "b": [], "c": ["a", "b"]}))
        now = to_micros(clock.now())
        for key, call in list(bench.executor.calls.items()):
            step = 1 if call.task == "b" else 0
            logs = tuple((now + 2 * n + step, "stdout", f"{call.task}{n}") for n in (1, 0))
            bench.executor.report(
                Outcome(key=key, outcome=AttemptOutcome.SUCCEEDED, changes={}, logs=logs)
            )
        clock.advance(timedelta(seconds=1))
        bench.step()
        key = (run.run_id, 2, 1)
        later = ((to_micros(clock.now()), "stdout", "c"),)
        bench.executor.report(
            Outcome(key=key, outcome=AttemptOutcome.SUCCEEDED, changes={}, logs=later)
        )
        bench.step()

        texts = [line.text for line in bench.reader.logs(run.run_id)]

        assert texts == ["a0", "b0", "a1", "b1", "c"]

    def test_events_can_be_read_in_pages(self, bench: EngineBench):
        run_id = bench.start(ONE).run_id

        first = bench.reader.events(run_id, limit=2)
        rest = bench.reader.events(run_id, after=first[-1].seq)

        assert [event.type.value for event in first + rest] == [
            "submitted",
            "claimed",
            "task_started",
        ]

    def test_log_lines_come_in_order_of_time(self, bench: EngineBench):
        run_id = bench.start(workflow_of({"a": [], "b": []})).run_id
        now = to_micros(bench.clock.now())
        for key, call in bench.executor.calls.items():
            at = now + (20 if call.task == "a" else 10)
            logs = ((at, "stdout", call.task), (at + 1, "stderr", "ünï 🙂"))
            bench.executor.report(
                Outcome(key=key, outcome=AttemptOutcome.SUCCEEDED, changes={}, logs=logs)
            )
        bench.step()

        lines = list(bench.reader.logs(run_id))

        assert [(line.task, line.text) for line in lines] == [
            ("b", "b"),
            ("b", "ünï 🙂"),
            ("a", "a"),
            ("a", "ünï 🙂"),
        ]
        assert {line.task for line in bench.reader.logs(run_id, task="a")} == {"a"}


@pytest.mark.parametrize("kind", ["params", "context", "output"])
def test_a_payload_that_was_changed_is_refused(bench: EngineBench, kind: str):
    """SQLite itself doesn't notice a flipped byte in a text."""
    run_id = bench.start(ONE, params={"n": 1}, context={"m": 1}).run_id
    bench.executor.succeed("a", rows=[1])
    bench.step()
    with bench.database.begin() as connection:
        bodies = schema.payloads.c.kind == kind
        forged = '{"rows": "[2]"}'
        connection.execute(update(schema.payloads).where(bodies).values(body=forged))

    with pytest.raises(StoreError, match=f"the {kind} of run .* was changed in the database"):
        bench.reader.load(run_id)


def test_a_run_without_params_or_context_has_no_payload(bench: EngineBench):
    stored = bench.reader.load(bench.start(ONE).run_id)

    assert (stored.params, stored.context, stored.outputs) == ({}, {}, {})


@pytest.mark.parametrize(
    "value", [None, [], {}, "", "ünï 🙂", 2**63 - 1, -0.0, 1e-300, [[[]]], {"": {"": None}}]
)
def test_values_come_back_as_they_went_in(bench: EngineBench, value: Any):
    run_id = bench.start(ONE, params={"v": value}, context={"v": value}).run_id
    bench.executor.succeed("a", out=value)
    bench.step()

    result = bench.result(run_id)

    assert repr(result.params) == repr({"v": value})
    assert repr(result.context) == repr({"v": value, "out": value})
