"""Each attempt goes where it is placed, and nowhere in doubt."""

from dataclasses import replace

import pytest

from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import CloacinaError, ConfigurationError, StoreUnavailableError
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.environ import scrubbed
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.isolation import Isolation, WorkerEnvironment
from cloacina_core.model.run import Failure
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.testing import FrozenClock
from cloacina_core.worker.failures import failed
from cloacina_core.worker.placing import PlacedRunner
from cloacina_core.worker.pool.pools import make_pool
from cloacina_core.worker.runner import WorkerRunner

CALL = TaskCall(
    key=(RunId("run"), 0, 1),
    workflow="flow",
    fingerprint="",
    task="a",
    release=None,
    params={},
    context={},
    deadline=None,
    is_last=True,
    max_value_bytes=1000,
)


class Place:
    def __init__(self, *, loop: bool) -> None:
        self.calls: list[TaskCall] = []
        self._loop = loop

    def run(self, call: TaskCall, stop: Stop) -> Outcome:
        self.calls.append(call)
        return Outcome(key=call.key, outcome=AttemptOutcome.SUCCEEDED, changes={})

    async def run_async(self, call: TaskCall, stop: Stop) -> Outcome:
        return self.run(call, stop)

    def wants_loop(self, call: TaskCall) -> bool:
        return self._loop


@pytest.mark.parametrize("isolation", Isolation)
def test_only_what_is_placed_in_workers_goes_there(isolation: Isolation):
    here, workers = Place(loop=True), Place(loop=False)
    runner = PlacedRunner(lambda call: isolation, here=here, workers=workers)

    runner.run(CALL, Stop())

    is_apart = isolation is Isolation.WORKER
    assert (workers.calls == [CALL], here.calls == [CALL]) == (is_apart, not is_apart)
    assert runner.wants_loop(CALL) is not is_apart


def test_what_may_ask_for_secrets_shares_no_loop():
    runner = PlacedRunner(
        lambda call: Isolation.HOST, here=Place(loop=True), workers=Place(loop=False)
    )

    assert runner.wants_loop(CALL)
    assert not runner.wants_loop(replace(CALL, secrets=("crm",)))


@pytest.mark.parametrize(
    ("error", "may_retry"),
    [(CloacinaError("withdrawn"), False), (StoreUnavailableError("gone for a while"), True)],
)
def test_what_is_refused_is_run_nowhere(error: CloacinaError, *, may_retry: bool):
    def isolation(call: TaskCall) -> Isolation:
        raise error

    here, workers = Place(loop=True), Place(loop=False)
    runner = PlacedRunner(isolation, here=here, workers=workers)

    outcome = runner.run(CALL, Stop())

    assert here.calls == workers.calls == []
    assert not runner.wants_loop(CALL)
    assert outcome.failure is not None
    assert outcome.failure.message == error.message
    assert outcome.may_retry is may_retry


def test_where_processes_cannot_be_started_that_is_said():
    environment = WorkerEnvironment(
        digest=digest_of_text("x"),
        folders=(),
        entry_points={},
        capabilities=None,
        verify=lambda name, definition: None,
    )
    pool = make_pool(FrozenClock(), {}, None)

    outcome = WorkerRunner(lambda call: environment, pool, FrozenClock()).run(CALL, Stop())

    assert outcome.failure is not None
    assert outcome.failure.type.endswith(ConfigurationError.__name__)
    assert "on this platform" in outcome.failure.message


def test_a_callback_that_cannot_be_called_leaves_the_attempt_what_it_was():
    late = Failure(type="timeout", message="too long")
    call = TaskCall(**{**{n: getattr(CALL, n) for n in CALL.__slots__}, "timed_out": late})

    outcome = failed(call, Failure(type="worker-start", message="no process"), may_retry=True)

    assert (outcome.outcome, outcome.failure) == (AttemptOutcome.TIMED_OUT, late)
    assert outcome.callback_error == "worker-start: no process"
    assert not outcome.may_retry


def test_variables_are_an_allow_list():
    environ = {"PATH": "/bin", "LC_ALL": "C", "SECRET": "x", "TOKEN": "y", "OMP_NUM_THREADS": "8"}

    found = scrubbed(environ, ["TOKEN"])

    assert found == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "TOKEN": "y",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    assert scrubbed(environ, ["OMP_NUM_THREADS"])["OMP_NUM_THREADS"] == "8"
