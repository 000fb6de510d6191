"""Where the tasks of a release run: in a namespace of the engine's process, or in workers.

A namespace is the cheaper place, and takes less: it can't hold native code, and keeps nothing from
anybody. So a release gets a worker for any of these reasons, the strongest first:

1. The operator's minimum, the setting `isolation`, says so.
2. The package wishes it.
3. It has native code of its own.
4. One of its locked dependencies has native code.
5. Its source does what a namespace can't offer.
6. It declares capabilities. In a namespace there is nobody who could hold it to them.

Otherwise it gets a namespace. 2 to 6 are decided from the checked wheel when it is uploaded, and
kept; 1 is the operator's at each run.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from cloacina_core.errors import Problem
from cloacina_core.model.isolation import Isolation, Placement
from cloacina_registry.errors import PlacementError
from cloacina_registry.manifest import IsolationWish, Manifest
from cloacina_registry.wheel.lock import Lock

MinimumIsolation: TypeAlias = Literal["auto", "worker"]
"""What an operator asks for at least; `auto`: nothing."""

_IN_NAMESPACE = "it is pure Python, and so is all that it depends on"
_BY_SETTING = "the setting isolation says worker"
_MOST_NAMED = 5
"""How many of the same sort are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A locked distribution, as far as it matters here."""

    name: str
    version: str
    is_pure: bool
    """Whether nothing in it is native code."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def decide(
    wish: IsolationWish,
    *,
    native: Sequence[str] = (),
    dependencies: Iterable[Dependency] = (),
    pitfalls: Sequence[str] = (),
    capabilities: Iterable[str] | None = None,
    minimum: MinimumIsolation = "auto",
) -> Placement:
    """Return where the tasks of a release run, and all reasons for it, the strongest first.

    Args:
        wish: what its manifest says.
        native: its files that are native code.
        dependencies: what it is locked to.
        pitfalls: what its source does that doesn't work in a namespace, as
            `acme/flows.py:12: ...`.
        capabilities: what its manifest declares; None: nothing was declared.
        minimum: what the operator asks for.

    Raises:
        PlacementError: it wishes a namespace, and can't have one; `problems` says why.
    """
    needs = list(_needs_of_a_worker(native, dependencies, pitfalls, capabilities))
    if wish == "namespace" and needs:
        raise PlacementError([Problem("placement", need) for need in needs])
    reasons = ["the package wishes it"] if wish == "worker" else []
    reasons += needs
    placement = (
        Placement(isolation=Isolation.WORKER, reason="; ".join(reasons))
        if reasons
        else Placement(isolation=Isolation.NAMESPACE, reason=_IN_NAMESPACE)
    )
    return at_least(placement, minimum)


def at_least(placement: Placement, minimum: MinimumIsolation) -> Placement:
    """Return a placement as the operator's minimum has it."""
    if minimum == "auto":
        return placement
    if placement.isolation is not Isolation.WORKER:
        return Placement(isolation=Isolation.WORKER, reason=_BY_SETTING)
    return Placement(isolation=Isolation.WORKER, reason=f"{_BY_SETTING}; {placement.reason}")


def contradicts(manifest: Manifest, isolation: Isolation) -> bool:
    """Whether a release can't have been placed so, for what its manifest alone says."""
    wants_worker = manifest.isolation == "worker" or manifest.capabilities is not None
    return wants_worker and isolation is not Isolation.WORKER


def _needs_of_a_worker(
    native: Sequence[str],
    dependencies: Iterable[Dependency],
    pitfalls: Sequence[str],
    capabilities: Iterable[str] | None,
) -> Iterator[str]:
    if native:
        yield f"it has native code: {_listed(native)}"
    for dependency in dependencies:
        if not dependency.is_pure:
            yield f"its dependency {dependency} has native code"
    yield from pitfalls[:_MOST_NAMED]
    if len(pitfalls) > _MOST_NAMED:
        yield f"{len(pitfalls) - _MOST_NAMED} more places don't work in a namespace"
    if capabilities is not None:
        yield "it declares capabilities, which only a worker enforces"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def locked_dependencies(lock: Lock | None) -> tuple[Dependency, ...]:
    """Return what a lock has for the environment of this process.

    A distribution that can be had as native code counts as native, also if there is a pure wheel of
    it: another host would take the other one. So does what can't be judged by its file names.
    """
    if lock is None:
        return ()
    return tuple(
        Dependency(
            package.name, package.version, all(_is_pure(wheel.filename) for wheel in package.wheels)
        )
        for package in lock.packages
        if _is_for_here(package.marker)
    )


def _is_for_here(marker: str | None) -> bool:
    if marker is None:
        return True
    try:
        return Marker(marker).evaluate({"extra": ""})
    except (InvalidMarker, UndefinedEnvironmentName):
        return True


def _is_pure(filename: str) -> bool:
    try:
        _, _, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return False
    return all((tag.abi, tag.platform) == ("none", "any") for tag in tags)
