"""What authors are told to do about a wheel that is refused."""

from cloacina_core.errors import Problem
from cloacina_registry.package.advice import advice_for


def problems(*kinds: str) -> list[Problem]:
    return [Problem(kind, "something is wrong") for kind in kinds]


def test_what_comes_first_is_told_first():
    advice = advice_for(problems("shadow", "entry-points"), {})

    assert advice is not None
    assert advice.startswith("name the workflows in pyproject.toml")


def test_the_modules_there_are_are_named():
    advice = advice_for(problems("entry-points"), {"acme/__init__.py": b"", "acme/flows.py": b""})

    assert advice is not None
    assert advice.endswith("its modules: acme, acme.flows")


def test_many_modules_are_not_named():
    files = {f"acme/m{number}.py": b"" for number in range(100)}

    advice = advice_for(problems("entry-points"), files)

    assert advice is not None
    assert "its modules" not in advice


def test_where_the_problem_says_all_there_is_no_advice():
    assert advice_for(problems("zip-framing"), {}) is None
