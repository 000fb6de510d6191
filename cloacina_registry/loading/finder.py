"""Finds and executes the modules of namespaces, from checked contents and nothing else."""

import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from cloacina_core.foundation.names import NAMESPACE_ROOT
from cloacina_registry.loading.contents import ModuleFile, ReleaseContents
from cloacina_registry.loading.namespace import NamespaceNames
from cloacina_registry.loading.resources import MemberPath, MemberResources

_UNDER_ROOT = f"{NAMESPACE_ROOT}."


class ReleaseLoader(ExecutionLoader):
    """The loader (PEP 302, PEP 451) of all modules of one namespace.

    Sources are compiled at each first import, from bytes that are hashed just before; bytecode is
    neither read nor written, because what was verified is the source. Safe to call from any thread.
    """

    def __init__(
        self,
        contents: ReleaseContents,
        names: NamespaceNames,
        builtins: Mapping[str, object],
    ) -> None:
        self._contents = contents
        self._names = names
        self._builtins = builtins
        self._watch = threading.local()

    def spec(self, fullname: str) -> ModuleSpec:
        """Return the spec of a module by its real name.

        Raises:
            ModuleNotFoundError: the release has no such module. Leaving the search to the finders
                behind us would let them serve unchecked files from `ReleaseContents.folder`.
        """
        file = self._find(fullname)
        spec = ModuleSpec(
            fullname,
            self,
            origin=None if file.member is None else self._contents.path_of(file.member),
            is_package=file.is_package,
        )
        spec.has_location = file.member is not None
        if file.folder is not None:
            spec.submodule_search_locations = [self._contents.path_of(file.folder)]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code, with the namespace's builtins."""
        executed = getattr(self._watch, "executed", None)
        if executed is not None:
            executed.append(module.__name__)
        vars(module)["__builtins__"] = self._builtins
        super().exec_module(module)

    @contextmanager
    def watch_this_thread(self) -> Iterator[Sequence[str]]:
        """Yield the real names of the modules that this thread executes in the block, so far."""
        executed: list[str] = []
        self._watch.executed = executed
        try:
            yield executed
        finally:
            self._watch.executed = None

    def is_package(self, fullname: str) -> bool:
        """Whether the module may have submodules."""
        return self._find(fullname).is_package

    def get_filename(self, fullname: str) -> str:
        """Return the path that tracebacks show.

        Raises:
            ImportError: a namespace package has no file.
        """
        member = self._find(fullname).member
        if member is None:
            raise ImportError(f"{self._names.plain(fullname)} has no file", name=fullname)
        return self._contents.path_of(member)

    def get_code(self, fullname: str) -> CodeType:
        """Return a module's code.

        Raises:
            TamperedError: its source isn't what was verified.
        """
        member = self._find(fullname).member
        if member is None:
            return self.source_to_code("")
        return self.source_to_code(self._contents.source(member), self._contents.path_of(member))

    def get_source(self, fullname: str) -> str:
        """Return the module's source: tracebacks and `inspect` show lines of it."""
        member = self._find(fullname).member
        return "" if member is None else importlib.util.decode_source(self._contents.files[member])

    def get_data(self, path: str) -> bytes:
        """Return the bytes of the file at a path that begins like `__file__` (PEP 302).

        Raises:
            OSError: the release has no such file.
        """
        inside = path.removeprefix(self._contents.origin).replace(os.sep, "/").lstrip("/")
        return MemberPath(self._contents, "").joinpath(inside).read_bytes()

    def get_resource_reader(self, fullname: str) -> MemberResources | None:
        """Return the reader of a package's resources; None for a plain module."""
        folder = self._find(fullname).folder
        if folder is None:
            return None
        return MemberResources(MemberPath(self._contents, folder))

    def _find(self, fullname: str) -> ModuleFile:
        plain = self._names.plain(fullname)
        file = self._contents.module(plain) if self._names.owns(plain) else None
        if file is None:
            raise ModuleNotFoundError(f"No module named {plain!r}", name=fullname)
        return file


class NamespaceFinder(MetaPathFinder):
    """The meta path finder of one `NamespaceLoader`.

    `sys.meta_path` is where Python asks for modules that it doesn't have, so this is the one thing
    that a loader must share with the process. It knows the namespaces of its own loader only.
    """

    def __init__(self) -> None:
        self._loaders: dict[str, ReleaseLoader] = {}

    def mount(self, prefix: str, loader: ReleaseLoader) -> None:
        """Serve the modules under a prefix from now on."""
        self._loaders[prefix] = loader

    def unmount(self, prefix: str) -> None:
        """Serve them no longer."""
        self._loaders.pop(prefix, None)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of a module in one of our namespaces, and None for all others.

        The contents decide. What they don't have may come from finders of the namespace's own code,
        which was verified with it, and from no other.
        """
        if not fullname.startswith(_UNDER_ROOT):
            return None
        prefix = _UNDER_ROOT + fullname.removeprefix(_UNDER_ROOT).partition(".")[0]
        loader = self._loaders.get(prefix)
        if loader is None:
            return None
        try:
            return loader.spec(fullname)
        except ModuleNotFoundError:
            made = (one.find_spec(fullname, path, target) for one in finders_of(prefix))
            spec: ModuleSpec | None = next(filter(None, made), None)
            if spec is None:
                raise
            return spec


def finders_of(prefix: str) -> list[Any]:
    """Return the finders that the code of a namespace has put into `sys.meta_path`.

    As `six` does, to make modules such as `six.moves.urllib` that have no file.
    """
    own = f"{prefix}."
    return [finder for finder in sys.meta_path if type(finder).__module__.startswith(own)]
