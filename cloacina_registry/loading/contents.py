"""What a release brings: its checked files, and where each module is among them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cloacina_core.foundation.digest import Digest
from cloacina_registry.loading.namespace import short_digest

_NATIVE_SUFFIXES = (".so", ".pyd", ".dylib", ".dll")


@dataclass(frozen=True, kw_only=True)
class ReleaseContents:
    """The files of one release, as they were checked. Nothing is read from anywhere else."""

    package: str
    """Normalised."""
    version: str
    digest: Digest
    """Identifies the content: releases with the same digest have the same files."""
    files: Mapping[str, bytes]
    """The members of the wheel by their paths, as `acme_etl/flows.py`."""
    top_levels: tuple[str, ...]
    """The modules and packages it may be imported by, as `acme_etl`."""
    folder: Path | None = None
    """Where the same files are unpacked, for packages that open files beside `__file__`. Code and
    resources come from `files` all the same."""

    @property
    def origin(self) -> str:
        """The folder that `__file__` begins with.

        Without a real one it can't be mistaken for one, and names the content, because
        `linecache` keeps sources by file name alone.
        """
        if self.folder is not None:
            return str(self.folder)
        return f"<{self.package} {self.version} {short_digest(self.digest)}>"

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
