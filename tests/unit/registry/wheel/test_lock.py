"""Locks: what is read, what is written, and what fits."""

import contextlib
import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.markers import default_environment
from packaging.pylock import Pylock
from packaging.requirements import Requirement

from cloacina_registry.errors import BadLockError
from cloacina_registry.wheel.lock import Lock, LockedPackage, LockedWheel, own_requirements

SHA256 = "ab" * 32
URL = "https://files.example/{0}-{1}-py3-none-any.whl"
ROWS = URL.format("rows", "1.0")
WHEEL = {"hashes": {"sha256": SHA256}}


def locked(name: str, version: str, marker: str | None = None) -> LockedPackage:
    url = URL.format(name.replace("-", "_"), version)
    wheel = LockedWheel(filename=url.rpartition("/")[2], url=url, sha256=SHA256, size=3)
    return LockedPackage(
        name=name, version=version, marker=marker, requires_python=None, wheels=(wheel,)
    )


def entry(**changes: Any) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": "rows",
        "version": "1.0",
        "wheels": [{"url": URL.format("rows", "1.0"), "hashes": {"sha256": SHA256}}],
    }
    table.update(changes)
    return {key: value for key, value in table.items() if value is not None}


def parse(**table: Any) -> Lock:
    document = {"lock-version": "1.0", "created-by": "test", "packages": [], **table}
    return Lock.parse(tomli_w.dumps(document).encode(), "pylock.toml")


def refusal(**table: Any) -> BadLockError:
    with pytest.raises(BadLockError) as caught:
        parse(**table)
    return caught.value


def test_what_is_written_is_read_back():
    lock = Lock(
        requires_python=">=3.11",
        environments=("sys_platform == 'linux'",),
        packages=(locked("click", "8.1"), locked("colorama", "0.4", "sys_platform == 'win32'")),
    )

    assert Lock.parse(lock.to_bytes(), "pylock.toml") == lock


def test_what_is_written_is_a_lock_by_the_standard():
    lock = Lock(requires_python=">=3.11", packages=(locked("click", "8.1"),))

    read = Pylock.from_dict(tomllib.loads(lock.to_bytes().decode()))

    assert [(package.name, str(package.version)) for package in read.packages] == [("click", "8.1")]


def test_the_order_of_packages_changes_nothing():
    one, two = locked("one", "1"), locked("two", "2")

    first = Lock(requires_python=None, packages=(one, two))
    second = Lock(requires_python=None, packages=(two, one))

    assert first.to_bytes() == second.to_bytes()


def test_a_lock_of_nothing_is_a_lock():
    assert Lock.parse(Lock(requires_python=None).to_bytes(), "pylock.toml").packages == ()


def test_what_only_other_tools_need_is_left_out():
    lock = parse(
        packages=[entry(sdist={"url": "https://x.example/rows.tar.gz", "hashes": {}}, index="x")],
        tool={"other": 1},
    )

    assert tomllib.loads(lock.to_bytes().decode())["packages"] == [entry()]


def test_the_host_is_left_out():
    lock = parse(packages=[entry(name="cloacina", wheels=None), entry()])

    assert [package.name for package in lock.packages] == ["rows"]


def test_all_faults_are_told_at_once():
    error = refusal(
        packages=[
            entry(name="No_Name"),
            entry(version=None),
            entry(name="two", wheels=None),
            entry(name="three", wheels=[{"path": "three.whl"}]),
            entry(
                name="four", marker="never", wheels=[{**WHEEL, "path": "four-1.0-py3-none-any.whl"}]
            ),
        ]
    )

    assert [problem.where for problem in error.problems] == [
        "packages",
        "rows",
        "two",
        "three",
        "three",
        "four",
    ]
    assert {problem.kind for problem in error.problems} == {"lock"}
    assert error.hint == "make a new one with: cloacina package build --update-lock"


@pytest.mark.parametrize(
    "changes",
    [
        {"wheels": []},
        {"wheels": [{"url": ROWS, "hashes": {"md5": "00"}}]},
        {"wheels": [{"url": ROWS, "hashes": {"sha256": "xyz"}}]},
        {"wheels": [{"url": ROWS, "hashes": "sha256"}]},
        {"wheels": [{"url": ROWS, "hashes": {"sha256": SHA256}, "size": "3"}]},
        {"wheels": [{"url": ROWS, "hashes": {"sha256": SHA256}, "size": True}]},
        {"wheels": [{"url": ROWS, "hashes": {"sha256": SHA256}, "size": -1}]},
        {"wheels": "rows.whl"},
        {"wheels": None, "archive": {"url": "https://x.example/rows.whl", "hashes": {}}},
        {"wheels": None, "vcs": {"type": "git", "url": "https://x.example/rows"}},
        {"version": "latest"},
        {"version": "1" * 101},
        {"version": "1" * 5000},
        {"requires-python": 3},
        {"requires-python": "===3.11"},
        {"marker": 1},
        {"marker": "(" * 1500},
        {"marker": "python_version > '3'" + " and python_version > '3'" * 100},
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_used_is_refused(changes: dict[str, Any]):
    assert {problem.where for problem in refusal(packages=[entry(**changes)]).problems} == {"rows"}


@pytest.mark.parametrize(
    "table",
    [
        {"lock-version": "2.0"},
        {"requires-python": 3},
        {"environments": "linux"},
        {"environments": ["no marker"]},
        {"packages": "none"},
        {"packages": ["rows"]},
    ],
    ids=str,
)
def test_a_document_of_another_shape_is_refused(table: dict[str, Any]):
    assert len(refusal(**table).problems) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "can't be read"),
        (b"not toml [", "can't be read"),
        (b"#" * (512 * 1024 + 1), "too many"),
        (b"a" + b".a" * 201 + b" = 1", "dots"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
    ],
    ids=["not-utf8", "not-toml", "too-large", "dots", "nested"],
)
def test_a_file_that_cannot_be_read_is_refused(data: bytes, message: str):
    with pytest.raises(BadLockError) as caught:
        Lock.parse(data, "pylock.toml")

    assert message in caught.value.problems[0].message


@pytest.mark.parametrize(
    "filename",
    [
        "rows.whl",
        "rows-1.0.tar.gz",
        "rows-1.1-py3-none-any.whl",
        "cells-1.0-py3-none-any.whl",
        "rows-1.0-py3-none-any .whl",
        "rows-1.0-py3-none-a%00ny.whl",
        "rows-1.0-py3-none-a%2Fny.whl",
        "rows-1.0-py3-none-%C3%A4ny.whl",
        f"rows-1.0-py3-none-{'a' * 200}.whl",
        f"rows-1.0-{'.'.join(['a'] * 11)}-{'.'.join(['b'] * 10)}-any.whl",
    ],
)
def test_a_wheel_with_the_name_of_another_file_is_refused(filename: str):
    wheel = {"url": f"https://x.example/{filename}", "hashes": {"sha256": SHA256}}

    assert [problem.where for problem in refusal(packages=[entry(wheels=[wheel])]).problems] == [
        "rows"
    ]


@pytest.mark.parametrize(
    "place",
    [
        {"url": "file:///home/ann/wheels/rows-1.0-py3-none-any.whl"},
        {"path": "../wheels/rows-1.0-py3-none-any.whl"},
        {"path": "C:\\wheels\\rows-1.0-py3-none-any.whl"},
        {"path": "elsewhere", "name": "rows-1.0-py3-none-any.whl"},
        {"url": "http://[x/rows-1.0-py3-none-any.whl"},
    ],
    ids=str,
)
def test_a_wheel_that_was_found_in_a_folder_is_known_by_its_name_alone(place: dict[str, str]):
    lock = parse(packages=[entry(wheels=[{**place, "hashes": {"sha256": SHA256}}])])

    (written,) = tomllib.loads(lock.to_bytes().decode())["packages"][0]["wheels"]
    assert written == {"path": "rows-1.0-py3-none-any.whl", "hashes": {"sha256": SHA256}}
    assert Lock.parse(lock.to_bytes(), "pylock.toml") == lock


def test_an_address_that_does_not_end_with_the_name_is_kept_with_it():
    wheel = {"url": "https://x.example/get?id=7", "name": "rows-1.0-py3-none-any.whl"}
    lock = parse(packages=[entry(wheels=[{**wheel, "hashes": {"sha256": SHA256}}])])

    assert Lock.parse(lock.to_bytes(), "pylock.toml") == lock
    assert lock.packages[0].wheels[0].filename == "rows-1.0-py3-none-any.whl"


def test_credentials_do_not_stay_in_a_lock():
    wheel = {"url": "https://ann:secret@x.example/rows-1.0-py3-none-any.whl"}
    lock = parse(packages=[entry(wheels=[{**wheel, "hashes": {"sha256": SHA256}}])])

    assert b"secret" not in lock.to_bytes()
    assert lock.packages[0].wheels[0].url == "https://x.example/rows-1.0-py3-none-any.whl"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the code
@given(st.dictionaries(st.sampled_from(["name", "version", "marker", "wheels"]), _VALUES))
def test_whatever_an_entry_holds_it_is_read_or_refused_by_our_own_error(changes: dict[str, Any]):
    document = {"lock-version": "1.0", "packages": [{**entry(), **changes}]}
    try:
        data = tomli_w.dumps(document).encode()
    except (TypeError, ValueError, UnicodeEncodeError):
        return  # TOML has no null and no lone surrogates

    with contextlib.suppress(BadLockError):
        Lock.parse(data, "pylock.toml")


LINUX = {**default_environment(), "sys_platform": "linux"}


def shortcomings(lock: Lock, *requirements: str) -> list[str]:
    return list(lock.shortcomings(map(Requirement, requirements), LINUX))


def test_a_lock_with_versions_that_fit_lacks_nothing():
    lock = Lock(requires_python=None, packages=(locked("click", "8.1"),))

    assert shortcomings(lock, "Click>=8") == []


def test_a_pre_release_that_was_locked_fits():
    lock = Lock(requires_python=None, packages=(locked("click", "9.0rc1"),))

    assert shortcomings(lock, "click>=8") == []


def test_a_requirement_that_is_not_locked_is_missing():
    assert shortcomings(Lock(requires_python=None), "click>=8") == [
        "click is required and isn't locked"
    ]


def test_a_requirement_for_other_environments_may_be_missing():
    lock = Lock(requires_python=None)

    assert shortcomings(lock, "colorama; sys_platform == 'atari'") == []
    assert shortcomings(lock, "colorama; sys_platform == 'linux'") == [
        "colorama is required and isn't locked"
    ]
    assert list(lock.shortcomings([Requirement("colorama; sys_platform == 'linux'")])) == []


def test_a_version_that_does_not_fit_is_told():
    lock = Lock(requires_python=None, packages=(locked("click", "7.0"),))

    assert shortcomings(lock, "click>=8") == ["click 7.0 is locked, and click>=8 is required"]


def test_neither_the_host_nor_extras_are_requirements_of_its_own():
    requires = ["cloacina>=0.1", "Cloacina[postgres]", "click", "pytest; extra == 'test'"]

    assert [str(requirement) for requirement in own_requirements(requires)] == ["click"]
