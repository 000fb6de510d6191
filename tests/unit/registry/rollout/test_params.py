"""What breaks callers is told before a promotion; what doesn't isn't."""

from dataclasses import replace
from typing import Any

import pytest

from cloacina_core import Context, Workflow
from cloacina_registry.rollout.params import params_problems


def definition(schema: dict[str, Any] | None):
    workflow = Workflow("nightly")

    @workflow.task
    def extract(context: Context) -> None:
        pass

    return replace(workflow.definition(), params_schema=schema)


def schema(required: tuple[str, ...] = (), *, closed: bool = True, **params: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": params,
        "required": list(required),
        "additionalProperties": not closed,
    }


INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (schema(a=TEXT), schema(("a",), a=TEXT), ["nightly.a: must be given now"]),
        (schema(), schema(("b",), b=TEXT), ["nightly.b: must be given now"]),
        (schema(a=TEXT, b=TEXT), schema(a=TEXT), ["nightly.b: isn't known any more"]),
        (schema(a=NUMBER), schema(a=INTEGER), ["nightly.a: was integer or number, is integer"]),
        (schema(a={}), schema(a=TEXT), ["nightly.a: was anything, is string"]),
        (
            schema(a={"type": ["string", "null"]}),
            schema(a=TEXT),
            ["nightly.a: was null or string, is string"],
        ),
        (
            schema(a={"enum": ["x", "y"]}),
            schema(a={"enum": ["x", "z"]}),
            ["nightly.a: doesn't take 'y' any more"],
        ),
        (
            schema(a=TEXT),
            schema(a={"type": "string", "enum": ["x"]}),
            ["nightly.a: takes only some values now"],
        ),
        (None, schema(a=TEXT), ["nightly.*: any params were taken, now only those that are named"]),
    ],
)
def test_what_is_refused_now_is_told(
    old: dict[str, Any] | None, new: dict[str, Any] | None, told: list[str]
):
    problems = list(params_problems(definition(old), definition(new)))

    assert [str(problem) for problem in problems] == told
    assert {problem.kind for problem in problems} == {"params"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (schema(a=TEXT), schema(a=TEXT)),
        (schema(("a",), a=TEXT), schema(a=TEXT)),
        (schema(a=TEXT), schema(a=TEXT, b=TEXT)),
        (schema(a=TEXT), schema(("b",), a=TEXT, b={"type": "string", "default": "x"})),
        (schema(a=INTEGER), schema(a=NUMBER)),
        (schema(a=TEXT), schema(a={"anyOf": [TEXT, {"type": "null"}]})),
        (schema(a={"enum": ["x"]}), schema(a={"enum": ["x", "y"]})),
        (schema(a=TEXT, b=TEXT), schema(closed=False, a=TEXT)),
        (schema(a=TEXT), None),
        (None, None),
    ],
)
def test_what_is_taken_as_before_is_not_told(
    old: dict[str, Any] | None, new: dict[str, Any] | None
):
    assert list(params_problems(definition(old), definition(new))) == []
