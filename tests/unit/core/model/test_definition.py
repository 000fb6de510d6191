"""Workflows as data survive being stored."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.foundation.json_value import decode_strict, encode
from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import all_done, any_succeeded, failed, value

NAMES = st.from_regex(r"[a-z_][a-z0-9_.-]{0,5}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
TIMEOUTS = st.none() | st.timedeltas(timedelta(microseconds=1), timedelta(days=3650))
TASKS = st.builds(
    TaskDefinition,
    name=NAMES,
    after=st.lists(NAMES, max_size=3).map(tuple),
    rule=st.sampled_from([all_done, any_succeeded, ~failed("a") & (value("x") == [1, None])]),
    retry=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 9),
        first_delay=st.timedeltas(timedelta(0), timedelta(days=1)),
        retry_on=st.lists(NAMES).map(tuple),
    ),
    timeout=TIMEOUTS,
    merge=st.dictionaries(NAMES | st.just("*"), st.sampled_from(["later", "concat", "error"])),
    resources=st.lists(NAMES).map(tuple),
    limits=st.lists(NAMES).map(tuple),
    mapped=st.none()
    | st.builds(
        Mapped,
        key=NAMES,
        max_parallel=st.none() | st.integers(1, 9),
        failures=st.sampled_from(["stop", "continue"]) | st.integers(0, 9),
    ),
    description=TEXTS,
    fingerprint=NAMES,
)
WORKFLOWS = st.builds(
    WorkflowDefinition,
    name=NAMES,
    description=TEXTS,
    params_schema=st.none() | st.just({"type": "object", "required": ["day"]}),
    tags=st.dictionaries(TEXTS, TEXTS),
    timeout=TIMEOUTS,
    tasks=st.lists(TASKS, max_size=4).map(tuple),
    fingerprint=NAMES,
)


@given(WORKFLOWS)
def test_a_definition_comes_back_from_its_stored_text(definition: WorkflowDefinition) -> None:
    back = WorkflowDefinition.from_json(decode_strict(encode(definition.to_json())))

    assert back == definition
    assert back.to_json() == definition.to_json()


@given(WORKFLOWS)
def test_tasks_are_found_by_name_in_their_order(definition: WorkflowDefinition) -> None:
    names = [task.name for task in definition.tasks]

    assert list(definition.by_name) == list(dict.fromkeys(names))
    assert all(definition.by_name[name].name == name for name in names)


def test_a_definition_shares_nothing_with_its_json() -> None:
    data: dict[str, Any] = {
        "name": "nightly",
        "description": "",
        "params_schema": None,
        "tags": {"team": "bi"},
        "timeout": 1.5,
        "queue_timeout": None,
        "max_live_runs": None,
        "concurrency_key": None,
        "max_live_per_key": 1,
        "secrets": ["crm"],
        "tasks": [],
        "fingerprint": "0f",
    }
    definition = WorkflowDefinition.from_json(data)

    data["tags"]["team"] = "etl"

    assert definition.tags == {"team": "bi"}
    assert definition.timeout == timedelta(seconds=1.5)
