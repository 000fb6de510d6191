"""Workflows drawn in plain characters."""

from datetime import timedelta
from typing import Any

import pytest

from cloacina_core import Context, RetryPolicy, Workflow, rules
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.drawing import draw_workflow, rule_text, type_text


def diamond() -> WorkflowDefinition:
    """Return a workflow with a fan-out and a join."""
    schema = {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "limit": {"type": "integer", "default": 10},
        },
        "required": ["day"],
    }
    flow = Workflow("nightly", description="Sales of the day", params=schema)

    @flow.task(retry=RetryPolicy(max_attempts=3), timeout=timedelta(minutes=5))
    def read(context: Context) -> None: ...

    @flow.task(after=[read], resources=["gpu"])
    def monthly(context: Context) -> None: ...

    @flow.task(after=[read])
    def extremes(context: Context) -> None: ...

    @flow.task(after=[monthly, extremes], when=rules.all_done)
    def report(context: Context) -> None: ...

    return flow.definition()


DIAMOND = """\
nightly: Sales of the day
  param day: date, required
  param limit: integer = 10
  [read]      up to 3 attempts, timeout 5 min
    |
  [monthly]   after read, needs gpu
  [extremes]  after read
    |
  [report]    after monthly and extremes, when all_done"""


def test_tasks_stand_below_all_that_come_before_them():
    assert draw_workflow(diamond()) == DIAMOND


MAPPED = """\
nightly
  params: any
  [list]
    |
  [fetch[*]]  after list, for each of 'files', at most 8 at a time, of which 3 may fail
    |
  [check[*]]  after fetch, for each of 'rows', going on when some fail"""


def test_a_mapped_task_is_drawn_as_many():
    flow = Workflow("nightly")

    @flow.task(name="list")
    def list_files(context: Context) -> None: ...

    @flow.task(after=[list_files], map="files", max_parallel=8, map_failures=3)
    def fetch(context: Context) -> None: ...

    @flow.task(after=[fetch], map="rows", map_failures="continue")
    def check(context: Context) -> None: ...

    assert draw_workflow(flow.definition()) == MAPPED


def test_secrets_stand_below_the_params():
    flow = Workflow("nightly", secrets=["crm-password"])

    @flow.task
    def load(context: Context) -> None: ...

    assert draw_workflow(flow.definition()).splitlines()[1:3] == [
        "  params: any",
        "  secret crm-password",
    ]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "format": "date"}, "date"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer | null"),
        ({"enum": ["a", 1]}, '"a" | 1'),
        ({}, "any"),
        (True, "any"),
    ],
)
def test_types_are_told_in_a_few_words(schema: Any, text: str):
    assert type_text(schema) == text


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (rules.any_succeeded, "any_succeeded"),
        (rules.failed("load"), "failed('load')"),
        (~rules.skipped("load"), "~skipped('load')"),
        (rules.value("rows") > 5, "value('rows') > 5"),
        (rules.value("rows").exists(), "value('rows') exists"),
    ],
)
def test_rules_are_told_as_authors_write_them(rule: rules.Rule, text: str):
    assert rule_text(rule.to_json()) == text


def test_joined_rules_are_told_in_brackets():
    rule = rules.all_done & (rules.failed("a") | rules.failed("b"))

    assert rule_text(rule.to_json()) == "(all_done & (failed('a') | failed('b')))"


def test_a_workflow_without_params_schema_takes_any():
    flow = Workflow("free")
    flow.task(load)

    assert draw_workflow(flow.definition()) == "free\n  params: any\n  [load]"


def load(context: Context) -> None: ...
