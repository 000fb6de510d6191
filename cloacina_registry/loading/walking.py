"""`pkgutil`'s walk over the modules of a package, where the package is a loaded release's."""

import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib.machinery import ModuleSpec
from pkgutil import ModuleInfo
from types import ModuleType

from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.imports import NamespaceImporter
from cloacina_registry.loading.namespace import NamespaceNames


class FolderFinder:
    """Finds the modules of one package: what `pkgutil.ModuleInfo.module_finder` has to be."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, fullname: str, target: ModuleType | None = None, /) -> ModuleSpec | None:
        """Return the spec of the module in the package whose name ends like this one."""
        del target
        return importlib.util.find_spec(f"{self._package}.{fullname.rpartition('.')[2]}")


class PackageWalker:
    """Does what `pkgutil` does for folders on disk, also for the `__path__`s of one release."""

    def __init__(
        self, contents: ReleaseContents, names: NamespaceNames, importer: NamespaceImporter
    ) -> None:
        self._contents = contents
        self._names = names
        self._importer = importer

    @cached_property
    def _own_packages(self) -> Mapping[str, str]:
        folders = filter(None, self._contents.folders)
        return {self._contents.path_of(folder): folder.replace("/", ".") for folder in folders}

    def iter_modules(
        self, path: Iterable[str] | None = None, prefix: str = ""
    ) -> Iterator[ModuleInfo]:
        """Yield what `pkgutil.iter_modules` would, were the release unpacked."""
        if path is None:
            yield from self._topmost(prefix)
            return
        for entry in path:
            if entry in self._own_packages:
                yield from self._own_modules(self._own_packages[entry], prefix)
            else:
                yield from pkgutil.iter_modules([entry], prefix)

    def walk_packages(
        self,
        path: Iterable[str] | None = None,
        prefix: str = "",
        onerror: Callable[[str], object] | None = None,
    ) -> Iterator[ModuleInfo]:
        """Yield what `pkgutil.walk_packages` would; it, too, imports the packages it enters."""
        for info in self.iter_modules(path, prefix):
            yield info
            if not info.ispkg:
                continue
            try:
                package = self._importer.import_module(info.name)
            except Exception as error:
                if onerror is not None:
                    onerror(info.name)
                elif not isinstance(error, ImportError):  # those pkgutil passes over, too
                    raise
            else:
                yield from self.walk_packages(package.__path__, f"{info.name}.", onerror)

    def _topmost(self, prefix: str) -> Iterator[ModuleInfo]:
        finder = FolderFinder(self._names.prefix)
        for name in sorted(self._names.top_levels):
            module = self._contents.module(name)
            if module is not None:
                yield ModuleInfo(finder, prefix + name, module.is_package)
        for info in pkgutil.iter_modules():
            if self._importer.sees(info.name) and not self._names.owns(info.name):
                yield ModuleInfo(info.module_finder, prefix + info.name, info.ispkg)

    def _own_modules(self, package: str, prefix: str) -> Iterator[ModuleInfo]:
        finder = FolderFinder(self._names.real(package))
        for name, is_package in self._contents.modules_in(package):
            yield ModuleInfo(finder, prefix + name, is_package)
