"""What a promotion would change, told before anything is changed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from cloacina_core.errors import CloacinaError, Problem
from cloacina_core.model.isolation import Placement
from cloacina_core.model.release import normalized_package
from cloacina_core.plugin import RuntimeView
from cloacina_registry.environments.environments import Environments
from cloacina_registry.package.comparison import Comparison, Side, compare
from cloacina_registry.placement import at_least
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.params import params_problems
from cloacina_registry.rollout.starts import starts_problems
from cloacina_registry.rollout.trial import try_release
from cloacina_registry.storage.catalog import ReleaseStatus, StoredRelease
from cloacina_registry.storage.channels import ChannelMoves, Move
from cloacina_registry.trust.verification import VerifiedWheel


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionReport:
    """What a promotion would change."""

    channel: str
    """As `PACKAGE@CHANNEL`."""
    release: StoredRelease
    """What it would point to."""
    placement: Placement
    """Where its tasks would run."""
    current: Move | None
    """The channel as it is; None: it would be made."""
    obstacles: tuple[Problem, ...]
    """Why the promotion would be refused."""
    warnings: tuple[Problem, ...]
    """What it would break, or may surprise."""
    comparison: Comparison | None
    """What differs between the two releases; None: there is none before, or it can't be read."""
    live_runs: int
    """How many runs of the release before go on with it."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "channel": self.channel,
            "from": None if self.current is None else self.current.version,
            "to": self.release.version,
            "placement": self.placement.to_json(),
            "obstacles": [problem.to_json() for problem in self.obstacles],
            "warnings": [problem.to_json() for problem in self.warnings],
            "changes": None if self.comparison is None else self.comparison.to_json(),
            "live_runs": self.live_runs,
        }


def check_promotion(
    view: RuntimeView, registry: Registry, package: str, version: str, channel: str
) -> PromotionReport:
    """Return what it would change if a channel were to point to a release. Nothing is changed.

    Raises:
        UnknownPackageError: there is no such package.
        UnknownReleaseError: there is no such release.
    """
    release = registry.show(package, version)
    with view.read() as connection:
        current = ChannelMoves(connection).get(normalized_package(package), channel)
    obstacles: list[Problem] = []
    if release.status is not ReleaseStatus.PUBLISHED:
        obstacles.append(Problem("state", f"it is {release.status}", str(release)))
    if current is not None and current.pinned is not None:
        obstacles.append(Problem("pinned", current.pinned or "it is pinned", str(current)))
    new = _verified(registry, release, obstacles)
    if new is not None:
        obstacles += _loading_problems(view, registry, release, new)
    old = None if current is None else _before(registry, current)
    both = None if old is None or new is None else (old, new)
    warnings = list(_warnings(*both)) if both else []
    if new is not None:
        enabled = view.starts_on(release.package, channel)
        warnings += starts_problems(enabled, new.wheel.manifest)
    return PromotionReport(
        channel=f"{release.package}@{channel}",
        release=release,
        placement=at_least(release.placement, view.settings.isolation),
        current=current,
        obstacles=tuple(obstacles),
        warnings=tuple(warnings),
        comparison=compare(*map(_side, both)) if both else None,
        live_runs=0 if current is None else view.runs.live(current.digest),
    )


def _verified(
    registry: Registry, release: StoredRelease, obstacles: list[Problem]
) -> VerifiedWheel | None:
    """Return a release as verified now; None, and why as obstacles, when it can't be."""
    try:
        return registry.verified(release)
    except CloacinaError as error:
        obstacles += error.problems or (Problem(error.code, error.message, str(release)),)
        return None


def _loading_problems(
    view: RuntimeView, registry: Registry, release: StoredRelease, verified: VerifiedWheel
) -> tuple[Problem, ...]:
    environments = Environments.of(view, registry)
    try:
        try_release(registry, environments, release, verified.wheel, view.settings)
    except CloacinaError as error:
        return error.problems or (Problem(error.code, error.message, str(release)),)
    return ()


def _before(registry: Registry, current: Move) -> VerifiedWheel | None:
    release = registry.find(current.package, current.digest)
    return None if release is None else _verified(registry, release, [])


def _side(verified: VerifiedWheel) -> Side:
    return Side(verified.wheel, verified.signers)


def _warnings(old: VerifiedWheel, new: VerifiedWheel) -> Iterator[Problem]:
    """Yield what callers of the old release would notice, and what people should look at."""
    before, after = old.wheel.manifest, new.wheel.manifest
    for name in before.by_name:
        if name not in after.by_name:
            yield Problem("workflow-removed", "whoever asks for it is refused", name)
        else:
            yield from params_problems(
                before.by_name[name].definition, after.by_name[name].definition
            )
    yield from _capability_problems(before.capabilities, after.capabilities)
    for signer in sorted({one.name for one in old.signers} - {one.name for one in new.signers}):
        yield Problem("signer", "signed the release before, and not this one", signer)


def _capability_problems(
    before: Collection[str] | None, after: Collection[str] | None
) -> Iterator[Problem]:
    """Yield what the new release may do and the old one couldn't."""
    if before is None:  # nothing was kept from it
        return
    if after is None:
        message = "the release before said what it needs; nothing is kept from this one"
        yield Problem("capability", message, "capabilities")
        return
    for capability in sorted({*after} - {*before}):
        yield Problem("capability", "it asks for more than before", capability)
