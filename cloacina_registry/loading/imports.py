"""The `__import__` of a namespace: the package's own names lead to its own modules.

Own are the package's and those of its locked dependencies. Of the host, a package sees the standard
library and `cloacina_core`. Anything else that happens to be installed there isn't found, as it
wouldn't be in a worker: what a package needs, its lock names.
"""

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from cloacina_core.foundation.names import NAMESPACE_ROOT, plain_text
from cloacina_registry.loading.namespace import NamespaceNames

_host_import = builtins.__import__

_HOST_MODULES = frozenset({*sys.stdlib_module_names, NAMESPACE_ROOT, "__main__", "cloacina_core"})
"""The top levels of the host that a namespace's code may import; the root is that of real names."""


class NamespaceImporter:
    """Imports on behalf of the code of one namespace.

    An instance is the `__import__` in the `__builtins__` of the namespace's modules. CPython looks
    it up there for each import statement, wherever and whenever it runs: that is what keeps an
    import in a function, a thread or a coroutine at home.
    """

    def __init__(
        self, release: str, names: NamespaceNames, stand_ins: Mapping[str, ModuleType]
    ) -> None:
        self._release = release
        self._names = names
        self._dotted_prefix = f"{names.prefix}."
        self._stand_ins = stand_ins

    def __call__(
        self,
        name: str,
        # The names are those of `builtins.__import__`: callers may use them.
        globals: Mapping[str, object] | None = None,  # noqa: A002
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Do what `builtins.__import__` does, with own names mapped.

        It runs at every import statement, also of modules imported long ago: keep it short.
        """
        top = name.partition(".")[0]
        try:
            if level > 0:  # relative to a real name, so it stays in the namespace by itself
                return _host_import(name, globals, locals, fromlist or (), level)
            if top in self._names.top_levels:
                real = self._dotted_prefix + name
                if fromlist:
                    return _host_import(real, globals, locals, fromlist, 0)
                importlib.import_module(real)
                return sys.modules[self._dotted_prefix + top]
        except ModuleNotFoundError as error:
            self._name_plainly(error)
            raise
        if top not in _HOST_MODULES:
            raise self._not_declared(name)
        module = _host_import(name, globals, locals, fromlist or (), 0)
        return self._stand_ins.get(name if fromlist else top, module)

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Do what `importlib.import_module` does, with own names mapped."""
        real = self.real(name)
        try:
            module = importlib.import_module(real, self._real_or_none(package))
        except ModuleNotFoundError as error:
            self._name_plainly(error)
            raise
        return self._stand_ins.get(name, module)

    def find_spec(self, name: str, package: str | None = None) -> ModuleSpec | None:
        """Do what `importlib.util.find_spec` does, with own names mapped."""
        if not self.sees(name):
            return None
        real = importlib.util.resolve_name(self._names.real(name), self._real_or_none(package))
        try:
            return importlib.util.find_spec(real)
        except ModuleNotFoundError as error:
            if error.name == real:  # our finder ends the search; see `ReleaseLoader.spec`
                return None
            self._name_plainly(error)
            raise

    def sees(self, name: str) -> bool:
        """Whether the namespace's code may import a module of this name, if there is one."""
        top = name.partition(":")[0].partition(".")[0]
        return top in self._names.top_levels or top in _HOST_MODULES or not top

    def real(self, name: str) -> str:
        """Return what a name that the code uses is in `sys.modules`, if there is such a module.

        Raises:
            ModuleNotFoundError: it is one that the code may not import.
        """
        if not self.sees(name):
            raise self._not_declared(name)
        return self._names.real(name)

    def _not_declared(self, name: str) -> ModuleNotFoundError:
        top = name.partition(":")[0].partition(".")[0]
        message = (
            f"No module named {top!r}: it isn't among what {self._release} has locked, "
            "and of the host it sees the standard library and cloacina_core only"
        )
        return ModuleNotFoundError(message, name=top)

    def _real_or_none(self, package: str | None) -> str | None:
        return None if package is None else self._names.real(package)

    def _name_plainly(self, error: ModuleNotFoundError) -> None:
        """Let the error name the module as the package does: code compares `error.name`."""
        if error.name == self._names.prefix:
            error.msg = f"the release was unloaded while its code ran ({error.name})"
        elif error.name is not None:
            error.msg = plain_text(error.msg)
            error.name = self._names.plain(error.name)
        error.args = (error.msg,)
