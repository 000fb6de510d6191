"""Params are checked before a run is accepted, and told in the words of who gives them."""

import socket
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any

import pytest
from support.runs import workflow_of

from cloacina_core.errors import ParamsError
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.params import accept_params, parse_param


class Level(Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Where:
    city: str
    zone: str = "UTC"


@dataclass
class Params:
    day: date
    where: Where
    limit: int = 10
    level: Level = Level.LOW
    tags: list[str] = field(default_factory=list)


def definition_of(params: Any) -> WorkflowDefinition:
    return workflow_of({"a": []}, params=params).definition()


def problems(definition: WorkflowDefinition, given: Any) -> list[tuple[str, str]]:
    with pytest.raises(ParamsError) as raised:
        accept_params(definition, given)
    return [(problem.kind, problem.where) for problem in raised.value.problems]


DECLARED = definition_of(Params)
WHERE = {"city": "Rome"}


class TestAccepting:
    def test_defaults_are_filled_in_at_any_depth(self):
        accepted = accept_params(DECLARED, {"day": "2026-01-01", "where": WHERE})

        assert accepted == {
            "day": "2026-01-01",
            "where": {"city": "Rome", "zone": "UTC"},
            "limit": 10,
            "level": "low",
            "tags": [],
        }

    def test_python_values_are_brought_to_their_json_form(self):
        given = {"day": date(2026, 1, 1), "where": Where("Rome"), "level": Level.HIGH}

        accepted = accept_params(DECLARED, given)

        assert (accepted["day"], accepted["level"]) == ("2026-01-01", "high")
        assert accepted["where"] == {"city": "Rome", "zone": "UTC"}

    def test_what_is_given_is_not_changed(self):
        given = {"day": "2026-01-01", "where": dict(WHERE)}

        accept_params(DECLARED, given)

        assert given == {"day": "2026-01-01", "where": WHERE}

    def test_defaults_are_nobodys_to_change(self):
        first = accept_params(DECLARED, {"day": "2026-01-01", "where": WHERE})
        first["tags"].append("mine")

        assert accept_params(DECLARED, {"day": "2026-01-01", "where": WHERE})["tags"] == []

    def test_without_a_schema_any_object_will_do(self):
        assert accept_params(definition_of(None), {"any": [1]}) == {"any": [1]}
        assert accept_params(definition_of(None), None) == {}


class TestRefusing:
    def test_all_problems_are_told_at_once_with_their_paths(self):
        given = {"day": "tomorrow", "where": {"city": 7}, "limit": "many", "extra": 1}

        found = problems(DECLARED, given)

        assert sorted(found) == [
            ("format", "params.day"),
            ("pattern", "params.day"),
            ("type", "params.limit"),
            ("type", "params.where.city"),
            ("unknown-param", "params"),
        ]

    def test_a_missing_param_is_named(self):
        with pytest.raises(ParamsError, match="the param 'day' is missing"):
            accept_params(DECLARED, {"where": WHERE})

    @pytest.mark.parametrize("value", [object(), float("nan"), "a\x00b", "\ud800", b"bytes", 2**64])
    def test_what_is_not_json_is_told_with_its_path(self, value: object):
        assert problems(definition_of(None), {"rows": [1, value]}) == [
            ("not-json", "params.rows[1]")
        ]

    def test_a_long_message_is_cut(self):
        schema = {"type": "object", "properties": {"n": {"enum": ["x"]}}}

        with pytest.raises(ParamsError) as raised:
            accept_params(definition_of(schema), {"n": "y" * 10_000})

        assert len(str(raised.value)) < 1000

    @pytest.mark.parametrize(
        "part", [{"type": "nonsense"}, {"pattern": "("}, {"minimum": "x"}, {"$ref": "#/absent"}]
    )
    def test_a_schema_that_is_wrong_is_a_problem_and_no_crash(self, part: dict[str, Any]):
        definition = definition_of({"type": "object", "properties": {"n": part}})
        value = "x" if "pattern" in part else 1

        assert problems(definition, {"n": value}) == [("bad-schema", "params")]

    def test_a_schema_is_never_fetched_from_the_network(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/schema"
            schema = {"type": "object", "properties": {"n": {"$ref": url}}}

            found = problems(definition_of(schema), {"n": 1})

            server.settimeout(0)
            with pytest.raises(BlockingIOError):
                server.accept()
        assert found == [("bad-schema", "params")]


class TestParsing:
    SCHEMA: dict[str, Any] = {  # noqa: RUF012
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "number": {"type": "integer"},
            "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "choice": {"enum": ["1", "2"]},
            "any": {},
        },
    }

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("text", "7", "7"),
            ("text", "null", "null"),
            ("number", "7", 7),
            ("number", "seven", "seven"),
            ("maybe", "null", None),
            ("either", "null", None),
            ("either", "7", "7"),
            ("either", "x", "x"),
            ("choice", "1", "1"),
            ("any", "7", 7),
            ("any", "true", True),
            ("any", '{"a": [1]}', {"a": [1]}),
            ("any", "hello", "hello"),
            ("any", "NaN", "NaN"),
            ("any", '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
            ("any", "9" * 5000, "9" * 5000),
            ("any", "[" * 100_000, "[" * 100_000),
            ("unknown", "7", 7),
        ],
    )
    def test_text_is_read_as_the_schema_asks(self, name: str, text: str, value: object):
        assert parse_param(definition_of(self.SCHEMA), name, text) == value
