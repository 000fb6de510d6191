"""All that a lock names for some Pythons, fetched and examined before anything is published."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from packaging.specifiers import SpecifierSet

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import Digest
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.choice import Wanted, choose
from cloacina_registry.dependencies.examination import UNSOUND, examine
from cloacina_registry.dependencies.sources import MISSING, WheelSource
from cloacina_registry.dependencies.target import Target
from cloacina_registry.errors import DependencyError, DependencyMissingError
from cloacina_registry.wheel.lock import Lock

MAX_TOGETHER_BYTES = 512 * 1024 * 1024
"""All wheels that one package depends on: they are held in memory until it is published."""

_AT_ONCE = 4
"""How many wheels are fetched at the same time; most of it is waiting."""

Progress: TypeAlias = Callable[[int, int], object]
"""Told how many wheels are there, and of how many."""


def _tell_nobody(_done: int, _total: int) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What dependencies are wanted for, and where they can be had beside the store."""

    targets: Sequence[Target] = field(default_factory=lambda: (Target.here(),))
    sources: Sequence[WheelSource] = ()
    also: frozenset[Digest] = frozenset()
    """Locked wheels that are to be kept, too, whichever Python they are for."""
    progress: Progress = _tell_nobody


@dataclass(frozen=True, slots=True)
class FetchedWheel:
    """A locked wheel that may be kept."""

    artifact: Artifact
    data: bytes


@dataclass(frozen=True, slots=True)
class _Order:
    """One wheel, and the Pythons that it is for; without any, it is kept for others."""

    wanted: Wanted
    targets: Sequence[Target]


def suiting(targets: Iterable[Target], requires_python: str | None) -> tuple[Target, ...]:
    """Return the Pythons that a package accepts."""
    accepted = SpecifierSet(requires_python or "", prereleases=True)
    return tuple(target for target in targets if target.python in accepted)


def gather(lock: Lock, provision: Provision, release: str) -> tuple[FetchedWheel, ...]:
    """Return all wheels that some Pythons need of a lock, examined.

    Args:
        lock: the lock.
        provision: which Pythons, and where to look, in this order.
        release: whose dependencies they are, for errors.

    Raises:
        DependencyMissingError: some can't be had, and nothing else is wrong.
        DependencyError: some are refused; `problems` names each, with its kind.
    """
    orders, problems = _orders(lock, provision)
    fetched: list[FetchedWheel] = []
    if not problems:
        fetched, problems = _fetch_all(orders, provision)
    if problems and all(problem.kind == MISSING for problem in problems):
        hint = "give a folder that has them with --find-links, or an index to pip"
        raise DependencyMissingError(release, problems, hint=hint)
    if problems:
        raise DependencyError(release, problems)
    return tuple(fetched)


def _orders(lock: Lock, provision: Provision) -> tuple[list[_Order], list[Problem]]:
    needed: dict[Digest, tuple[Wanted, list[Target]]] = {}
    problems: dict[Problem, None] = {}
    for target in provision.targets:
        choice = choose(lock, target)
        problems |= dict.fromkeys(choice.problems)
        for wanted in choice.wanted:
            needed.setdefault(wanted.digest, (wanted, []))[1].append(target)
    for package in lock.packages:
        for wheel in package.wheels:
            wanted = Wanted(package, wheel)
            if wanted.digest in provision.also:
                needed.setdefault(wanted.digest, (wanted, []))
    return [_Order(wanted, targets) for wanted, targets in needed.values()], list(problems)


def _fetch_all(
    orders: Sequence[_Order], provision: Provision
) -> tuple[list[FetchedWheel], list[Problem]]:
    fetched: list[FetchedWheel] = []
    problems: list[Problem] = []
    size = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = pool.map(lambda order: _fetch(order, provision.sources), orders)
        for done, result in enumerate(results, start=1):
            provision.progress(done, len(orders))
            if not isinstance(result, FetchedWheel):
                problems += result
                continue
            fetched.append(result)
            size += result.artifact.size
            if size > MAX_TOGETHER_BYTES:
                pool.shutdown(cancel_futures=True)
                message = f"the dependencies have more than {MAX_TOGETHER_BYTES} bytes together"
                return [], [Problem(UNSOUND, message)]
    return fetched, problems


def _fetch(order: _Order, sources: Sequence[WheelSource]) -> FetchedWheel | Sequence[Problem]:
    found = _find(order, sources)
    if isinstance(found, Problem):
        return [found]
    package, wheel = order.wanted.package, order.wanted.wheel
    examined = examine(
        found,
        name=package.name,
        version=package.version,
        filename=wheel.filename,
        digest=order.wanted.digest,
        pythons=[target.python for target in order.targets],
    )
    return FetchedWheel(examined, found) if isinstance(examined, Artifact) else examined


def _find(order: _Order, sources: Sequence[WheelSource]) -> bytes | Problem:
    target = order.targets[0] if order.targets else Target.here()
    for source in sources:
        found = source.find(order.wanted, target)
        if found is not None:
            return found
    message = f"{order.wanted.wheel.filename} is neither in the store nor where we may look"
    return Problem(MISSING, message, str(order.wanted))
