"""Writes all rows of a store into one file, for whoever wants to look at them later."""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from cloacina_core.foundation.digest import Digest

_PAGE = 500


def dump(
    connection: Connection, tables: Iterable[Table], path: Path, head: Mapping[str, Any]
) -> None:
    """Write rows into a file that is there whole or not at all, and readable by its owner only.

    It is gzip; its first line is `head`, each further one a row with the name of its table, as JSON
    in UTF-8, where bytes are base64.

    Args:
        connection: in a transaction that sees one state.
        tables: whose rows are written.
        path: the file; one that is there is replaced.
        head: what is to be known before the rows.
    """
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
            packed.write(_encoded(head))
            for line in _rows(connection, tables):
                packed.write(_encoded(line))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def head_of(path: Path) -> Mapping[str, Any]:
    """Return what a file tells before its rows."""
    with gzip.open(path) as packed:
        head: Mapping[str, Any] = json.loads(packed.readline())
    return head


def digest_of_file(path: Path) -> Digest:
    """Return the digest of a file's bytes, however many they are."""
    with path.open("rb") as file:
        return Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")


def _rows(connection: Connection, tables: Iterable[Table]) -> Iterator[Mapping[str, Any]]:
    for table in tables:
        query = select(table).execution_options(yield_per=_PAGE)
        for row in connection.execute(query).mappings():
            yield {"table": table.name, "row": dict(row)}


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, default=_plain, ensure_ascii=False).encode() + b"\n"


def _plain(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    return str(value)
