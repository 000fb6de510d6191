import ast
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from support.wheels import (
    SOURCES,
    build_wheel,
    dist_info_of,
    make_manifest,
    wheel_filename,
    wheel_files,
)

import cloacina_registry
from cloacina_core.foundation.digest import digest_of
from cloacina_registry.errors import TamperedError, WheelRejectedError
from cloacina_registry.wheel.checked import open_unsealed_wheel, open_wheel, reopen_wheel
from cloacina_registry.wheel.writer import with_record, write_wheel


def unsealed(dist_info: str = dist_info_of()) -> bytes:
    files = wheel_files()
    del files[f"{dist_info}/cloacina.json"]
    return write_wheel(with_record(files, dist_info))


def test_a_good_wheel_tells_what_it_is() -> None:
    data = build_wheel()

    wheel = open_wheel(data, wheel_filename())

    assert wheel.filename == "acme_etl-1.0-py3-none-any.whl"
    assert wheel.digest == digest_of(data)
    assert wheel.size == len(data)
    assert (wheel.name, wheel.version) == ("acme-etl", "1.0")
    assert wheel.requires_python == ">=3.11"
    assert wheel.dist_info == "acme_etl-1.0.dist-info"
    assert wheel.top_levels == ("acme_etl",)
    assert wheel.entry_points == {"nightly": "acme_etl.flows:nightly"}
    assert wheel.manifest == make_manifest()
    assert wheel.lock is None


def test_the_contents_are_those_that_were_packed() -> None:
    wheel = open_wheel(build_wheel(), wheel_filename())

    assert {path: wheel.files[path] for path in SOURCES} == SOURCES


def test_a_lock_that_fits_the_manifest_is_handed_on() -> None:
    wheel = open_wheel(build_wheel(lock=b'lock-version = "1.0"\n'), wheel_filename())

    assert wheel.lock == b'lock-version = "1.0"\n'
    assert wheel.manifest.lock == digest_of(b'lock-version = "1.0"\n')


def test_a_checked_wheel_cannot_be_changed() -> None:
    wheel = open_wheel(build_wheel(), wheel_filename())

    with pytest.raises(FrozenInstanceError):
        wheel.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        wheel.files["acme_etl/flows.py"] = b""  # type: ignore[index]


def test_a_wheel_that_was_kept_opens_as_it_did() -> None:
    data = build_wheel()
    wheel = open_wheel(data, wheel_filename())

    assert reopen_wheel(data, wheel_filename(), wheel.digest) == wheel


def test_other_bytes_than_were_kept_do_not_open() -> None:
    kept = open_wheel(build_wheel(), wheel_filename())
    other = build_wheel({**SOURCES, "acme_etl/flows.py": b"import os\n"})

    with pytest.raises(TamperedError):
        reopen_wheel(other, wheel_filename(), kept.digest)


def test_a_wheel_that_was_kept_passes_all_checks_but_that_of_sources() -> None:
    files = {**wheel_files(), "json.py": b"def", "acme_etl/x.pyc": b""}
    data = write_wheel(files)

    with pytest.raises(WheelRejectedError) as refusal:
        reopen_wheel(data, wheel_filename(), digest_of(data))

    kinds = {problem.kind for problem in refusal.value.problems}
    assert kinds == {"dist-info", "shadow", "bytecode"}


def test_an_unsealed_wheel_opens_as_unsealed() -> None:
    wheel = open_unsealed_wheel(unsealed(), wheel_filename())

    assert wheel.entry_points == {"nightly": "acme_etl.flows:nightly"}


def test_an_unsealed_wheel_is_refused_with_the_command_that_seals_it() -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(unsealed(), wheel_filename())

    assert [problem.kind for problem in refusal.value.problems] == ["manifest"]
    assert refusal.value.hint == f"add it with: cloacina package seal {wheel_filename()}"


def test_an_unsealed_wheel_passes_the_same_checks() -> None:
    files = with_record({**wheel_files(), "json.py": b""}, dist_info_of())

    with pytest.raises(WheelRejectedError) as refusal:
        open_unsealed_wheel(write_wheel(files), wheel_filename())

    assert [problem.kind for problem in refusal.value.problems] == ["shadow"]


def test_a_wheel_zipped_by_an_odd_tool_is_refused_with_the_way_out() -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(build_wheel() + b"x", wheel_filename())

    assert "cloacina package seal" in str(refusal.value.hint)


def test_the_refusal_can_be_read_by_people_and_programs() -> None:
    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(b"", wheel_filename())

    assert (refusal.value.code, refusal.value.exit_status) == ("wheel-rejected", 2)
    assert str(refusal.value).startswith("acme_etl-1.0-py3-none-any.whl is refused: 1 problem\n")


def test_several_workflows_must_all_be_in_the_manifest() -> None:
    both = {"nightly": "acme_etl.flows:nightly", "hourly": "acme_etl.flows:hourly"}

    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(build_wheel(workflows=both, manifest=make_manifest()), wheel_filename())

    [problem] = refusal.value.problems
    assert problem.kind == "manifest"
    assert "'hourly' is missing here" in problem.message


def test_a_checked_wheel_is_made_in_one_place_only() -> None:
    package = Path(cloacina_registry.__file__).parent
    makers = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "CheckedWheel"
    ]

    assert makers == ["wheel/checked.py"]
