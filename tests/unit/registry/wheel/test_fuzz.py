"""Whatever is done to a wheel, it is refused with problems, or it is the very wheel it was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wheels import build_wheel, dist_info_of, wheel_filename, wheel_files

from cloacina_core.foundation.digest import digest_of
from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel, reopen_wheel
from cloacina_registry.wheel.writer import with_record, write_wheel

GOOD = build_wheel(lock=b'lock-version = "1.0"\n')
FILES = open_wheel(GOOD, wheel_filename()).files
METADATA_FILES = sorted(path for path in FILES if path.startswith(dist_info_of()))
PLACES = st.integers(0, len(GOOD) - 1)


def opened(data: bytes) -> CheckedWheel | None:
    """Return the wheel, or None if it was refused; anything else fails the test."""
    try:
        return open_wheel(data, wheel_filename())
    except WheelRejectedError as refusal:
        if not refusal.problems:
            pytest.fail("refused without a reason")
        return None


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(PLACES, st.integers(0, 255), min_size=1, max_size=4))
def test_changed_bytes_never_change_the_contents(changes: dict[int, int]) -> None:
    data = bytearray(GOOD)
    for place, value in changes.items():
        data[place] = value

    wheel = opened(bytes(data))

    assert wheel is None or wheel.files == FILES


@settings(deadline=None)
@given(PLACES, PLACES)
def test_a_wheel_with_a_part_cut_out_is_refused(one: int, other: int) -> None:
    start, end = sorted((one, other))
    data = GOOD[:start] + GOOD[end + 1 :]

    assert opened(data) is None


@settings(deadline=None)
@given(PLACES, st.binary(min_size=1, max_size=64))
def test_a_wheel_with_bytes_put_in_is_refused(place: int, inserted: bytes) -> None:
    data = GOOD[:place] + inserted + GOOD[place:]

    assert opened(data) is None


@settings(deadline=None)
@given(st.binary(max_size=4096))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert opened(data) is None


@settings(deadline=None)
@given(st.sampled_from(METADATA_FILES), st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_metadata_are_refused(path: str, content: bytes | str) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")

    wheel = write_wheel({**FILES, path: data})

    with pytest.raises(WheelRejectedError):
        reopen_wheel(wheel, wheel_filename(), digest_of(wheel))


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_an_arbitrary_source_is_judged(content: bytes | str) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    files = with_record({**wheel_files(), "acme_etl/any.py": data}, dist_info_of())

    wheel = opened(write_wheel(files))

    assert wheel is None or wheel.files["acme_etl/any.py"] == data
