"""The dependencies of a package, locked: `pylock.toml` as PEP 751 has it, as far as we need it.

A lock names for each distribution one version, and the wheels it can be had as, each with its
SHA-256. Source distributions are left out: nothing is built where workflows run.

`cloacina` itself, and what it depends on, belongs to the host that runs a package. It is never in
a lock. A package that needs one of these distributions on its own account requires it directly.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from packaging.markers import InvalidMarker, Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import InvalidVersion, Version

from cloacina_core.errors import Problem
from cloacina_registry.errors import PackageBuildError
from cloacina_registry.wheel.lock import HOST_PACKAGE, LOCK_VERSION

_CREATED_BY = "cloacina"
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheel:
    """One file that a distribution can be had as."""

    url: str
    sha256: str
    """64 hex digits."""
    size: int | None
    """In bytes; None: not known."""

    def to_toml(self) -> dict[str, Any]:
        """Return the wheel as a TOML table."""
        size = {} if self.size is None else {"size": self.size}
        return {"url": self.url, **size, "hashes": {"sha256": self.sha256}}


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
        """Return the lock that any tool wrote (PEP 751), without what isn't used here.

        Args:
            data: the file.
            where: what to call it in errors.

        Raises:
            PackageBuildError: it isn't a lock, or locks what can't be had as a wheel by everybody;
                `problems` names every fault.
        """
        table = _table(data, where)
        problems = list(_problems(table))
        if problems:
            raise PackageBuildError(
                f"{where} can't be used as the package's lock",
                problems=problems,
                hint="make a new one with: cloacina package build --update-lock",
            )
        return cls(
            requires_python=table.get("requires-python"),
            environments=tuple(table.get("environments", ())),
            packages=tuple(
                _package(entry)
                for entry in table.get("packages", ())
                if entry["name"] != HOST_PACKAGE
            ),
        )

    def shortcomings(self, requirements: Iterable[Requirement]) -> Iterator[str]:
        """Yield what the lock lacks of a package's own requirements.

        What the requirements require in their turn isn't looked at: that was the resolver's task.
        """
        for requirement in requirements:
            name = canonicalize_name(requirement.name)
            versions = [entry.version for entry in self.packages if entry.name == name]
            if not versions and _is_for_here(requirement):
                yield f"{name} isn't in it"
            for version in versions:
                if not requirement.specifier.contains(version, prereleases=True):
                    yield f"it has {name} {version}, and {requirement} is required"


def _is_for_here(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _table(data: bytes, where: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except ValueError as error:  # not UTF-8, or not TOML
        raise PackageBuildError(f"{where} can't be read: {error}") from error


def _problems(table: Mapping[str, Any]) -> Iterator[Problem]:
    if table.get("lock-version") != LOCK_VERSION:
        yield Problem("lock", f"lock-version must be {LOCK_VERSION!r} (PEP 751)")
        return  # another version has another shape: more complaints would only mislead
    if not _is_optional_text(table.get("requires-python")):
        yield Problem("lock", "requires-python must be text")
    environments = table.get("environments", [])
    if not _is_list_of(str, environments) or not all(map(_is_marker, environments)):
        yield Problem("lock", "environments must be a list of markers")
    entries = table.get("packages", [])
    if not _is_list_of(dict, entries):
        yield Problem("lock", "packages must be a list of tables")
        return
    for entry in entries:
        yield from _entry_problems(entry)


def _entry_problems(entry: Mapping[str, Any]) -> Iterator[Problem]:
    name = entry.get("name")
    if not isinstance(name, str) or not is_normalized_name(name):
        yield Problem("lock", f"{str(name)[:80]!r} isn't a normalised name", "packages")
        return
    if name == HOST_PACKAGE:
        return
    if not _is_version(entry.get("version")):
        yield Problem("lock", "it has no version that PEP 440 knows", name)
    if not _is_optional_text(entry.get("requires-python")):
        yield Problem("lock", "requires-python must be text", name)
    if "marker" in entry and not _is_marker(entry["marker"]):
        yield Problem("lock", "its marker can't be read", name)
    wheels = entry.get("wheels")
    if not _is_list_of(dict, wheels) or not wheels:
        yield Problem("lock", "there is no wheel of it; nothing is built where workflows run", name)
        return
    for wheel in wheels:
        yield from _wheel_problems(wheel, name)


def _wheel_problems(wheel: Mapping[str, Any], name: str) -> Iterator[Problem]:
    url = wheel.get("url")
    if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}:
        place = wheel.get("path") or url
        yield Problem("lock", f"a wheel of it can't be had by others: {str(place)[:200]!r}", name)
    hashes = wheel.get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(sha256, str) or not _is_sha256(sha256):
        yield Problem("lock", "a wheel of it has no SHA-256", name)
    if not isinstance(wheel.get("size", 0), int):
        yield Problem("lock", "the size of a wheel must be a whole number", name)


def _package(entry: Mapping[str, Any]) -> LockedPackage:
    wheels = [
        LockedWheel(
            url=wheel["url"], sha256=wheel["hashes"]["sha256"].lower(), size=wheel.get("size")
        )
        for wheel in entry["wheels"]
    ]
    return LockedPackage(
        name=entry["name"],
        version=entry["version"],
        marker=entry.get("marker"),
        requires_python=entry.get("requires-python"),
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.url)),
    )


def _is_optional_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_list_of(kind: type, value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _is_marker(text: object) -> bool:
    try:
        Marker(str(text))
    except InvalidMarker:
        return False
    return isinstance(text, str)


def _is_version(text: object) -> bool:
    try:
        Version(str(text))
    except InvalidVersion:
        return False
    return isinstance(text, str)


def _is_sha256(text: str) -> bool:
    return len(text) == _SHA256_DIGITS and set(text.lower()) <= set("0123456789abcdef")
