"""Errors are drawn in one tree for each distribution, and have stable codes."""

import importlib
import itertools
import pkgutil
import re
from collections.abc import Iterator

import pytest

import cloacina_core
import cloacina_core.errors
import cloacina_registry
import cloacina_registry.errors
from cloacina_core.errors import CloacinaError

EXIT_STATUSES = {1, 2, 3, 4, 5, 6, 7, 8}


def all_errors() -> list[type[CloacinaError]]:
    """Return every error class of both distributions, each once."""
    for package in (cloacina_core, cloacina_registry):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return sorted(set(descendants(CloacinaError)), key=lambda error: error.__qualname__)


def descendants(error: type[CloacinaError]) -> Iterator[type[CloacinaError]]:
    for child in error.__subclasses__():
        yield child
        yield from descendants(child)


ERRORS = [error for error in all_errors() if error.__module__.startswith("cloacina_")]
DRAWN = [error for error in ERRORS if error.__module__.endswith(".errors")]


@pytest.mark.parametrize("error", DRAWN, ids=lambda error: error.__qualname__)
def test_an_error_stands_in_the_tree_of_its_distribution(error: type[CloacinaError]) -> None:
    tree = (importlib.import_module(error.__module__).__doc__ or "").replace(".", " ")

    assert re.search(rf"\b{error.__name__}\b", tree)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__qualname__)
def test_an_error_has_a_code_that_scripts_can_compare(error: type[CloacinaError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__qualname__)
def test_an_error_ends_with_a_documented_status(error: type[CloacinaError]) -> None:
    assert error.exit_status in EXIT_STATUSES


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__qualname__)
def test_an_error_says_what_it_means(error: type[CloacinaError]) -> None:
    assert (error.__doc__ or "").strip() != (CloacinaError.__doc__ or "").strip()
    assert (error.__doc__ or "").partition("\n")[0].endswith(".")


def test_no_two_errors_share_a_code_unless_one_is_the_other() -> None:
    sharing = [
        (first.__qualname__, second.__qualname__)
        for first, second in itertools.combinations([CloacinaError, *ERRORS], 2)
        if first.code == second.code
        and not issubclass(first, second)
        and not issubclass(second, first)
    ]

    assert sharing == []
