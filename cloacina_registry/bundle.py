"""Releases in one file, for a site that the network doesn't reach.

A bundle is a zip file with an index, and behind it the files of each release as they were uploaded:
the wheel, its attestation, and its receipt where there is one. Names have no folders, so that an
unpacked bundle is what `registry upload` takes. Equal releases give equal bytes.

Whoever carries a bundle may be anybody. It is read by these rules; the kind of problem stands
behind each.

 1. It has at most 512 MiB.                                                  too-large
 2. It is a zip file by the rules of `wheel.framing`: there is one way to
    read it, and nothing before, between or behind its entries.              zip-...
 3. Every entry is a regular file, stored as it is, with the checksum that
    it says. What is read is never larger than what was brought.             zip-method, file-type,
                                                                             zip-data
 4. The first entry is `bundle.json`: at most 1 MiB of strict JSON, with
    exactly the fields that are known.                                       index
 5. The index names the files of releases and nothing else, each once,
    sorted: file names of wheels in their normalised spelling, and behind
    each of them its attestation and its receipt, if it has them.            index
 6. Behind the index stand exactly the files that it names, in its order.
    Names are compared with those; none is ever taken for a path.            members
 7. Each has the size and the digest that the index says.                    digest
 8. None is larger than it could be when it is uploaded by itself.           too-large

Nothing is believed for standing in a bundle: each release is admitted by the rules of an upload,
and by the trust of the home that it is brought to. All of them are published, or none.
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from cloacina_core.errors import CloacinaError, InputError, Problem
from cloacina_core.foundation.digest import digest_of
from cloacina_core.foundation.json_value import NotJsonError, canonical, decode_strict
from cloacina_registry.audit.receipt import RECEIPT_SUFFIX
from cloacina_registry.errors import (
    MAX_PROBLEMS,
    BundleRejectedError,
    WheelRejectedError,
)
from cloacina_registry.registry import AdmittedWheel, Registry, StoredFiles
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX, MAX_ENVELOPE_BYTES
from cloacina_registry.trust.strict import LIST, TEXT, WHOLE_NUMBER, field_faults
from cloacina_registry.wheel.archive import MAX_ARCHIVE_BYTES
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.filename import parse_filename
from cloacina_registry.wheel.framing import STORED, Entry, read_entries
from cloacina_registry.wheel.lock import Lock, LockedPackage

MAX_BUNDLE_BYTES = 512 * 1024 * 1024
"""A bundle is held in memory while it is read. Larger ones are several."""

INDEX_NAME = "bundle.json"
MAX_INDEX_BYTES = 1024 * 1024

MAX_RECEIPT_BYTES = 64 * 1024

API = "1"
"""Raised when an older reader would misread a bundle; anything else is refused."""

_LIMITS: Mapping[str, int] = {
    ENVELOPE_SUFFIX: MAX_ENVELOPE_BYTES,
    RECEIPT_SUFFIX: MAX_RECEIPT_BYTES,
}
"""How large the files beside a wheel may be, by their suffix, in their order."""

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE: Final = 0o100644 << 16
_UNIX: Final = 3
_MODE_SHIFT: Final = 16


@dataclass(frozen=True, slots=True)
class BundledRelease:
    """The files of one release, as they were uploaded; nothing is known of them but their names."""

    filename: str
    """Of the wheel."""
    data: bytes
    attestation: bytes | None = None
    receipt: bytes | None = None

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files with their names, in the order of a bundle."""
        yield self.filename, self.data
        if self.attestation is not None:
            yield self.filename + ENVELOPE_SUFFIX, self.attestation
        if self.receipt is not None:
            yield self.filename + RECEIPT_SUFFIX, self.receipt


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was asked for, and what it depends on as far as that is in the registry."""

    releases: Sequence[BundledRelease]
    missing: Sequence[str]
    """Locked dependencies that aren't in the registry, as `name==version`, sorted."""


def gather(registry: Registry, wanted: Iterable[tuple[str, str]]) -> Gathered:
    """Return releases from a registry, with their locked dependencies that it has.

    Args:
        registry: where to look.
        wanted: packages and versions.

    Raises:
        NotFoundError: there is no such release.
        TamperedError: what is stored of one was changed.
        BlobMissingError: what is stored of one is gone.
        PackageBuildError: what one has for its lock isn't a lock.
    """
    found: dict[str, BundledRelease] = {}
    missing: set[str] = set()
    for package, version in wanted:
        files = registry.download(package, version)
        found[files.filename] = _bundled(files)
        for locked in _locked(files):
            if (stored := _stored(registry, locked)) is None:
                missing.add(f"{locked.name}=={locked.version}")
            else:
                found[stored.filename] = _bundled(stored)
    return Gathered([found[name] for name in sorted(found)], sorted(missing))


def _bundled(files: StoredFiles) -> BundledRelease:
    return BundledRelease(files.filename, files.data, files.attestation, files.receipt)


def _locked(files: StoredFiles) -> Sequence[LockedPackage]:
    lock = open_wheel(files.data, files.filename).lock
    return () if lock is None else Lock.parse(lock, f"the lock of {files.filename}").packages


def _stored(registry: Registry, locked: LockedPackage) -> StoredFiles | None:
    """Return a locked dependency, if one of the wheels that it can be had as is a release here."""
    for wheel in locked.wheels:
        release = registry.find(locked.name, f"sha256:{wheel.sha256}")
        if release is not None:
            return registry.download(release.package, release.version)
    return None


def write_bundle(releases: Iterable[BundledRelease]) -> bytes:
    """Return a bundle of some releases: the same bytes for the same releases.

    Raises:
        InputError: they are too large for one bundle.
    """
    in_order = sorted(releases, key=lambda release: release.filename)
    files = [file for release in in_order for file in release.files()]
    if sum(len(data) for _, data in files) > MAX_BUNDLE_BYTES - MAX_INDEX_BYTES:
        raise InputError(
            f"these releases have more than {MAX_BUNDLE_BYTES} bytes together",
            hint="export fewer of them into each file",
        )
    entries = [{"name": name, "size": len(data), "digest": digest_of(data)} for name, data in files]
    index = canonical({"api": API, "files": entries}).encode() + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [(INDEX_NAME, index), *files]:
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR_FILE
            archive.writestr(entry, data, zipfile.ZIP_STORED)
    return buffer.getvalue()


def read_bundle(data: bytes, filename: str) -> list[BundledRelease]:
    """Return the releases of a bundle that follows all rules of this module.

    Raises:
        BundleRejectedError: it doesn't; `problems` names what was found.
    """
    _refuse(filename, _size_problems(filename, len(data), MAX_BUNDLE_BYTES))  # (1)
    try:
        entries = read_entries(data, filename)  # (2)
    except WheelRejectedError as error:
        raise BundleRejectedError(filename, error.problems) from error
    _refuse(filename, (problem for entry in entries for problem in _entry_problems(data, entry)))
    contents = [(entry.name, data[entry.data_at : entry.ends_at]) for entry in entries]
    index = _read_index(*contents[0], filename)
    members = contents[1:]
    _refuse(filename, _member_problems([file["name"] for file in index], members))  # (6)
    _refuse(
        filename,
        (
            problem
            for file, (_, content) in zip(index, members, strict=True)
            for problem in _content_problems(file, content)
        ),
    )
    return list(_releases(dict(members)))


def admit_all(
    registry: Registry, releases: Iterable[BundledRelease]
) -> tuple[list[AdmittedWheel], list[CloacinaError]]:
    """Return the releases that a registry would publish, and why it refuses the others."""
    admitted: list[AdmittedWheel] = []
    refused: list[CloacinaError] = []
    for release in releases:
        try:
            wheel = registry.admit(release.data, release.filename, release.attestation)
        except CloacinaError as error:
            refused.append(error)
        else:
            admitted.append(wheel)
    return admitted, refused


def _refuse(filename: str, problems: Iterable[Problem]) -> None:
    if found := list(islice(problems, MAX_PROBLEMS)):
        raise BundleRejectedError(filename, found)


def _size_problems(name: str, size: int, limit: int) -> Iterator[Problem]:
    if size > limit:
        yield Problem("too-large", f"{size} bytes are too many; {limit} are allowed", name)


def _entry_problems(data: bytes, entry: Entry) -> Iterator[Problem]:
    """Yield what keeps an entry from being a plain file: rule 3."""
    if entry.method != STORED or entry.size != entry.packed_size:
        yield Problem(
            "zip-method", "it is packed; a bundle stores its files as they are", entry.name
        )
    elif zlib.crc32(memoryview(data)[entry.data_at : entry.ends_at]) != entry.checksum:
        yield Problem("zip-data", "the checksum is wrong", entry.name)
    if entry.attributes >> _MODE_SHIFT != stat.S_IFREG | 0o644:
        yield Problem("file-type", "it isn't a plain file of mode 0644", entry.name)


def _read_index(name: str, content: bytes, filename: str) -> list[dict[str, Any]]:
    """Return what the index says of each file: rules 4 and 5."""
    if name != INDEX_NAME:
        problem = Problem("index", f"the first file must be {INDEX_NAME}", name)
        raise BundleRejectedError(filename, [problem])
    _refuse(filename, _size_problems(INDEX_NAME, len(content), MAX_INDEX_BYTES))
    try:
        value = decode_strict(content)
    except NotJsonError as error:
        raise BundleRejectedError(filename, [Problem("index", str(error), INDEX_NAME)]) from error
    _refuse(filename, (Problem("index", message, INDEX_NAME) for message in _faults(value)))
    files: list[dict[str, Any]] = value["files"]
    _refuse(filename, _name_problems([file["name"] for file in files]))
    return files


def _faults(value: Any) -> Iterator[str]:
    faults = list(field_faults(value, {"api": TEXT, "files": LIST}))
    yield from (f"{where}: {message}".lstrip(": ") for where, message in faults)
    if faults:
        return
    if value["api"] != API:
        yield f"its api is {value['api'][:20]!r}; this version of Cloacina reads {API!r}"
        return
    fields = {"name": TEXT, "size": WHOLE_NUMBER, "digest": TEXT}
    for number, file in enumerate(value["files"]):
        for where, message in field_faults(file, fields):
            yield f"files[{number}].{where}: {message}"


def _name_problems(names: Sequence[str]) -> Iterator[Problem]:
    """Yield what keeps names from being those of releases, each once and sorted: rule 5."""
    wheels = sorted({name for name in names if not name.endswith(tuple(_LIMITS))})
    for wheel in wheels:
        try:
            parse_filename(wheel)
        except WheelRejectedError as error:
            yield from (Problem("index", one.message, one.where) for one in error.problems)
    there = set(names)
    beside = ("", *_LIMITS)
    expected = [wheel + suffix for wheel in wheels for suffix in beside if wheel + suffix in there]
    if not wheels or list(names) != expected:
        message = "it must name wheels, sorted, each once, with what belongs to them behind them"
        yield Problem("index", message, INDEX_NAME)


def _member_problems(
    expected: Sequence[str], members: Sequence[tuple[str, bytes]]
) -> Iterator[Problem]:
    names = [name for name, _ in members]
    for name in sorted(set(names) - set(expected)):
        yield Problem("members", "the index doesn't name it", name)
    for name in sorted(set(expected) - set(names)):
        yield Problem("members", "the index names it, and it isn't there", name)
    if set(names) == set(expected) and names != list(expected):
        yield Problem("members", "the files aren't in the order of the index, each once")


def _content_problems(file: Mapping[str, Any], content: bytes) -> Iterator[Problem]:
    """Yield what a file is otherwise than the index says, and than it may be: rules 7 and 8."""
    name = file["name"]
    suffix = next((suffix for suffix in _LIMITS if name.endswith(suffix)), "")
    yield from _size_problems(name, len(content), _LIMITS.get(suffix, MAX_ARCHIVE_BYTES))
    if file["size"] != len(content):
        message = f"the index says {file['size']} bytes, there are {len(content)}"
        yield Problem("digest", message, name)
    elif file["digest"] != (found := digest_of(content)):
        yield Problem("digest", f"the index says {file['digest'][:80]}, it has {found}", name)


def _releases(files: Mapping[str, bytes]) -> Iterator[BundledRelease]:
    for name, data in files.items():
        if not name.endswith(tuple(_LIMITS)):
            attestation = files.get(name + ENVELOPE_SUFFIX)
            yield BundledRelease(name, data, attestation, files.get(name + RECEIPT_SUFFIX))
