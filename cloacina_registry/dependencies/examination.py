"""What a dependency's wheel has to be, so that it can be kept and put on the path of a process.

It comes from an index or a folder that anybody may fill, under a digest that the author of the
package signed. Of whoever has signed it is asked no more than of an author, so all of this holds:

 1. It has the digest that the lock says.                                   dependency-hash
 2. It has at most 128 MiB, unpacked 512 MiB, in 20,000 entries.            dependency-unsound
 3. Its archive follows the rules of `wheel.archive`: there is one way to
    read it, and no name in it leads elsewhere.                             dependency-unsound
 4. It has one metadata folder; its METADATA says the name and the version
    that the lock says, its WHEEL is one of version 1.                      dependency-unsound
 5. The Pythons that it is fetched for fit its Requires-Python.             dependency-incompatible
 6. RECORD names exactly its files, with their digests and sizes.           dependency-unsound
 7. Nothing has to be moved by an installer to be imported: there is no
    `.data/purelib` and no `.data/platlib`. Scripts, headers and data in
    `.data` are never looked at.                                            dependency-unsound
 8. Nothing at its top has the name of a module of Python, of one that
    Python imports when it starts, or of Cloacina.                          dependency-unsound

Its file name and its tags are the lock's, and were judged with it. Bytecode, and `.pth` files at
its top, are accepted and never unpacked (`environments.folders`): what runs is its source. Whether
it is native code is found by looking at each file; what its tags say of that isn't believed.
"""

from collections.abc import Iterator, Mapping, Sequence
from email.parser import HeaderParser
from itertools import islice

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.choice import INCOMPATIBLE
from cloacina_registry.errors import MAX_PROBLEMS, WheelRejectedError
from cloacina_registry.wheel.archive import ArchiveLimits, unpack
from cloacina_registry.wheel.metadata import limit_problems
from cloacina_registry.wheel.profile import STANDARD_NAMES, STARTUP_NAMES, is_native
from cloacina_registry.wheel.record import record_path, record_problems
from cloacina_registry.wheel.text import MAX_SMALL_BYTES, text_of

LIMITS = ArchiveLimits(
    archive_bytes=128 * 1024 * 1024, unpacked_bytes=512 * 1024 * 1024, entries=20_000
)
"""Several times what NumPy, pandas or SciPy have. A wheel is held in memory while it is looked at;
what is larger belongs on the hosts, and is called from there."""

WRONG_DIGEST = "dependency-hash"
UNSOUND = "dependency-unsound"

_TAKEN = frozenset(
    name.lower() for name in (*STANDARD_NAMES, *STARTUP_NAMES, "cloacina_core", "cloacina_registry")
)
_MOVED = ("purelib", "platlib")
_METADATA_SUFFIX = ".dist-info"


def examine(
    data: bytes,
    *,
    name: str,
    version: str,
    filename: str,
    digest: Digest,
    pythons: Sequence[str] = (),
) -> Artifact | Sequence[Problem]:
    """Return what a wheel is, or everything that is wrong with it.

    Args:
        data: its bytes, from anybody.
        name: of its distribution, as the lock says, normalised.
        version: of its distribution, as the lock says.
        filename: as the lock says.
        digest: as the lock says.
        pythons: the versions that it has to be for.
    """
    where = f"{name} {version}"
    if (found := digest_of(data)) != digest:  # (1)
        message = f"{filename} has {found}, the lock says {digest}"
        return [Problem(WRONG_DIGEST, message, where)]
    try:
        files = unpack(data, filename, LIMITS)  # (2) and (3)
    except WheelRejectedError as error:
        return [Problem(UNSOUND, f"{filename}: {problem}", where) for problem in error.problems]
    problems = [
        Problem(kind, f"{filename}: {message}", where)
        for kind, message in islice(_faults(files, name, version, pythons), MAX_PROBLEMS)
    ]
    if problems:
        return problems
    return Artifact(
        name=name,
        version=version,
        filename=filename,
        digest=digest,
        size=len(data),
        is_pure=not any(is_native(path, content) for path, content in files.items()),
    )


def _faults(
    files: Mapping[str, bytes], name: str, version: str, pythons: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the contents, each with its kind."""
    folders = {path.partition("/")[0] for path in files if "/" in path}
    dist_infos = [folder for folder in folders if folder.lower().endswith(_METADATA_SUFFIX)]
    if len(dist_infos) != 1:
        yield UNSOUND, f"it has {len(dist_infos)} metadata folders, not one"
        return
    (dist_info,) = dist_infos
    yield from _metadata_faults(files, f"{dist_info}/METADATA", name, version, pythons)
    yield from _wheel_file_faults(files, f"{dist_info}/WHEEL")
    if record_path(dist_info) not in files:
        yield UNSOUND, "RECORD is missing"
    else:
        yield from ((UNSOUND, str(each)) for each in record_problems(files, dist_info))
    for path in files:
        top, _, rest = path.partition("/")
        if top.lower().endswith(".data") and rest.partition("/")[0].lower() in _MOVED:
            yield UNSOUND, f"{path}: nothing is installed, so it would never be found there"
            return
    for taken in sorted({top for top in map(_imported_as, files) if top in _TAKEN}):
        yield UNSOUND, f"{taken}: the name belongs to Python or to Cloacina"


def _metadata_faults(
    files: Mapping[str, bytes], path: str, name: str, version: str, pythons: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if path not in files:
        yield UNSOUND, "METADATA is missing"
        return
    text = text_of(files, path)
    if isinstance(text, Problem):
        yield UNSOUND, str(text)
        return
    if beyond := next(limit_problems(text, path), None):
        yield UNSOUND, str(beyond)
        return
    raw, _ = parse_email(text)
    told_name, told_version = raw.get("name", ""), raw.get("version", "")
    if canonicalize_name(told_name) != name or not _are_equal(told_version, version):
        told = f"{told_name[:80]} {told_version[:80]}"
        yield UNSOUND, f"its METADATA say that it is {told!r}"
    try:
        accepted = SpecifierSet(raw.get("requires_python", ""), prereleases=True)
    except InvalidSpecifier:
        yield UNSOUND, "its Requires-Python can't be read"
        return
    for python in pythons:
        if python not in accepted:
            yield INCOMPATIBLE, f"it needs Python {accepted}, it is wanted for {python}"


def _wheel_file_faults(files: Mapping[str, bytes], path: str) -> Iterator[tuple[str, str]]:
    if path not in files:
        yield UNSOUND, "WHEEL is missing"
        return
    text = text_of(files, path, MAX_SMALL_BYTES)
    if isinstance(text, Problem):
        yield UNSOUND, str(text)
        return
    wheel_version = str(HeaderParser().parsestr(text).get("Wheel-Version", ""))
    if wheel_version.partition(".")[0] != "1":
        yield UNSOUND, f"its Wheel-Version is {wheel_version[:20]!r}; only 1.x is known"


def _are_equal(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _imported_as(path: str) -> str:
    """Return the name, in lower case, under which something at the top would be imported."""
    top, slash, _ = path.partition("/")
    return (top if slash else top.partition(".")[0]).lower()
