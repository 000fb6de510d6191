"""RECORD: that it names exactly the contents of the wheel, with their digests and sizes.

Installers don't check it (PEP 815 says so of the usual ones), so a wrong RECORD goes unnoticed
until something relies on it. Here both directions are compared, and nothing is parsed that can be
compared as written: each file has exactly one right row.
"""

import csv
import hashlib
import io
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping

from cloacina_core.errors import Problem
from cloacina_registry.wheel.text import text_of

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
"""Deprecated by PEP 815: tools must not write them, installers should not look at them."""

_ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})


def record_path(dist_info: str) -> str:
    """Return where RECORD stands."""
    return f"{dist_info}/RECORD"


def record_row(path: str, content: bytes) -> list[str]:
    """Return the one right row of a file other than RECORD itself."""
    return [path, recorded_digest(content), str(len(content))]


def recorded_digest(content: bytes, algorithm: str = "sha256") -> str:
    """Return a digest as RECORD has it.

    Args:
        content: what to hash.
        algorithm: as the row names it; SHA-256 stands in for one that isn't good enough (PEP 427).
    """
    name = algorithm if algorithm in _ALGORITHMS else "sha256"
    digest = urlsafe_b64encode(hashlib.new(name, content).digest()).rstrip(b"=").decode()
    return f"{name}={digest}"


def record_problems(files: Mapping[str, bytes], dist_info: str) -> Iterator[Problem]:
    """Yield what is wrong with RECORD, which must be there."""
    where = record_path(dist_info)
    for name in _SIGNATURES:
        if f"{dist_info}/{name}" in files:
            message = f"{name} isn't accepted (PEP 815): packages are signed beside the wheel"
            yield Problem("record", message, where)
    text = text_of(files, where)
    if isinstance(text, Problem):
        yield text
        return
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from _row_problems(rows, files, where)
    except csv.Error as error:
        yield Problem("record", f"not CSV: {error}", where)


def _row_problems(
    rows: Iterable[list[str]], files: Mapping[str, bytes], where: str
) -> Iterator[Problem]:
    seen: set[str] = set()
    for row in rows:
        path = row[0] if row else ""
        if path in seen:
            yield Problem("record", f"{path[:240]!r} stands twice", where)
            continue  # each file is hashed once, however many rows it has
        seen.add(path)
        if path not in files:
            yield Problem("record", f"{path[:240]!r} isn't in the wheel", where)
        elif path == where:
            if row != [where, "", ""]:
                yield Problem("record", "the row of RECORD itself has more than its path", where)
        elif row != record_row(path, files[path]):
            message = f"the row of {path!r} isn't its path, sha256 digest and size"
            yield Problem("record", message, where)
    for path in files:
        if path not in seen:
            yield Problem("record", f"{path!r} isn't in RECORD", where)
