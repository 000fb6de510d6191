"""That the lock in a wheel is one (PEP 751), and has what the wheel requires.

Nothing is fetched here: a lock says by which digests its files will be known when they are.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import InvalidVersion, Version

from cloacina_core.errors import Problem

HOST_PACKAGE = "cloacina"
"""The distribution that the host brings; it is never in a lock."""

LOCK_VERSION = "1.0"
MAX_LOCK_BYTES = 512 * 1024
"""Some hundred distributions with all their files."""

_MAX_DOTS_IN_LINE = 200
"""The parser takes time and memory with the square of the parts of a dotted key. In real locks most
dots of a line are in an address."""

_SHA256_DIGITS = 64


def own_requirements(requires: Sequence[str]) -> tuple[Requirement, ...]:
    """Return what a package requires beside the host: the extras' requirements are optional."""
    requirements = map(Requirement, requires)
    return tuple(
        requirement
        for requirement in requirements
        if canonicalize_name(requirement.name) != HOST_PACKAGE and not _is_of_extra(requirement)
    )


def _is_of_extra(requirement: Requirement) -> bool:
    return requirement.marker is not None and "extra" in str(requirement.marker)


def lock_problems(lock: bytes | None, requires: Sequence[str], where: str) -> Iterator[Problem]:
    """Yield what is wrong with a lock, or missing from it.

    Args:
        lock: the file; None: there is none, which is right for a package without dependencies.
        requires: what the package requires (PEP 508), known to be well-formed.
        where: what to call it.
    """
    locked: Mapping[str, Sequence[str]] = {}
    if lock is not None:
        try:
            locked = _locked_versions(lock)
        except ValueError as error:
            yield Problem("lock", str(error), where)
            return
    for message in _shortcomings(own_requirements(requires), locked):
        yield Problem("lock", message, where)


def _shortcomings(
    requirements: Iterable[Requirement], locked: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for requirement in requirements:
        versions = locked.get(canonicalize_name(requirement.name), ())
        # With a marker it may be for environments other than those that were locked for.
        if not versions and requirement.marker is None:
            yield f"{requirement.name} is required and isn't locked"
        for version in versions:
            if not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement.name} {version} is locked, and {requirement} is required"


def _locked_versions(lock: bytes) -> Mapping[str, Sequence[str]]:
    """Return the versions of each distribution in a lock; raise ValueError if it isn't one."""
    table = _table(lock)
    if table.get("lock-version") != LOCK_VERSION:
        raise ValueError(f"lock-version must be {LOCK_VERSION!r} (PEP 751)")
    entries = table.get("packages", [])
    if not isinstance(entries, list):
        raise ValueError("packages must be a list of tables")  # noqa: TRY004 - as all that is wrong
    locked: dict[str, list[str]] = {}
    for entry in entries:
        name, version = _locked(entry)
        locked.setdefault(name, []).append(version)
    return locked


def _table(lock: bytes) -> Mapping[str, Any]:
    if len(lock) > MAX_LOCK_BYTES:
        raise ValueError(f"{len(lock)} bytes are too many; {MAX_LOCK_BYTES} are allowed")
    if any(line.count(b".") > _MAX_DOTS_IN_LINE for line in lock.splitlines()):
        raise ValueError(f"a line has more than {_MAX_DOTS_IN_LINE} dots")
    try:
        return tomllib.loads(lock.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply to read") from None


def _locked(entry: object) -> tuple[str, str]:
    """Return name and version of one distribution, each of whose files must have a digest."""
    if not isinstance(entry, dict):
        raise ValueError("packages must be a list of tables")  # noqa: TRY004 - as all that is wrong
    name, version, wheels = entry.get("name"), entry.get("version"), entry.get("wheels")
    if not isinstance(name, str) or not is_normalized_name(name):
        raise ValueError(f"{str(name)[:80]!r} isn't a normalised name")
    if not isinstance(version, str) or not _is_version(version):
        raise ValueError(f"{name} has no version that PEP 440 knows")
    if not isinstance(wheels, list) or not wheels or not all(map(_has_digest, wheels)):
        raise ValueError(f"{name} has no wheels, or one without a SHA-256")
    return name, version


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _has_digest(wheel: object) -> bool:
    hashes = wheel.get("hashes") if isinstance(wheel, dict) else None
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    return (
        isinstance(sha256, str)
        and len(sha256) == _SHA256_DIGITS
        and set(sha256.lower()) <= set("0123456789abcdef")
    )
