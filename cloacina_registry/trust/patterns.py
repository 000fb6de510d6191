"""Patterns of package names: `*` is every package, `acme-etl` that one, `acme-*` a beginning.

Of several patterns that name a package, the most specific one decides: the whole name before a
longer beginning, that before a shorter one, and `*` last.
"""

import re

from packaging.utils import canonicalize_name

from cloacina_core.errors import InputError

EVERY_PACKAGE = "*"

_PATTERN = re.compile(r"\*|[a-z0-9]+(-[a-z0-9]+)*(-\*)?")


def matches(pattern: str, package: str) -> bool:
    """Whether a pattern names a package."""
    if pattern == EVERY_PACKAGE:
        return True
    if pattern.endswith("-*"):
        return package.startswith(pattern[:-1])
    return package == pattern


def specificity(pattern: str) -> tuple[bool, int]:
    """Return how specific a pattern is: of those that name one package, the greatest decides."""
    return not pattern.endswith("*"), len(pattern)


def is_pattern(text: str) -> bool:
    """Whether a text is a pattern whose name is normalised."""
    return _PATTERN.fullmatch(text) is not None


def parse_pattern(text: str) -> str:
    """Return a pattern with its name normalised (PEP 503), as packages are compared.

    Raises:
        InputError: it is no pattern.
    """
    stem, star = (text[:-1], "*") if text.endswith("*") else (text, "")
    pattern = canonicalize_name(stem) + star
    if not is_pattern(pattern):
        raise InputError(
            f"{text!r} is no pattern of package names",
            hint="give a name as acme-etl, the beginning of names as acme-*, or * for all",
        )
    return pattern
