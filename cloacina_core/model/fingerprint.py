"""Fingerprints of code: they change when what a task does changes, and not when comments move.

A function's fingerprint covers its syntax and, through the names it uses, the functions, classes
and constants of its own top-level package, near or far; and the values that it got when it was
made: defaults and the variables of the function around it. It covers

- constants as they are written, not as they are: `HOME = os.environ["HOME"]` is the same on every
  machine, a `re.compile` of another pattern is another;
- code of other packages by name alone: the dependency lock covers what is in them;
- imports within functions as they are written: the module may not be loaded yet.

It is the same in every process and version of Python, and in the namespace of a loaded release. A
function whose source can't be read is covered by its bytecode, which differs between versions.
"""

import ast
import enum
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from cloacina_core.foundation.names import plain_module
from cloacina_core.model.source import Path, Source, paths_in, read_source, shape

_Module: TypeAlias = dict[str, Any]
"""A module's namespace."""

FINGERPRINT_LENGTH = 32
_CONSTANTS = (type(None), bool, int, float, complex, str, bytes)
_TOLD_BY_REPR = frozenset({"datetime", "decimal", "fractions", "uuid"})


def combined(*parts: str) -> str:
    """Return one fingerprint of several texts, in order; hex."""
    import hashlib  # noqa: PLC0415 - it loads OpenSSL, which running a task doesn't need

    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def of_callable(function: Callable[..., Any] | None) -> str:
    """Return the fingerprint of a function; hex."""
    return combined(*_Description(_home_of(function)).of_all(function))


def _home_of(function: object) -> str:
    """Return the name of the module that a function is from, behind what wraps it."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            break
    return getattr(function, "__module__", None) or ""


class _Description:
    """Tells everything that a function depends on in its own package, each thing once."""

    def __init__(self, home: str) -> None:
        plain = plain_module(home)
        self._namespace = home.removesuffix(plain)
        self._package = plain.partition(".")[0]
        self._values: dict[int, object] = {}  # by id; held, so that no id is given away again
        self._names: set[tuple[str, str]] = set()
        self._ahead: deque[tuple[_Module, Path]] = deque()
        self._sources: dict[str, Source | None] = {}

    def of_all(self, value: object) -> Iterator[str]:
        """Tell a value, and then whatever it names, directly or not."""
        yield from self.of_value(value)
        while self._ahead:
            yield from self._of_path(*self._ahead.popleft())

    def of_value(self, value: object) -> Iterator[str]:
        """Tell a value: a constant, a function, or something that holds them."""
        if isinstance(value, _CONSTANTS):
            yield f"{type(value).__name__}:{value!a}"
        elif isinstance(value, enum.Enum):
            yield f"{type(value).__qualname__}.{value.name}"
        elif type(value).__module__ in _TOLD_BY_REPR:
            yield repr(value)
        elif id(value) in self._values:
            yield "again"
        else:
            self._values[id(value)] = value
            yield f"{type(value).__qualname__}:"
            yield from self._of_object(value)

    def _of_object(self, value: Any) -> Iterator[str]:
        match value:
            case types.FunctionType():
                yield from self._of_function(value)
            case types.MethodType():
                yield from self.of_value(value.__func__)
                yield from self.of_value(value.__self__)
            case functools.partial():
                yield from self._of_values(value.func, value.args, value.keywords)
            case type():
                yield value.__qualname__
                self._ahead.append((_module_of(value), (value.__qualname__.split(".")[0],)))
            case list() | tuple():
                yield from self._of_values(*value)
            case set() | frozenset():
                yield from sorted("".join(self.of_value(item)) for item in value)
            case dict():
                for key in sorted(value, key=ascii):
                    yield from self._of_values(key, value[key])
            case _ if hasattr(value, "__wrapped__"):
                yield from self.of_value(value.__wrapped__)
            case _:
                yield from self._of_instance(value)

    def _of_values(self, *values: object) -> Iterator[str]:
        for value in values:
            yield from self.of_value(value)
        yield "end"

    def _of_instance(self, value: Any) -> Iterator[str]:
        yield getattr(value, "__qualname__", "")  # of a builtin function
        if self._is_own(type(value).__module__):
            yield from self._of_values(type(value), getattr(value, "__dict__", None))

    def _of_function(self, function: types.FunctionType) -> Iterator[str]:
        module = function.__globals__
        if self._is_own(module.get("__name__", "")):
            yield from self._of_code(function.__code__, module)
            if "<locals>" in function.__qualname__:  # else the syntax tells the defaults
                yield from self._of_values(function.__defaults__, function.__kwdefaults__)
        else:
            yield f"{module.get('__name__')}.{function.__qualname__}"
        for cell in function.__closure__ or ():
            try:
                yield from self.of_value(cell.cell_contents)
            except ValueError:  # an empty cell: the name is bound later
                yield "unbound"
        if hasattr(function, "__wrapped__"):
            yield from self.of_value(function.__wrapped__)

    def _of_code(self, code: types.CodeType, module: _Module) -> Iterator[str]:
        source = self._source(code.co_filename, module)
        definitions = source.definitions(code) if source else []
        if not definitions:
            yield _bytecode(code)
            self._ahead.extend((module, (name,)) for name in sorted(_names(code)))
        for definition in definitions:
            yield from self._of_syntax(definition, module)

    def _of_syntax(self, node: ast.AST, module: _Module) -> Iterator[str]:
        yield shape(node)
        self._ahead.extend((module, path) for path in sorted(paths_in(node)))

    def _of_path(self, module: _Module, path: Path) -> Iterator[str]:
        """Tell what a name of an own module means, and what the attributes asked of it mean."""
        name, *attributes = path
        if name not in module or not self._is_own(module.get("__name__", "")):
            return
        value = module[name]
        if isinstance(value, types.ModuleType):
            yield plain_module(value.__name__)
            if attributes:
                self._ahead.append((vars(value), tuple(attributes)))
            return
        where = (module["__name__"], name)
        if where in self._names:
            return
        self._names.add(where)
        yield name
        source = self._source(module.get("__file__") or "", module)
        bindings = source.bindings(name) if source else []
        for binding in bindings:
            if isinstance(binding, ast.ImportFrom):
                yield from self._of_import(binding, name, module)
            else:
                yield from self._of_syntax(binding, module)
        if not bindings:
            yield from self._of_unbound(source, name, module)

    def _of_import(self, statement: ast.ImportFrom, name: str, module: _Module) -> Iterator[str]:
        origin = _imported_module(statement, module)
        for alias in statement.names:
            if (alias.asname or alias.name) == name:
                yield f"{origin}.{alias.name}"
                self._ahead.append((self._own_module(origin), (alias.name,)))

    def _of_unbound(self, source: Source | None, name: str, module: _Module) -> Iterator[str]:
        """Tell a name that no statement binds: it came by `import *`, or by a program's hand."""
        for statement in source.star_imports() if source else []:
            if isinstance(statement, ast.ImportFrom):
                origin = self._own_module(_imported_module(statement, module))
                if name in origin:
                    self._ahead.append((origin, (name,)))
                    return
        if isinstance(module[name], (*_CONSTANTS, types.FunctionType)):
            yield from self.of_value(module[name])

    def _source(self, file: str, module: _Module) -> Source | None:
        if file not in self._sources:
            self._sources[file] = read_source(file, module)
        return self._sources[file]

    def _is_own(self, module: str) -> bool:
        in_namespace = module.startswith(self._namespace)
        return in_namespace and plain_module(module).partition(".")[0] == self._package

    def _own_module(self, plain: str) -> _Module:
        """Return the namespace of a module by its author's name; empty if it isn't ours."""
        module = sys.modules.get(self._namespace + plain)
        return vars(module) if module and self._is_own(module.__name__) else {}


def _module_of(kind: type) -> _Module:
    module = sys.modules.get(kind.__module__)
    return vars(module) if module else {}


def _imported_module(statement: ast.ImportFrom, module: _Module) -> str:
    """Return the absolute name, as its author knows it, of the module of a `from` import."""
    if not statement.level:
        return statement.module or ""
    package = plain_module(module.get("__package__") or "").split(".")
    parents = package[: len(package) - statement.level + 1]
    return ".".join([*parents, *([statement.module] if statement.module else [])])


def _names(code: types.CodeType) -> set[str]:
    """Return the global names that code uses, those of its inner functions included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _bytecode(code: types.CodeType) -> str:
    constants = [
        _bytecode(item) if isinstance(item, types.CodeType) else _constant(item)
        for item in code.co_consts
    ]
    return f"{code.co_code.hex()}:{constants}:{code.co_names}"


def _constant(value: object) -> str:
    if isinstance(value, frozenset):  # of `x in {"a", "b"}`: its order differs between processes
        return ascii(sorted(map(_constant, value)))
    if isinstance(value, tuple):
        return ascii([_constant(item) for item in value])
    return ascii(value)
