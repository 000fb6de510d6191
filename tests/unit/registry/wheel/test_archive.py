import pytest
from support.wheels import RawEntry, raw_entries, write_zip

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel import archive
from cloacina_registry.wheel.archive import unpack

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


def test_an_archive_larger_than_the_limit_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = write_zip(raw_entries(FILES))
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", len(data) - 1)

    with pytest.raises(WheelRejectedError) as refusal:
        unpack(data, "x.whl")

    assert [problem.kind for problem in refusal.value.problems] == ["too-large"]


def test_monotonous_data_within_the_grace_is_no_bomb() -> None:
    zeros = {"acme/zeros.bin": bytes(archive.RATIO_GRACE_BYTES)}

    assert unpack(write_zip(raw_entries(zeros)), "x.whl") == zeros
