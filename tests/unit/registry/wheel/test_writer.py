import io
import zipfile

import pytest
from support.wheels import dist_info_of, wheel_filename, wheel_files

from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.writer import with_record, write_wheel

DIST_INFO = dist_info_of()


def infos(data: bytes) -> list[zipfile.ZipInfo]:
    return zipfile.ZipFile(io.BytesIO(data)).infolist()


def test_equal_files_give_equal_bytes_in_whatever_order_they_come() -> None:
    files = wheel_files()
    turned = dict(reversed(files.items()))

    one, other = (write_wheel(with_record(each, DIST_INFO)) for each in (files, turned))

    assert one == other


def test_metadata_stand_at_the_end_and_record_is_last() -> None:
    names = [info.filename for info in infos(write_wheel(with_record(wheel_files(), DIST_INFO)))]

    first_metadata = names.index(f"{DIST_INFO}/METADATA")
    assert all(name.startswith(DIST_INFO) for name in names[first_metadata:])
    assert not any(name.startswith(DIST_INFO) for name in names[:first_metadata])
    assert names[-1] == f"{DIST_INFO}/RECORD"


def test_entries_are_plain_files_of_1980() -> None:
    for info in infos(write_wheel({"a.py": b"x = 1\n"})):
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert info.external_attr >> 16 == 0o100644
        assert info.extra == b""
        assert info.flag_bits == 0


@pytest.mark.parametrize(
    ("epoch", "time"),
    [
        (0, (1980, 1, 1, 0, 0, 0)),
        (-1, (1980, 1, 1, 0, 0, 0)),
        (1_700_000_001, (2023, 11, 14, 22, 13, 20)),
        (10**12, (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_a_given_time_is_kept_within_what_a_zip_file_can_hold(
    epoch: int, time: tuple[int, ...]
) -> None:
    [info] = infos(write_wheel({"a.py": b""}, source_date_epoch=epoch))

    assert info.date_time == time


def test_an_old_record_is_replaced() -> None:
    files = {**wheel_files(), f"{DIST_INFO}/RECORD": b"wrong,,\n"}

    wheel = open_wheel(write_wheel(with_record(files, DIST_INFO)), wheel_filename())

    assert b"wrong" not in wheel.files[f"{DIST_INFO}/RECORD"]


def test_names_with_commas_are_quoted_in_record() -> None:
    files = {**wheel_files(), "acme_etl/data/a,b.csv": b"1"}

    wheel = open_wheel(write_wheel(with_record(files, DIST_INFO)), wheel_filename())

    assert b'"acme_etl/data/a,b.csv",' in wheel.files[f"{DIST_INFO}/RECORD"]
