"""Params from the command line: pairs, files, and what the schema makes of text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from cloacina_core import Context, Workflow
from cloacina_core.cli.params import gather_params, read_object
from cloacina_core.errors import InputError
from cloacina_core.model.definition import WorkflowDefinition


@dataclass(frozen=True)
class Params:
    name: str = ""
    year: int = 0
    share: float = 0.0
    fast: bool = False
    days: list[int] | None = None
    note: str | None = None
    mode: Literal["a", "b"] = "a"


def definition(params: type | None) -> WorkflowDefinition:
    flow = Workflow("flow", params=params)

    @flow.task
    def work(context: Context) -> None:
        """Do nothing."""

    return flow.definition()


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("name=7", "7"),
        ("name=a=b", "a=b"),
        ("name=", ""),
        ("year=2015", 2015),
        ("year=soon", "soon"),
        ("share=0.5", 0.5),
        ("fast=true", True),
        ("days=[1, 2]", [1, 2]),
        ("note=12", "12"),
        ("note=null", None),
        ("mode=b", "b"),
    ],
)
def test_text_becomes_what_the_schema_asks_for(pair: str, value: object):
    name = pair.partition("=")[0]

    assert gather_params(definition(Params), [pair], None) == {name: value}


def test_without_a_schema_text_that_is_json_is_read_as_json():
    pairs = ["a=1", "b=text", 'c={"d": [true]}']

    assert gather_params(definition(None), pairs, None) == {"a": 1, "b": "text", "c": {"d": [True]}}


def test_a_pair_wins_over_the_file(tmp_path: Path):
    file = tmp_path / "params.json"
    file.write_text('{"year": 1, "name": "x"}')

    params = gather_params(definition(Params), ["year=2"], str(file))

    assert params == {"year": 2, "name": "x"}


@pytest.mark.parametrize("pair", ["name", "=x", ""])
def test_what_is_no_pair_is_refused(pair: str):
    with pytest.raises(InputError, match="NAME=VALUE"):
        gather_params(definition(None), [pair], None)


@pytest.mark.parametrize("text", ["", "{", "[1]", "1", '{"a": 1, "a": 2}', '{"a": Infinity}'])
def test_a_file_without_a_json_object_is_refused_by_name(tmp_path: Path, text: str):
    file = tmp_path / "params.json"
    file.write_text(text)

    with pytest.raises(InputError, match=r"params\.json"):
        read_object(str(file), "params")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path):
    with pytest.raises(InputError, match=r"absent\.json"):
        read_object(str(tmp_path / "absent.json"), "params")
