"""Requests: everything is checked before any of it is kept."""

from datetime import UTC, datetime

import pytest

from cloacina_core import Context, Workflow
from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.engine.plan import Plan
from cloacina_core.errors import ContextValueError, InputError
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.starter import StartedBy, StarterKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANN = StartedBy(kind=StarterKind.PRINCIPAL, name="ann")

flow = Workflow("flow")


@flow.task
def work(context: Context) -> None:
    """Do nothing."""


DEFINITION = flow.definition()
WANTED = Wanted(DEFINITION)


def test_requests_of_one_key_are_equal_in_what_they_ask_for():
    first = RunRequest.checked(WANTED, {"a": 1, "b": 2}, {"c": 3}, idempotency_key="k")
    same = RunRequest.checked(WANTED, {"b": 2, "a": 1}, {"c": 3}, idempotency_key="k")
    other = RunRequest.checked(WANTED, {"a": 1, "b": 2}, {"c": 4}, idempotency_key="k")

    assert first.digest == same.digest
    assert first.digest != other.digest


def test_a_request_without_a_key_has_no_digest():
    assert RunRequest.checked(WANTED).digest is None


def test_a_run_without_an_engine_is_queued_and_has_not_started():
    request = RunRequest.checked(WANTED)

    run = request.begin(Plan(DEFINITION), RunId("r"), now=NOW, engine=None, started_by=ANN)

    assert (run.status, run.summary.engine, run.summary.started_at) == ("queued", None, None)


def test_a_run_of_an_engine_starts_when_it_is_made():
    request = RunRequest.checked(WANTED, {"a": 1}, {"c": "x"}, priority=7)

    engine = EngineId("e")
    run = request.begin(Plan(DEFINITION), RunId("r"), now=NOW, engine=engine, started_by=ANN)

    assert (run.status, run.summary.engine, run.summary.started_at) == ("running", "e", NOW)
    assert (run.params, run.summary.priority, run.summary.reference) == ({"a": 1}, 7, "flow")
    assert run.result().context == {"c": "x"}


@pytest.mark.parametrize("key", ["", "x" * 256, "\x00", 7])
def test_a_key_that_no_store_can_hold_is_refused(key: object):
    with pytest.raises(InputError, match="idempotency key"):
        RunRequest.checked(WANTED, idempotency_key=key)


@pytest.mark.parametrize("priority", [2**31, -(2**31), 1.5, True])
def test_a_priority_is_a_whole_number_of_32_bits(priority: object):
    with pytest.raises(InputError, match="32 bits"):
        RunRequest.checked(WANTED, priority=priority)


def test_a_context_value_is_told_with_its_path():
    with pytest.raises(ContextValueError, match=r"rows\[1\]"):
        RunRequest.checked(WANTED, None, {"rows": [1, {2}]})
