"""What threads and coroutines do beyond the contract of every executor."""

import threading
from queue import SimpleQueue

import pytest
from support.runs import PATIENCE, workflow_of

from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.executors.threads import ThreadExecutor
from cloacina_core.engine.library import TaskCode
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.context import Context
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.testing import FrozenClock


class Bench:
    def __init__(self) -> None:
        async def later(context: Context) -> dict[str, str]:
            return {"thread": threading.current_thread().name}

        def now(context: Context) -> dict[str, str]:
            return {"thread": threading.current_thread().name}

        flow = workflow_of({"now": [], "later": []}, functions={"now": now, "later": later})
        runner = AttemptRunner(lambda call: TaskCode(flow, call.task, str), FrozenClock())
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.executor = ThreadExecutor(runner)
        self.executor.start(self.outcomes.put)
        self._attempts = 0

    def submit(self, task: str) -> TaskCall:
        self._attempts += 1
        call = TaskCall(
            key=(RunId("run"), 0, self._attempts),
            workflow="flow",
            fingerprint="",
            task=task,
            release=None,
            params={},
            context={},
            deadline=None,
            is_last=True,
            max_value_bytes=1000,
        )
        self.executor.submit(call)
        return call

    def outcome(self) -> Outcome:
        return self.outcomes.get(timeout=PATIENCE)


def test_coroutines_share_one_thread():
    bench = Bench()
    for _ in range(10):
        bench.submit("later")

    threads = {str(bench.outcome().changes) for _ in range(10)}

    assert threads == {"{'thread': '\"cloacina-asyncio\"'}"}
    bench.executor.stop()


def test_threads_are_used_again():
    bench = Bench()
    before = threading.active_count()
    for _ in range(20):
        bench.submit("now")
        bench.outcome()

    assert threading.active_count() <= before + 1
    bench.executor.stop()


def test_without_a_thread_the_attempt_has_failed_and_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    bench = Bench()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        bench.submit("now")

    outcome = bench.outcome()
    assert outcome.outcome is AttemptOutcome.FAILED
    assert outcome.may_retry
    assert outcome.failure is not None
    assert outcome.failure.message == "no thread for the attempt: can't start new thread"

    bench.submit("now")
    assert bench.outcome().outcome is AttemptOutcome.SUCCEEDED
    bench.executor.stop()


def test_no_slot_stays_lost_for_coroutines_that_were_given_up_before_they_began():
    bench = Bench()
    for _ in range(50):
        call = bench.submit("later")
        bench.executor.abandon(call.key)

    for _ in range(50):
        bench.outcome()

    assert bench.executor.lost == 0
    bench.executor.stop()
