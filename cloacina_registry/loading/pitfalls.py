"""Finds, without running it, code that works when installed and won't in a namespace.

The list of what doesn't work is in `namespace.py`. This finds the plain spellings of it, not all.
"""

import ast
from collections.abc import Iterator

from cloacina_registry.loading.contents import ReleaseContents

_CONFIG_KEYS = frozenset({"()", "class"})
"""Keys of a `logging.config.dictConfig` whose values name what to import."""
_START_METHODS = frozenset({"get_context", "set_start_method"})


def find_pitfalls(contents: ReleaseContents) -> tuple[str, ...]:
    """Return a sentence for each, with file and line. Files that don't parse are passed over."""
    return tuple(
        f"{member}:{line}: {sentence}"
        for member, source in sorted(contents.files.items())
        if member.endswith(".py")
        for line, sentence in sorted(_pitfalls_in(source, contents))
    )


def _pitfalls_in(source: bytes, contents: ReleaseContents) -> Iterator[tuple[int, str]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # importing it will tell
        return
    for node in ast.walk(tree):
        sentence = _pitfall(node, contents)
        if sentence is not None and isinstance(node, ast.expr):
            yield node.lineno, sentence


def _pitfall(node: ast.AST, contents: ReleaseContents) -> str | None:
    match node:
        case ast.Subscript(value=table, slice=key) if _is_sys_modules(table):
            return _about_sys_modules(key, contents)
        case ast.Call(func=ast.Attribute(value=table), args=[key, *_]) if _is_sys_modules(table):
            return _about_sys_modules(key, contents)
        case ast.Compare(left=key, comparators=[table]) if _is_sys_modules(table):
            return _about_sys_modules(key, contents)
        case ast.Attribute(value=ast.Name(id="builtins"), attr="__import__"):
            return "builtins.__import__ imports the host's modules; write __import__"
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
            return _about_call(_last_name(function), name, contents)
        case ast.Dict(keys=keys, values=values):
            return _about_config(keys, values, contents)
        case ast.Name(id="__file__") if contents.folder is None:
            return "there is no file at __file__; read data with importlib.resources.files"
    return None


def _about_sys_modules(key: ast.expr, contents: ReleaseContents) -> str | None:
    if not isinstance(key, ast.Constant) or not _is_own(str(key.value), contents):
        return None
    name = key.value
    return f"sys.modules has {name!r} under another name; write importlib.import_module({name!r})"


def _about_call(function: str, name: str, contents: ReleaseContents) -> str | None:
    match function:
        case "patch" if _is_own(name, contents):
            return f"patch({name!r}) finds the host's module; write patch.object"
        case "getLogger" if name in contents.top_levels:
            return (
                f"getLogger({name!r}) isn't the parent of the modules' loggers; "
                "write getLogger(__package__)"
            )
        case function if function in _START_METHODS and name in {"spawn", "forkserver"}:
            return f"a child process started by {name!r} doesn't have the package's modules"
        case "install" if name in contents.top_levels:
            return "names that gettext.install adds to builtins aren't seen; bind gettext itself"
    return None


def _about_config(
    keys: list[ast.expr | None], values: list[ast.expr], contents: ReleaseContents
) -> str | None:
    for key, value in zip(keys, values, strict=True):
        match key, value:
            case (
                ast.Constant(value=str(option)),
                ast.Constant(value=str(name)),
            ) if option in _CONFIG_KEYS and "." in name and _is_own(name, contents):
                return f"dictConfig would look for {name!r} in the host; hand over the object"
    return None


def _is_sys_modules(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules"


def _last_name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _is_own(name: str, contents: ReleaseContents) -> bool:
    return name.partition(".")[0] in contents.top_levels
