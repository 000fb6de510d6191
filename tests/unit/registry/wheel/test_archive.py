import pytest
from support.wheels import RawEntry, raw_entries, write_zip

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel import archive
from cloacina_registry.wheel.archive import ArchiveLimits, unpack

FILES = {"acme/__init__.py": b"", "acme/rows.csv": b"a,b\n" * 100}


def test_files_are_unpacked_in_their_order() -> None:
    files = unpack(write_zip(raw_entries(FILES)), "x.whl")

    assert list(files.items()) == list(FILES.items())


def test_stored_and_deflated_entries_give_the_same_contents() -> None:
    stored = [RawEntry(name=path.encode(), content=data, method=0) for path, data in FILES.items()]

    assert unpack(write_zip(stored), "x.whl") == FILES


def test_empty_directories_are_tolerated_and_left_out() -> None:
    folder = RawEntry(name=b"acme/", method=0, attributes=(0o40755 << 16) | 0x10)

    assert unpack(write_zip([folder, *raw_entries(FILES)]), "x.whl") == FILES


def test_executable_files_are_accepted_as_data() -> None:
    script = RawEntry(name=b"acme/run.sh", content=b"#!/bin/sh\n", attributes=0o100755 << 16)

    assert unpack(write_zip([script]), "x.whl") == {"acme/run.sh": b"#!/bin/sh\n"}


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (ArchiveLimits(archive_bytes=10), "too-large"),
        (ArchiveLimits(unpacked_bytes=1), "too-large"),
        (ArchiveLimits(entries=1), "too-many-entries"),
    ],
)
def test_an_archive_beyond_a_limit_is_not_unpacked(limits: ArchiveLimits, kind: str) -> None:
    data = write_zip(raw_entries({"acme/one.py": b"1\n", "acme/two.py": b"2\n"}))

    with pytest.raises(WheelRejectedError) as refusal:
        unpack(data, "x.whl", limits)

    assert [problem.kind for problem in refusal.value.problems] == [kind]


def test_monotonous_data_within_the_grace_is_no_bomb() -> None:
    zeros = {"acme/zeros.bin": bytes(archive.RATIO_GRACE_BYTES)}

    assert unpack(write_zip(raw_entries(zeros)), "x.whl") == zeros
