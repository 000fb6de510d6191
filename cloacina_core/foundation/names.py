"""Names of workflows, tasks and keys: what is allowed, and which known name was meant."""

import difflib
import re
from collections.abc import Iterable

MAX_NAME_LENGTH = 100
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def name_problem(name: object, what: str) -> str | None:
    """Return what is wrong with a name, or None.

    Names end up in file names, URLs, SQL values and logs; they are kept to ASCII letters, digits,
    `_`, `.` and `-`, begin with a letter or `_`, and have at most 100 characters.
    """
    if not isinstance(name, str):
        return f"the name of a {what} must be a string, not {type(name).__name__}"
    if len(name) > MAX_NAME_LENGTH:
        return f"{what} name {name[:20]!r}... has {len(name)} characters; {MAX_NAME_LENGTH} fit"
    if not _NAME.fullmatch(name) or ".." in name:
        return (
            f"{what} name {name!r} must be ASCII letters, digits, '_', '.' or '-', "
            "and begin with a letter or '_'"
        )
    return None


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return the known names most like `name`, best first, for "did you mean"."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    return [
        by_fold[match]
        for match in difflib.get_close_matches(name.casefold(), by_fold, n=limit, cutoff=0.5)
    ]
