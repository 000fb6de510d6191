"""Where a release runs is decided by what is known of it, and all reasons are told."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wheels import make_manifest

from cloacina_core.model.isolation import Isolation, Placement
from cloacina_registry.errors import PlacementError
from cloacina_registry.placement import (
    Dependency,
    at_least,
    contradicts,
    decide,
    locked_dependencies,
)
from cloacina_registry.wheel.lock import Lock, LockedPackage, LockedWheel

NUMPY = Dependency("numpy", "2.1.0", is_pure=False)
CLICK = Dependency("click", "8.1", is_pure=True)
PITFALL = "acme/flows.py:12: sys.modules has 'acme' under another name"


def worker(reason: str) -> Placement:
    return Placement(isolation=Isolation.WORKER, reason=reason)


def test_a_pure_package_with_pure_dependencies_gets_a_namespace() -> None:
    placement = decide("auto", dependencies=[CLICK])

    assert placement.isolation is Isolation.NAMESPACE
    assert placement.reason == "it is pure Python, and so is all that it depends on"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"minimum": "worker"}, "the setting isolation says worker"),
        ({"wish": "worker"}, "the package wishes it"),
        ({"native": ["acme/fast.so"]}, "it has native code: acme/fast.so"),
        ({"dependencies": [CLICK, NUMPY]}, "its dependency numpy 2.1.0 has native code"),
        ({"pitfalls": [PITFALL]}, PITFALL),
        ({"capabilities": ["network"]}, "it declares capabilities, which only a worker enforces"),
        ({"capabilities": []}, "it declares capabilities, which only a worker enforces"),
    ],
)
def test_each_reason_alone_gives_a_worker(facts: Mapping[str, Any], reason: str) -> None:
    assert decide(**{"wish": "auto", **facts}) == worker(reason)


def test_all_reasons_are_told_the_strongest_first() -> None:
    placement = decide(
        "worker",
        native=["acme/fast.so"],
        dependencies=[NUMPY],
        pitfalls=[PITFALL],
        capabilities=[],
        minimum="worker",
    )

    assert placement.reason.split("; ") == [
        "the setting isolation says worker",
        "the package wishes it",
        "it has native code: acme/fast.so",
        "its dependency numpy 2.1.0 has native code",
        PITFALL,
        "it declares capabilities, which only a worker enforces",
    ]


def test_of_very_many_reasons_of_a_sort_a_few_are_told() -> None:
    placement = decide(
        "auto",
        native=[f"acme/{number}.so" for number in range(7)],
        pitfalls=[f"acme/{number}.py:1: no" for number in range(1000)],
    )

    assert "acme/4.so and 2 more" in placement.reason
    assert "995 more places don't work in a namespace" in placement.reason
    assert len(placement.reason) < 300


def test_a_wish_for_a_namespace_that_can_be_met_is_met() -> None:
    assert decide("namespace", dependencies=[CLICK]).isolation is Isolation.NAMESPACE


def test_a_wish_for_a_namespace_that_cannot_be_met_is_refused_with_the_reasons() -> None:
    with pytest.raises(PlacementError) as caught:
        decide("namespace", dependencies=[NUMPY], pitfalls=[PITFALL])

    assert [problem.message for problem in caught.value.problems] == [
        "its dependency numpy 2.1.0 has native code",
        PITFALL,
    ]
    assert caught.value.exit_status == 2


def test_the_operator_gets_more_than_the_package_wishes() -> None:
    placement = decide("namespace", minimum="worker")

    assert placement == worker("the setting isolation says worker")


def test_the_operator_never_gets_less_than_a_release_needs() -> None:
    placement = worker("the package wishes it")

    assert at_least(placement, "auto") is placement
    assert at_least(placement, "worker").reason == (
        "the setting isolation says worker; the package wishes it"
    )


@given(
    wish=st.sampled_from(["auto", "worker"]),
    native=st.lists(st.just("acme/fast.so"), max_size=1),
    dependencies=st.lists(st.sampled_from([NUMPY, CLICK])),
    pitfalls=st.lists(st.just(PITFALL), max_size=2),
    capabilities=st.none() | st.just(()),
)
def test_nothing_that_needs_a_worker_is_placed_in_a_namespace(**facts: Any) -> None:
    needs_one = (
        facts["wish"] == "worker"
        or facts["native"]
        or NUMPY in facts["dependencies"]
        or facts["pitfalls"]
        or facts["capabilities"] is not None
    )

    placement = decide(**facts)

    assert (placement.isolation is Isolation.WORKER) == bool(needs_one)


@pytest.mark.parametrize(
    ("declared", "placed", "expected"),
    [
        ({"isolation": "worker"}, Isolation.NAMESPACE, True),
        ({"capabilities": ()}, Isolation.NAMESPACE, True),
        ({"isolation": "worker"}, Isolation.WORKER, False),
        ({}, Isolation.NAMESPACE, False),
        ({}, Isolation.WORKER, False),
    ],
)
def test_what_a_manifest_says_can_contradict_a_placement(
    declared: Mapping[str, Any], placed: Isolation, *, expected: bool
) -> None:
    assert contradicts(make_manifest(**declared), placed) is expected


def lock(*packages: LockedPackage) -> Lock:
    return Lock(requires_python=None, packages=packages)


def locked(*filenames: str, name: str = "rows", marker: str | None = None) -> LockedPackage:
    wheels = tuple(LockedWheel(filename=each, sha256="0" * 64, size=None) for each in filenames)
    return LockedPackage(
        name=name, version="1.0", marker=marker, requires_python=None, wheels=wheels
    )


PURE_WHEEL = "rows-1.0-py3-none-any.whl"


def test_a_lock_tells_which_dependencies_are_pure() -> None:
    fast = locked("fast-1.0-cp311-abi3-win32.whl", name="fast")

    assert locked_dependencies(lock(locked(PURE_WHEEL), fast)) == (
        Dependency("rows", "1.0", is_pure=True),
        Dependency("fast", "1.0", is_pure=False),
    )


def test_without_a_lock_there_are_no_dependencies() -> None:
    assert locked_dependencies(None) == ()


@pytest.mark.parametrize(
    ("filenames", "is_pure"),
    [
        ([PURE_WHEEL], True),
        (["rows-1.0-cp311-none-any.whl"], True),
        ([PURE_WHEEL, "rows-1.0-cp311-cp311-win32.whl"], False),
        ([PURE_WHEEL, "rows-1.0-x.whl"], False),
        (["rows.zip"], False),
    ],
)
def test_a_dependency_is_pure_only_if_all_its_wheels_are(
    filenames: list[str], *, is_pure: bool
) -> None:
    (found,) = locked_dependencies(lock(locked(*filenames)))

    assert found.is_pure is is_pure


@pytest.mark.parametrize(
    ("marker", "count"),
    [
        ("sys_platform == 'plan9'", 0),
        ("python_version >= '3.11'", 1),
        ("nonsense", 1),
        ("extra == 'x'", 0),
    ],
)
def test_what_is_locked_for_other_environments_does_not_count(marker: str, count: int) -> None:
    assert len(locked_dependencies(lock(locked(PURE_WHEEL, marker=marker)))) == count
