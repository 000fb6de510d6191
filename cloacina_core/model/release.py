"""References to workflows, and the releases that they are resolved to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cloacina_core.errors import ReferenceSyntaxError
from cloacina_core.foundation.digest import Digest

_REFERENCE = re.compile(
    r"""
    (?P<package> [A-Za-z0-9] (?:[A-Za-z0-9._-]*[A-Za-z0-9])? )
    (?: / (?P<workflow> [A-Za-z_][A-Za-z0-9_.-]*? ) )?
    \s* (?P<specifier> (?:===|~=|==|!=|<=|>=|<|>) .* )?
    """,
    re.VERBOSE,
)
_CLAUSE = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*([A-Za-z0-9.*+!_-]+)")
MAX_REFERENCE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Reference:
    """`PACKAGE[/WORKFLOW]`, then a PEP 440 specifier: what a user asks to run."""

    package: str
    """Normalised as PEP 503 says: lower case, runs of `-_.` are one `-`."""
    workflow: str | None = None
    """None: the package's only workflow."""
    specifier: str = ""
    """PEP 440 version specifiers without spaces, as `>=1.2,<2`; empty: any version."""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Return the reference that a text spells.

        Raises:
            ReferenceSyntaxError: it spells none.
        """
        if "@" in text:
            raise ReferenceSyntaxError(
                f"{text[:80]!r} has an '@'; channels aren't available yet",
                hint="use a version: PACKAGE/WORKFLOW==1.2",
            )
        match = _REFERENCE.fullmatch(text.strip())
        if match is None or len(text) > MAX_REFERENCE_LENGTH:
            raise ReferenceSyntaxError(
                f"{text[:80]!r} is not a reference",
                hint="write PACKAGE/WORKFLOW with an optional specifier, as acme-etl/nightly>=1.2",
            )
        specifier = _tidy_specifier(match["specifier"] or "", text)
        return cls(normalized_package(match["package"]), match["workflow"], specifier)

    def __str__(self) -> str:
        workflow = f"/{self.workflow}" if self.workflow else ""
        return f"{self.package}{workflow}{self.specifier}"


def _tidy_specifier(specifier: str, text: str) -> str:
    """Return the clauses of a specifier without spaces. PEP 440 itself is left to the resolver."""
    if not specifier:
        return ""
    clauses = [_CLAUSE.fullmatch(clause.strip()) for clause in specifier.split(",")]
    if not all(clauses):
        raise ReferenceSyntaxError(
            f"{text[:80]!r} ends with something that isn't a version specifier",
            hint="write clauses with commas between them, as acme-etl/nightly>=1.2,<2",
        )
    return ",".join(f"{clause[1]}{clause[2]}" for clause in clauses if clause)


def normalized_package(name: str) -> str:
    """Return a package's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a package, as a source of workflows knows it."""

    source: str
    """The name of the workflow source it came from, as `registry` or `installed`."""
    package: str
    """Normalised."""
    version: str
    digest: Digest
    """Identifies the content. A run keeps it, and every attempt uses it."""
    workflows: tuple[str, ...]
    signed_by: tuple[str, ...] = ()
    """Names of the keys whose signatures were verified."""
    yanked: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what `run --json` tells of the release."""
        return {
            "package": self.package,
            "version": self.version,
            "digest": self.digest,
            "signed_by": list(self.signed_by),
        }

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def choices(releases: Sequence[Release]) -> list[str]:
    """Return the references that would name each workflow of some releases."""
    return [f"{release.package}/{name}" for release in releases for name in release.workflows]
