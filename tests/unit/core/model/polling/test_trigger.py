"""Triggers: functions that are polled, and what they say."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from cloacina_core import Context, Fire, Poll, Workflow, fire, skip
from cloacina_core.errors import DefinitionError
from cloacina_core.foundation.json_value import encode
from cloacina_core.model.context import ContextValueError
from cloacina_core.model.polling.definition import (
    DeclaredTrigger,
    TriggerDefinition,
    triggers_problems,
)
from cloacina_core.model.polling.result import MOST_FIRED, PollResultError, checked, told_by
from cloacina_core.model.polling.trigger import Trigger

SECOND = timedelta(seconds=1)


def definition(**changes: Any) -> TriggerDefinition:
    facts = {"name": "t", "every": SECOND, "timeout": SECOND, **changes}
    return TriggerDefinition(**facts)


def called(trigger: Trigger, cursor: object = None) -> dict[str, Any]:
    """Return what polling a trigger leaves, as an executor does it."""
    context = Context({"cursor": cursor})
    found: Any = trigger.task.function(context)
    if trigger.task.is_async:
        found = asyncio.run(found)
    context.update(found)
    context.changes()
    return dict(context)


def flow() -> Workflow:
    workflow = Workflow("flow")

    @workflow.task
    def a(context: Context) -> None: ...

    return workflow


def test_a_trigger_is_part_of_its_workflow_and_not_of_its_fingerprint() -> None:
    workflow = flow()
    before = workflow.definition()

    @workflow.trigger(every="30s", timeout="5s", overlap="skip", key_window="1d")
    def files(poll: Poll) -> Fire:
        """Watch a folder."""
        return fire()

    assert workflow.definition() == before
    assert workflow.triggers == {"files": files}
    assert files.definition() == TriggerDefinition(
        name="files",
        every=timedelta(seconds=30),
        timeout=timedelta(seconds=5),
        overlap="skip",
        key_window=timedelta(days=1),
        description="Watch a folder.",
    )
    assert files.definition() == TriggerDefinition.from_json(files.definition().to_json())
    assert files(Poll("files")) == fire()


def test_executors_find_a_poll_where_they_find_tasks() -> None:
    workflow = flow()

    @workflow.trigger(every="30s")
    def files() -> Fire:
        return fire()

    found = workflow.holding("trigger:files")

    assert workflow.holding("a") is workflow
    assert found is not None
    assert list(found.tasks) == ["trigger:files"]
    assert workflow.holding("files") is None


def test_what_a_poll_says_is_data() -> None:
    @flow().trigger(every="30s")
    def counts(poll: Poll) -> list[object]:
        poll.cursor = (poll.cursor or 0) + 1
        return [fire({"n": poll.cursor}, key="k"), fire(), skip("no more")]

    told = called(counts, 4)

    assert told == {
        "cursor": 5,
        "fired": [{"params": {"n": 5}, "key": "k"}, {"params": None, "key": None}],
        "reason": "no more",
    }
    fired, reason, cursor = checked(told)
    assert fired == [Fire({"n": 5}, "k"), Fire()]
    assert (reason, cursor) == ("no more", "5")


def test_coroutines_are_polled_too() -> None:
    @flow().trigger(every="30s")
    async def waits() -> object:
        await asyncio.sleep(0)
        return skip("nothing there")

    assert waits.task.is_async
    assert called(waits) == {"cursor": None, "fired": [], "reason": "nothing there"}


@pytest.mark.parametrize("returned", [None, True, {"a": 1}, [fire(), None], "fire"])
def test_what_says_neither_is_refused(returned: object) -> None:
    with pytest.raises(PollResultError, match=r"return skip\(\), fire\(\) or a list"):
        told_by(returned, Poll("t"))


@pytest.mark.parametrize(
    ("returned", "cursor", "error"),
    [
        (fire(key=""), None, ValueError),
        (fire(key="x" * 201), None, ValueError),
        (fire(key="a\nb"), None, ValueError),
        ([fire()] * (MOST_FIRED + 1), None, ValueError),
        ([fire({"file": 1}, key="a"), fire({"file": 2}, key="a")], None, ValueError),
        (fire(), float("nan"), ValueError),
        (fire(), object(), ValueError),
    ],
)
def test_what_cant_be_kept_is_refused(returned: object, cursor: object, error: type) -> None:
    poll = Poll("t")
    poll.cursor = cursor
    with pytest.raises(error):
        told_by(returned, poll)


def test_params_that_arent_json_are_refused_by_the_context() -> None:
    @flow().trigger(every="30s")
    def fires() -> Fire:
        return fire({"a": object()})

    with pytest.raises(ContextValueError):
        called(fires)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"fired": 3, "reason": None, "cursor": None},
        {"fired": [{"params": [], "key": None}], "reason": None, "cursor": None},
        {"fired": [{"params": None, "key": 3}], "reason": None, "cursor": None},
        {"fired": [{}], "reason": None, "cursor": None},
    ],
)
def test_what_a_process_tells_is_checked(told: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        checked(told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "a b"}, "trigger name"),
        ({"every": timedelta(milliseconds=99)}, "every of trigger 't'"),
        ({"every": timedelta(days=32)}, "every of trigger 't'"),
        ({"timeout": timedelta(0)}, "timeout of trigger 't'"),
        ({"timeout": timedelta(hours=2)}, "timeout of trigger 't'"),
        ({"longest_pause": timedelta(0)}, "longest_pause of trigger 't'"),
        ({"key_window": timedelta(microseconds=1)}, "key_window of trigger 't'"),
        ({"overlap": "queue"}, "overlap of trigger 't' is allow or skip"),
    ],
)
def test_what_is_wrong_with_a_definition_is_told(changes: dict[str, Any], told: str) -> None:
    (problem,) = definition(**changes).problems()

    assert told in problem


def test_all_that_is_wrong_is_told_with_the_workflow() -> None:
    workflow = flow()
    for _ in range(2):
        workflow.trigger(every="30s", name="same")(fire)
    workflow.trigger(every="30s", name="wide")(lambda one, two: fire())

    with pytest.raises(DefinitionError) as caught:
        workflow.definition()

    assert [problem.where for problem in caught.value.problems] == ["trigger same", "trigger wide"]


def test_names_are_unique_in_a_package() -> None:
    declared = [DeclaredTrigger(workflow, definition()) for workflow in ("one", "other")]

    assert list(triggers_problems(declared)) == ["2 triggers of the package are named 't'"]
    assert list(triggers_problems(declared[:1])) == []


@pytest.mark.parametrize("length", ["often", "0s", 30, None, "forever"])
def test_a_length_that_isnt_one_is_refused_at_once(length: Any) -> None:
    with pytest.raises(ValueError, match="length such as"):
        flow().trigger(every=length)(fire)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 1), (1, 2), (3, 8), (9, 512), (10, 600), (10_000, 600)]
)
def test_failures_double_the_pause_up_to_the_longest(failures: int, seconds: int) -> None:
    assert definition().pause_after(failures) == timedelta(seconds=seconds)


def test_the_pause_is_never_shorter_than_usual() -> None:
    rare = definition(every=timedelta(days=31))

    assert rare.pause_after(0) == rare.pause_after(100) == timedelta(days=31)
    assert encode(rare.to_json())
