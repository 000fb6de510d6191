"""Which lock a package gets."""

from collections.abc import Sequence

import pytest
from packaging.requirements import Requirement
from support.projects import Listener
from support.wheels import build_wheel, dist_info_of, wheel_filename, wheel_files

from cloacina_registry.errors import BadLockError, PackageBuildError
from cloacina_registry.package.locking import ExistingLock, choose_lock, refuse_dependencies
from cloacina_registry.package.progress import Silence
from cloacina_registry.package.resolver import Resolver
from cloacina_registry.wheel.checked import UnsealedWheel, open_unsealed_wheel
from cloacina_registry.wheel.lock import Lock, LockedPackage, LockedWheel
from cloacina_registry.wheel.writer import with_record, write_wheel


class FixedResolver:
    """Resolves everything to one lock, and counts how often."""

    name = "fixed"

    def __init__(self, version: str = "2.0") -> None:
        self.lock = lock_of(version)
        self.asked: list[str] = []

    def resolve(self, requirements: Sequence[Requirement], requires_python: str | None) -> Lock:
        self.asked += map(str, requirements)
        return self.lock

    def __call__(self) -> Resolver:
        return self


def lock_of(version: str) -> Lock:
    filename = f"rows-{version}-py3-none-any.whl"
    wheel = LockedWheel(filename=filename, sha256="ab" * 32, size=None)
    return Lock(
        requires_python=">=3.11",
        packages=(
            LockedPackage(
                name="rows", version=version, marker=None, requires_python=None, wheels=(wheel,)
            ),
        ),
    )


def wheel_requiring(*requirements: str) -> UnsealedWheel:
    files = wheel_files()
    path = f"{dist_info_of()}/METADATA"
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    files[path] += lines.encode()
    return open_unsealed_wheel(write_wheel(with_record(files, dist_info_of())), wheel_filename())


def existing(version: str, *, replaceable: bool = True) -> ExistingLock:
    return ExistingLock("pylock.toml", lock_of(version).to_bytes(), replaceable)


def test_a_package_without_dependencies_needs_no_resolver():
    wheel = open_unsealed_wheel(build_wheel(), wheel_filename())
    resolver = FixedResolver()

    chosen = choose_lock(wheel, None, progress=Silence(), resolver=resolver)

    assert chosen.lock == Lock(requires_python=">=3.11")
    assert not chosen.resolved
    assert resolver.asked == []


def test_a_package_that_needs_the_host_alone_needs_no_resolver():
    resolver = FixedResolver()

    choose_lock(wheel_requiring("cloacina>=0.1"), None, progress=Silence(), resolver=resolver)

    assert resolver.asked == []


def test_a_lock_that_fits_is_kept():
    resolver = FixedResolver()

    chosen = choose_lock(
        wheel_requiring("rows>=1"), existing("1.5"), progress=Silence(), resolver=resolver
    )

    assert chosen.lock == lock_of("1.5")
    assert not chosen.resolved
    assert resolver.asked == []


def test_a_lock_that_does_not_fit_is_made_anew_and_that_is_told():
    listener, resolver = Listener(), FixedResolver()

    chosen = choose_lock(
        wheel_requiring("rows>=2"), existing("1.5"), progress=listener, resolver=resolver
    )

    assert chosen.lock == lock_of("2.0")
    assert chosen.resolved
    assert listener.notes == [
        "pylock.toml is made anew: rows 1.5 is locked, and rows>=2 is required"
    ]
    assert listener.steps == ["locking, with fixed"]


def test_a_lock_that_was_asked_for_must_fit():
    with pytest.raises(PackageBuildError, match="doesn't fit") as caught:
        choose_lock(
            wheel_requiring("rows>=2", "cells"),
            existing("1.5", replaceable=False),
            progress=Silence(),
            resolver=FixedResolver(),
        )

    assert [problem.message for problem in caught.value.problems] == [
        "rows 1.5 is locked, and rows>=2 is required",
        "cells is required and isn't locked",
    ]


def test_a_damaged_lock_is_not_replaced_in_silence():
    damaged = ExistingLock("pylock.toml", b"lock-version = '1.0'\npackages = 3\n")

    with pytest.raises(BadLockError, match=r"pylock\.toml can't be used"):
        choose_lock(wheel_requiring("rows"), damaged, progress=Silence(), resolver=FixedResolver())


def test_a_package_with_dependencies_cannot_go_without_a_lock():
    with pytest.raises(PackageBuildError, match="can't go without a lock") as caught:
        refuse_dependencies(wheel_requiring("rows>=2", "cloacina"))

    assert [problem.message for problem in caught.value.problems] == ["rows>=2 is required"]


def test_a_package_without_dependencies_can_go_without_a_lock():
    refuse_dependencies(wheel_requiring("cloacina>=0.1", "pytest; extra == 'test'"))
