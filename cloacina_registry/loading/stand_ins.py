"""What a namespace's code gets when it imports `importlib`, `pkgutil` or `runpy`.

These modules take names of modules as strings and look them up on behalf of their caller. A
stand-in is the host's module with such functions replaced by ones that map own names first.
"""

import builtins
import functools
import importlib
import importlib.metadata
import importlib.resources
import importlib.util
import inspect
import pkgutil
import runpy
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.imports import NamespaceImporter
from cloacina_registry.loading.metadata import metadata_functions
from cloacina_registry.loading.namespace import NamespaceNames
from cloacina_registry.loading.walking import PackageWalker

if TYPE_CHECKING:
    from cloacina_registry.loading.processes import ProcessStarter

Begin: TypeAlias = Callable[..., Any]
"""Called in a new process with the contents, the prefix and the class of the process: loads the
release, and returns a bare object of the class. Pickled by name, so it is a module's function."""

_RESOURCE_FUNCTIONS = (  # as far as this Python has them: they came and went
    "contents",
    "is_resource",
    "open_binary",
    "open_text",
    "path",
    "read_binary",
    "read_text",
)
_ANCHOR_KEYWORDS = frozenset({"anchor", "name", "package"})


class StandIn(ModuleType):
    """The host's module of the same name, but for what is replaced."""

    def __init__(self, host: ModuleType, replaced: Mapping[str, object]) -> None:
        super().__init__(host.__name__, host.__doc__)
        self._host = host
        vars(self).update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._host), *vars(self)})


class LateStandIn(ModuleType):
    """A stand-in for a module that few packages use: the host's is imported when it is first used.

    Args:
        name: of the host's module.
        replaced: returns what is replaced.
    """

    def __init__(self, name: str, replaced: Callable[[], Mapping[str, object]]) -> None:
        super().__init__(name)
        self._replaced = replaced

    def __getattr__(self, name: str) -> Any:
        host = importlib.import_module(self.__name__)
        vars(self).update(self._replaced())  # found at once from now on
        return vars(self)[name] if name in vars(self) else getattr(host, name)

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))


def namespace_builtins(
    contents: ReleaseContents, names: NamespaceNames, begin: Begin
) -> dict[str, object]:
    """Return the `__builtins__` of a namespace: the host's, with an `__import__` of its own.

    Args:
        contents: of the release.
        names: of the namespace.
        begin: loads the release in a process that its code starts.
    """
    stand_ins: dict[str, ModuleType] = {}
    importer = NamespaceImporter(str(contents), names, stand_ins)
    own_builtins = {**vars(builtins), "__import__": importer}
    walker = PackageWalker(contents, names, importer)
    pkgutil_functions = {
        "get_data": _with_real_anchor(importer, pkgutil.get_data),
        "resolve_name": _with_real_anchor(importer, pkgutil.resolve_name),
        "iter_modules": walker.iter_modules,
        "walk_packages": walker.walk_packages,
    }
    submodules = {
        "metadata": StandIn(importlib.metadata, metadata_functions(contents, names)),
        "resources": StandIn(importlib.resources, _resource_functions(importer)),
        "util": StandIn(importlib.util, {"find_spec": importer.find_spec}),
    }
    import_functions = {"__import__": importer, "import_module": importer.import_module}
    stand_ins.update(
        {
            "importlib": StandIn(importlib, {**import_functions, **submodules}),
            **{f"importlib.{name}": module for name, module in submodules.items()},
            "pkgutil": StandIn(pkgutil, pkgutil_functions),
            **_process_stand_ins(contents, names, begin),
            "runpy": StandIn(runpy, {"run_module": _run_module_with(importer, own_builtins)}),
        }
    )
    return own_builtins


def _process_stand_ins(
    contents: ReleaseContents, names: NamespaceNames, begin: Begin
) -> dict[str, ModuleType]:
    def starter() -> "ProcessStarter":
        # `multiprocessing` and what it needs take 10 ms to import.
        from cloacina_registry.loading.processes import ProcessStarter  # noqa: PLC0415 - see above

        return ProcessStarter(contents, names.prefix, begin)

    def pools() -> dict[str, object]:
        return starter().pool_functions()

    process = LateStandIn("concurrent.futures.process", pools)
    futures = LateStandIn("concurrent.futures", lambda: {**pools(), "process": process})
    return {
        "multiprocessing": LateStandIn("multiprocessing", lambda: starter().process_functions()),
        "concurrent": LateStandIn("concurrent", lambda: {"futures": futures}),
        "concurrent.futures": futures,
        "concurrent.futures.process": process,
    }


def _with_real_anchor(
    importer: NamespaceImporter, function: Callable[..., Any]
) -> Callable[..., Any]:
    """Return the function with its first argument, or a keyword for it, mapped if it's a name."""

    def real(anchor: object) -> object:
        return importer.real(anchor) if isinstance(anchor, str) else anchor

    @functools.wraps(function)
    def with_real_anchor(*args: Any, **kwargs: Any) -> Any:
        anchors = {key: real(kwargs[key]) for key in _ANCHOR_KEYWORDS & kwargs.keys()}
        return function(*map(real, args[:1]), *args[1:], **{**kwargs, **anchors})

    return with_real_anchor


def _resource_functions(importer: NamespaceImporter) -> dict[str, object]:
    host = importlib.resources
    files_of = _with_real_anchor(importer, host.files)

    def files(*args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            return files_of(*args, **kwargs)
        # Without an anchor the caller's package is meant. Python 3.11 doesn't know that yet, and
        # later ones would take this function for the caller.
        frame = inspect.currentframe()
        if frame is None or frame.f_back is None:
            raise RuntimeError("files() needs an anchor: this Python doesn't tell who calls")
        return host.files(frame.f_back.f_globals["__spec__"].parent)

    others = (name for name in _RESOURCE_FUNCTIONS if hasattr(host, name))
    return {"files": files, **{n: _with_real_anchor(importer, getattr(host, n)) for n in others}}


def _run_module_with(
    importer: NamespaceImporter, own_builtins: dict[str, object]
) -> Callable[..., dict[str, Any]]:
    def run_module(
        mod_name: str, init_globals: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        own_globals = {**(init_globals or {}), "__builtins__": own_builtins}
        return runpy.run_module(importer.real(mod_name), own_globals, *args, **kwargs)

    return run_module
