"""Values that must not get out, and the search for them in any form that they may have taken."""

import base64
import gzip
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy import MetaData, select

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.store.database import Database

CANARY, TOKEN = 'k4narien-"vögel"/sing+en %41&?=', "Zeisig7Xq9Lm2Rt5"
VALUES = {"canary": CANARY, "token": TOKEN}


def needles(values: Mapping[str, str] = VALUES) -> dict[str, bytes]:
    """Return the forms that values must not be found in, spelled out."""
    found: dict[str, bytes] = {}
    for name, value in values.items():
        data = value.encode()
        found |= {
            f"{name} plain": data,
            f"{name} hex": data.hex().encode(),
            f"{name} HEX": data.hex().upper().encode(),
            f"{name} JSON": json.dumps(value)[1:-1].encode(),
            f"{name} URL": quote(value, safe="").encode(),
            f"{name} query": quote_plus(value).encode(),
            f"{name} repr": repr(data)[2:-1].encode(),
            f"{name} half": data[:10],
            f"{name} other half": data[-10:],
        }
        for shift in range(3):
            letters = base64.b64encode(b"x" * shift + data + b"x" * 3)[4:-8]
            found[f"{name} Base64 {shift}"] = letters
            found[f"{name} Base64 for URLs {shift}"] = letters.translate(
                bytes.maketrans(b"+/", b"-_")
            )
    return found


_NEEDLES = needles()


def found_in(data: bytes) -> list[str]:
    """Return the forms of secrets that stand in data, ends of lines left out."""
    flat = data.replace(b"\n", b"").replace(b"\\n", b"")
    return [form for form, needle in _NEEDLES.items() if needle in data or needle in flat]


def found_below(folder: Path) -> dict[Path, list[str]]:
    """Return the forms of secrets that stand in the files of a folder, for each that has any."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, f"there is nothing to search in {folder}"
    found = {path: [form for data in _unpacked(path) for form in found_in(data)] for path in files}
    return {path: forms for path, forms in found.items() if forms}


def _unpacked(path: Path) -> Iterator[bytes]:
    """Yield what is in a file, and what is compressed in it."""
    yield path.read_bytes()
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())


def dumped(url: str) -> bytes:
    """Return all that is in the tables of a store."""
    parts: list[bytes] = []
    with closing(Database(url, SystemClock())) as database, database.read() as connection:
        tables = MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            for row in connection.execute(select(table)):
                parts += [
                    bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    for value in row
                ]
    return b"\n".join(parts)
