"""Wheels from files: the same bytes for the same files, whoever builds them, whenever.

Order, times, modes and compression are fixed. The one thing left is the version of zlib: another
one may deflate to other bytes, with the same contents.
"""

import csv
import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from cloacina_registry.wheel.record import record_path, record_row

_Time: TypeAlias = tuple[int, int, int, int, int, int]
_EARLIEST: Final[_Time] = (1980, 1, 1, 0, 0, 0)
_LATEST: Final[_Time] = (2107, 12, 31, 23, 59, 58)
_REGULAR_FILE: Final = 0o100644 << 16
_UNIX = 3
_LEVEL = 9


def with_record(files: Mapping[str, bytes], dist_info: str) -> dict[str, bytes]:
    """Return the files with a RECORD that fits them, in place of any they had."""
    record = record_path(dist_info)
    contents = {path: files[path] for path in _in_order(files) if path != record}
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows(record_row(path, content) for path, content in contents.items())
    rows.writerow([record, "", ""])
    return {**contents, record: text.getvalue().encode()}


def write_wheel(files: Mapping[str, bytes], *, source_date_epoch: int | None = None) -> bytes:
    """Return a wheel with these files, as `open_wheel` accepts it when the files do.

    Args:
        files: contents by path; RECORD is written as given, see `with_record`.
        source_date_epoch: the time of all entries, in seconds since 1970 (reproducible-builds.org);
            None means the earliest time that a zip file can hold.
    """
    time = _EARLIEST if source_date_epoch is None else _zip_time(source_date_epoch)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for path in _in_order(files):
            entry = zipfile.ZipInfo(path, time)
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR_FILE
            archive.writestr(entry, files[path], zipfile.ZIP_DEFLATED, _LEVEL)
    return buffer.getvalue()


def _in_order(files: Mapping[str, bytes]) -> list[str]:
    """Return the paths sorted, with dist-info at the end and RECORD last, as PEP 427 recommends."""
    return sorted(files, key=lambda path: (".dist-info/" in path, path.endswith("/RECORD"), path))


def _zip_time(seconds: int) -> _Time:
    """Return a moment as zip files hold it: from 1980 to 2107, in steps of two seconds."""
    earliest, latest = (
        int(datetime(*time, tzinfo=UTC).timestamp()) for time in (_EARLIEST, _LATEST)
    )
    moment = datetime.fromtimestamp(min(max(seconds, earliest), latest) // 2 * 2, UTC)
    return (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
