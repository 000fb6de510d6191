"""Source code as syntax: where a definition stands, what it names, and its shape.

The shape of a piece of syntax is a text that is the same in every version of Python and in every
layout: it knows no positions, comments or docstrings, nor the decorators that make tasks.
"""

import ast
import functools
import linecache
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import Any, TypeAlias

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Path: TypeAlias = tuple[str, ...]
"""A name and the attributes asked of it: `helpers.rows.read` is `("helpers", "rows", "read")`."""

_IGNORED_FIELDS = frozenset({"type_comment", "kind", "ctx"})


class Source:
    """The syntax of one module."""

    def __init__(self, tree: ast.Module) -> None:
        self._bindings: dict[str, list[ast.stmt]] = {}
        self._definitions: dict[int, list[Definition]] = {}
        for statement in _flat(tree.body):
            for name in _bound_names(statement):
                self._bindings.setdefault(name, []).append(statement)
        for node in ast.walk(tree):
            if isinstance(node, Definition):
                self._definitions.setdefault(_first_line(node), []).append(node)

    def definitions(self, code: CodeType) -> list[Definition]:
        """Return where code was defined: several for lambdas of one line, none if unknown."""
        return [
            node
            for node in self._definitions.get(code.co_firstlineno, ())
            if getattr(node, "name", "<lambda>") == code.co_name
        ]

    def bindings(self, name: str) -> list[ast.stmt]:
        """Return the statements, at the module's level, that give a name its value."""
        return self._bindings.get(name, [])

    def star_imports(self) -> list[ast.stmt]:
        """Return the statements `from MODULE import *`."""
        return self.bindings("*")


def read_source(file: str, module: dict[str, Any]) -> Source | None:
    """Return the syntax of a module's file, or None when there is no source to read.

    Args:
        file: as `__file__` or code objects name it; a loader may know it where no disk does.
        module: the module's namespace.
    """
    linecache.checkcache(file)
    return _parse("".join(linecache.getlines(file, module)))


@functools.lru_cache(maxsize=16)
def _parse(text: str) -> Source | None:
    try:
        return Source(ast.parse(text)) if text else None
    except (SyntaxError, ValueError):  # another file of that name, or one that was replaced
        return None


def _flat(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements, those under `if` and `try` on their own."""
    for statement in statements:
        if isinstance(statement, ast.If):
            yield from _flat([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try | ast.TryStar):
            handlers = [inner for handler in statement.handlers for inner in handler.body]
            yield from _flat([*statement.body, *handlers, *statement.orelse, *statement.finalbody])
        else:
            yield statement


def _bound_names(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _first_line(node: Definition) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return decorators[0].lineno if decorators else node.lineno


def paths_in(node: ast.AST) -> set[Path]:
    """Return the names that a piece of syntax uses, each with the attributes asked of it.

    Local variables are among them: whoever looks them up in the module finds nothing, or finds
    something that changes a fingerprint without need, which does no harm.
    """
    paths: set[Path] = set()
    _collect_paths(node, paths)
    return paths


def _collect_paths(node: ast.AST, paths: set[Path]) -> None:
    attributes: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        attributes.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        paths.add((inner.id, *reversed(attributes)))
        return
    for child in _children(inner):
        _collect_paths(child, paths)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        for item in _kept(node, name, value) if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield item


def shape(node: object) -> str:
    """Return the shape of a piece of syntax.

    `ast.dump` won't do: it began to leave out empty fields in 3.13. Nor will `repr`: what of
    Unicode is printable differs too.
    """
    if isinstance(node, ast.AST):
        fields = (
            f"{name}={shape(_kept(node, name, value) if isinstance(value, list) else value)}"
            for name, value in ast.iter_fields(node)
            if value not in (None, []) and name not in _IGNORED_FIELDS
        )
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(shape, node))}]"
    return ascii(node)


def _kept(node: ast.AST, field: str, items: list[Any]) -> list[Any]:
    """Return the items of a field without those that don't change what the code does."""
    if field == "decorator_list" and not isinstance(node, ast.ClassDef):
        return [item for item in items if not _makes_task(item)]
    if isinstance(node, ast.JoinedStr):
        return [item for item in items if not _is_text(item, empty=True)]  # 3.12.1 invents some
    return [item for item in items if not (isinstance(item, ast.Expr) and _is_text(item.value))]


def _makes_task(decorator: ast.expr) -> bool:
    """Whether it is `@task`, `@workflow.task` or one with options.

    These a task's fingerprint covers itself, as data.
    """
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(function, "attr", getattr(function, "id", None)) == "task"


def _is_text(node: ast.AST, *, empty: bool = False) -> bool:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return is_text and not (empty and node.value)  # type: ignore[attr-defined]
