"""An archive whose records were changed, moved, doubled or cut is refused, or read as by others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.archives import Record, joined, judged, records_of
from support.wheels import RawEntry, raw_entries, write_zip

FILES = {"acme/__init__.py": b"", "acme/a.py": b"x = 1\n" * 9, "acme/b.csv": b"a,b\n"}
FOLDER = RawEntry(name=b"acme/", method=0, attributes=(0o40755 << 16) | 0x10)
GOOD = write_zip([FOLDER, *raw_entries(FILES)])
RECORDS = records_of(GOOD)
CORPUS = sorted((Path(__file__).parents[3] / "fuzz" / "corpus").iterdir())

NUMBERS = st.integers(0, 300)
TELLING = [0, 1, 2, 4, 8, 10, 20, 45, 0x800, 0xFFFF, 2**31, 2**32 - 1]
VALUES = st.sampled_from(TELLING) | st.integers(0, 2**32 - 1)

Change = Callable[[list[Record], int, int, int], None]


def at(records: list[Record], place: int) -> int:
    return place % len(records)


def set_field(records: list[Record], one: int, other: int, value: int) -> None:
    place = at(records, one)
    records[place] = records[place].with_field(other, value)


def set_field_in_both(records: list[Record], one: int, other: int, value: int) -> None:
    """Change what a local header and its directory entry say alike: neither belies the other."""
    count = (len(records) - 1) // 2
    if not count:
        return
    place, field = one % count, other % 10
    records[place] = records[place].with_field(field, value)
    if place + count < len(records) - 1:
        records[place + count] = records[place + count].with_field(field + 1, value)


def set_byte(records: list[Record], one: int, other: int, value: int) -> None:
    place = at(records, one)
    records[place] = records[place].with_byte(other, value % 256)


def swap(records: list[Record], one: int, other: int, _value: int) -> None:
    first, second = at(records, one), at(records, other)
    records[first], records[second] = records[second], records[first]


def double(records: list[Record], one: int, other: int, _value: int) -> None:
    records.insert(at(records, other), records[at(records, one)])


def drop(records: list[Record], one: int, _other: int, _value: int) -> None:
    if len(records) > 1:
        del records[at(records, one)]


CHANGES = st.sampled_from([set_field, set_field_in_both, set_byte, swap, double, drop])
STEPS = st.lists(st.tuples(CHANGES, NUMBERS, NUMBERS, VALUES), min_size=1, max_size=4)


@settings(max_examples=1_000, deadline=None)
@given(STEPS, st.booleans())
@example([(swap, 1, 2, 0), (swap, 5, 6, 0)], True)
def test_changed_records_are_refused_or_read_as_by_others(
    steps: list[tuple[Change, int, int, int]], repaired: bool
) -> None:
    records = list(RECORDS)
    for change, one, other, value in steps:
        change(records, one, other, value)

    judged(joined(records, repaired=repaired))


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_a_part_of_an_archive_is_refused(kept: int) -> None:
    assert judged(GOOD[:kept]) is None


def test_the_archive_that_is_changed_is_good() -> None:
    assert judged(GOOD) == FILES
    assert joined(RECORDS, repaired=False) == joined(RECORDS, repaired=True) == GOOD


def test_what_is_accepted_may_be_another_archive() -> None:
    """Without this the property would hold of a reader that refuses everything."""
    records = [RECORDS[place] for place in (0, 2, 1, 3, 4, 6, 5, 7, 8)]

    assert judged(joined(records, repaired=True)) == FILES


@pytest.mark.parametrize("seed", CORPUS, ids=lambda path: path.name)
def test_a_seed_of_the_fuzzer_is_refused_or_read_as_by_others(seed: Path) -> None:
    accepted = judged(seed.read_bytes()) is not None

    assert accepted == seed.name.startswith("good-")
