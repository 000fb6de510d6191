"""Hostile wheels, and the kind of problem for which each is refused.

The number before the name of an attack is its row in the table of hostile inputs, which stands in
`tests/unit/registry/test_hostile_table.py`.
"""

import random
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from support.wheels import (
    RawEntry,
    build_wheel,
    deflated,
    dist_info_of,
    make_manifest,
    raw_entries,
    wheel_files,
    workflow_definition,
    write_zip,
)

from cloacina_registry.manifest import MAX_MANIFEST_BYTES, ManifestWorkflow
from cloacina_registry.wheel.framing import MAX_ENTRIES
from cloacina_registry.wheel.metadata import MAX_FIELD_LENGTH
from cloacina_registry.wheel.sources import MAX_SOURCE_BYTES
from cloacina_registry.wheel.text import MAX_METADATA_BYTES
from cloacina_registry.wheel.writer import with_record, write_wheel

DIST_INFO = dist_info_of()
FILES = with_record(wheel_files(), DIST_INFO)
ENTRIES = raw_entries(FILES)
FLOWS = next(entry for entry in ENTRIES if entry.name == b"acme_etl/flows.py")

LOCK_OF_NOTHING = b'lock-version = "1.0"\npackages = []\n'
LOCK_OF_REQUESTS = (
    b'lock-version = "1.0"\n[[packages]]\nname = "requests"\nversion = "2.32"\n'
    b'wheels = [{ url = "https://x.invalid/x.whl", hashes = { sha256 = "' + b"ab" * 32 + b'" } }]\n'
)

Attack = Callable[[], bytes]


def with_entry(**fields: Any) -> Attack:
    """The good archive, and one entry more."""
    return lambda: write_zip([*ENTRIES, RawEntry(**fields)])


def with_flows(**changes: Any) -> Attack:
    """The good archive, in which the entry of flows.py says something else."""
    return lambda: write_zip(
        [replace(entry, **changes) if entry is FLOWS else entry for entry in ENTRIES]
    )


def with_file(path: str, content: bytes = b"") -> Attack:
    """A well-formed archive with a right RECORD, and one file more or other."""
    return lambda: write_wheel(with_record({**wheel_files(), path: content}, DIST_INFO))


def with_metadata(name: str, old: bytes, new: bytes) -> Attack:
    """A well-formed archive with a right RECORD, with something replaced in a metadata file."""

    def make() -> bytes:
        files = wheel_files()
        path = f"{DIST_INFO}/{name}"
        assert old in files[path]
        return write_wheel(with_record({**files, path: files[path].replace(old, new)}, DIST_INFO))

    return make


def without(name: str) -> Attack:
    """A wheel without one of its metadata files."""

    def make() -> bytes:
        files = dict(FILES)
        del files[f"{DIST_INFO}/{name}"]
        return write_wheel(files if name == "RECORD" else with_record(files, DIST_INFO))

    return make


def with_record_text(change: Callable[[str], str]) -> Attack:
    """A well-formed archive in which RECORD says something else."""
    path = f"{DIST_INFO}/RECORD"
    return lambda: write_wheel({**FILES, path: change(FILES[path].decode()).encode()})


def flows_row() -> str:
    record = FILES[f"{DIST_INFO}/RECORD"].decode()
    return next(row for row in record.splitlines() if row.startswith("acme_etl/flows.py"))


def entry_points(text: str) -> Attack:
    return with_file(f"{DIST_INFO}/entry_points.txt", text.encode())


def with_lock(lock: bytes | None, requirement: bytes) -> Attack:
    """A wheel that requires something, with a lock that the manifest knows."""

    def make() -> bytes:
        files = wheel_files(lock=lock)
        path = f"{DIST_INFO}/METADATA"
        files[path] = files[path].replace(b"Name:", b"Requires-Dist: " + requirement + b"\nName:")
        return write_wheel(with_record(files, DIST_INFO))

    return make


def with_params_schema(**schema: Any) -> Attack:
    """A wheel whose workflow has a schema of params."""
    definition = replace(workflow_definition(), params_schema=schema)
    workflows = (ManifestWorkflow("acme_etl.flows:nightly", definition),)
    return lambda: build_wheel(manifest=replace(make_manifest(), workflows=workflows))


def noise(size: int) -> bytes:
    """Return text that hardly compresses, so that it is large without being a bomb."""
    return random.Random(7).randbytes(size // 2).hex().encode()


def overlapping() -> bytes:
    """One local header and its data, named by three directory entries."""
    first = RawEntry(name=b"acme_etl/a.py", content=b"x = 1\n")
    shared = replace(first, in_body=False, header_at=0)
    return write_zip([first, shared, shared])


def hidden_between() -> bytes:
    return write_zip([replace(ENTRIES[0], behind=b"hidden"), *ENTRIES[1:]])


def shifted_prefix() -> bytes:
    """A prefix that the offsets know nothing of, as a self-extracting archive has."""
    return b"#!/bin/sh\n" + write_zip(ENTRIES)


def only_in_directory() -> bytes:
    """A directory entry that points behind the last entry, where the directory begins."""
    end = len(write_zip(ENTRIES)) - len(write_zip([])) - sum(46 + len(e.name) for e in ENTRIES)
    ghost = RawEntry(name=b"acme_etl/ghost.py", in_body=False, header_at=end)
    return write_zip([*ENTRIES, ghost])


def local_flag_hides_a_name() -> bytes:
    """The local header alone speaks of a data descriptor, and names another file."""
    return with_flows(local={"flags": 0x08, "name": b"acme_etl/other.py"})()


ZIP_ATTACKS: Mapping[str, tuple[str, Attack]] = {
    "01 parent path": ("path", with_entry(name=b"../evil.py")),
    "02 absolute path": ("path", with_entry(name=b"/tmp/x")),
    "03 backslash": ("path", with_entry(name=b"acme_etl\\evil.py")),
    "04 drive": ("path", with_entry(name=b"C:/x")),
    "05 same name twice": ("duplicate", with_entry(name=b"acme_etl/flows.py")),
    "06 same name by case": ("duplicate", with_entry(name=b"acme_etl/FLOWS.py")),
    "06 same folder by case": ("duplicate", with_entry(name=b"Acme_etl/other.py")),
    "07 decomposed letter": ("path", with_entry(name="acme_etl/cafe\u0301.py".encode())),
    "07 composed letter": ("path", with_entry(name="acme_etl/caf\u00e9.py".encode())),
    "07 right-to-left override": ("path", with_entry(name="acme_etl/\u202eyp.txt".encode())),
    "08 local name differs": ("zip-mismatch", with_flows(local={"name": b"acme_etl/evils.py"})),
    "08 local flag hides a name": ("zip-mismatch", local_flag_hides_a_name),
    "09 only in local headers": ("zip-layout", with_entry(name=b"x.py", in_directory=False)),
    "10 only in the directory": ("zip-mismatch", only_in_directory),
    "11 wrong checksum": ("zip-data", with_flows(checksum=1)),
    "12 local size differs": ("zip-mismatch", with_flows(local={"size": 7})),
    "13 size too small": ("zip-data", with_flows(size=10)),
    "13 size too large": ("zip-data", with_flows(size=10_000)),
    "14 too large": ("too-large", with_flows(size=2**31)),
    "14 bomb by sizes alone": ("bomb", with_flows(size=60_000_000)),
    "14 bomb": ("bomb", with_entry(name=b"acme_etl/zeros", content=bytes(5_000_000))),
    "15 overlapping entries": ("zip-layout", overlapping),
    "16 trailing data": ("zip-framing", lambda: write_zip(ENTRIES) + b"x"),
    "16 comment": ("zip-framing", lambda: write_zip(ENTRIES, comment=b"hello")),
    "17 prefix in the offsets": ("zip-layout", lambda: write_zip(ENTRIES, prefix=b"#!/bin/sh\n")),
    "17 prefix": ("zip-framing", shifted_prefix),
    "18 zip in the comment": (
        "zip-framing",
        lambda: write_zip(ENTRIES, comment=write_zip(ENTRIES[:1])),
    ),
    "18 two zips joined": ("zip-framing", lambda: write_zip(ENTRIES) + write_zip(ENTRIES)),
    "19 count too small": ("zip-framing", lambda: write_zip(ENTRIES, count=len(ENTRIES) - 1)),
    "19 count too large": ("zip-framing", lambda: write_zip(ENTRIES, count=len(ENTRIES) + 1)),
    "20 data descriptor": ("zip-flags", with_flows(flags=0x08, behind=bytes(16))),
    "20 encrypted": ("zip-flags", with_flows(flags=0x01)),
    "20 patched data": ("zip-flags", with_flows(flags=0x20)),
    "21 bzip2": ("zip-method", with_flows(method=12, packed=b"x")),
    "21 lzma": ("zip-method", with_flows(method=14, packed=b"x")),
    "21 zip64": ("zip-method", with_flows(version=45)),
    "22 symlink": ("file-type", with_flows(attributes=(stat.S_IFLNK | 0o777) << 16)),
    "22 device": ("file-type", with_flows(attributes=(stat.S_IFCHR | 0o600) << 16)),
    "22 called a directory": ("file-type", with_flows(attributes=0x10)),
    "23 setuid": ("file-type", with_flows(attributes=(stat.S_IFREG | 0o4755) << 16)),
    "24 NUL": ("path", with_entry(name=b"acme_etl/flows.py\x00.txt")),
    "24 newline": ("path", with_entry(name=b"acme_etl/a\nb.py")),
    "24 not UTF-8": ("path", with_entry(name=b"acme_etl/\xff.py")),
    "25 Unicode path field": (
        "zip-framing",
        with_flows(extra=b"\x75\x70\x05\x00\x01\x00\x00\x00\x00"),
    ),
    "25 local extra field": ("zip-framing", with_flows(local_extra=b"\x00\x00\x00\x00")),
    "25 entry comment": ("zip-framing", with_flows(comment=b"hello")),
    "26 device name": ("path", with_entry(name=b"acme_etl/CON.py")),
    "26 aux": ("path", with_entry(name=b"acme_etl/aux")),
    "26 trailing dot": ("path", with_entry(name=b"acme_etl/flows.py.")),
    "26 trailing space": ("path", with_entry(name=b"acme_etl/flows.py ")),
    "27 file and folder": ("duplicate", with_entry(name=b"acme_etl/flows.py/x.py")),
    "27 folder and file": ("duplicate", with_entry(name=b"acme_etl")),
    "28 too many entries": (
        "too-many-entries",
        lambda: write_zip([RawEntry(name=b"x%d" % n) for n in range(MAX_ENTRIES + 1)]),
    ),
    "28 30,000 entries": (
        "too-many-entries",
        lambda: write_zip([RawEntry(name=b"x%d" % n) for n in range(30_000)]),
    ),
    "29 long part": ("path", with_entry(name=b"acme_etl/" + b"a" * 400)),
    "29 long path": ("path", with_entry(name=b"acme_etl/" + b"abc/" * 100 + b"x.py")),
    "29 dot": ("path", with_entry(name=b"acme_etl/./x.py")),
    "29 double slash": ("path", with_entry(name=b"acme_etl//x.py")),
    "30 no bytes": ("zip-framing", lambda: b""),
    "30 empty zip": ("zip-framing", lambda: write_zip([])),
    "30 truncated": ("zip-framing", lambda: write_zip(ENTRIES)[:-1]),
    "31 hidden bytes": ("zip-layout", hidden_between),
    "32 directory with data": ("zip-layout", with_entry(name=b"acme_etl/d/", content=b"x")),
    "33 stream ends early": ("zip-data", with_flows(packed=deflated(FLOWS.content)[:-4])),
    "33 junk after the stream": ("zip-data", with_flows(packed=deflated(FLOWS.content) + b"junk")),
    "33 not a stream": ("zip-data", with_flows(packed=b"\xff" * 40)),
    "33 stored, other size": ("zip-data", with_flows(method=0, packed=b"short")),
}

METADATA_ATTACKS: Mapping[str, tuple[str, Attack]] = {
    "34 other name": ("metadata", with_metadata("METADATA", b"acme-etl", b"acme-elt")),
    "34 other version": ("metadata", with_metadata("METADATA", b"Version: 1.0", b"Version: 1.1")),
    "35 second dist-info": ("dist-info", with_file("other-2.0.dist-info/METADATA", b"Name: other")),
    "35 dist-info by case": ("dist-info", with_file("other-2.0.Dist-Info/METADATA", b"Name: o")),
    "35 egg-info": ("dist-info", with_file("other.egg-info/PKG-INFO", b"Name: other")),
    "38 other tag": ("wheel-file", with_metadata("WHEEL", b"py3-none", b"py2-none")),
    "38 Wheel-Version 2.0": ("wheel-file", with_metadata("WHEEL", b"on: 1.0", b"on: 2.0")),
    "38 Root-Is-Purelib twice": (
        "wheel-file",
        with_metadata("WHEEL", b"Tag:", b"Root-Is-Purelib: false\nTag:"),
    ),
    "39 Root-Is-Purelib false": ("not-pure", with_metadata("WHEEL", b"true", b"false")),
    "40 no WHEEL": ("dist-info", without("WHEEL")),
    "40 no METADATA": ("dist-info", without("METADATA")),
    "40 no RECORD": ("dist-info", without("RECORD")),
    "41 Name twice": ("metadata", with_metadata("METADATA", b"Name:", b"Name: x\nName:")),
    "41 unknown version": ("metadata", with_metadata("METADATA", b"2.4", b"9.9")),
    "41 unknown field": ("metadata", with_metadata("METADATA", b"Name:", b"X-Evil: 1\nName:")),
    "41 direct reference": (
        "metadata",
        with_metadata("METADATA", b"Name:", b"Requires-Dist: x @ https://x.invalid/x.whl\nName:"),
    ),
    "41 requirement nested deeply": (
        "metadata",
        with_metadata(
            "METADATA",
            b"Name:",
            b"Requires-Dist: x; " + b"(" * 4_000 + b"os_name=='a'" + b")" * 4_000 + b"\nName:",
        ),
    ),
    "41 long summary": ("metadata", with_metadata("METADATA", b"A pack", b"A " * 256 + b"pack")),
    "41 read as a message of parts": (
        "metadata",
        with_metadata("METADATA", b"Name:", b"Content-Type: multipart/mixed; boundary=x\nName:"),
    ),
    "41 bad requirement": (
        "metadata",
        with_metadata("METADATA", b"Name:", b"Requires-Dist: x >>> 1\nName:"),
    ),
    "42 huge METADATA": (
        "too-large",
        with_metadata("METADATA", b"Name:", b"Author: " + noise(MAX_METADATA_BYTES) + b"\nName:"),
    ),
    "42 METADATA of 30 MB": (
        "bomb",
        with_metadata("METADATA", b"Name:", b"Author: " + bytes(30_000_000) + b"\nName:"),
    ),
    "42 METADATA with a long field": (
        "too-large",
        with_metadata("METADATA", b"Name:", b"Author: " + noise(MAX_FIELD_LENGTH) + b"\nName:"),
    ),
    "42 METADATA with a long folded field": (
        "too-large",
        with_metadata("METADATA", b"Name:", b"Author: x\n" + b" y\n" * 6_000 + b"Name:"),
    ),
    "42 METADATA of many long fields": (
        "too-large",
        with_metadata(
            "METADATA", b"Name:", (b"Platform: " + noise(8_000) + b"\n") * 100 + b"Name:"
        ),
    ),
    "42 METADATA of countless fields": (
        "too-large",
        with_metadata(
            "METADATA", b"Name:", b"".join(b"X%d: %d\n" % (n, n) for n in range(2_000)) + b"Name:"
        ),
    ),
    "38 tags that expand to billions": (
        "wheel-file",
        with_metadata("WHEEL", b"py3-none-any", b"-".join([b".".join([b"a"] * 3_000)] * 3)),
    ),
    "43 METADATA not UTF-8": ("encoding", with_metadata("METADATA", b"tests", b"t\xe9sts")),
    "43 entry points not UTF-8": (
        "encoding",
        with_file(f"{DIST_INFO}/entry_points.txt", b"[cloacina.workflows]\n\xff = a:b\n"),
    ),
    "45 file not in RECORD": (
        "record",
        lambda: write_wheel({**FILES, "acme_etl/extra.py": b""}),
    ),
    "45 row without file": ("record", with_record_text(lambda text: text + "acme_etl/no.py,,\n")),
    "46 wrong hash": ("record", with_record_text(lambda text: text.replace("sha256=", "sha256=A"))),
    "46 wrong size": (
        "record",
        with_record_text(lambda text: text.replace(flows_row(), flows_row() + "0")),
    ),
    "46 no hash": (
        "record",
        with_record_text(lambda text: text.replace(flows_row(), "acme_etl/flows.py,,")),
    ),
    "46 md5": ("record", with_record_text(lambda text: text.replace("sha256=", "md5="))),
    "46 not CSV": ("record", with_record_text(lambda text: text + '"never closed')),
    "47 row twice": ("record", with_record_text(lambda text: text + flows_row() + "\n")),
    "47 escaping row": ("record", with_record_text(lambda text: text + "../evil.py,,\n")),
    "47 RECORD with a hash": (
        "record",
        with_record_text(lambda text: text.replace("/RECORD,,", "/RECORD,sha256=x,1")),
    ),
    "48 RECORD.jws": ("record", with_file(f"{DIST_INFO}/RECORD.jws", b"{}")),
    "48 RECORD.p7s": ("record", with_file(f"{DIST_INFO}/RECORD.p7s", b"x")),
    "59 direct_url.json": ("dist-info", with_file(f"{DIST_INFO}/direct_url.json", b"{}")),
    "59 INSTALLER": ("dist-info", with_file(f"{DIST_INFO}/INSTALLER", b"pip")),
    "86 version with v": (
        "version",
        with_metadata("METADATA", b"Version: 1.0", b"Version: v1.0"),
    ),
    "86 post release as 1.0-1": (
        "version",
        with_metadata("METADATA", b"Version: 1.0", b"Version: 1.0-1"),
    ),
}

CONTENT_ATTACKS: Mapping[str, tuple[str, Attack]] = {
    "49 .pth": ("startup-file", with_file("acme.pth", b"import os")),
    "49 .start": ("startup-file", with_file("acme_etl/acme.start", b"x:y")),
    "50 scripts": ("data-dir", with_file("acme_etl-1.0.data/scripts/run", b"#!python")),
    "50 purelib": ("data-dir", with_file("acme_etl-1.0.data/purelib/os.py", b"")),
    "50 data": ("data-dir", with_file("acme_etl-1.0.data/data/etc/x.conf", b"")),
    "50 of another package": ("data-dir", with_file("other-2.0.DATA/purelib/x.py", b"")),
    "51 shared object": ("native", with_file("acme_etl/fast.cpython-311.so", b"")),
    "51 versioned library": ("native", with_file("acme_etl/libfast.so.1.2", b"")),
    "51 ELF called png": ("native", with_file("acme_etl/logo.png", b"\x7fELF\x02\x01")),
    "51 LLVM bitcode called csv": ("native", with_file("acme_etl/a.csv", b"BC\xc0\xde")),
    "51 Windows program called txt": (
        "native",
        with_file("acme_etl/a.txt", b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0"),
    ),
    "52 bytecode": ("bytecode", with_file("acme_etl/flows.pyc", b"")),
    "52 cache folder": ("bytecode", with_file("acme_etl/__pycache__/flows.cpython-311.pyc", b"")),
    "53 json": ("shadow", with_file("json/__init__.py")),
    "53 sitecustomize": ("shadow", with_file("sitecustomize.py")),
    "53 the core": ("shadow", with_file("cloacina_core/__init__.py")),
    "53 what the core runs on": ("shadow", with_file("sqlalchemy/__init__.py")),
    "53 an older Python's": ("shadow", with_file("distutils/__init__.py")),
    "53 a newer Python's": ("shadow", with_file("compression/__init__.py")),
    "53 by case": ("shadow", with_file("Cloacina_Core/__init__.py")),
    "54 undeclared": ("top-level", with_file("requests/__init__.py")),
    "54 undeclared module": ("top-level", with_file("helpers.py")),
    "54 not a module": ("top-level", with_file("README.md", b"# Hello")),
    "54 module and package": ("top-level", with_file("acme_etl.py")),
    "54 inner module and package": ("top-level", with_file("acme_etl/flows/__init__.py")),
    "55 console scripts": (
        "entry-points",
        entry_points(
            "[cloacina.workflows]\nnightly = acme_etl.flows:nightly\n"
            "[console_scripts]\nx = acme_etl.flows:nightly\n"
        ),
    ),
    "55 foreign group": (
        "entry-points",
        entry_points(
            "[cloacina.workflows]\nnightly = acme_etl.flows:nightly\n"
            "[cloacina]\nplugin = acme_etl.flows\n"
        ),
    ),
    "56 of another package": (
        "entry-points",
        entry_points("[cloacina.workflows]\nrival/nightly = acme_etl.flows:nightly\n"),
    ),
    "56 with a version": (
        "entry-points",
        entry_points("[cloacina.workflows]\nnightly==1.0 = acme_etl.flows:nightly\n"),
    ),
    "57 countless sections": (
        "entry-points",
        entry_points("".join(f"[{n}]\n" for n in range(9_000))),
    ),
    "57 outside the wheel": ("entry-points", entry_points("[cloacina.workflows]\nx = os:system\n")),
    "57 path-like name": (
        "entry-points",
        entry_points("[cloacina.workflows]\n../x = acme_etl.flows:nightly\n"),
    ),
    "57 twice": (
        "entry-points",
        entry_points("[cloacina.workflows]\n" + "nightly = acme_etl.flows:nightly\n" * 2),
    ),
    "57 section twice": (
        "entry-points",
        entry_points("[cloacina.workflows]\nnightly = acme_etl.flows:nightly\n" * 2),
    ),
    "57 folded line": (
        "entry-points",
        entry_points("[cloacina.workflows]\nnightly = acme_etl.flows:nightly\n  :other\n"),
    ),
    "57 colon for equals": (
        "entry-points",
        entry_points("[cloacina.workflows]\nnightly: acme_etl.flows:nightly\n"),
    ),
    "57 extras": (
        "entry-points",
        entry_points("[cloacina.workflows]\nnightly = acme_etl.flows:nightly [x]\n"),
    ),
    "57 before any section": ("entry-points", entry_points("nightly = acme_etl.flows:nightly\n")),
    "57 none": ("entry-points", entry_points("[cloacina.workflows]\n")),
    "57 no file": ("entry-points", without("entry_points.txt")),
    "58 does not parse": ("source", with_file("acme_etl/bad.py", b"def")),
    "58 NUL": ("source", with_file("acme_etl/bad.py", b"x = 1\x00")),
    "58 deep brackets": ("source", with_file("acme_etl/bad.py", b"(" * 5_000 + b")" * 5_000)),
    "58 deep signs": ("source", with_file("acme_etl/bad.py", b"x = " + b"-" * 50_000 + b"1")),
    "58 long sum": ("source", with_file("acme_etl/bad.py", b"x = 1" + b" + 1" * 100_000)),
    "58 other encoding": (
        "source",
        with_file("acme_etl/bad.py", b"# coding: utf-7\n+AGkAbQBwAG8AcgB0- os\n"),
    ),
    "58 not UTF-8": ("source", with_file("acme_etl/bad.py", b"x = '\xe9'\n")),
    "58 unknown encoding": ("source", with_file("acme_etl/bad.py", b"# coding: x\n")),
    "58 return at the top": ("source", with_file("acme_etl/bad.py", b"return 1\n")),
    "58 takes all memory": (
        "source",
        with_file("acme_etl/bad.py", b"x = [" + b"''," * 300_000 + b"]"),
    ),
    "58 too many altogether": (
        "source",
        lambda: write_wheel(
            with_record(
                {
                    **wheel_files(),
                    **{f"acme_etl/{n}.py": b"# " + noise(1_000_000) for n in range(9)},
                },
                DIST_INFO,
            )
        ),
    ),
    "58 too large": ("source", with_file("acme_etl/bad.py", b"# " + noise(MAX_SOURCE_BYTES))),
    "84 lock of other bytes": (
        "lock",
        lambda: write_wheel(
            with_record(
                {**wheel_files(lock=b"good"), f"{DIST_INFO}/pylock.toml": b"evil"}, DIST_INFO
            )
        ),
    ),
    "84 required and not locked": ("lock", with_lock(LOCK_OF_NOTHING, b"requests")),
    "84 required and no lock": ("lock", with_lock(None, b"requests")),
    "84 other version locked": ("lock", with_lock(LOCK_OF_REQUESTS, b"requests>=3")),
    "84 locked without a digest": (
        "lock",
        with_lock(LOCK_OF_REQUESTS.replace(b"sha256", b"sha1"), b"requests"),
    ),
    "84 not a lock": ("lock", with_lock(b"<lock/>", b"requests")),
    "84 nested deeply": ("lock", with_lock(b"x=" + b"[" * 100_000, b"requests")),
    "84 keys of countless parts": ("lock", with_lock(b"a" + b".a" * 20_000 + b"=1\n", b"requests")),
    "84 lock unknown to the manifest": ("lock", with_file(f"{DIST_INFO}/pylock.toml", b"evil")),
    "83 unknown api": ("incompatible", with_metadata("cloacina.json", b'"1"', b'"2"')),
    "85 arbitrary equality": ("specifier", with_metadata("METADATA", b">=3.11", b"===3.11")),
    "85 arbitrary equality in a requirement": (
        "specifier",
        with_metadata("METADATA", b"Name:", b"Requires-Dist: x===1.0\nName:"),
    ),
    "85 arbitrary equality in the manifest": (
        "specifier",
        with_metadata("cloacina.json", b'">=0.1"', b'"===0.1"'),
    ),
    "85 URL": ("specifier", with_metadata("cloacina.json", b'">=0.1"', b'"@ https://x.invalid"')),
    "85 long": (
        "specifier",
        with_metadata("cloacina.json", b'">=0.1"', b'">=' + b"1" * 10_000 + b'"'),
    ),
    "85 long in a requirement": (
        "specifier",
        with_metadata("METADATA", b"Name:", b"Requires-Dist: x>=" + b"1" * 9_000 + b"\nName:"),
    ),
    "86 trailing space": ("version", with_metadata("cloacina.json", b'"1.0"', b'"1.0 "')),
    "86 number beyond all measure": (
        "version",
        with_metadata("METADATA", b"n: 1.0", b"n: " + b"1" * 9_000),
    ),
    "86 v in the manifest": ("version", with_metadata("cloacina.json", b'"1.0"', b'"v1.0"')),
    "89 YAML bomb": (
        "manifest",
        with_file(f"{DIST_INFO}/cloacina.json", b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
    ),
    "89 lists that are compared for ever": (
        "manifest",
        with_params_schema(required=[1, "a"] * 9_000),
    ),
    "89 reference to elsewhere": (
        "manifest",
        with_params_schema(**{"$ref": "https://x.invalid/schema"}),
    ),
    "89 no manifest": ("manifest", without("cloacina.json")),
    "89 unknown key": ("manifest", with_metadata("cloacina.json", b'"api"', b'"x": 1,\n "api"')),
    "89 key twice": ("manifest", with_metadata("cloacina.json", b'"api"', b'"api": "1",\n "api"')),
    "89 wrong type": ("manifest", with_metadata("cloacina.json", b'"1.0"', b"1.0")),
    "89 other package": ("manifest", with_metadata("cloacina.json", b'"acme-etl"', b'"other"')),
    "89 other version": ("manifest", with_metadata("cloacina.json", b'"1.0"', b'"2.0"')),
    "89 other Python": ("manifest", with_metadata("cloacina.json", b">=3.11", b">=3.9")),
    "89 other target": ("manifest", with_metadata("cloacina.json", b"flows:n", b"flows:m")),
    "89 not JSON": ("manifest", with_file(f"{DIST_INFO}/cloacina.json", b"api: 1")),
    "89 deep JSON": ("manifest", with_file(f"{DIST_INFO}/cloacina.json", b"[" * 100_000)),
    "89 huge": (
        "manifest",
        with_file(f"{DIST_INFO}/cloacina.json", b'"' + noise(MAX_MANIFEST_BYTES) + b'"'),
    ),
}

ATTACKS = {**ZIP_ATTACKS, **METADATA_ATTACKS, **CONTENT_ATTACKS}

FILENAMES: Mapping[str, tuple[str, str]] = {
    "36 name not normalised": ("filename", "Acme_Etl-1.0-py3-none-any.whl"),
    "36 name with a dot": ("filename", "acme.etl-1.0-py3-none-any.whl"),
    "36 version not normalised": ("filename", "acme_etl-1.0.0-RC1-py3-none-any.whl"),
    "36 version with v": ("filename", "acme_etl-v1.0-py3-none-any.whl"),
    "37 local version": ("filename", "acme_etl-1.0+local-py3-none-any.whl"),
    "37 build number": ("filename", "acme_etl-1.0-1-py3-none-any.whl"),
    "39 unknown platform": ("not-pure", "acme_etl-1.0-cp311-cp311-plan9_x86.whl"),
    "39 platform without its architecture": ("not-pure", "acme_etl-1.0-cp311-cp311-linux.whl"),
    "39 pure and for a platform": ("not-pure", "acme_etl-1.0-py3-none-any.linux_x86_64.whl"),
    "39 two families": ("not-pure", "acme_etl-1.0-cp311-cp311-linux_x86_64.win_amd64.whl"),
    "39 unknown interpreter": ("not-pure", "acme_etl-1.0-jy311-none-linux_x86_64.whl"),
    "39 other abi": ("not-pure", "acme_etl-1.0-py3-abi3-any.whl"),
    "44 Cyrillic letter": ("filename", "\u0430cme_etl-1.0-py3-none-any.whl"),
    "44 path": ("filename", "../acme_etl-1.0-py3-none-any.whl"),
    "44 not a wheel": ("filename", "acme_etl-1.0.tar.gz"),
    "44 tags that expand to billions": (
        "filename",
        f"acme_etl-1.0-{'-'.join(['.'.join(['a'] * 1_000)] * 3)}.whl",
    ),
    "44 line end": ("filename", "acme_etl-1.0-py3-none-any.whl\n"),
}
