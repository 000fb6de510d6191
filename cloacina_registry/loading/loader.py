"""Loads releases, each into a namespace of its own."""

import importlib
import importlib.util
import itertools
import linecache
import logging
import operator
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import Any, Self

from cloacina_core.errors import CloacinaError, Problem
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.names import NAMESPACE_ROOT, nearest, plain_text
from cloacina_registry.errors import LoadError
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.finder import NamespaceFinder, ReleaseLoader, finders_of
from cloacina_registry.loading.namespace import NamespaceNames, namespace_prefix
from cloacina_registry.loading.pitfalls import Pitfall, find_pitfalls
from cloacina_registry.loading.stand_ins import namespace_builtins


class Namespace:
    """The modules of one loaded release. `NamespaceLoader.load` makes it.

    Safe to use from any thread. Code is imported when it is asked for, so making one runs nothing.
    """

    def __init__(
        self, contents: ReleaseContents, names: NamespaceNames, loader: ReleaseLoader
    ) -> None:
        self.package = contents.package
        self.version = contents.version
        self.digest = contents.digest
        self.prefix = names.prefix
        self._contents = contents
        self._names = names
        self._loader = loader
        # One import at a time from outside, so that a failed one can be undone; imports by the
        # release's own running code are left to the locks of Python's import system.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<namespace of {self}: {self.prefix}>"

    def __str__(self) -> str:
        return f"{self.package} {self.version}"

    @cached_property
    def pitfalls(self) -> tuple[Pitfall, ...]:
        """What the release's source does that won't work in a namespace."""
        return find_pitfalls(self._contents)

    def import_module(self, name: str) -> ModuleType:
        """Return one of the release's modules by its plain name, as `acme_etl.flows`.

        When it fails, what this call imported is forgotten, so that the next try begins afresh.

        Raises:
            LoadError: the release has no such module, or its code raised at import; then that
                exception is the cause.
        """
        if not self._names.owns(name):
            own = ", ".join(sorted(self._names.top_levels))
            raise LoadError(f"{self} has no module {name!r}", hint=f"its modules are below: {own}")
        with self._lock, self._loader.watch_this_thread() as executed:
            try:
                return importlib.import_module(self._names.real(name))
            except BaseException as error:
                for real_name in reversed(executed):
                    _forget_module(real_name)
                # SystemExit of a package isn't ours; KeyboardInterrupt is the user's.
                if isinstance(error, Exception | SystemExit):
                    raise self._import_failure(name, error) from error
                raise

    def resolve(self, target: str) -> object:
        """Return the object that a `module:attribute` names, as an entry point does.

        Raises:
            LoadError: the module can't be imported, or has no such attribute.
        """
        module_name, _, path = target.partition(":")
        found: object = self.import_module(module_name)
        for attribute in filter(None, path.split(".")):
            try:
                found = getattr(found, attribute)
            except AttributeError as error:
                near = nearest(attribute, [name for name in dir(found) if name[0] != "_"])
                raise LoadError(
                    f"{target!r} of {self} doesn't exist: there is no {attribute!r}",
                    hint=f"did you mean {' or '.join(near)}?" if near else None,
                ) from error
            except Exception as error:  # a module's own __getattr__ (PEP 562) may import
                raise self._import_failure(target, error) from error
        return found

    def _import_failure(self, name: str, error: BaseException) -> LoadError:
        failed = f"{self} can't be loaded: importing {name!r} raised {type(error).__name__}"
        if isinstance(error, CloacinaError):  # as DefinitionError: it tells its author what to do
            problems = [replace(each, message=plain_text(each.message)) for each in error.problems]
            message = plain_text(f"{failed}: {error.message}")
            return LoadError(message, hint=error.hint, problems=problems)
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        hint = None
        if missing is not None and not self._names.owns(self._names.plain(missing)):
            hint = (
                f"the package needs {missing!r}: declare the dependency in its pyproject.toml, and "
                "build a new version, which locks it"
            )
        elif self.pitfalls:
            hint = f"perhaps because of this: {self.pitfalls[0]}"
        return LoadError(plain_text(f"{failed}: {error}"), hint=hint)

    def forget(self) -> None:
        """Take the modules out of the interpreter's tables. For the `NamespaceLoader` alone.

        Loggers too are kept by name for ever, finders where they were put, and sources of which a
        line was shown in a traceback.
        """
        with self._lock:
            for finder in finders_of(self.prefix):
                sys.meta_path.remove(finder)
            for real_name in list(sys.modules):
                if self._is_own(real_name):
                    _forget_module(real_name)
            loggers = logging.getLogger().manager.loggerDict
            for logger_name in list(loggers):
                if self._is_own(logger_name):
                    loggers.pop(logger_name, None)
            own_files = self._contents.path_of("")
            for filename in list(linecache.cache):
                if filename.startswith(own_files):
                    linecache.cache.pop(filename, None)

    def _is_own(self, real_name: str) -> bool:
        return f"{real_name}.".startswith(f"{self.prefix}.")


class NamespaceLoader:
    """Loads releases side by side, and unloads them.

    It keeps no state but its own and what Python's import system makes everybody share: its finder
    stands in `sys.meta_path` while anything is loaded, and the modules stand in `sys.modules`.
    Loaders don't share namespaces; whoever makes one closes it. Safe to use from any thread.
    """

    def __init__(self) -> None:
        self._namespaces: dict[Digest, Namespace] = {}
        self._finder = NamespaceFinder()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def loaded(self) -> tuple[Digest, ...]:
        """The digests of the loaded releases, the one whose last `load` is longest ago first.

        The caller, who knows which of them have live runs, decides what to unload.
        """
        with self._lock:
            return tuple(self._namespaces)

    def load(self, contents: ReleaseContents, prefix: str | None = None) -> Namespace:
        """Return the release's namespace; the same one until it is unloaded.

        It never disturbs another release, also not another one of the same package.

        Args:
            contents: of the release.
            prefix: where it is loaded already in the process that sent it here; None: anywhere.

        Raises:
            LoadError: the release has native code, or this loader is closed.
        """
        with self._lock:
            if self._closed:
                raise LoadError(f"can't load {contents.package}: the loader is closed")
            namespace = self._namespaces.pop(contents.digest, None)
            namespace = namespace or self._mount(contents, prefix)
            self._namespaces[contents.digest] = namespace  # now the last one
            return namespace

    def unload(self, digest: Digest) -> None:
        """Forget a release's modules; nothing happens if it isn't loaded.

        Drain it first: objects that are in use live on, but their later imports fail.
        """
        with self._lock:
            namespace = self._namespaces.pop(digest, None)
            if namespace is None:
                return
            self._finder.unmount(namespace.prefix)
            if not self._namespaces:
                sys.meta_path.remove(self._finder)
        namespace.forget()

    def close(self) -> None:
        """Unload everything; nothing can be loaded any more."""
        with self._lock:
            self._closed = True
        for digest in self.loaded:
            self.unload(digest)

    def _mount(self, contents: ReleaseContents, wanted: str | None) -> Namespace:
        _refuse_native_code(contents)
        # Were it not there, `logging` would keep a list of all loggers below it, for ever.
        logging.getLogger(NAMESPACE_ROOT)
        prefix = _claim_prefix(contents) if wanted is None else wanted
        if wanted is not None and not _claim(wanted):
            raise LoadError(f"{contents} can't be loaded: there is something at {wanted}")
        names = NamespaceNames.of(prefix, contents.top_levels)
        own_builtins = namespace_builtins(contents, names, begin_process)
        loader = ReleaseLoader(contents, names, own_builtins)
        self._finder.mount(prefix, loader)
        if self._finder not in sys.meta_path:
            sys.meta_path.insert(0, self._finder)
        return Namespace(contents, names, loader)


def begin_process(contents: Mapping[str, Any], prefix: str, home: type | tuple[str, str]) -> object:
    """Load a release in a process that its code has started, and return the process's object.

    Unpickled first of all that the new process is sent; see `processes`. The loader is kept by
    `sys.meta_path`, where its finder stands, until the process ends.

    Args:
        contents: what makes the `ReleaseContents`.
        prefix: of the release's namespace in the parent.
        home: the class of the process, or its module and name when the release has it.
    """
    if prefix not in sys.modules:
        NamespaceLoader().load(ReleaseContents(**contents), prefix)
    if isinstance(home, type):
        return object.__new__(home)
    module, name = home
    kind: Any = operator.attrgetter(name)(importlib.import_module(module))
    return object.__new__(kind)


def _refuse_native_code(contents: ReleaseContents) -> None:
    native = contents.native_files
    if native:
        raise LoadError(
            f"{contents.package} {contents.version} has native code, which can't be loaded "
            "in two versions by one process",
            hint="run its tasks in worker processes",
            problems=[Problem("native", "native code", member) for member in native],
        )


def _claim_prefix(contents: ReleaseContents) -> str:
    """Take a name for the release's namespace that nobody has, and return it."""
    prefixes = (
        namespace_prefix(contents.package, contents.version, contents.digest, nth=nth)
        for nth in itertools.count(1)
    )
    return next(prefix for prefix in prefixes if _claim(prefix))


def _claim(prefix: str) -> bool:
    """Put an empty package of this name into `sys.modules`; return False if there is one.

    `setdefault` is atomic, so that table alone settles between all loaders who has a name.
    """
    package = _empty_package(prefix)
    if sys.modules.setdefault(prefix, package) is not package:
        return False
    root = sys.modules.setdefault(NAMESPACE_ROOT, _empty_package(NAMESPACE_ROOT))
    setattr(root, prefix.removeprefix(f"{NAMESPACE_ROOT}."), package)
    return True


def _empty_package(name: str) -> ModuleType:
    return importlib.util.module_from_spec(ModuleSpec(name, None, is_package=True))


def _forget_module(real_name: str) -> None:
    """Undo what the import system did for a module: its entry, and its name in the parent."""
    module = sys.modules.pop(real_name, None)
    parent_name, _, child = real_name.rpartition(".")
    parent = sys.modules.get(parent_name)
    if module is not None and parent is not None and vars(parent).get(child) is module:
        delattr(parent, child)
