"""What the author of a package can do about a wheel that is refused."""

from collections.abc import Iterable, Iterator, Mapping

from cloacina_core.errors import Problem

_MAX_MODULES = 12
_NATIVE = (
    'build a wheel for one platform, and say isolation = "worker" in [tool.cloacina.package]; '
    "or depend on a distribution that has the compiled code"
)
_ADVICE: Mapping[str, str] = {
    "entry-points": (
        "name the workflows in pyproject.toml: "
        '[project.entry-points."cloacina.workflows"] NAME = "module:attribute"'
    ),
    "native": _NATIVE,
    "not-pure": _NATIVE,
    "shadow": "give the import package a name of its own",
    "top-level": "have the wheel contain one import package, named like the project",
    "data-dir": "put data files into the import package, and read them with importlib.resources",
    "startup-file": "leave the file out; what it does belongs into the tasks",
    "bytecode": "exclude __pycache__ from the wheel",
    "filename": "set project.version to a plain version, as 1.2.0",
    "version": "set project.version to a plain version, as 1.2.0",
}
"""By kind of problem; the first kind that is here is told."""


def advice_for(problems: Iterable[Problem], files: Mapping[str, bytes]) -> str | None:
    """Return what to do next about a wheel that is refused, or None when the problems say it.

    Args:
        problems: why it is refused.
        files: its contents, as far as they could be read.
    """
    kinds = {problem.kind for problem in problems}
    kind = next((kind for kind in _ADVICE if kind in kinds), None)
    if kind is None:
        return None
    modules = list(_modules(files))
    if kind == "entry-points" and 0 < len(modules) <= _MAX_MODULES:
        return f"{_ADVICE[kind]}; its modules: {', '.join(modules)}"
    return _ADVICE[kind]


def _modules(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the names of the modules that a wheel contains."""
    for path in sorted(files):
        if path.endswith(".py"):
            yield path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
