"""Names of workflows, tasks and keys: what is allowed, and which known name was meant."""

import re
from collections.abc import Iterable

MAX_NAME_LENGTH = 100
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_INSTANCE = re.compile(r"([^\[\]]+)\[(0|[1-9][0-9]*)\]")


def name_problem(name: object, what: str) -> str | None:
    """Return what is wrong with a name, or None.

    Names end up in file names, URLs, SQL values and logs; they are kept to ASCII letters, digits,
    `_`, `.` and `-`, begin with a letter or `_`, have at most 100 characters and no `..`.
    """
    if not isinstance(name, str):
        return f"the name of a {what} must be a string, not {type(name).__name__}"
    if len(name) > MAX_NAME_LENGTH:
        return f"{what} name {name[:20]!r}... has {len(name)} characters; {MAX_NAME_LENGTH} fit"
    if not _NAME.fullmatch(name) or ".." in name:
        return (
            f"{what} name {name!r} must be ASCII letters, digits, '_', '.' or '-', "
            "begin with a letter or '_', and have no '..'"
        )
    return None


def instance_name(task: str, index: int) -> str:
    """Return the name of one instance of a mapped task: no task's name has brackets."""
    return f"{task}[{index}]"


def every_instance(task: str) -> str:
    """Return the words for all instances of a mapped task."""
    return f"{task}[*]"


def split_instance(name: str) -> tuple[str, int | None]:
    """Return the task that a name means, and the index when it means one instance of it."""
    match = _INSTANCE.fullmatch(name)
    return (name, None) if match is None else (match[1], int(match[2]))


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return the known names most like `name`, best first, for "did you mean"."""
    import difflib  # noqa: PLC0415 - needed only when something is wrong

    by_fold: dict[str, list[str]] = {}
    for candidate in sorted(known):
        by_fold.setdefault(candidate.casefold(), []).append(candidate)
    matches = difflib.get_close_matches(name.casefold(), by_fold, n=limit, cutoff=0.5)
    return [candidate for match in matches for candidate in by_fold[match]][:limit]


NAMESPACE_ROOT = "_cloacina"
"""Modules of a loaded release are real modules named `_cloacina.<release>.<their own name>`. As a
logger's name it is the parent of all loggers in packages."""


_NAMESPACE = re.compile(rf"\b{NAMESPACE_ROOT}\.[a-z0-9_]+_[0-9a-f]{{12}}(?:_[0-9]+)?\.")
"""Package, version and digits of the digest: `cloacina_registry.loading.namespace` makes it."""


def plain_text(text: str) -> str:
    """Return a message, a traceback or a log line with modules named as their authors know them."""
    return _NAMESPACE.sub("", text) if NAMESPACE_ROOT in text else text


def plain_module(name: str) -> str:
    """Return a module's name as its author knows it, without the namespace of a loaded release."""
    root, _, rest = name.partition(".")
    return rest.partition(".")[2] if root == NAMESPACE_ROOT else name
