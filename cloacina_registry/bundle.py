"""Releases in one file, for a site that the network doesn't reach.

A bundle is a zip file with an index, and behind it the files of each release as they were uploaded:
the wheel, its attestation, and its receipt where there is one. Then come the wheels that they
depend on, in a folder of their own. So an unpacked bundle is what `registry upload` takes, with
`--find-links dependencies`. Equal releases give equal bytes.

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
    each of them its attestation and its receipt, if it has them. By
    themselves it names the wheels that they depend on, each once, sorted.   index
 6. Behind the index stand exactly the files that it names, in its order.
    Names are compared with those; none is ever taken for a path.            members
 7. Each has the size and the digest that the index says.                    digest
 8. None is larger than it could be when it is uploaded by itself.           too-large

Nothing is believed for standing in a bundle: each release is admitted by the rules of an upload,
and by the trust of the home that it is brought to. A dependency is taken if the lock of a release
names its digest, and examined as one from an index. All releases are published, or none.
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from cloacina_core.errors import CloacinaError, ConflictError, InputError, Problem
from cloacina_core.foundation.digest import digest_of
from cloacina_core.foundation.json_value import NotJsonError, canonical, decode_strict
from cloacina_registry.audit.receipt import RECEIPT_SUFFIX
from cloacina_registry.dependencies.examination import LIMITS
from cloacina_registry.dependencies.gathering import Provision
from cloacina_registry.dependencies.sources import GivenWheels, WheelSource
from cloacina_registry.errors import (
    MAX_PROBLEMS,
    BundleRejectedError,
    DependencyError,
    DependencyMissingError,
    WheelRejectedError,
)
from cloacina_registry.registry import AdmittedWheel, Registry, StoredFiles
from cloacina_registry.storage.catalog import StoredRelease
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX, MAX_ENVELOPE_BYTES
from cloacina_registry.trust.strict import LIST, TEXT, WHOLE_NUMBER, field_faults
from cloacina_registry.wheel.archive import MAX_ARCHIVE_BYTES
from cloacina_registry.wheel.checked import reopen_wheel
from cloacina_registry.wheel.filename import MAX_FILENAME_LENGTH, distribution_of, parse_filename
from cloacina_registry.wheel.framing import STORED, Entry, read_entries

MAX_BUNDLE_BYTES = 512 * 1024 * 1024
"""A bundle is held in memory while it is read. Larger ones are several."""

INDEX_NAME = "bundle.json"
DEPENDENCIES = "dependencies/"
"""The folder of the wheels that releases depend on."""

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
class Bundle:
    """Releases, and the wheels that they depend on by their file names."""

    releases: Sequence[BundledRelease]
    dependencies: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was asked for, and what it depends on as far as that is in the registry."""

    bundle: Bundle
    missing: Sequence[str]
    """What was never fetched for this Python, as `rows 1.0`, sorted."""


def gather(registry: Registry, wanted: Iterable[tuple[str, str]]) -> Gathered:
    """Return releases from a registry, with all wheels that they depend on and it has.

    Args:
        registry: where to look.
        wanted: packages and versions.

    Raises:
        NotFoundError: there is no such release.
        TamperedError: what is stored of one was changed.
        BlobMissingError: what is stored of one is gone.
        ConflictError: two of them depend on different wheels of one file name.
    """
    releases: dict[str, BundledRelease] = {}
    dependencies: dict[str, bytes] = {}
    missing: set[str] = set()
    for package, version in wanted:
        files = registry.download(package, version)
        releases[files.filename] = _bundled(files)
        release = registry.show(package, version)
        for artifact in registry.dependencies.kept(release):
            data = registry.dependencies.data(artifact)
            if dependencies.setdefault(artifact.filename, data) != data:
                raise ConflictError(
                    f"two of these releases depend on different files {artifact.filename}",
                    hint="export them into files of their own",
                )
        missing |= _never_fetched(registry, release, files)
    bundle = Bundle([releases[name] for name in sorted(releases)], dependencies)
    return Gathered(bundle, sorted(missing))


def _bundled(files: StoredFiles) -> BundledRelease:
    return BundledRelease(files.filename, files.data, files.attestation, files.receipt)


def _never_fetched(registry: Registry, release: StoredRelease, files: StoredFiles) -> set[str]:
    """Return what a release would lack here; nothing if it isn't for this Python at all."""
    lock = reopen_wheel(files.data, files.filename, release.digest).lock
    try:
        registry.dependencies.of(release, lock)
    except DependencyMissingError as error:
        return {problem.where for problem in error.problems}
    except DependencyError:
        pass
    return set()


def write_bundle(bundle: Bundle) -> bytes:
    """Return the file of a bundle: the same bytes for the same contents.

    Raises:
        InputError: they are too large for one bundle.
    """
    in_order = sorted(bundle.releases, key=lambda release: release.filename)
    files = [file for release in in_order for file in release.files()]
    dependencies = sorted(bundle.dependencies.items())
    if sum(len(data) for _, data in (*files, *dependencies)) > MAX_BUNDLE_BYTES - MAX_INDEX_BYTES:
        raise InputError(
            f"these releases have more than {MAX_BUNDLE_BYTES} bytes together",
            hint="export fewer of them into each file",
        )
    index = canonical(
        {"api": API, "files": _index_of(files), "dependencies": _index_of(dependencies)}
    )
    members = [
        (INDEX_NAME, index.encode() + b"\n"),
        *files,
        *((DEPENDENCIES + name, data) for name, data in dependencies),
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR_FILE
            archive.writestr(entry, data, zipfile.ZIP_STORED)
    return buffer.getvalue()


def _index_of(files: Iterable[tuple[str, bytes]]) -> list[dict[str, Any]]:
    return [{"name": name, "size": len(data), "digest": digest_of(data)} for name, data in files]


def read_bundle(data: bytes, filename: str) -> Bundle:
    """Return what is in a bundle that follows all rules of this module.

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
    return Bundle(list(_releases(dict(members))), dict(_dependencies(members)))


def admit_all(
    registry: Registry, bundle: Bundle, sources: Sequence[WheelSource] = ()
) -> tuple[list[AdmittedWheel], list[CloacinaError]]:
    """Return the releases that a registry would publish, and why it refuses the others.

    Args:
        registry: where they would be published.
        bundle: what was brought.
        sources: where to look for dependencies that weren't brought.
    """
    given = {digest_of(data): data for data in bundle.dependencies.values()}
    provision = Provision(sources=(GivenWheels(given), *sources), also=frozenset(given))
    admitted: list[AdmittedWheel] = []
    refused: list[CloacinaError] = []
    for release in bundle.releases:
        try:
            wheel = registry.admit(release.data, release.filename, release.attestation, provision)
        except CloacinaError as error:
            refused.append(_without_frames(error))
        else:
            admitted.append(wheel)
    return admitted, refused


def _without_frames(error: CloacinaError) -> CloacinaError:
    """Return an error that keeps nothing of where it was raised: a wheel is unpacked there."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


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
    """Return what the index says of each file, by its name in the bundle: rules 4 and 5."""
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
    dependencies: list[dict[str, Any]] = value["dependencies"]
    _refuse(filename, _name_problems([file["name"] for file in files]))
    _refuse(filename, _dependency_problems([file["name"] for file in dependencies]))
    return [*files, *({**file, "name": DEPENDENCIES + file["name"]} for file in dependencies)]


def _faults(value: Any) -> Iterator[str]:
    faults = list(field_faults(value, {"api": TEXT, "files": LIST, "dependencies": LIST}))
    yield from (f"{where}: {message}".lstrip(": ") for where, message in faults)
    if faults:
        return
    if value["api"] != API:
        yield f"its api is {value['api'][:20]!r}; this version of Cloacina reads {API!r}"
        return
    fields = {"name": TEXT, "size": WHOLE_NUMBER, "digest": TEXT}
    for key in ("files", "dependencies"):
        for number, file in enumerate(value[key]):
            for where, message in field_faults(file, fields):
                yield f"{key}[{number}].{where}: {message}"


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


def _dependency_problems(names: Sequence[str]) -> Iterator[Problem]:
    """Yield what keeps names from being those of any wheels, each once and sorted: rule 5."""
    for name in names:
        if distribution_of(name) is None:
            yield Problem("index", "it isn't the name of a wheel", name[:MAX_FILENAME_LENGTH])
    if list(names) != sorted(set(names)):
        yield Problem("index", "dependencies must be named sorted, each once", INDEX_NAME)


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
    yield from _size_problems(name, len(content), _limit_of(name))
    if file["size"] != len(content):
        message = f"the index says {file['size']} bytes, there are {len(content)}"
        yield Problem("digest", message, name)
    elif file["digest"] != (found := digest_of(content)):
        yield Problem("digest", f"the index says {file['digest'][:80]}, it has {found}", name)


def _limit_of(name: str) -> int:
    if name.startswith(DEPENDENCIES):
        return LIMITS.archive_bytes
    suffix = next((suffix for suffix in _LIMITS if name.endswith(suffix)), "")
    return _LIMITS.get(suffix, MAX_ARCHIVE_BYTES)


def _dependencies(members: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    for name, data in members:
        if name.startswith(DEPENDENCIES):
            yield name.removeprefix(DEPENDENCIES), data


def _releases(files: Mapping[str, bytes]) -> Iterator[BundledRelease]:
    for name, data in files.items():
        if not name.startswith(DEPENDENCIES) and not name.endswith(tuple(_LIMITS)):
            attestation = files.get(name + ENVELOPE_SUFFIX)
            yield BundledRelease(name, data, attestation, files.get(name + RECEIPT_SUFFIX))
