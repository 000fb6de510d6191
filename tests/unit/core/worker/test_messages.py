"""Calls and outcomes come out of JSON as they went in."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.child import Child
from cloacina_core.model.release import Release
from cloacina_core.model.run import Failure
from cloacina_core.model.spilled import Encoded, Joined, Spilled
from cloacina_core.model.status import AttemptOutcome, RunStatus
from cloacina_core.model.wait import Wait, WaitKind, WaitState
from cloacina_core.worker.messages import (
    call_of_json,
    call_to_json,
    outcome_of_json,
    outcome_to_json,
)

RELEASE = Release(
    source="shelf",
    package="acme",
    version="1.0",
    digest=digest_of_text("x"),
    workflows=("flow",),
    signed_by=("anna",),
)
ENDED = Child(reference="other", run_id=RunId("child"), status=RunStatus.SUCCEEDED)
DONE = Wait(kind=WaitKind.CHILDREN, state=WaitState.DONE, children=(ENDED,))
OPEN = Wait(kind=WaitKind.MOMENT, until=datetime(2026, 1, 2, tzinfo=UTC))


def load(_digest: Digest) -> bytes:
    return b"[1]"


LARGE = Spilled(digest_of_text("[1]"), 3, is_list=True, where="key 'rows'", load=load)
CALL = TaskCall(
    key=(RunId("run"), 2, 3),
    workflow="flow",
    fingerprint="print",
    task="a",
    release=RELEASE,
    params={"day": "2026-01-01"},
    context={"n": "1", "rows": LARGE, "all": Joined((LARGE, "[2]"), are_lists=True)},
    item='"x"',
    index=4,
    deadline=datetime(2026, 1, 1, tzinfo=UTC),
    is_last=True,
    max_value_bytes=100,
    waits=(DONE,),
)


def no_value(digest: Digest) -> Encoded:
    raise KeyError(digest)


def sent(outcome: Outcome, **changes: object) -> Mapping[str, object]:
    return json.loads(json.dumps({**outcome_to_json(outcome), **changes}))


def test_a_call_is_what_it_was():
    found = call_of_json(json.loads(json.dumps(call_to_json(CALL))), load)

    assert found == CALL


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(key=CALL.key, outcome=AttemptOutcome.SUCCEEDED, changes={"n": "2", "old": None}),
        Outcome(
            key=CALL.key,
            outcome=AttemptOutcome.FAILED,
            failure=Failure(type="OSError", message="no", traceback="at line 1"),
            may_retry=True,
            callback_error="ValueError: no",
        ),
        Outcome(key=CALL.key, outcome=AttemptOutcome.DEFERRED, waits=(DONE, OPEN)),
    ],
)
def test_an_outcome_is_what_it_was(outcome: Outcome):
    assert outcome_of_json(sent(outcome), CALL, no_value) == outcome


DEFERRED = Outcome(key=CALL.key, outcome=AttemptOutcome.DEFERRED, waits=(DONE, OPEN))


@pytest.mark.parametrize(
    "waits",
    [
        (DONE,),
        (OPEN,),
        (DONE, DONE),
        (replace(DONE, children=()), OPEN),
        (DONE, replace(OPEN, kind=WaitKind.CHILDREN, children=(ENDED,))),
    ],
)
def test_waits_that_a_call_cannot_have_asked_for_are_refused(waits: tuple[Wait, ...]):
    told = sent(DEFERRED, waits=[wait.to_json() for wait in waits])

    with pytest.raises(ValueError, match="wait"):
        outcome_of_json(told, CALL, no_value)


def test_only_a_callback_s_call_tells_of_a_timeout():
    late = Failure(type="timeout", message="too long")
    outcome = Outcome(
        key=CALL.key, outcome=AttemptOutcome.TIMED_OUT, failure=late, of_callback=True
    )

    assert outcome_of_json(sent(outcome), replace(CALL, timed_out=late), no_value) == outcome
    with pytest.raises(ValueError, match="timeout"):
        outcome_of_json(sent(outcome), CALL, no_value)
