"""The dependencies of a package, locked: `pylock.toml` as PEP 751 has it, as far as we need it.

A lock names for each distribution one version, and the wheels it can be had as, each with its
SHA-256. Source distributions are left out: nothing is built where workflows run. So are directories
and repositories: what a lock names has to be the same for everybody. Where a wheel was found
doesn't matter to us, its digest does: it is asked of the index that is configured, or looked for in
folders.

`cloacina` itself, and what it depends on, belongs to the host that runs a package. It is never in
a lock. A package that needs one of these distributions on its own account requires it directly.

A lock may come from anybody. Before the parsers see it, or a part of it:

1. It has at most 512 KiB, and no line with more than 200 dots.
2. Names, versions, markers, specifiers and file names have the lengths of real ones.
3. A file name stands for at most 100 tags.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import tomli_w
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import Version

from cloacina_core.errors import Problem
from cloacina_registry.errors import MAX_PROBLEMS, BadLockError
from cloacina_registry.manifest import MAX_VERSION_LENGTH, specifier_problem
from cloacina_registry.wheel.filename import distribution_of

HOST_PACKAGE = "cloacina"
"""The distribution that the host brings; it is never in a lock."""

LOCK_VERSION = "1.0"
MAX_LOCK_BYTES = 512 * 1024
"""Some hundred distributions with all their files."""

_MAX_DOTS_IN_LINE = 200
"""The parser takes time and memory with the square of the parts of a dotted key. In real locks most
dots of a line are in an address."""

_MAX_NAME_LENGTH = 200
_MAX_MARKER_LENGTH = 2_000
_MAX_PLACE_LENGTH = 4_000

_CREATED_BY = "cloacina"
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheel:
    """One file that a distribution can be had as."""

    filename: str
    sha256: str
    """64 hex digits."""
    size: int | None
    """In bytes; None: not known."""
    url: str | None = None
    """Where an index has it; None: it was found in a folder, which isn't told to others."""

    def to_toml(self) -> dict[str, Any]:
        """Return the wheel as a TOML table."""
        table: dict[str, Any] = {}
        if self.url is None:
            table["path"] = self.filename
        else:
            if _last_part(self.url) != self.filename:
                table["name"] = self.filename
            table["url"] = self.url
        if self.size is not None:
            table["size"] = self.size
        return {**table, "hashes": {"sha256": self.sha256}}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One version of one distribution."""

    name: str
    """Normalised."""
    version: str
    marker: str | None
    """The environments that it is for (PEP 508); None: all."""
    requires_python: str | None
    wheels: tuple[LockedWheel, ...]

    def to_toml(self) -> dict[str, Any]:
        """Return the distribution as a TOML table."""
        table: dict[str, Any] = {"name": self.name, "version": self.version}
        if self.marker is not None:
            table["marker"] = self.marker
        if self.requires_python is not None:
            table["requires-python"] = self.requires_python
        return {**table, "wheels": [wheel.to_toml() for wheel in self.wheels]}

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All that a package needs beside the host."""

    requires_python: str | None
    """PEP 440 specifier of the versions of Python that it was locked for."""
    environments: tuple[str, ...] = ()
    """Markers of the environments that it was locked for; none: all."""
    packages: tuple[LockedPackage, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the file's bytes: equal locks give equal bytes."""
        table: dict[str, Any] = {"lock-version": LOCK_VERSION}
        if self.environments:
            table["environments"] = list(self.environments)
        if self.requires_python is not None:
            table["requires-python"] = self.requires_python
        table["created-by"] = _CREATED_BY
        ordered = sorted(
            self.packages, key=lambda package: (package.name, package.version, package.marker or "")
        )
        table["packages"] = [package.to_toml() for package in ordered]
        return tomli_w.dumps(table).encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> "Lock":
        """Return the lock that any tool wrote, without what isn't used here.

        Args:
            data: the file, from anybody.
            where: what to call it in errors.

        Raises:
            BadLockError: it isn't a lock, or locks what can't be had as a wheel; `problems` names
                every fault.
        """
        table = _table(data, where)
        problems = list(islice(_problems(table), MAX_PROBLEMS))
        if problems:
            raise BadLockError(where, problems)
        return cls(
            requires_python=table.get("requires-python"),
            environments=tuple(table.get("environments", ())),
            packages=tuple(
                _package(entry)
                for entry in table.get("packages", ())
                if entry["name"] != HOST_PACKAGE
            ),
        )

    def shortcomings(
        self, requirements: Iterable[Requirement], environment: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """Yield what the lock lacks of a package's own requirements.

        What the requirements require in their turn isn't looked at: that was the resolver's task.
        One with a marker may be missing: it may be for environments that weren't locked for.

        Args:
            requirements: what the package requires.
            environment: the markers of one that was locked for, in which none may be missing.
        """
        for requirement in requirements:
            name = canonicalize_name(requirement.name)
            versions = [entry.version for entry in self.packages if entry.name == name]
            if not versions and _is_needed(requirement, environment):
                yield f"{name} is required and isn't locked"
            for version in versions:
                if not requirement.specifier.contains(version, prereleases=True):
                    yield f"{name} {version} is locked, and {requirement} is required"


def own_requirements(requires: Sequence[str]) -> tuple[Requirement, ...]:
    """Return what a package requires beside the host: the extras' requirements are optional."""
    requirements = map(Requirement, requires)
    return tuple(
        requirement
        for requirement in requirements
        if canonicalize_name(requirement.name) != HOST_PACKAGE and not _is_of_extra(requirement)
    )


def lock_problems(lock: bytes | None, requires: Sequence[str], where: str) -> Iterator[Problem]:
    """Yield what is wrong with the lock in a wheel, or missing from it.

    Args:
        lock: the file; None: there is none, which is right for a package without dependencies.
        requires: what the package requires (PEP 508), known to be well-formed.
        where: what to call it.
    """
    try:
        read = Lock(requires_python=None) if lock is None else Lock.parse(lock, where)
    except BadLockError as error:
        yield from error.problems
        return
    for message in read.shortcomings(own_requirements(requires)):
        yield Problem("lock", message, where)


def _is_of_extra(requirement: Requirement) -> bool:
    return requirement.marker is not None and "extra" in str(requirement.marker)


def _is_needed(requirement: Requirement, environment: Mapping[str, str] | None) -> bool:
    if requirement.marker is None:
        return True
    return environment is not None and requirement.marker.evaluate({**environment, "extra": ""})


def _table(data: bytes, where: str) -> Mapping[str, Any]:
    if len(data) > MAX_LOCK_BYTES:
        message = f"{len(data)} bytes are too many; {MAX_LOCK_BYTES} are allowed"
        raise BadLockError(where, [Problem("lock", message)])
    if any(line.count(b".") > _MAX_DOTS_IN_LINE for line in data.splitlines()):
        message = f"a line has more than {_MAX_DOTS_IN_LINE} dots"
        raise BadLockError(where, [Problem("lock", message)])
    try:
        return tomllib.loads(data.decode("utf-8"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise BadLockError(where, [Problem("lock", f"it can't be read: {error}")]) from error
    except RecursionError:
        message = "nested too deeply to read"
        raise BadLockError(where, [Problem("lock", message)]) from None


def _problems(table: Mapping[str, Any]) -> Iterator[Problem]:
    if table.get("lock-version") != LOCK_VERSION:
        yield Problem("lock", f"lock-version must be {LOCK_VERSION!r} (PEP 751)")
        return  # another version has another shape: more complaints would only mislead
    if wrong := _specifier_problem(table):
        yield Problem("lock", wrong)
    environments = table.get("environments", [])
    if not isinstance(environments, list) or not all(map(_is_marker, environments)):
        yield Problem("lock", "environments must be a list of markers")
    entries = table.get("packages", [])
    if not _are_tables(entries):
        yield Problem("lock", "packages must be a list of tables")
        return
    for entry in entries:
        yield from _entry_problems(entry)


def _entry_problems(entry: Mapping[str, Any]) -> Iterator[Problem]:
    name, version = entry.get("name"), entry.get("version")
    if not _is_short(name, _MAX_NAME_LENGTH) or not is_normalized_name(str(name)):
        yield Problem("lock", f"{str(name)[:80]!r} isn't a normalised name", "packages")
        return
    name = str(name)
    if name == HOST_PACKAGE:
        return
    if not _is_version(version):
        yield Problem("lock", "it has no version that PEP 440 knows", name)
        return
    if wrong := _specifier_problem(entry):
        yield Problem("lock", wrong, name)
    if "marker" in entry and not _is_marker(entry["marker"]):
        yield Problem("lock", "its marker can't be read", name)
    wheels = entry.get("wheels")
    if not wheels or not _are_tables(wheels):
        yield Problem("lock", "there is no wheel of it; nothing is built where workflows run", name)
        return
    for wheel in wheels:
        yield from _wheel_problems(wheel, name, Version(str(version)))


def _wheel_problems(wheel: Mapping[str, Any], name: str, version: Version) -> Iterator[Problem]:
    texts = [wheel.get(key, "") for key in ("name", "url", "path")]
    if not all(_is_short(text, _MAX_PLACE_LENGTH) for text in texts):
        yield Problem("lock", "name, url and path of a wheel must be short texts", name)
    elif distribution_of(filename := _filename_of(wheel)) != (name, version):
        message = f"{filename[:80]!r} isn't the name of a wheel of version {version}"
        yield Problem("lock", message, name)
    hashes = wheel.get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(sha256, str) or not _is_sha256(sha256):
        yield Problem("lock", "a wheel of it has no SHA-256", name)
    size = wheel.get("size", 0)
    if type(size) is not int or size < 0:
        yield Problem("lock", "the size of a wheel must be a whole number", name)


def _filename_of(wheel: Mapping[str, Any]) -> str:
    """Return the name of a wheel: PEP 751 leaves it out where its place ends with it."""
    return str(wheel.get("name") or _last_part(wheel.get("url") or wheel.get("path") or ""))


def _last_part(place: str) -> str:
    """Return what stands behind the last slash of an address or a path."""
    return unquote(re.split(r"[?#]", place, maxsplit=1)[0].replace("\\", "/").rpartition("/")[2])


def _web_address(wheel: Mapping[str, Any]) -> str | None:
    """Return where everybody finds a wheel; None when only some host has it."""
    try:
        parts = urlsplit(str(wheel.get("url", "")))
    except ValueError:  # brackets that hold no address
        return None
    if parts.scheme not in {"http", "https"}:
        return None
    # A package is for others: it mustn't tell them with whose credentials it was locked.
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _package(entry: Mapping[str, Any]) -> LockedPackage:
    wheels = [
        LockedWheel(
            filename=_filename_of(wheel),
            sha256=wheel["hashes"]["sha256"].lower(),
            size=wheel.get("size"),
            url=_web_address(wheel),
        )
        for wheel in entry["wheels"]
    ]
    return LockedPackage(
        name=entry["name"],
        version=entry["version"],
        marker=entry.get("marker"),
        requires_python=entry.get("requires-python"),
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.filename)),
    )


def _specifier_problem(table: Mapping[str, Any]) -> str | None:
    specifier = table.get("requires-python", "")
    if not isinstance(specifier, str):
        return "requires-python must be text"
    wrong = specifier_problem(specifier)
    return None if wrong is None else f"requires-python: {wrong}"


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_short(value: object, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit


def _is_marker(value: object) -> bool:
    try:
        return _is_short(value, _MAX_MARKER_LENGTH) and bool(Marker(str(value)))
    except (ValueError, RecursionError):
        return False


def _is_version(value: object) -> bool:
    try:
        return _is_short(value, MAX_VERSION_LENGTH) and bool(Version(str(value)))
    except ValueError:
        return False


def _is_sha256(text: str) -> bool:
    return len(text) == _SHA256_DIGITS and set(text.lower()) <= set("0123456789abcdef")
