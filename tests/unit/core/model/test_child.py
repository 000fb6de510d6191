"""Runs that tasks ask for, as tasks see them."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.runs import workflow_of

from cloacina_core import ChildRunError, Context
from cloacina_core.errors import ContextValueError, InputError
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.child import Child, ChildRefusedError, ChildResult, told
from cloacina_core.model.context import TaskInfo
from cloacina_core.model.run import Failure
from cloacina_core.model.status import RunStatus
from cloacina_core.model.wait import Deferral, Wait, WaitKind, WaitOrderError, Waits, WaitState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLEAN = Child(reference="acme/clean")
BEGUN = replace(CLEAN, run_id=RunId("01"))
DONE = replace(BEGUN, status=RunStatus.SUCCEEDED)
FULL = Failure(type="OSError", message="full", task="load")
FAILED = replace(BEGUN, status=RunStatus.FAILED, error=FULL)
REFUSED = replace(CLEAN, error=Failure(type="X", message="there is no package 'acme'"))


def result_of(run_id: RunId) -> ChildResult:
    return ChildResult(run_id=run_id, status=RunStatus.SUCCEEDED, context={"rows": 3}, release=None)


def context_after(*waits: Wait) -> Context:
    """Return the context of a call after some waits."""
    info = TaskInfo(waits=Waits(lambda: NOON, waits), child=result_of)
    return Context(info=info)


def over(*children: Child, is_detached: bool = False) -> Wait:
    return Wait(
        kind=WaitKind.CHILDREN, state=WaitState.DONE, children=children, is_detached=is_detached
    )


def asked_by(context: Context) -> Wait:
    """Return the wait that a call ends with."""
    with pytest.raises(Deferral) as caught:
        context.run_workflow("acme/clean", {"day": NOON.date()}, context={"rows": []})
    return caught.value.waits[-1]


def test_the_call_ends_with_what_is_asked_for() -> None:
    (child,) = asked_by(context_after()).children
    assert child == replace(CLEAN, params='{"day":"2026-01-01"}', context='{"rows":[]}')


def test_a_workflow_is_asked_for_by_its_name_and_fingerprint() -> None:
    flow = workflow_of({"a": []}, name="clean")
    with pytest.raises(Deferral) as caught:
        context_after().run_workflow(flow)
    (child,) = caught.value.waits[-1].children
    assert (child.reference, child.fingerprint) == ("clean", flow.definition().fingerprint)


def test_the_next_call_returns_the_result() -> None:
    assert context_after(over(DONE)).run_workflow("acme/clean").context == {"rows": 3}
    results = context_after(over(DONE, DONE)).run_workflows([("acme/clean", None)] * 2)
    assert [result.run_id for result in results] == ["01", "01"]


def test_a_detached_run_is_an_id() -> None:
    context = context_after(over(BEGUN, is_detached=True))
    assert context.run_workflow("acme/clean", wait=False) == "01"


def test_nothing_is_asked_for_nothing() -> None:
    assert context_after().run_workflows([]) == []


def test_a_failure_is_raised() -> None:
    with pytest.raises(ChildRunError) as caught:
        context_after(over(FAILED)).run_workflow("acme/clean")
    assert (caught.value.run_id, caught.value.status, caught.value.failure) == (
        "01",
        RunStatus.FAILED,
        FULL,
    )
    assert str(caught.value) == "run 01 of acme/clean failed: task load: OSError: full"


def test_a_cancelled_run_is_a_failure() -> None:
    cancelled = replace(BEGUN, status=RunStatus.CANCELLED)
    with pytest.raises(ChildRunError, match="run 01 of acme/clean was cancelled"):
        context_after(over(cancelled)).run_workflow("acme/clean")


def test_what_cannot_begin_is_raised_before_what_failed() -> None:
    with pytest.raises(ChildRefusedError, match="there is no package 'acme'"):
        context_after(over(CLEAN, REFUSED)).run_workflows([("acme/clean", None)] * 2)


def test_what_may_begin_another_time_is_no_refusal_for_good() -> None:
    with pytest.raises(ChildRunError) as caught:
        context_after(over(replace(REFUSED, may_retry=True))).run_workflow("acme/clean")
    assert not isinstance(caught.value, ChildRefusedError)


def test_the_next_call_must_ask_for_the_same() -> None:
    with pytest.raises(WaitOrderError, match="was for acme/clean before, and is for acme/other"):
        context_after(over(DONE)).run_workflow("acme/other")


@pytest.mark.parametrize("wait", [over(DONE), over(FAILED), over(REFUSED, is_detached=True)])
def test_a_wait_survives_the_store(wait: Wait) -> None:
    assert Wait.from_json(wait.to_json()) == wait


def test_what_cannot_be_asked_for_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="3 can't be run"):
        context_after().run_workflow(3)  # type: ignore[call-overload]
    with pytest.raises(ContextValueError, match="params"):
        context_after().run_workflow("acme/clean", {"day": object()})


def test_only_a_run_can_ask_for_runs() -> None:
    with pytest.raises(RuntimeError, match="only a run can wait"):
        Context().run_workflow("acme/clean")


def test_many_runs_are_told_briefly() -> None:
    assert told([BEGUN]) == "run 01 of acme/clean"
    assert told([CLEAN] * 4) == "4 runs: acme/clean, acme/clean, acme/clean, ..."
