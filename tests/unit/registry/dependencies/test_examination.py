"""The wheel of a dependency is what its lock says, and sound, or refused by its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.dependencies import (
    built_distribution,
    distribution,
    distribution_files,
)
from support.wheels import RawEntry, write_zip

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import digest_of
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.examination import examine
from cloacina_registry.wheel.writer import with_record, write_wheel

ROWS = distribution("rows")
INFO = "rows-1.0.dist-info"
ELF = b"\x7fELF" + bytes(60)


def examined(data: bytes, **changes: Any) -> Artifact | list[Problem]:
    said = {"name": "rows", "version": "1.0", "filename": ROWS.filename, "digest": digest_of(data)}
    found = examine(data, **{**said, **changes})
    return found if isinstance(found, Artifact) else list(found)


def refusal(data: bytes, **changes: Any) -> Problem:
    found = examined(data, **changes)
    assert isinstance(found, list)
    assert {problem.where for problem in found} == {"rows 1.0"}
    return found[0]


def wheel_with(
    changes: Mapping[str, bytes | None], *, record: Mapping[str, bytes] | None = None
) -> bytes:
    """Return the wheel of rows 1.0 with other files, and a RECORD that is right by default."""
    files = {**distribution_files("rows"), **changes}
    kept = {path: content for path, content in files.items() if content is not None}
    recorded = with_record(kept if record is None else record, INFO)
    return write_wheel({**kept, f"{INFO}/RECORD": recorded[f"{INFO}/RECORD"]})


def test_a_sound_wheel_is_described() -> None:
    assert examined(ROWS.data, pythons=["3.11.0", "3.13.0"]) == Artifact(
        name="rows",
        version="1.0",
        filename=ROWS.filename,
        digest=ROWS.digest,
        size=len(ROWS.data),
        is_pure=True,
    )


def test_what_a_build_backend_makes_is_sound(tmp_path: Path) -> None:
    built = built_distribution(tmp_path, "rows", "1.0", ["cells>=2"])

    assert isinstance(examined(built.data, filename=built.filename), Artifact)


@pytest.mark.parametrize(
    ("path", "content"),
    [("rows/_fast.so", b"short"), ("rows/fast.png", ELF), ("rows/_fast.pyd", b""), ("a.exe", b"")],
)
def test_native_code_is_found_whatever_the_wheel_says_of_itself(path: str, content: bytes) -> None:
    found = examined(wheel_with({path: content}))

    assert isinstance(found, Artifact)
    assert not found.is_pure


def test_a_wheel_for_a_platform_without_native_code_is_pure() -> None:
    built = distribution("rows", tag="py3-none-linux_x86_64")

    found = examined(built.data, filename=built.filename)

    assert isinstance(found, Artifact)
    assert found.is_pure


HARMLESS: Mapping[str, Mapping[str, bytes]] = {
    "a script": {"rows-1.0.data/scripts/rows": b"#!python\n"},
    "a header": {"rows-1.0.data/headers/rows.h": b""},
    "data": {"rows-1.0.data/data/share/rows.txt": b""},
    "a .pth file": {"rows.pth": b"import os\n"},
    "console scripts": {f"{INFO}/entry_points.txt": b"[console_scripts]\nrows = rows:main\n"},
    "a name like one of Python's, deeper": {"rows/json.py": b""},
    "sources that don't compile": {"rows/template.py": b"{{ this isn't Python }}"},
    "another version's spelling": {
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: Rows\nVersion: 1.0.0\n"
    },
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_real_wheels_have_and_does_no_harm_is_taken(what: str) -> None:
    assert isinstance(examined(wheel_with(HARMLESS[what])), Artifact)


METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\nRequires-Python: {}\n"
ATTACKS: Mapping[str, tuple[bytes, str, str]] = {
    "1 other bytes": (distribution("rows", "1.1").data, "dependency-hash", "the lock says"),
    "3 no archive": (b"PK", "dependency-unsound", "zip file"),
    "3 a path that leads elsewhere": (
        write_zip([RawEntry(name=b"../rows.py")]),
        "dependency-unsound",
        "'..' part",
    ),
    "3 a link": (
        write_zip([RawEntry(name=b"rows.py", attributes=0o120777 << 16)]),
        "dependency-unsound",
        "no links",
    ),
    "4 no metadata": (write_wheel({"rows.py": b""}), "dependency-unsound", "0 metadata folders"),
    "4 two metadata folders": (
        wheel_with({"cells-1.0.dist-info/METADATA": b""}),
        "dependency-unsound",
        "2 metadata folders",
    ),
    "4 no METADATA": (wheel_with({f"{INFO}/METADATA": None}), "dependency-unsound", "METADATA"),
    "4 METADATA that is no text": (
        wheel_with({f"{INFO}/METADATA": b"\xff"}),
        "dependency-unsound",
        "not UTF-8",
    ),
    "4 METADATA with very many fields": (
        wheel_with({f"{INFO}/METADATA": b"Keywords: x\n" * 3000}),
        "dependency-unsound",
        "more than 2000 fields",
    ),
    "4 another name": (
        wheel_with({f"{INFO}/METADATA": METADATA.format("cells", "1.0", "").encode()}),
        "dependency-unsound",
        "'cells 1.0'",
    ),
    "4 another version": (
        wheel_with({f"{INFO}/METADATA": METADATA.format("rows", "1.1", "").encode()}),
        "dependency-unsound",
        "'rows 1.1'",
    ),
    "4 no version": (
        wheel_with({f"{INFO}/METADATA": METADATA.format("rows", "newest", "").encode()}),
        "dependency-unsound",
        "'rows newest'",
    ),
    "4 no WHEEL": (wheel_with({f"{INFO}/WHEEL": None}), "dependency-unsound", "WHEEL is missing"),
    "4 WHEEL that is no text": (
        wheel_with({f"{INFO}/WHEEL": b"\xff"}),
        "dependency-unsound",
        "not UTF-8",
    ),
    "4 a later WHEEL": (
        wheel_with({f"{INFO}/WHEEL": b"Wheel-Version: 2.0\n"}),
        "dependency-unsound",
        "only 1.x",
    ),
    "5 another Python": (
        wheel_with({f"{INFO}/METADATA": METADATA.format("rows", "1.0", ">=3.12").encode()}),
        "dependency-incompatible",
        "wanted for 3.11",
    ),
    "5 a Python that can't be read": (
        wheel_with({f"{INFO}/METADATA": METADATA.format("rows", "1.0", "new").encode()}),
        "dependency-unsound",
        "Requires-Python",
    ),
    "6 no RECORD": (
        write_wheel(distribution_files("rows")),
        "dependency-unsound",
        "RECORD is missing",
    ),
    "6 a file that RECORD doesn't name": (
        wheel_with({"other.py": b""}, record=distribution_files("rows")),
        "dependency-unsound",
        "isn't in RECORD",
    ),
    "6 a file with other bytes than RECORD says": (
        wheel_with({"rows.py": b"other"}, record=distribution_files("rows")),
        "dependency-unsound",
        "sha256 digest",
    ),
    "7 modules for an installer to move": (
        wheel_with({"rows-1.0.data/purelib/rows_more.py": b""}),
        "dependency-unsound",
        "nothing is installed",
    ),
    "7 native modules for an installer to move": (
        wheel_with({"rows-1.0.DATA/PlatLib/rows_more.so": b""}),
        "dependency-unsound",
        "nothing is installed",
    ),
    "8 a module of Python": (wheel_with({"json.py": b""}), "dependency-unsound", "json: the name"),
    "8 a package of Python": (
        wheel_with({"JSON/__init__.py": b""}),
        "dependency-unsound",
        "json: the name",
    ),
    "8 a native module of Python": (
        wheel_with({"math.cpython-311-x86_64-linux-gnu.so": ELF}),
        "dependency-unsound",
        "math: the name",
    ),
    "8 what Python imports when it starts": (
        wheel_with({"sitecustomize.py": b""}),
        "dependency-unsound",
        "sitecustomize: the name",
    ),
    "8 a part of Cloacina": (
        wheel_with({"cloacina_core/backdoor.py": b""}),
        "dependency-unsound",
        "cloacina_core: the name",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_unsound_wheel_is_refused(attack: str) -> None:
    data, kind, message = ATTACKS[attack]
    digest = ROWS.digest if attack.startswith("1") else digest_of(data)

    found = refusal(data, digest=digest, pythons=["3.11.0"])

    assert found.kind == kind
    assert message in found.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    data = wheel_with({f"{INFO}/WHEEL": None, "json.py": b"", "sitecustomize.py": b""})

    found = examined(data)

    assert isinstance(found, list)
    assert len(found) == 3


@pytest.mark.parametrize("unsound", [bytes(129 * 1024 * 1024), b""], ids=["too-large", "empty"])
def test_a_file_of_no_fit_size_is_refused(unsound: bytes) -> None:
    assert refusal(unsound).kind == "dependency-unsound"
