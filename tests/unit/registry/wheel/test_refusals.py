"""How hostile wheels are refused: early, completely, and in words that can be read."""

from dataclasses import replace

import pytest
from support.hostile import DIST_INFO, FLOWS, noise
from support.wheels import build_wheel, deflated, wheel_filename, wheel_files, write_zip

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.writer import with_record, write_wheel


def test_what_is_told_can_be_read_whatever_it_quotes() -> None:
    files = wheel_files()
    path = f"{DIST_INFO}/WHEEL"
    tags = b"Tag: " + noise(60_000) + b"-none-any\n"
    data = write_wheel(with_record({**files, path: files[path] + tags}, DIST_INFO))

    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(data, wheel_filename())

    assert len(str(refusal.value)) < 1_000


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    declared_small = replace(FLOWS, packed=deflated(bytes(50_000_000)))

    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(write_zip([declared_small]), wheel_filename())

    assert [problem.kind for problem in refusal.value.problems] == ["zip-data"]


def test_all_problems_are_told_at_once() -> None:
    files = {**wheel_files(), "json.py": b"def", "acme.pth": b"import os", "requests.py": b""}

    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(write_wheel(files), wheel_filename())

    kinds = {problem.kind for problem in refusal.value.problems}
    assert kinds == {"dist-info", "startup-file", "shadow", "source", "top-level"}
    assert all(problem.message in str(refusal.value) for problem in refusal.value.problems)


@pytest.mark.parametrize("kept", [0, 1, 21, 22, 30, 100, -1, -22, -23, -60])
def test_a_truncated_wheel_is_refused(kept: int) -> None:
    data = build_wheel()[:kept]

    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(data, wheel_filename())

    assert [problem.kind for problem in refusal.value.problems] == ["zip-framing"]
