"""Fingerprints of code: they change when what a task does changes, and not when comments move.

A function's fingerprint covers its syntax tree without docstrings and positions, the constants it
closes over, its defaults, and, through the names it uses, the constants, functions and classes of
its own top-level package. Code of other distributions is covered by the dependency lock instead.
"""

import ast
import hashlib
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any

_CONSTANTS = (type(None), bool, int, float, complex, str, bytes)
FINGERPRINT_LENGTH = 32


def combined(*parts: str) -> str:
    """Return one fingerprint of several texts, in order; hex."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def of_callable(function: Callable[..., Any] | None) -> str:
    """Return the fingerprint of a function; hex."""
    return combined(*_describe(function, set()))


def _describe(thing: object, seen: set[int]) -> Iterator[str]:
    thing = inspect.unwrap(thing) if callable(thing) else thing
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, types.FunctionType):
        yield from _describe_function(thing, seen)
    elif isinstance(thing, type):
        yield _syntax(thing) or thing.__qualname__
    elif isinstance(thing, types.MethodType):
        yield from _describe(thing.__func__, seen)
    else:
        yield _constant(thing)


def _describe_function(function: types.FunctionType, seen: set[int]) -> Iterator[str]:
    yield _syntax(function) or _bytecode(function.__code__)
    yield _constant(function.__defaults__)
    yield _constant(function.__kwdefaults__)
    for cell in function.__closure__ or ():
        try:
            yield from _describe(cell.cell_contents, seen)
        except ValueError:  # an empty cell: the name is bound later
            yield "unbound"
    package = function.__module__.partition(".")[0]
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        if isinstance(value, types.FunctionType | type):
            if value.__module__.partition(".")[0] == package:
                yield name
                yield from _describe(value, seen)
        elif isinstance(value, (*_CONSTANTS, tuple, frozenset)):
            yield name
            yield _constant(value)


def _names(code: types.CodeType) -> set[str]:
    """Return the global names that code uses, those of its inner functions included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _constant(value: object) -> str:
    if isinstance(value, _CONSTANTS):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}:[{','.join(map(_constant, value))}]"
    if isinstance(value, set | frozenset):
        return f"set:[{','.join(sorted(map(_constant, value)))}]"
    if isinstance(value, dict):
        items = sorted(f"{_constant(key)}={_constant(item)}" for key, item in value.items())
        return f"dict:[{','.join(items)}]"
    return f"object:{type(value).__qualname__}"


def _syntax(thing: Any) -> str | None:
    """Return the shape of a definition's source, or None when there is no source to read."""
    try:
        source = textwrap.dedent(inspect.getsource(thing))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError, ValueError):  # exec, REPL, a lambda within a line
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _strip(node)
    return _shape(tree)


def _strip(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
    """Remove what doesn't change what a definition does: its docstring and its decorators.

    The decorator of a task holds its retry and shape, which the task's fingerprint covers itself.
    """
    first = node.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    if is_text and isinstance(first.value.value, str):  # type: ignore[attr-defined]
        node.body = node.body[1:]
    if not isinstance(node, ast.ClassDef):
        node.decorator_list = []


def _shape(node: object) -> str:
    """Return a syntax tree as text that is the same in every version of Python.

    `ast.dump` isn't: it began to leave out empty fields in 3.13.
    """
    if isinstance(node, ast.AST):
        fields = (
            f"{name}={_shape(value)}"
            for name, value in ast.iter_fields(node)
            if value not in (None, []) and name not in {"type_comment", "kind", "ctx"}
        )
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_shape, node))}]"
    return repr(node)


def _bytecode(code: types.CodeType) -> str:
    constants = [
        _bytecode(item) if isinstance(item, types.CodeType) else _constant(item)
        for item in code.co_consts
    ]
    return f"{code.co_code.hex()}:{constants}:{code.co_names}"
