"""References to workflows, and the releases that they are resolved to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloacina_core.errors import ReferenceSyntaxError
from cloacina_core.foundation.digest import Digest

_REFERENCE = re.compile(
    r"""
    (?P<package> [A-Za-z0-9] (?:[A-Za-z0-9._-]*[A-Za-z0-9])? )
    (?: / (?P<workflow> [A-Za-z_][A-Za-z0-9_.-]*? ) )?
    (?: @ (?P<channel> [a-z][a-z0-9-]{0,49} )
    |   \s* (?P<specifier> (?:===|~=|==|!=|<=|>=|<|>) .* )
    )?
    """,
    re.VERBOSE,
)
_CLAUSE = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*([A-Za-z0-9.*+!_-]+)")
MAX_REFERENCE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Reference:
    """`PACKAGE[/WORKFLOW]`, then a PEP 440 specifier or `@CHANNEL`: what a user asks to run."""

    package: str
    """Normalised as PEP 503 says: lower case, runs of `-_.` are one `-`."""
    workflow: str | None = None
    """None: the package's only workflow."""
    specifier: str = ""
    """PEP 440 version specifiers without spaces, as `>=1.2,<2`; empty: any version."""
    channel: str | None = None
    """The channel whose release is meant; there is no specifier then."""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Return the reference that a text spells.

        Raises:
            ReferenceSyntaxError: it spells none.
        """
        match = _REFERENCE.fullmatch(text.strip())
        if match is None or len(text) > MAX_REFERENCE_LENGTH:
            raise ReferenceSyntaxError(
                f"{text[:80]!r} is not a reference",
                hint="write PACKAGE/WORKFLOW with an optional specifier or channel, as "
                "acme-etl/nightly>=1.2 or acme-etl/nightly@stable",
            )
        specifier = _tidy_specifier(match["specifier"] or "", text)
        package = normalized_package(match["package"])
        return cls(package, match["workflow"], specifier, match["channel"])

    def __str__(self) -> str:
        workflow = f"/{self.workflow}" if self.workflow else ""
        channel = f"@{self.channel}" if self.channel else ""
        return f"{self.package}{workflow}{channel}{self.specifier}"


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
    """It runs only when its exact version is asked for."""
    withheld: str | None = None
    """How it was withdrawn and why, so that no new run of it starts; None: it wasn't."""
    needs: str | None = None
    """What it needs that this host doesn't have; None: nothing."""

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


class ResolvedBy(StrEnum):
    """How a run came to its release."""

    PIN = "pin"
    """Its exact version was asked for."""
    NEWEST = "newest"
    """It was the newest that fitted."""
    CHANNEL = "channel"
    CANARY = "canary"
    """It is tried out in the channel that was asked for, and this run gets it."""
    SAME_RELEASE = "same-release"
    """A task asked for another workflow of its own release."""
    REPEAT = "repeat"
    """The run that this one repeats had it."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Why a run has the release that it has."""

    by: ResolvedBy
    channel: str | None = None
    """The channel that was asked for."""
    revision: int | None = None
    """That of the channel at the time."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"by": self.by.value, "channel": self.channel, "revision": self.revision}

    def __str__(self) -> str:
        if self.channel is None:
            return self.by.value
        return f"{self.by} {self.channel}, revision {self.revision}"


def choices(releases: Sequence[Release]) -> list[str]:
    """Return the references that would name each workflow of some releases."""
    return [f"{release.package}/{name}" for release in releases for name in release.workflows]
