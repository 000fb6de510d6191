"""Which of the locked wheels a Python gets."""

import sys
from dataclasses import replace
from typing import Any

import pytest
from packaging.tags import Tag, sys_tags
from support.dependencies import Distribution, distribution, locked

from cloacina_core.errors import InputError
from cloacina_registry.dependencies.choice import Choice, choose
from cloacina_registry.dependencies.target import Target
from cloacina_registry.wheel.lock import Lock, LockedPackage

HERE = Target.here()
NATIVE = str(next(sys_tags()))
"""The tag of a wheel with native code for this very Python."""

PURE = distribution("rows", "1.0")
BINARY = distribution("rows", "1.0", tag=NATIVE)
ATARI = distribution("rows", "1.0", tag="py3-none-atari")


def chosen(*packages: LockedPackage, target: Target = HERE, **lock: Any) -> Choice:
    return choose(Lock(**{"requires_python": None, "packages": packages, **lock}), target)


def files(choice: Choice) -> list[str]:
    assert choice.problems == ()
    return [wanted.wheel.filename for wanted in choice.wanted]


def refusals(choice: Choice) -> list[tuple[str, str]]:
    return [(problem.kind, problem.where) for problem in choice.problems]


@pytest.mark.parametrize("wheels", [(PURE, BINARY, ATARI), (ATARI, BINARY, PURE)], ids=str)
def test_the_wheel_with_the_best_tag_is_taken(wheels: tuple[Distribution, ...]) -> None:
    assert files(chosen(locked(*wheels))) == [BINARY.filename]


def test_of_equal_tags_the_highest_build_is_taken() -> None:
    first = replace(PURE, filename="rows-1.0-9-py3-none-any.whl")
    second = replace(PURE, filename="rows-1.0-10-py3-none-any.whl")

    assert files(chosen(locked(PURE, second, first))) == [second.filename]


def test_a_distribution_for_other_environments_is_left_out() -> None:
    elsewhere = locked(distribution("atari"), marker="sys_platform == 'atari'")
    here = locked(PURE, marker=f"sys_platform == '{sys.platform}'")

    assert files(chosen(elsewhere, here)) == [PURE.filename]


def test_of_two_versions_the_one_for_this_environment_is_taken() -> None:
    newer = locked(distribution("rows", "2.0"), marker="sys_platform == 'atari'")

    assert files(chosen(newer, locked(PURE, marker="sys_platform != 'atari'"))) == [PURE.filename]


def test_two_versions_for_one_environment_are_refused() -> None:
    choice = chosen(locked(PURE), locked(distribution("rows", "2.0")))

    assert refusals(choice) == [("dependency-incompatible", "rows 2.0")]


@pytest.mark.parametrize(
    "package",
    [
        locked(ATARI),
        replace(locked(PURE), requires_python=">=4"),
        locked(PURE, marker="'fast' in extras"),
        locked(PURE, marker="python_version ~= 'x'"),
    ],
    ids=["no-wheel", "python", "extras", "undecidable"],
)
def test_what_cannot_be_used_here_is_refused_by_name(package: LockedPackage) -> None:
    assert refusals(chosen(package, locked(distribution("cells")))) == [
        ("dependency-incompatible", "rows 1.0")
    ]


@pytest.mark.parametrize(
    "lock", [{"requires_python": ">=4"}, {"environments": ("sys_platform == 'atari'",)}], ids=str
)
def test_a_lock_for_others_is_refused(lock: dict[str, Any]) -> None:
    choice = chosen(locked(PURE), **lock)

    assert (refusals(choice), choice.wanted) == ([("dependency-incompatible", "")], ())


def test_a_lock_for_this_environment_among_others_is_taken() -> None:
    environments = ("sys_platform == 'atari'", f"sys_platform == '{sys.platform}'")

    assert files(chosen(locked(PURE), environments=environments)) == [PURE.filename]


def test_another_python_gets_other_wheels() -> None:
    other = Target.of_python("3.99")
    platform = next(sys_tags()).platform
    for_other = distribution("rows", "1.0", tag=f"cp399-cp399-{platform}")
    newer = locked(distribution("cells"), marker="python_full_version >= '3.99'")

    assert files(chosen(locked(BINARY, for_other), newer, target=other)) == [
        for_other.filename,
        "cells-1.0-py3-none-any.whl",
    ]
    assert refusals(chosen(locked(BINARY), target=other)) == [
        ("dependency-incompatible", "rows 1.0")
    ]


def test_stable_abis_and_older_pure_tags_fit_another_python() -> None:
    other = Target.of_python("3.99.4")

    assert Tag("cp311", "abi3", next(sys_tags()).platform) in other.ranks
    assert Tag("py3", "none", "any") in other.ranks
    assert other.python == other.environment["python_full_version"] == "3.99.4"


def test_this_python_is_known_as_this_one() -> None:
    here = Target.of_python(f"3.{sys.version_info.minor}")

    assert (here.is_here, here.ranks) == (True, HERE.ranks)


@pytest.mark.parametrize(
    "version", ["2.7", "3", "4.0", "3.x", "3.12.0.1", "3.9999", "pypy3.11", ""]
)
def test_what_is_no_version_of_python_3_is_refused(version: str) -> None:
    with pytest.raises(InputError, match="isn't a version of CPython"):
        Target.of_python(version)
