"""A first project: an ordinary one, whose workflow builds, verifies and runs untouched."""

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from cloacina_core.errors import ConflictError, InputError
from cloacina_core.model.release import normalized_package
from cloacina_registry.wheel.profile import HOST_NAMES

_NAME = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")  # PEP 508
_RESERVED = frozenset({"cloacina", "test", "tests", *HOST_NAMES})
_FILES: Mapping[str, str] = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "ci.yml": ".github/workflows/ci.yml",
    "package.py": "src/$module/__init__.py",
    "flows.py": "src/$module/flows.py",
    "sales.csv": "src/$module/sales.csv",
    "test_flows.py": "tests/test_flows.py",
}
"""Where each template goes."""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """A project that was made."""

    folder: Path
    package: str
    """Normalised."""
    module: str
    """The name that its code is imported by."""
    files: tuple[str, ...]
    """Paths within the folder."""


def make_project(name: str, folder: Path | None = None) -> Scaffold:
    """Make a project.

    Args:
        name: the package's name; it is normalised (PEP 503).
        folder: where the project goes; None: into a new folder of its name.

    Raises:
        InputError: the name can't be that of a package, or of a module.
        ConflictError: something is in the folder.
    """
    package = _checked_name(name)
    module = _module_name(package)
    folder = Path(package) if folder is None else folder
    _require_empty(folder)
    texts = _texts(package, module)
    try:
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{folder} can't be written: {error.strerror}") from error
    return Scaffold(folder=folder, package=package, module=module, files=tuple(texts))


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} can't be the name of a package",
            hint="use ASCII letters, digits, '.', '_' and '-', as in acme-etl (PEP 508)",
        )
    return normalized_package(name)


def _module_name(package: str) -> str:
    """Return the name that the code of a package is imported by.

    Raises:
        InputError: it is no such name, or stands for something else already.
    """
    module = package.replace("-", "_")
    if not module.isidentifier():
        reason = "which isn't a name in Python"
    elif keyword.iskeyword(module) or keyword.issoftkeyword(module):
        reason = "which is a word of Python itself"
    elif module in sys.stdlib_module_names:
        reason = "which is a module of the standard library"
    elif module in _RESERVED:
        reason = "which stands for something else already"
    else:
        return module
    raise InputError(
        f"the code of {package!r} would be imported as {module!r}, {reason}",
        hint=f"choose another name, as acme-{package}",
    )


def _require_empty(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise ConflictError(
            f"{folder} isn't empty", hint="choose an empty folder, or a new one, with --directory"
        )
    if folder.exists() and not folder.is_dir():
        raise ConflictError(f"{folder} is there already, and isn't a folder")


def _texts(package: str, module: str) -> dict[str, str]:
    """Return the project's files, by their paths in it."""
    names = {"package": package, "module": module}
    templates = resources.files("cloacina_registry.package").joinpath("template")
    return {
        Template(path).substitute(names): Template(
            templates.joinpath(f"{template}.template").read_text("utf-8")
        ).substitute(names)
        for template, path in _FILES.items()
    }
