"""Which lock a package gets: the one its project has, if it fits; a new one otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from packaging.markers import default_environment

from cloacina_core.errors import Problem
from cloacina_registry.errors import PackageBuildError
from cloacina_registry.package.progress import Progress
from cloacina_registry.package.resolver import Resolver, find_resolver
from cloacina_registry.wheel.checked import UnsealedWheel
from cloacina_registry.wheel.lock import Lock, own_requirements


@dataclass(frozen=True, slots=True)
class ExistingLock:
    """A lock that was made before."""

    name: str
    """What to call it in messages."""
    data: bytes
    replaceable: bool = True
    """Whether another one may be made when it doesn't fit; False when it was asked for."""


@dataclass(frozen=True, slots=True)
class ChosenLock:
    """The lock of a package."""

    lock: Lock
    resolved: bool
    """Whether it was made just now."""


def choose_lock(
    wheel: UnsealedWheel,
    existing: ExistingLock | None,
    *,
    progress: Progress,
    resolver: Callable[[], Resolver] = find_resolver,
) -> ChosenLock:
    """Return the lock for what a wheel requires.

    Args:
        wheel: the package.
        existing: the lock to prefer, if there is one.
        progress: who wants to know.
        resolver: called if a new lock has to be made, never for a package without dependencies.

    Raises:
        BadLockError: the existing lock can't be used.
        PackageBuildError: it doesn't fit and isn't replaceable, or no versions fit together.
    """
    requirements = own_requirements(wheel.requires)
    if not requirements:
        return ChosenLock(Lock(requires_python=wheel.requires_python), resolved=False)
    if existing is not None:
        lock = Lock.parse(existing.data, existing.name)
        here = cast("dict[str, str]", default_environment())
        shortcomings = list(lock.shortcomings(requirements, here))
        if not shortcomings:
            return ChosenLock(lock, resolved=False)
        if not existing.replaceable:
            raise PackageBuildError(
                f"{existing.name} doesn't fit what {wheel.name} requires",
                problems=[Problem("lock", message) for message in shortcomings],
            )
        progress.note(f"{existing.name} is made anew: {'; '.join(shortcomings)}")
    found = resolver()
    with progress.step(f"locking, with {found.name}"):
        return ChosenLock(found.resolve(requirements, wheel.requires_python), resolved=True)


def refuse_dependencies(wheel: UnsealedWheel) -> None:
    """See that a package may go without a lock.

    Raises:
        PackageBuildError: it requires something beside the host.
    """
    requirements = own_requirements(wheel.requires)
    if requirements:
        raise PackageBuildError(
            f"{wheel.name} has dependencies, so it can't go without a lock",
            problems=[
                Problem("lock", f"{requirement} is required") for requirement in requirements
            ],
            hint="leave --no-lock out",
        )
