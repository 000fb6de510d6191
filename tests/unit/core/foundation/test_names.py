"""Names end up in files, URLs and logs; a wrong one is told with what was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.foundation.names import (
    MAX_NAME_LENGTH,
    instance_name,
    name_problem,
    nearest,
    plain_module,
    split_instance,
)


@pytest.mark.parametrize(
    "name", ["a", "_", "Nightly", "load-2", "a.b_c", "x" * MAX_NAME_LENGTH, "a."]
)
def test_a_plain_name_is_accepted(name: str) -> None:
    assert name_problem(name, "task") is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1st",
        "-a",
        ".a",
        "a b",
        "a/b",
        "a\\b",
        "a..b",
        "é",
        "a\n",
        "a\x00",
        "<lambda>",
        "\ud800",
    ],
)
def test_a_name_with_other_characters_is_refused(name: str) -> None:
    problem = name_problem(name, "task")

    assert problem is not None
    assert problem.startswith(f"task name {name!r} must be ASCII letters")


def test_a_name_that_is_too_long_is_told_with_its_length() -> None:
    problem = name_problem("x" * 101, "workflow")

    assert problem == "workflow name 'xxxxxxxxxxxxxxxxxxxx'... has 101 characters; 100 fit"


@pytest.mark.parametrize("name", [None, 5, b"a", ["a"]])
def test_a_name_that_is_no_text_is_refused(name: str) -> None:
    assert name_problem(name, "task") == (
        f"the name of a task must be a string, not {type(name).__name__}"
    )


@given(st.text(max_size=120))
def test_an_accepted_name_is_safe_in_a_path_and_in_a_log(name: str) -> None:
    if name_problem(name, "task") is None:
        assert name.isascii()
        assert name.isprintable()
        assert not set(name) & set("/\\: ")
        assert ".." not in name


def test_the_nearest_names_come_best_first() -> None:
    assert nearest("extrct", ["load", "extract", "extra"]) == ["extract", "extra"]


def test_names_that_differ_by_case_alone_are_all_near() -> None:
    assert nearest("EXTRACT", {"extract", "Extract", "load"}) == ["Extract", "extract"]


def test_no_more_names_are_near_than_are_wanted() -> None:
    assert nearest("a1", ["a1", "A1", "a2", "a3", "a4"], limit=2) == ["A1", "a1"]


def test_nothing_is_near_a_name_unlike_all() -> None:
    assert nearest("zzz", ["extract", "load"]) == []
    assert nearest("zzz", []) == []


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("acme_etl.flows", "acme_etl.flows"),
        ("_cloacina.acme_etl_1_0_5f2c9a71b3d4.acme_etl.flows", "acme_etl.flows"),
        ("_cloacina.acme_etl_1_0_5f2c9a71b3d4.flows", "flows"),
        ("_cloacina_tools.x.y", "_cloacina_tools.x.y"),
        ("builtins", "builtins"),
    ],
)
def test_a_module_is_called_what_its_author_calls_it(name: str, plain: str) -> None:
    assert plain_module(name) == plain


def test_an_instance_is_named_by_its_task_and_its_index() -> None:
    assert instance_name("fetch", 3) == "fetch[3]"
    assert name_problem("fetch[3]", "task") is not None, "no task can have this name"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("fetch[3]", ("fetch", 3)),
        ("fetch[0]", ("fetch", 0)),
        ("fetch", ("fetch", None)),
        ("fetch[*]", ("fetch[*]", None)),
        ("fetch[03]", ("fetch[03]", None)),
        ("fetch[3][4]", ("fetch[3][4]", None)),
    ],
)
def test_the_name_of_an_instance_can_be_taken_apart(
    name: str, parts: tuple[str, int | None]
) -> None:
    assert split_instance(name) == parts
