"""Wheels that are made to exhaust whoever opens them: 256 MiB and 5 s of processor time suffice.

The kernel holds each process to it (`support.limited_ingest`), so that nothing here measures time.
"""

import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import limited_ingest
from support.hostile import (
    DIST_INFO,
    ENTRIES,
    entry_points,
    with_file,
    with_flows,
    with_lock,
    with_metadata,
    with_params_schema,
)
from support.wheels import RawEntry, deflated, raw_entries, wheel_filename, wheel_files, write_zip

from cloacina_registry.wheel.archive import MAX_UNPACKED_BYTES
from cloacina_registry.wheel.framing import MAX_ENTRIES
from cloacina_registry.wheel.writer import with_record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for limits and peaks"),
]

MEBIBYTE = 1024 * 1024
Make = Callable[[], bytes]


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def wheel_of(files: Mapping[str, bytes], method: int = 0) -> bytes:
    """A wheel with a right RECORD. Nothing in it is compressed, so nothing looks like a bomb."""
    contents = with_record(files, DIST_INFO)
    return write_zip(
        [
            RawEntry(name=path.encode(), content=content, method=method, packed=packed)
            for path, content in contents.items()
            for packed in [deflated(content, 0) if method else None]
        ]
    )


def stored(data: bytes) -> bytes:
    """The same wheel, with nothing in it compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return write_zip(
        [RawEntry(name=name.encode(), content=files[name], method=0) for name in files]
    )


def largest(method: int) -> Make:
    """An archive of the largest size, nearly all of it one file."""
    content = MAX_UNPACKED_BYTES - MEBIBYTE
    return lambda: wheel_of({**wheel_files(), "acme_etl/a": noise(content)}, method)


def highest_ratio() -> bytes:
    """A small archive whose contents have the largest size, nearly at the ratio of a bomb."""
    block = noise(1_400).hex().encode() + b"0" * 60_000
    content = block * ((MAX_UNPACKED_BYTES - MEBIBYTE) // len(block))
    entry = RawEntry(name=b"acme_etl/a", content=content, packed=deflated(content, 1))
    return write_zip([*ENTRIES, entry])


def many_long_names() -> bytes:
    """As many entries as there may be, each as deep as a name can be."""
    deep = b"a/" * 112
    names = [b"acme_etl/%s%04d" % (deep, number) for number in range(MAX_ENTRIES)]
    return write_zip([RawEntry(name=name) for name in names])


def record_of_repeated_rows() -> bytes:
    """A RECORD that names a large file as often as it can, so that it would be hashed as often."""
    files = with_record({**wheel_files(), "acme_etl/a": noise(30 * MEBIBYTE)}, DIST_INFO)
    record = f"{DIST_INFO}/RECORD"
    files[record] += b"acme_etl/a,,\n" * 150_000
    return write_zip([replace(entry, method=0) for entry in raw_entries(files)])


def field(name: bytes, value: bytes) -> Make:
    return with_metadata("METADATA", b"Name:", name + b": " + value + b"\nName:")


def description(text: bytes) -> Make:
    return with_metadata("METADATA", b">=3.11\n", b">=3.11\n\n" + text)


def manifest(old: bytes, new: bytes) -> Make:
    return with_metadata("cloacina.json", old, new)


def sources(*contents: bytes) -> Make:
    files = {f"acme_etl/s{number}.py": content for number, content in enumerate(contents)}
    return lambda: wheel_of({**wheel_files(), **files})


def filled(part: bytes, size: int = MEBIBYTE) -> bytes:
    return part * (size // len(part))


def everything_at_once() -> bytes:
    """Each part of a wheel as costly as it can be without being refused for its size."""
    files = {
        **wheel_files(lock=b'lock-version = "1.0"\nx = [' + b"1," * 250_000 + b"]\n"),
        **{f"acme_etl/s{n}.py": filled(b"def f():0\n") for n in range(7)},
        "acme_etl/noise": noise(40 * MEBIBYTE),
    }
    path = f"{DIST_INFO}/METADATA"
    marker = b" and ".join([b"os_name=='a'"] * 500)
    requirements = b"Requires-Dist: x; " + marker + b"\n"
    files[path] = files[path].replace(b"Name:", requirements * 48 + b"Name:")
    files[f"{DIST_INFO}/entry_points.txt"] = b"".join(b"[%d]\n" % n for n in range(9_000))
    path = f"{DIST_INFO}/cloacina.json"
    files[path] = files[path].replace(
        b'"capabilities": null', b'"capabilities": [' + b'"a",' * 200_000
    )
    return wheel_of(files)


ARCHIVE_ATTACKS: Mapping[str, tuple[str | None, Make]] = {
    "one large stored file": (None, largest(method=0)),
    "one large deflated file": (None, largest(method=8)),
    "the highest ratio": ("record", highest_ratio),
    "a bomb that says what it is": (
        "bomb",
        with_flows(packed=deflated(bytes(60 * MEBIBYTE)), size=60 * MEBIBYTE),
    ),
    "a bomb that says it is small": (
        "zip-data",
        with_flows(packed=deflated(bytes(200 * MEBIBYTE))),
    ),
    "many long names": ("dist-info", many_long_names),
}

CONTENT_ATTACKS: Mapping[str, tuple[str | None, Make]] = {
    "a row of RECORD again and again": ("record", record_of_repeated_rows),
    "a content type of many parts": (
        "too-large",
        field(b"Description-Content-Type", b"text/plain; " * 100_000),
    ),
    "a content type as long as it may be": (
        "metadata",
        field(b"Description-Content-Type", b'text/plain; a*0="x";' * 400),
    ),
    "as many fields as there may be": (
        "metadata",
        field(b"X", b"1\n" + b"".join(b"X%d: 1\n" % n for n in range(1_990)) + b"Y: 1"),
    ),
    "one field as often as it may be": (
        None,
        field(b"Platform", b"a\n" + b"Platform: a\n" * 1_990 + b"Platform: a"),
    ),
    "long markers": (
        "lock",
        field(
            b"Requires-Dist",
            b"x\n"
            + b"\n".join([b"Requires-Dist: x; " + b" and ".join([b"os_name=='a'"] * 500)] * 48),
        ),
    ),
    "a long description": (None, description(filled(b"x\n", 2 * MEBIBYTE - 300))),
    "a description of empty lines": (None, description(filled(b"\r", 2 * MEBIBYTE - 300))),
    "a description that looks like parts": (
        None,
        description(filled(b"--x\nA: b\n\n", 2 * MEBIBYTE - 300)),
    ),
    "WHEEL of many tags": (
        "too-large",
        with_metadata("WHEEL", b"Tag:", filled(b"Tag: a-b-c\n") + b"Tag:"),
    ),
    "WHEEL as large as it may be": (
        "wheel-file",
        with_metadata("WHEEL", b"Tag:", filled(b"Tag: a-b-c\n", 60_000) + b"Tag:"),
    ),
    "entry points of many groups": (
        "entry-points",
        entry_points("".join(f"[{n}]\n" for n in range(9_000))),
    ),
    "entry points, many": (
        "entry-points",
        entry_points("[cloacina.workflows]\n" + "".join(f"a{n}=b:c\n" for n in range(5_000))),
    ),
    "entry points of spaces": (
        "entry-points",
        entry_points("[cloacina.workflows]\na" + " " * 60_000 + "\n"),
    ),
    "a lock with a dotted key": ("lock", with_lock(b"a" + b".a" * 20_000 + b"=1\n", b"x")),
    "a lock of many dotted keys": (
        "lock",
        with_lock(b"".join(b"a." * 190 + b"b%d=1\n" % n for n in range(1_200)), b"x"),
    ),
    "a lock of numbers": ("lock", with_lock(b"x=[" + b"1," * 250_000 + b"]", b"x")),
    "a deep lock": ("lock", with_lock(b"x=" + b"{a=" * 150_000, b"x")),
    "a deep manifest": ("manifest", with_file(f"{DIST_INFO}/cloacina.json", b"[" * MEBIBYTE)),
    "a deep object": ("manifest", with_file(f"{DIST_INFO}/cloacina.json", filled(b'{"a":'))),
    "a manifest with a long key": (
        "manifest",
        with_file(
            f"{DIST_INFO}/cloacina.json",
            b'{"' + b"k" * 500_000 + b'": [' + b"0," * 250_000 + b"0]}",
        ),
    ),
    "a manifest of wrong things": (
        "manifest",
        manifest(b'"capabilities": null', b'"capabilities": [' + b"0," * 500_000 + b'"a"]'),
    ),
    "a manifest of many names": (
        "manifest",
        manifest(b'"capabilities": null', b'"capabilities": [' + b'"a b",' * 170_000 + b'"a"]'),
    ),
    "tasks after many": (
        "manifest",
        manifest(b'"after": [', b'"after": [' + b'"a",' * 250_000 + b'"a"'),
    ),
    "a schema to compare for ever": ("manifest", with_params_schema(required=[1, "a"] * 100_000)),
    "a schema of many small lists": (
        "manifest",
        with_params_schema(anyOf=[{"required": [1, "a"] * 20}] * 5_000),
    ),
    "a schema of many alternatives": (None, with_params_schema(anyOf=[{}] * 900)),
    "a schema with a long pattern": (None, with_params_schema(pattern="a|" * 100_000)),
    "a schema with repeated patterns": (None, with_params_schema(pattern="(a{1,9}){1,9}" * 20_000)),
    "a deep schema": ("manifest", with_params_schema(pattern="(" * 100_000)),
    "long lines": ("source", sources(*[filled(b"x,")] * 7)),
    "sources as large as they may be": (None, sources(*[filled(b"# a\n")] * 7)),
    "many functions": ("source", sources(*[filled(b"def f():0\n")] * 7)),
    "many substitutions": ("source", sources(b"x=f'" + filled(b"{x}", MEBIBYTE - 9) + b"'")),
    "deep brackets": ("source", sources(filled(b"("))),
    "deep signs": ("source", sources(b"x=" + filled(b"-", MEBIBYTE - 9) + b"1")),
    "folded constants": ("source", sources(b"x=(" + filled(b"'a'*4000,", MEBIBYTE - 9) + b")")),
    "everything at once": ("entry-points", everything_at_once),
}

ATTACKS = {**ARCHIVE_ATTACKS, **CONTENT_ATTACKS}


class LimitedProcess:
    """Opens wheels within limits, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "attack.whl"
        self._process = subprocess.Popen(
            [sys.executable, limited_ingest.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def open(self, data: bytes) -> dict[str, Any]:
        """Return what became of a wheel."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._path.write_bytes(data)
        print(json.dumps([str(self._path), wheel_filename()]), file=self._process.stdin, flush=True)
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LimitedProcess]:
    process = LimitedProcess(tmp_path_factory.mktemp("limited"))
    yield process
    process.close()


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_exhausting_wheel_is_judged_within_limits(attack: str, limited: LimitedProcess) -> None:
    kind, make = ATTACKS[attack]

    data = make()
    told = limited.open(stored(data) if attack in CONTENT_ATTACKS else data)

    assert "kinds" in told, told
    assert (kind in told["kinds"]) if kind else not told["kinds"]
    assert told["peak_kb"] * 1024 <= limited_ingest.MEMORY_LIMIT
