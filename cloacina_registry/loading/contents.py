"""What a release brings: its checked files and those of its locked dependencies, as one tree."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from cloacina_core.foundation.digest import Digest
from cloacina_registry.errors import LoadError, TamperedError
from cloacina_registry.loading.dependency import UnpackedDependency, installed_path
from cloacina_registry.loading.namespace import short_digest
from cloacina_registry.wheel.checked import UnsealedWheel
from cloacina_registry.wheel.record import recorded_digest

_NATIVE_SUFFIXES = (".so", ".pyd", ".dylib", ".dll")


@dataclass(frozen=True, kw_only=True)
class ReleaseContents:
    """The files of one release, as they were checked. Nothing is read from anywhere else.

    Each source is hashed anew when it is imported, and held against the RECORD that came with it:
    days may lie between the two, in which other code ran in this process.
    """

    package: str
    """Normalised."""
    version: str
    digest: Digest
    """Identifies the content: releases with the same digest have the same files."""
    files: Mapping[str, bytes]
    """The members of the wheels by their paths, as `acme_etl/flows.py`."""
    top_levels: tuple[str, ...]
    """The modules and packages that are its own, as `acme_etl`; those of its dependencies too."""
    brought: frozenset[str] = frozenset()
    """Those of the top levels that are its dependencies'."""
    folder: Path | None = None
    """Where the same files are unpacked, for packages that open files beside `__file__`. Code and
    resources come from `files` all the same."""

    @classmethod
    def of(cls, wheel: UnsealedWheel, dependencies: Iterable[UnpackedDependency] = ()) -> Self:
        """Return the contents of a wheel and of what its lock names.

        Raises:
            LoadError: two of the distributions have a module in common, and differ in it.
        """
        alone = cls(
            package=wheel.name,
            version=wheel.version,
            digest=wheel.digest,
            files=wheel.files,
            top_levels=wheel.top_levels,
        )
        return alone.with_dependencies(dependencies)

    def with_dependencies(self, dependencies: Iterable[UnpackedDependency]) -> Self:
        """Return the same release with these dependencies inside its namespace.

        The digest stays: what a release's lock names is a part of the release.

        Raises:
            LoadError: two of the distributions have a module in common, and differ in it.
        """
        files, brought = dict(self.files), set(self.brought)
        owners: dict[str, object] = dict.fromkeys(self._own_modules(), self)
        for dependency in dependencies:
            brought |= dependency.top_levels - set(self.top_levels)
            for member, content in dependency.files.items():
                # Notes and licences that many put beside their packages disturb nobody.
                if member.endswith(".py"):
                    module = _module_of(member)
                    # `rules/__init__.py` is found before `rules.py`, whoever brings the two.
                    owner = owners.setdefault(module, dependency)
                    if owner is not dependency and files.get(member) != content:
                        named = module.replace("/", ".")
                        raise LoadError(
                            f"{self} can't be loaded: {owner} and {dependency} both have {named}",
                            hint="lock another version of one of them, or do without it",
                        )
                files.setdefault(member, content)
        return replace(
            self,
            files=MappingProxyType(files),
            top_levels=tuple(sorted({*self.top_levels, *brought})),
            brought=frozenset(brought),
        )

    def _own_modules(self) -> Iterator[str]:
        """Yield the modules as `_module_of` does, and the packages around them without a source."""
        for member in self.files:
            if member.endswith(".py"):
                module = _module_of(member)
                while module:
                    yield module
                    module = module.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.package} {self.version}"

    def to_send(self) -> dict[str, Any]:
        """Return the arguments that make these contents in another process."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "files": dict(self.files),
        }

    def source(self, member: str) -> bytes:
        """Return the source of a module, hashed anew.

        Raises:
            TamperedError: it isn't what RECORD says, or RECORD says nothing of it.
        """
        source, recorded = self.files[member], self._recorded.get(member)
        algorithm = "" if recorded is None else recorded.partition("=")[0]
        found = recorded_digest(source, algorithm)
        if recorded is None or found != recorded:
            raise TamperedError(f"{member} of {self}", recorded or "nothing", found)
        return source

    @cached_property
    def _recorded(self) -> Mapping[str, str]:
        """The digests of all sources as the RECORDs of their wheels tell them."""
        rows = (row for record in self._records() for row in csv.reader(record.splitlines()))
        return {
            installed_path(path): digest
            for path, digest, _ in (row for row in rows if len(row) == 3)  # noqa: PLR2004 - PEP 427
            if path.endswith(".py")
        }

    def _records(self) -> Iterator[str]:
        for folder in self.folders[""]:
            record = self.files.get(f"{folder}/RECORD")
            if record is not None and folder.endswith(".dist-info"):
                yield record.decode("utf-8", "replace")

    @property
    def origin(self) -> str:
        """The folder that `__file__` begins with.

        Without a real one it can't be mistaken for one, and names the content, because
        `linecache` keeps sources by file name alone.
        """
        if self.folder is not None:
            return str(self.folder)
        return f"<{self} {short_digest(self.digest)}>"

    def path_of(self, member: str) -> str:
        """Return the path of a file or folder as `__file__` and tracebacks show it."""
        return os.path.join(self.origin, *member.split("/"))  # noqa: PTH118 - it may be no real path

    @cached_property
    def folders(self) -> Mapping[str, tuple[str, ...]]:
        """The sorted names in each folder, by the folder's path; the topmost is the empty path."""
        names: dict[str, set[str]] = {"": set()}
        for member in self.files:
            path = member
            while path:
                path, _, name = path.rpartition("/")
                names.setdefault(path, set()).add(name)
        return {path: tuple(sorted(inside)) for path, inside in names.items()}

    @property
    def native_files(self) -> list[str]:
        """The members that are native code."""
        return sorted(member for member in self.files if member.endswith(_NATIVE_SUFFIXES))

    def module(self, name: str) -> "ModuleFile | None":
        """Return where the module of a plain name is, or None if there is none.

        The order is that of Python's own finder: package, module, namespace package (PEP 420).
        """
        path = name.replace(".", "/")
        if f"{path}/__init__.py" in self.files:
            return ModuleFile(member=f"{path}/__init__.py", folder=path)
        if f"{path}.py" in self.files:
            return ModuleFile(member=f"{path}.py", folder=None)
        if path in self.folders:
            return ModuleFile(member=None, folder=path)
        return None

    def modules_in(self, package: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of each module with a source in a package, and whether it's a package."""
        for entry in self.folders[package.replace(".", "/")]:
            name = entry.removesuffix(".py")
            found = self.module(f"{package}.{name}") if name.isidentifier() else None
            if name != "__init__" and found is not None and found.member is not None:
                yield name, found.is_package


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFile:
    """Where one module of a release is."""

    member: str | None
    """The path of its source; None for a namespace package."""
    folder: str | None
    """The path of a package's folder; None for a plain module."""

    @property
    def is_package(self) -> bool:
        """Whether it may have submodules."""
        return self.folder is not None


def _module_of(member: str) -> str:
    """Return the module that a source is of, as `acme_etl` for `acme_etl/__init__.py`."""
    return member.removesuffix(".py").removesuffix("/__init__")
