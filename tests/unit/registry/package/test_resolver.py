"""Locks from requirements, resolved by real resolvers from an index of our own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.dependencies import distribution, local_index

from cloacina_core.foundation.digest import hex_of
from cloacina_registry.errors import BadLockError, PackageBuildError
from cloacina_registry.package.resolver import PipResolver, Resolver, UvResolver, find_resolver
from cloacina_registry.wheel.lock import Lock, LockedWheel

WHEELS = {
    f"{one.name} {one.version}": one
    for one in (
        distribution("rows", "1.0", requires=["cells>=2"]),
        distribution("rows", "2.0", requires=["cells>=2", "cloacina>=0.1"]),
        distribution("cells", "2.1", requires=["windowing; sys_platform == 'win32'"]),
        distribution("windowing", "1.0"),
        distribution("cloacina", "0.1.0", requires=["hostlib"]),
        distribution("hostlib", "1.0"),
    )
}


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the wheels on this host, as the only index that the resolvers know."""
    with local_index(tmp_path / "index", monkeypatch) as there:
        for wheel in WHEELS.values():
            there.add(wheel)
        yield there.url


@pytest.fixture(params=["uv", "pip"])
def resolver(request: pytest.FixtureRequest) -> Resolver:
    if request.param == "pip":
        return PipResolver()
    found = find_resolver()
    assert isinstance(found, UvResolver)
    return found


def resolve(resolver: Resolver, *requirements: str) -> Lock:
    return resolver.resolve([Requirement(text) for text in requirements], ">=3.11")


def versions(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_requirements_of_requirements_are_locked(resolver: Resolver):
    found = versions(resolve(resolver, "rows<2"))

    assert found["rows"] == "1.0"
    assert found["cells"] == "2.1"


def test_each_wheel_is_named_by_its_digest(resolver: Resolver, index: str):
    lock = resolve(resolver, "cells")

    (cells,) = [package for package in lock.packages if package.name == "cells"]
    assert f"sha256:{cells.wheels[0].sha256}" == WHEELS["cells 2.1"].digest
    assert cells.wheels[0].url == f"{index}cells/cells-2.1-py3-none-any.whl"


def test_neither_the_host_nor_what_it_requires_is_locked(resolver: Resolver):
    found = versions(resolve(resolver, "rows==2.0"))

    assert found["rows"] == "2.0"
    assert not {"cloacina", "hostlib"} & set(found)


def test_what_the_host_requires_is_locked_when_the_package_requires_it(resolver: Resolver):
    found = versions(resolve(resolver, "rows==2.0", "hostlib"))

    assert found["hostlib"] == "1.0"


def test_a_lock_can_be_read_again(resolver: Resolver):
    written = resolve(resolver, "rows").to_bytes()

    assert Lock.parse(written, "pylock.toml").to_bytes() == written


def test_versions_that_do_not_fit_together_are_told(resolver: Resolver):
    with pytest.raises(PackageBuildError) as caught:
        resolve(resolver, "rows==7")

    assert caught.value.message == f"{resolver.name} can't resolve the package's dependencies"
    assert "rows" in caught.value.problems[0].message


def test_uv_locks_for_every_platform():
    resolver = find_resolver()

    lock = resolve(resolver, "rows<2")

    (windowing,) = [package for package in lock.packages if package.name == "windowing"]
    assert windowing.marker == "sys_platform == 'win32'"
    assert lock.environments == ()


def test_pip_locks_for_this_environment_and_says_so():
    lock = resolve(PipResolver(), "rows<2")

    assert "windowing" not in versions(lock)
    assert "sys_platform == " in lock.environments[0]


def test_a_distribution_that_lies_in_a_folder_is_locked_without_telling_where(
    resolver: Resolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    local, own = tmp_path / "local", distribution("own", "1.0")
    own.save_in(local)
    monkeypatch.setenv("PIP_FIND_LINKS", str(local))
    monkeypatch.setenv("UV_FIND_LINKS", str(local))

    lock = resolve(resolver, "own")

    assert lock.packages[0].wheels == (
        LockedWheel(filename=own.filename, sha256=hex_of(own.digest), size=None),
    )
    assert str(local).encode() not in lock.to_bytes()


def test_a_dependency_that_is_required_by_its_address_is_refused(
    resolver: Resolver, tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch
):
    local = tmp_path / "local"
    address = f"{index}cells/cells-2.1-py3-none-any.whl"
    distribution("odd", "1.0", requires=[f"cells @ {address}"]).save_in(local)
    monkeypatch.setenv("PIP_FIND_LINKS", str(local))
    monkeypatch.setenv("UV_FIND_LINKS", str(local))

    with pytest.raises((PackageBuildError, BadLockError)) as caught:
        resolve(resolver, "odd")

    assert any("cells" in str(problem) for problem in caught.value.problems)


def test_without_uv_pip_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cloacina_registry.package.resolver._find_uv", lambda: None)

    assert find_resolver().name == "pip"


def test_a_uv_on_the_path_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert find_resolver().name == "uv"


def test_a_python_that_no_version_fits_is_told():
    with pytest.raises(PackageBuildError, match="no known version of Python"):
        find_resolver().resolve([Requirement("rows")], ">=4")
