"""Several engines on one store: they share the work, and take over from each other."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.runs import PATIENCE, open_runtime, workflow_of
from support.tcp_proxy import TcpProxy, tcp_proxy
from support.waiting import wait_until

from cloacina_core.errors import OutcomeUnknownError, StoreUnavailableError
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.context import Context
from cloacina_core.model.event import EventType
from cloacina_core.model.status import RunStatus
from cloacina_core.model.stored import StoredRun
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import Runtime, following
from cloacina_core.services import recovery
from cloacina_core.store.claiming import Claims
from cloacina_core.store.reading import RunReader
from cloacina_core.store.watching import StoreWatcher

FLOW = workflow_of({"a": [], "b": ["a"]})
ONE_AT_A_TIME = workflow_of({"a": []}, max_live_runs=1)
LEASE = timedelta(seconds=1.5)
NEVER = timedelta(hours=1)


@pytest.fixture
def proxy(postgresql_url: str) -> Iterator[TcpProxy]:
    with tcp_proxy(postgresql_url) as proxy:
        yield proxy


class Gate:
    """Lets attempts at a task wait until the test lets them go on."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.attempts: list[int] = []

    def __call__(self, context: Context) -> dict[str, object]:
        self.attempts.append(context.attempt)
        self.begun.release()
        if context.attempt == 1:
            assert self.is_open.wait(PATIENCE)
        return {"attempt": context.attempt}

    def workflow(self) -> Workflow:
        return workflow_of({"a": []}, functions={"a": self})


@pytest.fixture
def nothing_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_LONGEST_PAUSE", NEVER.total_seconds())
    monkeypatch.setitem(StoreWatcher.__init__.__kwdefaults__, "poll", NEVER)
    monkeypatch.setattr(following, "POLL", NEVER)


@pytest.mark.usefixtures("nothing_is_polled")
def test_a_recorded_run_is_taken_up_at_once_and_its_end_is_told(tmp_path: Path, store_url: str):
    with (
        open_runtime(tmp_path, store_url, workflows=[FLOW], lease=NEVER),
        open_runtime(tmp_path, store_url, workflows=[FLOW], recover=False) as submitter,
    ):
        result = submitter.submit(FLOW, detach=True).result(timeout=PATIENCE)

    assert result.status is RunStatus.SUCCEEDED


def test_engines_share_what_waits(tmp_path: Path, store_url: str):
    with open_runtime(tmp_path, store_url, workflows=[FLOW], recover=False) as submitter:
        waiting = [submitter.submit(FLOW, detach=True) for _ in range(120)]
        engines = [
            open_runtime(tmp_path, store_url, workflows=[FLOW], slots=2, max_live_runs=5)
            for _ in range(3)
        ]
        results = [handle.result(timeout=PATIENCE) for handle in waiting]
        for engine in engines:
            engine.close()

    assert {result.status for result in results} == {RunStatus.SUCCEEDED}
    assert len(Counter(result.summary.engine for result in results)) > 1
    for result in results:
        assert [len(task.attempts) for task in result.tasks.values()] == [1, 1]


@pytest.mark.parametrize(
    ("owner", "method", "fails_before"),
    [(RunReader, "load", True), (Claims, "claim", False)],
    ids=["the-run-can't-be-read", "the-answer-is-lost"],
)
@pytest.mark.parametrize("recover", [True, False])
def test_a_store_that_fails_during_a_claim_leaves_no_run_without_an_engine(
    tmp_path: Path,
    store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    fails_before: bool,
    recover: bool,
):
    original = getattr(owner, method)
    failed = threading.Event()

    def fail_once(*arguments: Any, **options: Any) -> object:
        is_ours = threading.current_thread().name == "cloacina-recovery" and not failed.is_set()
        if is_ours and fails_before:
            failed.set()
            raise StoreUnavailableError("the store is away")
        answer = original(*arguments, **options)
        if is_ours and answer:
            failed.set()
            raise OutcomeUnknownError("the connection broke")
        return answer

    monkeypatch.setattr(owner, method, fail_once)
    monkeypatch.setattr(recovery, "_LONGEST_PAUSE", 0.1)
    with open_runtime(tmp_path, store_url, workflows=[ONE_AT_A_TIME], recover=recover) as runtime:
        first = runtime.submit(ONE_AT_A_TIME)  # without recovery, the second is awaited
        second = runtime.submit(ONE_AT_A_TIME, detach=recover)

        assert first.result(timeout=PATIENCE).status is RunStatus.SUCCEEDED
        assert second.result(timeout=PATIENCE).status is RunStatus.SUCCEEDED
    assert failed.is_set()


def test_a_run_that_cannot_be_read_is_told_once_and_keeps_no_other_waiting(
    tmp_path: Path,
    store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    with open_runtime(tmp_path, store_url, recover=False) as submitter:
        damaged = submitter.submit(FLOW, detach=True).id
        sound = submitter.submit(FLOW, detach=True)
        original = RunReader.load

        def load(reader: RunReader, run_id: RunId) -> StoredRun:
            if run_id == damaged:
                raise ValueError("damaged")
            return original(reader, run_id)

        monkeypatch.setattr(RunReader, "load", load)
        monkeypatch.setattr(recovery, "_LONGEST_PAUSE", 0.02)
        with open_runtime(tmp_path, store_url, workflows=[FLOW]) as runtime:
            assert sound.result(timeout=PATIENCE).status is RunStatus.SUCCEEDED
            owned = runtime._host.ownership.owned
            looks: list[int] = []
            monkeypatch.setattr(
                runtime._host.ownership, "owned", lambda engine: looks.append(1) or owned(engine)
            )
            wait_until(lambda: len(looks) > 2)

    assert caplog.text.count(f"run {damaged} can't be taken up") == 1


class TestLostLeases:
    def test_an_engine_that_was_declared_dead_goes_on_as_another(
        self, tmp_path: Path, store_url: str
    ):
        gate = Gate()
        flow = gate.workflow()
        with open_runtime(tmp_path, store_url, workflows=[flow], lease=LEASE) as runtime:
            before = runtime.engine_id
            handle = runtime.submit(flow)
            gate.begun.acquire(timeout=PATIENCE)

            runtime._host.ownership.stop(before)  # as another engine would

            result = handle.result(timeout=PATIENCE)
            gate.is_open.set()
            assert runtime.submit(FLOW).result(timeout=PATIENCE).status is RunStatus.SUCCEEDED
        assert runtime.engine_id != before
        assert result.status is RunStatus.SUCCEEDED
        assert result.context == {"attempt": 2}
        assert [attempt.engine == before for attempt in result.tasks["a"].attempts] == [True, False]

    def test_the_late_result_of_a_former_incarnation_is_refused_and_told(
        self, tmp_path: Path, store_url: str
    ):
        gate, second = Gate(), Gate()
        second.attempts.append(0)

        def work(context: Context) -> dict[str, object]:
            return gate(context) if context.attempt == 1 else wait_in(second, context)

        flow = workflow_of({"a": []}, functions={"a": work})
        with open_runtime(tmp_path, store_url, workflows=[flow], lease=LEASE) as runtime:
            handle = runtime.submit(flow)
            gate.begun.acquire(timeout=PATIENCE)
            runtime._host.ownership.stop(runtime.engine_id)
            second.begun.acquire(timeout=PATIENCE)

            gate.is_open.set()

            wait_until(lambda: types_of(runtime, handle.id)[EventType.COMMIT_REJECTED])
            second.is_open.set()
            assert handle.result(timeout=PATIENCE).context == {"attempt": 2}


@pytest.mark.parametrize("is_over", [True, False], ids=["ended", "live"])
def test_what_an_engine_does_for_a_run_that_another_took_is_told_and_not_used(
    tmp_path: Path, store_url: str, is_over: bool
):
    gate, second = Gate(), Gate()

    def work(context: Context) -> dict[str, object]:
        return gate(context) if context.attempt == 1 else wait_in(second, context)

    flow = workflow_of({"a": []}, functions={"a": work})
    with (
        open_runtime(tmp_path, store_url, workflows=[flow], lease=NEVER) as stale,
        open_runtime(tmp_path, store_url, workflows=[flow], lease=NEVER, recover=False) as other,
    ):
        run_id = stale.submit(flow).id
        gate.begun.acquire(timeout=PATIENCE)
        stale._host.ownership.stop(stale.engine_id)  # as another engine would
        handle = other.attach(run_id)
        second.begun.acquire(timeout=PATIENCE)
        if is_over:
            second.is_open.set()
            handle.result(timeout=PATIENCE)

        gate.is_open.set()

        wait_until(lambda: types_of(other, run_id)[EventType.COMMIT_REJECTED])
        second.is_open.set()
        assert handle.result(timeout=PATIENCE).context == {"attempt": 2}
        (rejected,) = [
            event for event in other.events(run_id) if event.type is EventType.COMMIT_REJECTED
        ]
    assert (rejected.task, rejected.attempt) == ("a", 1)
    assert rejected.reason == "the attempt succeeded after its engine had lost the run"


def wait_in(gate: Gate, context: Context) -> dict[str, object]:
    gate.begun.release()
    assert gate.is_open.wait(PATIENCE)
    return {"attempt": context.attempt}


def types_of(runtime: Runtime, run_id: str) -> Counter[EventType]:
    return Counter(event.type for event in runtime.events(run_id))


class TestNetwork:
    def test_a_silent_network_costs_the_lease_and_nothing_else(
        self, tmp_path: Path, postgresql_url: str, proxy: TcpProxy
    ):
        gate = Gate()
        flow = gate.workflow()
        with open_runtime(tmp_path, proxy.url, workflows=[flow], lease=LEASE) as runtime:
            before = runtime.engine_id
            handle = runtime.submit(flow)
            gate.begun.acquire(timeout=PATIENCE)

            proxy.silence()
            wait_until(lambda: not runtime._host.engine.is_alive())
            gate.is_open.set()
            proxy.heal()

            result = handle.result(timeout=PATIENCE)
            assert runtime.engine_id != before
        assert result.status is RunStatus.SUCCEEDED
        assert result.context == {"attempt": 2}

    def test_a_commit_whose_answer_is_lost_is_not_applied_twice(
        self, tmp_path: Path, proxy: TcpProxy
    ):
        with open_runtime(tmp_path, proxy.url, workflows=[FLOW]) as runtime:
            accepted = []
            for number in range(12):
                if number % 3 == 0:
                    proxy.drop_commit_replies(1)
                accepted.append(runtime.submit(FLOW, {"n": number}))
            results = [handle.result(timeout=PATIENCE) for handle in accepted]
            stored = {summary.run_id for summary in runtime.list()}
            histories = [runtime.events(handle.id) for handle in accepted]

        assert proxy.dropped >= 3
        assert stored == {handle.id for handle in accepted}
        assert {result.status for result in results} == {RunStatus.SUCCEEDED}
        for history in histories:
            assert [event.seq for event in history] == list(range(1, len(history) + 1))
            assert len(history) == 7

    def test_an_engine_outlives_an_outage_of_its_database(self, tmp_path: Path, proxy: TcpProxy):
        gate = Gate()
        flow = gate.workflow()
        with open_runtime(tmp_path, proxy.url, workflows=[flow, FLOW], lease=LEASE) as runtime:
            handle = runtime.submit(flow)
            gate.begun.acquire(timeout=PATIENCE)
            for _ in range(3):
                proxy.cut()
                gate.is_open.set()
            assert handle.result(timeout=PATIENCE).status is RunStatus.SUCCEEDED

            proxy.silence()
            wait_until(lambda: not runtime._host.engine.is_alive())
            proxy.heal()

            wait_until(lambda: submitted(runtime))


def submitted(runtime: Runtime) -> bool:
    try:
        return runtime.submit(FLOW).result(timeout=PATIENCE).status is RunStatus.SUCCEEDED
    except StoreUnavailableError:
        return False
