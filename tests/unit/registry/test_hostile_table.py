"""The table of hostile inputs, row by row: what is refused, and the kind that scripts may compare.

Rows of wheels are attacked by what `support.hostile` builds; those that need a registry, or code
that is loaded, by the functions below. Rows that are missing here belong to signatures, to the
network or to the engine, and are attacked beside these.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.hostile import ATTACKS, ENTRIES, FILENAMES, FILES, ZIP_ATTACKS
from support.registry import (
    SignedWheel,
    StoreView,
    flows_returning,
    open_home,
    signed_wheel,
    source_of,
)
from support.wheels import build_wheel, wheel_filename, write_zip

from cloacina_core.errors import CloacinaError
from cloacina_core.foundation.digest import Digest, hex_of
from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.registry import Registry
from cloacina_registry.source import Host
from cloacina_registry.wheel.checked import open_wheel

TABLE: Mapping[int, tuple[str, set[str]]] = {
    1: ("`../evil.py` entry", {"path"}),
    2: ("absolute `/tmp/x`", {"path"}),
    3: ("backslash path", {"path"}),
    4: ("`C:/x`", {"path"}),
    5: ("two entries, same name", {"duplicate"}),
    6: ("names equal by case", {"duplicate"}),
    7: ("NFC/NFD twins, any non-ASCII, RTL override", {"path"}),
    8: ("local name differs from central", {"zip-mismatch"}),
    9: ("entry only in local headers", {"zip-layout"}),
    10: ("entry only in the central directory", {"zip-mismatch"}),
    11: ("CRC wrong", {"zip-data"}),
    12: ("local size differs", {"zip-mismatch"}),
    13: ("declared size smaller than the data", {"zip-data"}),
    14: ("bomb by size or ratio", {"too-large", "bomb"}),
    15: ("overlapping entries bomb", {"zip-layout"}),
    16: ("trailing data, comment of the end record", {"zip-framing"}),
    17: ("prefixed data (polyglot)", {"zip-layout", "zip-framing"}),
    18: ("zip inside the comment, two zips joined", {"zip-framing"}),
    19: ("entry count lie", {"zip-framing"}),
    20: ("data descriptor, encryption flag", {"zip-flags"}),
    21: ("bzip2, lzma", {"zip-method"}),
    22: ("symlink, device", {"file-type"}),
    23: ("setuid bit", {"file-type"}),
    24: ("NUL, newline, non-UTF-8 in a name", {"path"}),
    25: ("Unicode-path extra field, central comment", {"zip-framing"}),
    26: ("`CON.py`, `aux`, trailing dot or space", {"path"}),
    27: ("file and directory of one name", {"duplicate"}),
    28: ("30,000 entries", {"too-many-entries"}),
    29: ("400-character segment, `./`, `//`", {"path"}),
    30: ("empty or truncated zip", {"zip-framing"}),
    31: ("hidden bytes between entries", {"zip-layout"}),
    32: ("directory entry with data", {"zip-layout"}),
    33: ("deflate stream ends early, junk after", {"zip-data"}),
    34: ("Name or Version in METADATA differs from the file name", {"metadata"}),
    35: ("foreign or second dist-info", {"dist-info"}),
    36: ("un-normalised name or version in the file name", {"filename"}),
    37: ("local version, build tag", {"filename"}),
    38: ("Tag in WHEEL differs, Wheel-Version 2.0", {"wheel-file"}),
    39: ("wheel that is neither pure nor for platforms of one family", {"not-pure"}),
    40: ("WHEEL, METADATA or RECORD missing", {"dist-info"}),
    41: ("METADATA: duplicate Name, unknown version, direct URL", {"metadata"}),
    42: ("METADATA 30 MB", {"bomb", "too-large"}),
    43: ("METADATA or entry points not UTF-8", {"encoding"}),
    44: ("Cyrillic letter in the name", {"filename"}),
    45: ("file not in RECORD, row without file", {"record"}),
    46: ("RECORD hash or size wrong, empty, md5", {"record"}),
    47: ("RECORD duplicate or escaping row", {"record"}),
    48: ("RECORD.jws / .p7s", {"record"}),
    49: ("`.pth`, `.start`", {"startup-file"}),
    50: ("`.data/` scripts, purelib, data", {"data-dir"}),
    51: ("`.so` in a pure wheel, ELF named .png", {"native"}),
    52: ("`.pyc` shipped", {"bytecode"}),
    53: ("top level shadows stdlib, sitecustomize, host package", {"shadow"}),
    54: ("undeclared or doubled import name", {"top-level"}),
    55: ("console scripts or foreign group", {"entry-points"}),
    56: ("entry-point name of another owner", {"entry-points"}),
    57: ("target outside, path-like name, duplicate, bad INI, none", {"entry-points"}),
    58: ("source that does not parse, NUL, deep nesting", {"source"}),
    59: ("direct_url.json, INSTALLER in dist-info", {"dist-info"}),
    75: ("same version, other bytes", {"exists"}),
    76: ("file name of a deleted release", {"filename-reused"}),
    77: ("`1.0` after `1.0.0`", {"exists"}),
    83: ("Requires-Python or `api` outside the engine's", {"incompatible"}),
    84: ("dependency not in the lock, or its digest differs", {"lock"}),
    85: ("specifier `===x`, URL, 10 kB long", {"specifier"}),
    86: ("version `1.0 `, `v1.0`, `1.0-1` (all parse)", {"version"}),
    87: ("stored file changed on disk after ingest", {"tampered"}),
    88: ("code registers other workflows than the manifest", {"manifest-mismatch"}),
    89: ("manifest unknown key, wrong type, YAML bomb", {"manifest"}),
}


@dataclass(frozen=True, slots=True)
class Home:
    """A registry, and what an engine would ask of it."""

    view: StoreView
    registry: Registry

    def upload(self, wheel: SignedWheel) -> None:
        wheel.upload_to(self.registry)

    def load(self, python: str = "3.11.7") -> None:
        with NamespaceLoader() as loader:
            host = Host(python=python, core="0.1")
            source = source_of(self.view, self.registry, loader, host)
            (release,) = source.releases("acme-etl")
            source.load(release, "nightly")


ONE = signed_wheel("1.0", sources=flows_returning("one"))
OTHER_ONE = signed_wheel("1.0", sources=flows_returning("other one"))
SAME_VERSION = signed_wheel("1.0.0", sources=flows_returning("one"))


def other_bytes(home: Home) -> None:
    home.upload(ONE)
    home.upload(OTHER_ONE)


def other_spelling_of_a_version(home: Home) -> None:
    home.upload(SAME_VERSION)
    home.upload(ONE)


def name_of_a_deleted_release(home: Home) -> None:
    home.upload(ONE)
    home.registry.delete("acme-etl", "1.0")
    home.upload(OTHER_ONE)


def older_python(home: Home) -> None:
    home.upload(ONE)
    home.load(python="3.10.14")


def newer_core(home: Home) -> None:
    home.upload(signed_wheel(sources=flows_returning("one"), requires_core=">=99"))
    home.load()


def changed_on_disk(home: Home) -> None:
    home.upload(ONE)
    name = hex_of(Digest(ONE.digest))
    path = home.view.home / "blobs" / "sha256" / name[:2] / name
    path.chmod(0o600)
    path.write_bytes(OTHER_ONE.data)
    home.load()


def other_task_in_the_code(home: Home) -> None:
    sources = flows_returning("one")
    flows = sources["acme_etl/flows.py"].replace(b"def extract", b"def steal")
    told = signed_wheel(sources=sources)
    manifest = open_wheel(told.data, told.filename).manifest
    home.upload(signed_wheel(sources={**sources, "acme_etl/flows.py": flows}, manifest=manifest))
    home.load()


REGISTRY_ATTACKS: Mapping[str, Callable[[Home], None]] = {
    "75 other bytes": other_bytes,
    "76 name of a deleted release": name_of_a_deleted_release,
    "77 other spelling of a version": other_spelling_of_a_version,
    "83 older Python": older_python,
    "83 newer core": newer_core,
    "87 changed on disk": changed_on_disk,
    "88 other task in the code": other_task_in_the_code,
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    for view in open_home(tmp_path / "home"):
        yield Home(view, Registry.of(view))


def row_of(attack: str) -> int:
    return int(attack.partition(" ")[0])


def kinds_of(error: CloacinaError) -> set[str]:
    """Return the kinds of what is wrong; of an error that is one fact alone, its code."""
    return {problem.kind for problem in error.problems} or {error.code}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_wheel_is_refused_by_kind(attack: str) -> None:
    kind, make = ATTACKS[attack]
    data = make()

    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(data, wheel_filename())

    kinds = kinds_of(refusal.value)
    assert kind in kinds & TABLE[row_of(attack)][1]
    if attack not in ZIP_ATTACKS:  # else it would fail for another reason than its own
        assert not kinds & {kind for kind, _ in ZIP_ATTACKS.values()} - {"too-large", "bomb"}


@pytest.mark.parametrize("attack", FILENAMES)
def test_a_file_name_in_another_spelling_is_refused(attack: str) -> None:
    kind, filename = FILENAMES[attack]

    with pytest.raises(WheelRejectedError) as refusal:
        open_wheel(build_wheel(), filename)

    assert kinds_of(refusal.value) == {kind} == TABLE[row_of(attack)][1]


@pytest.mark.parametrize("attack", REGISTRY_ATTACKS)
def test_what_a_registry_is_offered_is_refused_by_kind(attack: str, home: Home) -> None:
    with pytest.raises(CloacinaError) as refusal:
        REGISTRY_ATTACKS[attack](home)

    assert kinds_of(refusal.value) == TABLE[row_of(attack)][1]


def test_every_row_is_attacked() -> None:
    assert {row_of(attack) for attack in (*ATTACKS, *FILENAMES, *REGISTRY_ATTACKS)} == set(TABLE)


def test_the_table_lacks_no_row() -> None:
    assert set(TABLE) == {*range(1, 60), *range(75, 78), *range(83, 90)}


def test_the_wheel_that_the_attacks_are_made_from_is_good() -> None:
    wheel = open_wheel(write_zip(ENTRIES), wheel_filename())

    assert wheel.files == FILES
