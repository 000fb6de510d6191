"""Calls and outcomes as JSON, for processes that don't share their memory.

Outcomes come from processes that run foreign code: each part of one is checked before it is used.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloacina_core.engine.attempt import MAX_MESSAGE_LENGTH, MAX_TRACEBACK_LENGTH, MAX_TYPE_LENGTH
from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.capture import storable
from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode_strict
from cloacina_core.model.child import ChildResult
from cloacina_core.model.context import MAX_KEY_LENGTH
from cloacina_core.model.release import Release
from cloacina_core.model.run import Failure
from cloacina_core.model.spilled import Encoded, Load, encoded_of_json, plain
from cloacina_core.model.status import AttemptOutcome, RunStatus
from cloacina_core.model.wait import Wait, WaitKind, WaitState

_CUT = 20
"""How much longer a text may be that says of itself that it was cut."""


def call_to_json(call: TaskCall) -> dict[str, JsonValue]:
    """Return a call as a JSON object; spilled values stay references."""
    run_id, number, attempt = call.key
    return {
        "key": [run_id, number, attempt],
        "workflow": call.workflow,
        "fingerprint": call.fingerprint,
        "task": call.task,
        "release": call.release and _release_to_json(call.release),
        "params": dict(call.params),
        "context": plain(call.context),
        "item": call.item,
        "index": call.index,
        "deadline": call.deadline and to_micros(call.deadline),
        "is_last": call.is_last,
        "max_value_bytes": call.max_value_bytes,
        "waits": [wait.to_json() for wait in call.waits],
        "secrets": list(call.secrets),
        "timed_out": call.timed_out and call.timed_out.to_json(),
    }


def call_of_json(data: Mapping[str, Any], load: Load) -> TaskCall:
    """Return the call that `call_to_json` described.

    Args:
        data: the JSON object.
        load: fetches spilled values.
    """
    run_id, number, attempt = data["key"]
    where = f"a context of run {run_id}"
    return TaskCall(
        key=(RunId(run_id), number, attempt),
        workflow=data["workflow"],
        fingerprint=data["fingerprint"],
        task=data["task"],
        release=None if data["release"] is None else _release_of_json(data["release"]),
        params=data["params"],
        context={
            key: encoded_of_json(value, f"key {key!r} of {where}", load)
            for key, value in data["context"].items()
        },
        item=data["item"],
        index=data["index"],
        deadline=None if data["deadline"] is None else from_micros(data["deadline"]),
        is_last=data["is_last"],
        max_value_bytes=data["max_value_bytes"],
        waits=tuple(map(Wait.from_json, data["waits"])),
        secrets=tuple(data["secrets"]),
        timed_out=None if data["timed_out"] is None else Failure(**data["timed_out"]),
    )


def outcome_to_json(outcome: Outcome) -> dict[str, JsonValue]:
    """Return an outcome as a JSON object, without what its attempt printed."""
    return {
        "outcome": outcome.outcome.value,
        "changes": None if outcome.changes is None else plain(outcome.changes),
        "failure": outcome.failure and outcome.failure.to_json(),
        "may_retry": outcome.may_retry,
        "callback_error": outcome.callback_error,
        "waits": [wait.to_json() for wait in outcome.waits],
        "of_callback": outcome.of_callback,
    }


def outcome_of_json(
    data: Mapping[str, Any], call: TaskCall, spilled: Callable[[Digest], Encoded]
) -> Outcome:
    """Return the outcome that a process tells of a call.

    Args:
        data: what it sent.
        call: the call.
        spilled: returns a value that was spilled for this attempt; raises KeyError for others.

    Raises:
        ValueError: it can't be one; also KeyError and TypeError.
    """
    outcome = AttemptOutcome(data["outcome"])
    changes = data["changes"]
    waits = tuple(map(Wait.from_json, data["waits"]))
    failure = data["failure"]
    if (changes is not None) != (outcome is AttemptOutcome.SUCCEEDED):
        raise ValueError("changes belong to a success")
    if (failure is not None) != (outcome in (AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT)):
        raise ValueError("a failure has a reason, and nothing else has")
    if (outcome is AttemptOutcome.TIMED_OUT) != (call.timed_out is not None):
        raise ValueError("only a call of a callback tells of a timeout")
    if bool(waits) != (outcome is AttemptOutcome.DEFERRED):
        raise ValueError("waits belong to a call that waits")
    _check_waits(waits, call.waits)
    callback_error = data["callback_error"]
    return Outcome(
        key=call.key,
        outcome=outcome,
        changes=None if changes is None else _changes_of_json(changes, call, spilled),
        failure=None if failure is None else _failure_of_json(failure),
        may_retry=data["may_retry"] is True,
        callback_error=None if callback_error is None else _text(callback_error),
        waits=waits,
        of_callback=outcome is AttemptOutcome.TIMED_OUT,
    )


def child_to_json(child: ChildResult) -> dict[str, JsonValue]:
    """Return a run that a task asked for as a JSON object."""
    return {
        "run_id": child.run_id,
        "status": child.status.value,
        "context": dict(child.context),
        "release": child.release and _release_to_json(child.release),
        "error": child.error and child.error.to_json(),
    }


def child_of_json(data: Mapping[str, Any]) -> ChildResult:
    """Return the run that `child_to_json` described."""
    return ChildResult(
        run_id=RunId(data["run_id"]),
        status=RunStatus(data["status"]),
        context=data["context"],
        release=None if data["release"] is None else _release_of_json(data["release"]),
        error=None if data["error"] is None else Failure(**data["error"]),
    )


def _check_waits(waits: Sequence[Wait], before: Sequence[Wait]) -> None:
    """Refuse waits that a call can't have asked for: the engine alone says what became of one."""
    if waits and (waits[-1].state is not WaitState.OPEN or len(waits) < len(before)):
        raise ValueError("the last of the waits is the open one")
    for wait, known in zip(waits, before, strict=False):
        if wait != known and not wait.kind is known.kind is WaitKind.CONDITION:
            raise ValueError("a wait was changed")
    for wait in waits[len(before) :]:
        if (wait.kind is WaitKind.EVENT) != (wait.event is not None):
            raise ValueError("a wait for an event says for which")
        if any(child.run_id or child.status or child.error for child in wait.children):
            raise ValueError("a wait knows runs that haven't begun")


def _changes_of_json(
    changes: Mapping[str, Any], call: TaskCall, spilled: Callable[[Digest], Encoded]
) -> dict[str, Encoded | None]:
    checked = {
        _key(key): None if value is None else _value(value, spilled)
        for key, value in changes.items()
    }
    texts = [key + value for key, value in checked.items() if isinstance(value, str)]
    if sum(map(len, texts)) > call.max_value_bytes:  # it has counted bytes; these are less
        raise ValueError(f"changes of more than {call.max_value_bytes} bytes")
    return checked


def _key(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY_LENGTH or storable(key) != key:
        raise ValueError(f"{key!r:.80} can't be a key")
    return key


def _value(value: object, spilled: Callable[[Digest], Encoded]) -> Encoded:
    if isinstance(value, dict):
        return spilled(value["spilled"])
    if not isinstance(value, str):
        raise TypeError("a value is JSON text")
    try:
        decode_strict(value)
    except NotJsonError as error:
        raise ValueError(str(error)) from None
    return value


def _failure_of_json(data: Mapping[str, Any]) -> Failure:
    return Failure(
        type=_text(data["type"], MAX_TYPE_LENGTH),
        message=_text(data["message"], MAX_MESSAGE_LENGTH),
        traceback=_text(data["traceback"], MAX_TRACEBACK_LENGTH),
    )


def _text(value: object, limit: int = MAX_MESSAGE_LENGTH) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is a text")
    return storable(value, limit + _CUT)


def _release_to_json(release: Release) -> dict[str, JsonValue]:
    return {
        "source": release.source,
        "package": release.package,
        "version": release.version,
        "digest": release.digest,
        "workflows": list(release.workflows),
        "signed_by": list(release.signed_by),
        "yanked": release.yanked,
        "withheld": release.withheld,
        "needs": release.needs,
    }


def _release_of_json(data: Mapping[str, Any]) -> Release:
    several = {name: tuple(data[name]) for name in ("workflows", "signed_by")}
    return Release(**{**data, **several})
