"""Finds, without running it, code that works when installed and won't in a namespace.

The list of what doesn't work is in `namespace.py`. This finds the plain spellings of it, not all.
It looks at nothing but the contents, so that whoever asks about a release gets the same answer:
the build, the upload, and those who want to know later why its tasks run in workers.
"""

import ast
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from cloacina_registry.loading.contents import ReleaseContents

_CONFIG_KEYS = frozenset({"()", "class"})
"""Keys of a `logging.config.dictConfig` whose values name what to import."""
_MAPPED = frozenset(
    {
        "__import__",
        "distribution",
        "entry_points",
        "files",
        "find_spec",
        "get_data",
        "getLogger",
        "import_module",
        "patch",
        "resolve_name",
        "run_module",
    }
)
"""Functions whose names of modules are mapped, or are told of by a rule of their own."""
_PATH_READERS = frozenset({"importlib_metadata", "pkg_resources"})
"""Modules that look for distributions along `sys.path`, where the host's are."""
_WORTH_A_LOOK = re.compile(
    rb"sys\.modules|builtins\.__import__|__file__|ImportString|\bpatch\(|\binstall\(|\bloads\("
    rb"|['\"](class|\(\))['\"]\s*:"
)
"""What a source has in it somewhere if anything in it needs a worker: to parse it takes longer."""
_NEW_ENOUGH = re.compile(r"sys\.version_info >= \(3, ([0-9]|10|11)\)")
_TEST_MODULE = re.compile(r"(^|/)(tests?/.*|test_[^/]*|[^/]*_test|conftest)\.py$")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_][\w.]*)?")


class PitfallKind(StrEnum):
    """What sort of thing it is. Stable."""

    SYS_MODULES = "sys-modules"
    BUILTINS_IMPORT = "builtins-import"
    BUILTINS_NAME = "builtins-name"
    PATCH = "patch"
    CONFIGURATION = "configuration"
    IMPORT_STRING = "import-string"
    LOGGER = "logger"
    PICKLE = "pickle"
    FILE_PATH = "file-path"
    HOST_PATH = "host-path"
    NATIVE_CODE = "native-code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitfall:
    """One thing that won't work, or may not, when a release is loaded into a namespace."""

    kind: PitfallKind
    member: str
    """The file it is in."""
    line: int | None
    """Where in the file; None: the whole of it."""
    message: str
    """What is the matter, and what to write instead, in a sentence."""
    needs_worker: bool
    """Whether it surely goes wrong in a namespace, so that the release belongs into a worker."""

    def __str__(self) -> str:
        place = self.member if self.line is None else f"{self.member}:{self.line}"
        return f"{place}: {self.message}"

    def to_json(self) -> dict[str, str | int | bool | None]:
        """Return the pitfall as a JSON object."""
        return {
            "kind": self.kind.value,
            "member": self.member,
            "line": self.line,
            "message": self.message,
            "needs_worker": self.needs_worker,
        }


@dataclass(frozen=True, slots=True)
class _Finding:
    kind: PitfallKind
    message: str
    needs_worker: bool = True


def find_pitfalls(contents: ReleaseContents) -> tuple[Pitfall, ...]:
    """Return the pitfalls in a release and what it brings, by file and line.

    Files that don't parse are passed over: importing them will tell. So are tests, which packages
    carry along and tasks don't import. What only may go wrong is told of the package's own sources:
    its author can't change those of its dependencies, and of them most is well.
    """
    return (*_in_members(contents), *_in_sources(contents))


def _in_members(contents: ReleaseContents) -> Iterator[Pitfall]:
    native = "native code imports what the host has: it needs a process of its own"
    for member in contents.native_files:
        yield _pitfall(_Finding(PitfallKind.NATIVE_CODE, native), member, None)
    for top in sorted(_PATH_READERS.intersection(contents.top_levels)):
        module = contents.module(top)
        message = f"{top} looks along sys.path, where the host's distributions are"
        member = top if module is None or module.member is None else module.member
        yield _pitfall(_Finding(PitfallKind.HOST_PATH, message), member, None)


def _in_sources(contents: ReleaseContents) -> Iterator[Pitfall]:
    for member, source in sorted(contents.files.items()):
        if not member.endswith(".py") or _TEST_MODULE.search(member):
            continue
        is_own = member.partition("/")[0].removesuffix(".py") not in contents.brought
        if not (is_own or _WORTH_A_LOOK.search(source)):
            continue
        found = sorted(_findings_in(source, contents), key=lambda found: found[0])
        for line, finding in found:
            if is_own or finding.needs_worker:
                yield _pitfall(finding, member, line)


def _pitfall(finding: _Finding, member: str, line: int | None) -> Pitfall:
    return Pitfall(
        kind=finding.kind,
        member=member,
        line=line,
        message=finding.message,
        needs_worker=finding.needs_worker,
    )


def _findings_in(source: bytes, contents: ReleaseContents) -> Iterator[tuple[int, _Finding]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    told: set[ast.expr] = set()
    """Strings that a rule has looked at, or that are looked up as they should be."""
    for node in _walk(tree):
        finding = _finding(node, contents, told)
        if finding is not None and isinstance(node, ast.expr | ast.stmt):
            yield node.lineno, finding


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes, outer ones first, but for what no task runs.

    That is what is for a file as a program, and for versions of Python older than any of ours.
    """
    waiting = deque([tree])
    while waiting:
        node = waiting.popleft()
        match node:
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]) as test):
                is_main = "__main__" in ast.unparse(test)
                waiting.extend([test, *([] if is_main else node.body), *node.orelse])
            case ast.If(test=ast.Compare() as test) if _NEW_ENOUGH.fullmatch(ast.unparse(test)):
                waiting.extend(node.body)
            case _:
                waiting.extend(ast.iter_child_nodes(node))
        yield node


def _finding(node: ast.AST, contents: ReleaseContents, told: set[ast.expr]) -> _Finding | None:
    if (key := _key_of_sys_modules(node)) is not None:
        is_set = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        return _about_sys_modules(key, contents, told, is_set=is_set)
    match node:
        case ast.Compare(left=left, comparators=others):
            told.update([left, *others])  # as `__name__ == "acme.flows"`
        case ast.Attribute(value=ast.Name(id="builtins"), attr="__import__"):
            message = "builtins.__import__ imports the host's modules; write __import__"
            return _Finding(PitfallKind.BUILTINS_IMPORT, message)
        case ast.Call():
            return _about_call(node, contents, told)
        case ast.AnnAssign(annotation=annotation, value=ast.Constant(value=str(name)) as value):
            if "ImportString" in ast.unparse(annotation) and _is_own(name, contents):
                told.add(value)
                return _about_import_string(name, needs_worker=True)
        case ast.Dict(keys=keys, values=values):
            return _about_config(keys, values, contents, told)
        case ast.Constant(value=str(name)) if node not in told and _names_own(name, contents):
            return _about_import_string(name, needs_worker=False)
    return None


def _about_sys_modules(
    key: ast.expr, contents: ReleaseContents, told: set[ast.expr], *, is_set: bool
) -> _Finding | None:
    told.add(key)
    name = _beginning(key)
    if name is None or not _is_own(name, contents):
        return None
    shown = ast.unparse(key)
    if is_set:  # an alias for others, most often: nobody in here may ever ask for it
        message = f"what sys.modules is given as {shown} isn't found by an import of that name"
        return _Finding(PitfallKind.SYS_MODULES, message, needs_worker=False)
    call = f"importlib.import_module({shown})"
    message = f"sys.modules has {shown} under another name; write {call}"
    return _Finding(PitfallKind.SYS_MODULES, message)


def _beginning(key: ast.expr) -> str | None:
    """Return the text that a key is or begins with; None for what isn't known before it runs."""
    first = key.values[0] if isinstance(key, ast.JoinedStr) and key.values else key
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _about_call(call: ast.Call, contents: ReleaseContents, told: set[ast.expr]) -> _Finding | None:
    function = _last_name(call.func)
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if function in _MAPPED:
        told.update(given)
    if contents.folder is None and any(_is_file(argument) for argument in given):
        message = "there is no file at __file__; read data with importlib.resources.files"
        return _Finding(PitfallKind.FILE_PATH, message)
    match function, call.args:
        case "load" | "dump", _ if ast.unparse(call.func) in {"pickle.load", "pickle.dump"}:
            message = "pickles name the release's private modules, which no other has; write JSON"
            return _Finding(PitfallKind.PICKLE, message, needs_worker=False)
        case "loads", [ast.Constant(value=bytes(pickled))] if _pickles_own(pickled, contents):
            message = "the pickle names modules that are found in the host, if at all; write JSON"
            return _Finding(PitfallKind.PICKLE, message)
        case "patch", [ast.Constant(value=str(name)), *_] if _is_own(name, contents):
            message = f"patch({name!r}) finds the host's module; write patch.object"
            return _Finding(PitfallKind.PATCH, message)
        case "getLogger", [ast.Constant(value=str(name)), *_] if name in contents.top_levels:
            message = (
                f"getLogger({name!r}) isn't the parent of the modules' loggers; "
                "write getLogger(__package__)"
            )
            return _Finding(PitfallKind.LOGGER, message, needs_worker=False)
        case "install", [ast.Constant(value=str(name)), *_] if name in contents.top_levels:
            message = "names that gettext.install adds to builtins aren't seen; bind gettext itself"
            return _Finding(PitfallKind.BUILTINS_NAME, message)
    return None


def _about_config(
    keys: list[ast.expr | None],
    values: list[ast.expr],
    contents: ReleaseContents,
    told: set[ast.expr],
) -> _Finding | None:
    for key, value in zip(keys, values, strict=True):
        match key, value:
            case (
                ast.Constant(value=str(option)),
                ast.Constant(value=str(name)),
            ) if option in _CONFIG_KEYS and "." in name and _is_own(name, contents):
                told.add(value)
                message = f"dictConfig would look for {name!r} in the host; hand over the object"
                return _Finding(PitfallKind.CONFIGURATION, message)
    return None


def _about_import_string(name: str, *, needs_worker: bool) -> _Finding:
    message = f"what others import by the name {name!r} is the host's; hand over the object"
    return _Finding(PitfallKind.IMPORT_STRING, message, needs_worker)


def _last_name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _key_of_sys_modules(node: ast.AST) -> ast.expr | None:
    """Return what is looked up, or set, in `sys.modules`; None for any other code."""
    match node:
        case ast.Subscript(value=table, slice=key):
            pass
        case ast.Call(func=ast.Attribute(value=table), args=[key, *_]):
            pass
        case ast.Compare(left=key, comparators=[table]):
            pass
        case _:
            return None
    is_sys_modules = isinstance(table, ast.Attribute) and ast.unparse(table) == "sys.modules"
    return key if is_sys_modules else None


def _is_file(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "__file__"


def _is_own(name: str, contents: ReleaseContents) -> bool:
    return name.partition(".")[0] in contents.top_levels


def _names_own(name: str, contents: ReleaseContents) -> bool:
    """Whether a text can only be meant as the name of an own module, or of something in one."""
    if not _DOTTED_NAME.fullmatch(name) or not _is_own(name.partition(":")[0], contents):
        return False
    module, colon, _ = name.partition(":")
    if colon:
        return contents.module(module) is not None
    return any(contents.module(part) is not None for part in _below_top(module.split(".")))


def _below_top(parts: list[str]) -> Iterable[str]:
    return (".".join(parts[:count]) for count in range(2, len(parts) + 1))


def _pickles_own(pickled: bytes, contents: ReleaseContents) -> bool:
    text = pickled.decode("latin-1")
    return any(re.search(rf"(\b|c){top}\b", text) for top in contents.top_levels)
