"""Which of the locked wheels one Python gets. Decided from the lock alone; nothing is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import BuildTag, parse_wheel_filename

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import Digest
from cloacina_registry.dependencies.target import Target
from cloacina_registry.wheel.lock import Lock, LockedPackage, LockedWheel

INCOMPATIBLE = "dependency-incompatible"
"""The kind of problem: what is locked can't be used by a Python."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A distribution, and the one wheel of it that is to be had."""

    package: LockedPackage
    wheel: LockedWheel

    @property
    def digest(self) -> Digest:
        """What the wheel is known by."""
        return Digest(f"sha256:{self.wheel.sha256}")

    def __str__(self) -> str:
        return str(self.package)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a Python gets of a lock, and what keeps it from getting all."""

    wanted: Sequence[Wanted]
    problems: Sequence[Problem]


def choose(lock: Lock, target: Target) -> Choice:
    """Return the wheels that a Python needs of a lock: one of each distribution that is for it.

    Of several wheels the one with the best tag is taken, and of those with equal tags the one with
    the highest build number, as pip does.
    """
    if outside := _lock_problem(lock, target):
        return Choice((), (outside,))
    wanted: dict[str, Wanted] = {}
    problems: list[Problem] = []
    for package in lock.packages:
        found = _choose(package, target)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None and package.name in wanted:
            other = wanted[package.name]
            message = f"{other} is locked for {target}, too: there can be one version of it"
            problems.append(Problem(INCOMPATIBLE, message, str(package)))
        elif found is not None:
            wanted[package.name] = found
    return Choice(tuple(wanted.values()), tuple(problems))


def _lock_problem(lock: Lock, target: Target) -> Problem | None:
    if not _accepts(lock.requires_python, target):
        message = f"the lock is for Python {lock.requires_python}, this is {target}"
        return Problem(INCOMPATIBLE, message)
    if lock.environments and not any(_holds(text, target) for text in lock.environments):
        places = " or ".join(lock.environments)
        return Problem(INCOMPATIBLE, f"the lock is for {places}; it isn't for {target}")
    return None


def _choose(package: LockedPackage, target: Target) -> Wanted | Problem | None:
    """Return the best wheel of a distribution; None: the Python doesn't need it."""
    holds = True if package.marker is None else _holds(package.marker, target)
    if holds is None:
        message = f"whether {package.marker!r} holds for {target} can't be told"
        return Problem(INCOMPATIBLE, message, str(package))
    if not holds:
        return None
    if not _accepts(package.requires_python, target):
        message = f"it needs Python {package.requires_python}, this is {target}"
        return Problem(INCOMPATIBLE, message, str(package))
    ranked = sorted(_ranked(package.wheels, target), key=lambda pair: pair[0])
    if not ranked:
        message = f"none of its {len(package.wheels)} locked wheels is for {target}"
        return Problem(INCOMPATIBLE, message, str(package))
    best_rank = ranked[0][0]
    equals = [pair for pair in ranked if pair[0] == best_rank]
    return Wanted(package, max(equals, key=lambda pair: pair[1])[2])


def _ranked(
    wheels: Sequence[LockedWheel], target: Target
) -> Iterator[tuple[int, BuildTag, LockedWheel]]:
    for wheel in wheels:
        _, _, build, tags = parse_wheel_filename(wheel.filename)
        ranks = [target.ranks[tag] for tag in tags if tag in target.ranks]
        if ranks:
            yield min(ranks), build, wheel


def _accepts(requires_python: str | None, target: Target) -> bool:
    return SpecifierSet(requires_python or "", prereleases=True).contains(target.python)


def _holds(marker: str, target: Target) -> bool | None:
    """Whether a marker holds; None: it speaks of what a Python doesn't decide, as extras."""
    try:
        return Marker(marker).evaluate(dict(target.environment))
    except (ValueError, KeyError):
        return None
