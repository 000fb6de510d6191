"""Writes the seeds of the fuzzer: small archives, each with one thing that a reader has to know.

    python tests/fuzz/make_corpus.py

The name of a seed that is accepted begins with `good-`.
"""

import stat
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from support.wheels import RawEntry, deflated, write_zip  # noqa: E402 - after its path

ONE = RawEntry(name=b"a/b.py", content=b"x = 1\n" * 4)
STORED = RawEntry(name=b"a/c", content=b"1,2\n", method=0)
FOLDER = RawEntry(name=b"a/", method=0, attributes=(0o40755 << 16) | 0x10)
LINK = (stat.S_IFLNK | 0o777) << 16


def changed(**fields: object) -> bytes:
    """Return an archive of one entry in which something is odd."""
    return write_zip([RawEntry(**{"name": b"a/b.py", "content": b"x = 1\n" * 4, **fields})])  # type: ignore[arg-type]


SEEDS: Mapping[str, bytes] = {
    "good-one": write_zip([ONE]),
    "good-stored": write_zip([STORED]),
    "good-several": write_zip([FOLDER, ONE, STORED]),
    "good-empty-file": write_zip([RawEntry(name=b"a")]),
    "good-utf8-flag": changed(flags=0x800),
    "no-entries": write_zip([]),
    "comment": write_zip([ONE], comment=b"PK\5\6"),
    "prefix": write_zip([ONE], prefix=b"#!"),
    "count": write_zip([ONE, STORED], count=1),
    "twice": write_zip([ONE, ONE]),
    "file-and-folder": write_zip([RawEntry(name=b"a"), ONE]),
    "descriptor": changed(flags=8, behind=b"PK\7\10" + bytes(12)),
    "encrypted": changed(flags=1),
    "lzma": changed(method=14, packed=b"x"),
    "zip64": changed(version=45, extra=b"\1\0\10\0" + bytes(8)),
    "extra": changed(local_extra=b"\0\0\0\0"),
    "entry-comment": changed(comment=b"x"),
    "checksum": changed(checksum=1),
    "size": changed(size=2**32 - 1),
    "short-stream": changed(packed=deflated(b"x = 1\n" * 4)[:-2]),
    "junk": changed(packed=deflated(b"x = 1\n" * 4) + b"x"),
    "link": changed(attributes=LINK),
    "parent": changed(name=b"../b"),
    "unicode": changed(name="\u00e9".encode()),
    "device": changed(name=b"CON.py"),
    "other-name": changed(local={"name": b"a/c.py"}),
    "overlap": write_zip([ONE, RawEntry(name=b"a/d", in_body=False, header_at=0)]),
    "hidden": write_zip([ONE, RawEntry(name=b"a/d", in_directory=False)]),
}


def main() -> None:
    """Write all of them."""
    folder = HERE / "corpus"
    folder.mkdir(exist_ok=True)
    for name, data in SEEDS.items():
        (folder / f"{name}.zip").write_bytes(data)


if __name__ == "__main__":
    main()
