"""Large values are stored once, under their digest, and fetched only by those who ask for them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import delete, event, func, insert, select, update
from support.runs import PATIENCE, EngineBench, open_runtime, workflow_of

from cloacina_core import Context, Workflow
from cloacina_core.engine.spilling import Spill
from cloacina_core.errors import InputError, LostValueError, StoreError, StoreUnavailableError
from cloacina_core.foundation.clock import SystemClock, to_micros
from cloacina_core.foundation.digest import Digest, digest_of, digest_of_text
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import encode
from cloacina_core.foundation.period import Period
from cloacina_core.model.rules import value
from cloacina_core.model.run import RunResult
from cloacina_core.model.spilled import Spilled
from cloacina_core.model.status import RunStatus, TaskStatus
from cloacina_core.runtime import Runtime
from cloacina_core.services.retention import expiries, sweep
from cloacina_core.store import blobs as blobs_module
from cloacina_core.store import schema
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.checking import check
from cloacina_core.store.database import Database
from cloacina_core.store.direct import DirectConnection
from cloacina_core.store.retention import YOUNG, Retention

CLOCK = SystemClock()
ROWS = [f"row {n}" for n in range(300)]
LARGE = encode(ROWS)
SMALL = 1000
"""The setting `spill_bytes` of these tests."""


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, CLOCK)
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> DatabaseBlobStore:
    return DatabaseBlobStore(lambda: database)


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url, spill_bytes=SMALL, max_value_bytes=2000) as runtime:
        yield runtime


def make_rows(context: Context) -> None:
    context["rows"] = ROWS


def count_rows(context: Context) -> None:
    context["count"] = len(context["rows"])


def run(runtime: Runtime, workflow: Workflow, **options: Any) -> RunResult:
    return runtime.run(workflow, timeout=PATIENCE, **options)


def blobs_in(database: Database) -> list[str]:
    with database.read() as connection:
        return sorted(connection.execute(select(schema.blobs.c.digest)).scalars())


def damage(database: Database, body: bytes = b"[]") -> None:
    with database.begin() as connection:
        connection.execute(update(schema.blobs).values(body=body))


def lose(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(delete(schema.blobs))


def make_old(database: Database) -> None:
    with database.begin() as connection:
        old = to_micros(CLOCK.now() - 3 * YOUNG)
        connection.execute(update(schema.blobs).values(put_at=old))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield what is done with blobs, as it is done: put or get."""
    done: list[str] = []
    for name in ("put", "get"):
        method = getattr(DatabaseBlobStore, name)

        def note(self: Any, what: Any, name: str = name, method: Any = method) -> Any:
            done.append(name)
            return method(self, what)

        monkeypatch.setattr(DatabaseBlobStore, name, note)
    yield done
    monkeypatch.undo()


# What the blob store promises.


def test_bytes_come_back_and_are_stored_once(store: DatabaseBlobStore, database: Database):
    digest = store.put(b"abc")

    assert store.put(b"abc") == digest == digest_of(b"abc")
    assert store.has(digest)
    assert store.get(digest) == b"abc"
    assert blobs_in(database) == [digest]


def test_bytes_that_are_gone_are_missed(store: DatabaseBlobStore):
    digest = store.put(b"abc")

    store.delete(digest)
    store.delete(digest)

    assert not store.has(digest)
    with pytest.raises(StoreError, match=f"no bytes with digest {digest}"):
        store.get(digest)


def test_changed_bytes_are_refused_and_mended_by_the_next_who_stores_them(
    store: DatabaseBlobStore, database: Database
):
    digest = store.put(b"abc")
    damage(database, b"abd")

    with pytest.raises(StoreError, match="were changed"):
        store.get(digest)

    store.put(b"abc")
    assert store.get(digest) == b"abc"


def test_a_database_that_is_away_for_a_moment_costs_no_attempt(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    pauses: list[float] = []
    faults = [StoreUnavailableError("away")] * 3
    begin = Database.begin

    def begin_or_fail(self: Database) -> Any:
        if faults:
            raise faults.pop()
        return begin(self)

    monkeypatch.setattr(Database, "begin", begin_or_fail)

    digest = DatabaseBlobStore(lambda: database, pauses.append).put(b"abc")

    assert pauses == [0.1, 0.2, 0.4]
    assert blobs_in(database) == [digest]


def test_a_database_that_stays_away_is_told_in_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    pauses: list[float] = []

    def fail(_: Database) -> Any:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(Database, "read", fail)

    with pytest.raises(StoreUnavailableError, match="away"):
        DatabaseBlobStore(lambda: database, pauses.append).get(digest_of(b""))
    assert blobs_module.PATIENCE <= sum(pauses) <= blobs_module.PATIENCE + max(pauses)


# Tasks.


def test_a_large_value_is_written_once_and_read_by_those_who_ask(
    runtime: Runtime, database: Database, monkeypatch: pytest.MonkeyPatch
):
    chain = {"t0": [], **{f"t{n}": [f"t{n - 1}"] for n in range(1, 10)}}
    flow = workflow_of(chain, functions={"t0": make_rows, "t9": count_rows})

    with counted(monkeypatch) as done:
        handle = runtime.submit(flow)
        handle.on_end(lambda: done.append("end"))
        result = handle.result(PATIENCE)

    assert result.context == {"rows": ROWS, "count": 300}
    assert [one for one in done if one != "end"] == ["put", "get", "get"]  # t9, and the result
    assert blobs_in(database) == [digest_of_text(LARGE)]


def test_equal_values_are_one_blob_whoever_wrote_them(runtime: Runtime, database: Database):
    flow = workflow_of({"a": [], "b": []}, functions=dict.fromkeys("ab", make_rows))

    run(runtime, flow)
    assert run(runtime, flow).context == {"rows": ROWS}

    assert len(blobs_in(database)) == 1


def test_a_payload_refers_to_a_value_and_does_not_hold_it(runtime: Runtime, database: Database):
    run(runtime, workflow_of({"a": []}, functions={"a": make_rows}))

    with database.read() as connection:
        bodies = connection.execute(select(schema.payloads.c.body)).scalars().all()
    assert bodies
    assert all(len(body) < 200 and "row 7" not in body for body in bodies)


def test_a_task_may_leave_many_large_values(runtime: Runtime, database: Database):
    def many(context: Context) -> None:
        context.update({f"rows{n}": [*ROWS, n] for n in range(5)})

    result = run(runtime, workflow_of({"a": []}, functions={"a": many}))

    assert result.context == {f"rows{n}": [*ROWS, n] for n in range(5)}
    assert len(blobs_in(database)) == 5
    assert list(check(database)) == []


def test_a_value_that_was_only_read_or_set_again_is_no_change(runtime: Runtime, database: Database):
    def same(context: Context) -> None:
        context["rows"] = list(context["rows"])

    flow = workflow_of({"a": [], "b": ["a"]}, functions={"a": make_rows, "b": same})
    result = run(runtime, flow)

    with database.read() as connection:
        query = select(func.count()).select_from(schema.payloads)
        outputs = connection.execute(query.where(schema.payloads.c.kind == "output")).scalar()
    assert outputs == 1
    assert result.context == {"rows": ROWS}


def test_a_run_goes_on_in_another_process_with_what_was_spilled(
    tmp_path: Path, store_url: str, database: Database
):
    flow = workflow_of({"a": [], "b": ["a"]}, functions={"a": make_rows, "b": count_rows})
    with open_runtime(tmp_path, store_url, spill_bytes=SMALL) as runtime:
        run_id = run(runtime, flow, params={"rows": ROWS}, context={"more": ROWS}).run_id

    with open_runtime(tmp_path, store_url, workflows=[flow]) as other:
        told = other.get(run_id)
        again = other.rerun(run_id).result(PATIENCE)

    for result in (told, again):
        assert result.params == {"rows": ROWS}
        assert result.context == {"more": ROWS, "rows": ROWS, "count": 300}
    assert len(blobs_in(database)) == 2  # the params are another text


def test_a_value_over_the_limit_fails_its_task(tmp_path: Path, store_url: str):
    flow = workflow_of({"a": []}, functions={"a": make_rows})
    limits = {"spill_bytes": SMALL, "max_spilled_bytes": 2000}
    with open_runtime(tmp_path, store_url, **limits) as runtime:
        result = run(runtime, flow)
        with pytest.raises(InputError, match=r"key 'rows' of the submitted context has \d+ bytes"):
            runtime.submit(flow, context={"rows": ROWS})

    assert result.error is not None
    assert "key 'rows' of task a of run" in result.error.message
    assert "max_spilled_bytes" in result.error.message


def test_what_is_spilled_does_not_count_for_the_other_limit(runtime: Runtime):
    def two(context: Context) -> None:
        context["rows"] = ROWS
        context["others"] = ["x" * 900, "y" * 900]

    assert run(runtime, workflow_of({"a": []}, functions={"a": two})).status == "succeeded"


# Merges, rules and lists.


def test_a_merge_passes_references_on_and_joins_lists_unread(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
):
    def other(context: Context) -> None:
        context["rows"] = ["b"]

    flow = workflow_of(
        {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]},
        functions={"a": make_rows, "b": other, "d": count_rows},
        options={"c": {"merge": "concat"}},
    )
    with counted(monkeypatch) as done:
        result = run(runtime, flow)

    assert result.context == {"rows": [*ROWS, "b"], "count": 301}
    assert done == ["put", "get", "get"]  # d, and the result


def test_a_spilled_value_that_is_no_list_is_not_joined(runtime: Runtime):
    def text(context: Context) -> None:
        context["rows"] = "x" * 2000

    flow = workflow_of(
        {"a": [], "b": [], "c": ["a", "b"]},
        functions={"a": make_rows, "b": text},
        options={"c": {"merge": "concat"}},
    )
    result = run(runtime, flow)

    assert result.error is not None
    assert "didn't all write lists" in result.error.message


def test_equal_spilled_values_are_no_conflict(runtime: Runtime):
    flow = workflow_of(
        {"a": [], "b": [], "c": ["a", "b"]},
        functions={"a": make_rows, "b": make_rows},
        options={"c": {"merge": "error"}},
    )
    assert run(runtime, flow).status == "succeeded"


def test_a_rule_reads_a_spilled_value(runtime: Runtime):
    def text(context: Context) -> None:
        context["text"] = "x" * 2000

    flow = workflow_of(
        {"a": [], "b": ["a"], "c": ["a"]},
        functions={"a": text},
        rules={"b": value("text") == "x" * 2000, "c": value("text") == "y"},
    )
    result = run(runtime, flow)

    assert result.tasks["b"].status is TaskStatus.SUCCEEDED
    assert result.tasks["c"].status is TaskStatus.SKIPPED


def test_a_list_to_map_over_is_fetched_once_and_results_are_kept_apart(
    runtime: Runtime, database: Database, monkeypatch: pytest.MonkeyPatch
):
    def items(context: Context) -> None:
        context["items"] = ["x" * 400 + str(n) for n in range(5)]

    def one(context: Context) -> None:
        context["echo"] = context.item * 4

    flow = workflow_of(
        {"a": [], "b": ["a"], "c": ["b"]},
        functions={"a": items, "b": one},
        options={"b": {"map": "items"}},
    )
    with counted(monkeypatch) as done:
        handle = runtime.submit(flow)
        result = handle.result(PATIENCE)

    assert result.context["echo"] == [item * 4 for item in result.context["items"]]
    assert done.count("put") == 6
    assert done.count("get") == 1 + 6  # for the list, and the result
    assert len(blobs_in(database)) == 6
    assert runtime.get(handle.id).context == result.context

    forked = runtime.fork(handle.id, "c").result(PATIENCE)
    assert forked.context == result.context
    assert runtime.get(forked.run_id).context == result.context
    assert list(check(database)) == []


# Damage.


def first_rows_then_wait(function: Callable[[Context], object]) -> Workflow:
    return workflow_of({"a": [], "b": ["a"]}, functions={"a": make_rows, "b": function})


@pytest.mark.parametrize(
    ("harm", "told"), [(damage, "were changed"), (lose, "there are no bytes with digest")]
)
def test_a_lost_value_fails_the_task_that_asks_and_names_itself(
    runtime: Runtime, database: Database, harm: Callable[[Database], None], told: str
):
    def read(context: Context) -> None:
        harm(database)
        count_rows(context)

    handle = runtime.submit(first_rows_then_wait(read))
    with pytest.raises(LostValueError):  # the result has it, too
        handle.result(PATIENCE)

    events = runtime.events(handle.id, task="b")
    assert events[-1].reason is not None
    assert told in events[-1].reason
    assert f"the value of key 'rows' of task a of run {handle.id} is lost" in events[-1].reason
    with pytest.raises(LostValueError, match="key 'rows' of task a"):
        runtime.get(handle.id)
    assert runtime.list()[0].status is RunStatus.FAILED


def test_a_lost_value_fails_the_task_whose_rule_or_list_it_is(runtime: Runtime, database: Database):
    def make_and_lose(context: Context) -> None:
        make_rows(context)
        context["large"] = "x" * 2000

    flow = workflow_of(
        {"a": [], "loser": ["a"], "rule": ["loser"], "map": ["loser"]},
        functions={"a": make_and_lose, "loser": lambda _: lose(database)},
        rules={"rule": value("large") == "x"},
        options={"map": {"map": "rows"}},
    )
    handle = runtime.submit(flow)
    with pytest.raises(LostValueError):
        handle.result(PATIENCE)

    for task, key in (("rule", "large"), ("map", "rows")):
        last = runtime.events(handle.id, task=task)[-1]
        assert last.type.value == "task_failed"
        assert f"key '{key}' of task a" in str(last.reason)


def test_a_reference_to_a_blob_that_is_gone_is_never_written(
    database: Database, store: DatabaseBlobStore
):
    bench = EngineBench(database, CLOCK)
    gone = Spilled(Digest("sha256:" + "0" * 64), 10, True, "key 'rows'", store.get)
    flow = workflow_of({"a": []})
    run_id = bench.start(flow).run_id

    bench.executor.succeed("a", rows=gone)
    bench.step()

    stored = bench.reader.load(run_id)
    assert stored.outputs == {}
    assert stored.tasks["a"].status is TaskStatus.RUNNING
    assert bench.ownership is not None
    assert bench.reader.summary(run_id).engine is None  # given up, for another try


# Retention and checks.


def swept(database: Database) -> int:
    day = Period(timedelta(days=1))
    return sweep(Retention(database), expiries(day, day), lambda _: False, CLOCK)


def test_blobs_go_with_the_last_run_that_refers_to_them(runtime: Runtime, database: Database):
    flow = workflow_of({"a": []}, functions={"a": make_rows})
    first, second = run(runtime, flow).run_id, run(runtime, flow).run_id
    make_old(database)

    end(database, first)
    assert swept(database) == 1
    assert runtime.get(second).context == {"rows": ROWS}

    end(database, second)
    assert swept(database) == 1
    assert blobs_in(database) == []


def end(database: Database, run_id: RunId) -> None:
    with database.begin() as connection:
        runs = schema.runs
        connection.execute(update(runs).where(runs.c.id == run_id).values(finished_at=1))


def test_a_young_blob_stays_and_storing_it_again_makes_it_young(
    database: Database, store: DatabaseBlobStore
):
    digest = store.put(b"abc")
    swept(database)
    assert store.has(digest)

    make_old(database)
    store.put(b"abc")
    swept(database)
    assert store.has(digest)

    make_old(database)
    swept(database)
    assert not store.has(digest)


def test_a_blob_that_is_used_meanwhile_stays(
    database: Database, store: DatabaseBlobStore, monkeypatch: pytest.MonkeyPatch
):
    digest = store.put(b"abc")
    make_old(database)
    begin = Database.begin

    def use_and_begin(self: Database) -> Any:
        monkeypatch.undo()
        with database.begin() as connection:
            use = {"run_id": "0" * 26, "kind": "output", "task": "a", "digest": digest}
            connection.execute(insert(schema.blob_uses).values(use))
        return begin(self)

    monkeypatch.setattr(Database, "begin", use_and_begin)

    assert Retention(database).forget_blobs() == 0
    assert store.has(digest)


def test_retention_and_those_who_refer_to_a_blob_never_miss_each_other(
    database: Database, store: DatabaseBlobStore
):
    bench, flow = EngineBench(database, CLOCK), workflow_of({"a": []})
    retention = Retention(database)
    with ThreadPoolExecutor(1) as pool:
        for number in range(12):
            data = encode([number, "x" * SMALL]).encode()
            large = Spilled(store.put(data), len(data), True, "key 'rows'", store.get)
            make_old(database)
            run_id = bench.start(flow).run_id
            barrier = Barrier(2)

            def sweep_now(barrier: Barrier = barrier) -> int:
                barrier.wait(PATIENCE)
                return retention.forget_blobs()

            swept = pool.submit(sweep_now)
            barrier.wait(PATIENCE)
            bench.executor.succeed("a", rows=large)
            bench.step()
            swept.result(PATIENCE)

            is_written = bool(bench.reader.load(run_id).outputs)
            assert store.has(large.digest) == is_written


def kinds(database: Database) -> list[tuple[str, str | None]]:
    return [(found.kind, found.run_id) for found in check(database)]


def test_the_check_finds_what_is_wrong_with_blobs(
    runtime: Runtime, database: Database, store: DatabaseBlobStore
):
    run_id = run(runtime, workflow_of({"a": []}, functions={"a": make_rows})).run_id
    assert kinds(database) == []

    damage(database)
    assert kinds(database) == [("damaged-blob", run_id)]

    lose(database)
    assert kinds(database) == [("missing-blob", run_id)]

    store.put(LARGE.encode())
    assert kinds(database) == []

    with database.begin() as connection:
        connection.execute(delete(schema.blob_uses))
    make_old(database)
    assert kinds(database) == [("unused-blob", None), ("missing-use", run_id)]


# What it costs when nothing is large.


def test_small_values_send_no_statement_more(database: Database, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    execute = DirectConnection.execute

    def hear_directly(self: Any, statement: Any, rows: Any) -> Any:
        said.append(statement.text)
        return execute(self, statement, rows)

    monkeypatch.setattr(DirectConnection, "execute", hear_directly)

    def hear(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(database._engine, "before_cursor_execute", hear)
    bench = EngineBench(database, CLOCK)
    spill = Spill(DatabaseBlobStore(lambda: database), spill_bytes=SMALL, max_spilled_bytes=SMALL)
    run_id = bench.start(workflow_of({"a": []}), context={"n": 1}).run_id
    assert spill.each({"n": "1" * 1000}, "task a") == {"n": "1" * 1000}
    bench.executor.succeed("a", n=2)
    bench.step()

    assert bench.result(run_id).context == {"n": 2}
    assert not [statement for statement in said if "blob" in statement]
