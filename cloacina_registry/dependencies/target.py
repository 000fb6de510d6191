"""The Pythons that dependencies are wanted for: which markers hold there, and which tags fit."""

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Self, cast

from packaging.markers import default_environment
from packaging.tags import Tag, compatible_tags, cpython_tags, sys_tags

from cloacina_core.errors import InputError

_VERSION = re.compile(r"3\.([0-9]{1,3})(?:\.([0-9]{1,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One Python on this platform."""

    python: str
    """Its full version, as `3.12.0`."""
    is_here: bool
    """Whether it is the one that runs this."""
    environment: Mapping[str, str]
    """What markers are evaluated with (PEP 508)."""
    ranks: Mapping[Tag, int]
    """The tags of wheels that it can import (PEP 425), the best with the lowest number."""

    @classmethod
    def here(cls) -> Self:
        """Return the Python that runs this."""
        environment = _environment()
        return cls(
            python=environment["python_full_version"],
            is_here=True,
            environment=environment,
            ranks=_ranks(sys_tags()),
        )

    @classmethod
    def of_python(cls, version: str) -> Self:
        """Return another Python of this platform.

        Args:
            version: as `3.12`, which means 3.12.0 as it does for pip, or `3.12.4`.

        Raises:
            InputError: it isn't a version of CPython 3, or this isn't CPython.
        """
        match = _VERSION.fullmatch(version)
        environment = _environment()
        if match is None or environment["implementation_name"] != "cpython":
            raise InputError(
                f"{version[:40]!r} isn't a version of CPython that this one can fetch for",
                hint="write it as 3.12 or 3.12.4; other interpreters fetch for themselves",
            )
        minor = int(match[1])
        if environment["python_version"] == f"3.{minor}" and match[2] is None:
            return cls.here()
        full = f"3.{minor}.{match[2] or 0}"
        environment |= {
            "python_version": f"3.{minor}",
            "python_full_version": full,
            "implementation_version": full,
        }
        tags = chain(cpython_tags((3, minor)), compatible_tags((3, minor), f"cp3{minor}"))
        return cls(python=full, is_here=False, environment=environment, ranks=_ranks(tags))

    def __str__(self) -> str:
        return f"Python {self.python} on {sys.platform}"


def _environment() -> dict[str, str]:
    return {**cast("dict[str, str]", default_environment()), "extra": ""}


def _ranks(tags: Iterable[Tag]) -> Mapping[Tag, int]:
    return {tag: rank for rank, tag in enumerate(dict.fromkeys(tags))}
