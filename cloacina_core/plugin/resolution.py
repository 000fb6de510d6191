"""Which release a reference means. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from cloacina_core.errors import (
    AmbiguousReferenceError,
    ReferenceSyntaxError,
    ReleaseWithheldError,
    UnknownChannelError,
    UnknownPackageError,
    UnknownReleaseError,
    UnknownWorkflowError,
)
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.names import nearest
from cloacina_core.model.channel import Canary, Channel
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.release import Reference, Release, Resolution, ResolvedBy, choices
from cloacina_core.model.starts import Starts
from cloacina_core.plugin.interfaces import WorkflowSource
from cloacina_core.plugin.releases import Releases, is_pin

_MAX_TOLD = 100
"""How many versions an error names: the newest."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The release and workflow that one run gets, and why."""

    source: WorkflowSource
    release: Release
    workflow: str
    resolution: Resolution


@dataclass(frozen=True, slots=True)
class ChosenRelease:
    """The release that a reference means, whichever of its workflows."""

    source: WorkflowSource
    release: Release
    resolution: Resolution
    channel: Channel | None = None
    """The channel that it was asked for by."""

    def starts(self) -> Starts:
        """Return what it declares that starts its workflows."""
        return self.source.starts(self.release)

    def definition(self, workflow: str) -> WorkflowDefinition:
        """Return what it says of a workflow."""
        return self.source.definition(self.release, workflow)


class Meaning:
    """What a reference means now. Runs may get different releases while a channel has a canary."""

    def __init__(self, usual: Resolved, canary: tuple[Canary, Resolved] | None = None) -> None:
        self.usual = usual
        """What runs get that aren't among those of a canary."""
        self._canary = canary

    def for_run(self, key: str) -> Resolved:
        """Return what a run gets.

        Args:
            key: the run's idempotency key, or else its id.
        """
        if self._canary is None:
            return self.usual
        canary, tried = self._canary
        return tried if canary.takes(key) else self.usual


def resolve(reference: Reference, sources: Iterable[WorkflowSource]) -> Meaning:
    """Return what a reference means: a release and a workflow of it.

    Raises:
        UnknownPackageError: no source has the package.
        UnknownReleaseError: no release of it fits the specifier.
        UnknownChannelError: the package has no such channel.
        UnknownWorkflowError: the release has no such workflow.
        AmbiguousReferenceError: the package is in several sources, or has several workflows and
            the reference names none.
        ReleaseWithheldError: what it means was withdrawn: no run of it may start.
        ReferenceSyntaxError: the specifier isn't one.
    """
    chosen = choose(reference, sources)
    workflow = choose_workflow(reference, chosen.release)
    usual = Resolved(chosen.source, chosen.release, workflow, chosen.resolution)
    return Meaning(usual, None if chosen.channel is None else _tried_out(usual, chosen.channel))


def choose(reference: Reference, sources: Iterable[WorkflowSource]) -> ChosenRelease:
    """Return which release a reference means, but for the canary of its channel.

    Raises:
        CloacinaError: as `resolve`, but for what that says of workflows.
    """
    source, releases = _source_of(reference, list(sources))
    if reference.channel is not None:
        return _of_channel(reference, reference.channel, source)
    release = choose_release(reference, releases)
    require_startable(release, f"see what else there is: cloacina registry list {release.package}")
    is_exact = is_pin(SpecifierSet(reference.specifier))
    resolution = Resolution(ResolvedBy.PIN if is_exact else ResolvedBy.NEWEST)
    return ChosenRelease(source, release, resolution)


def _source_of(
    reference: Reference, sources: Sequence[WorkflowSource]
) -> tuple[WorkflowSource, Sequence[Release]]:
    """Return the only source of a package, with its releases."""
    found = [
        (source, releases) for source in sources if (releases := source.releases(reference.package))
    ]
    if not found:
        known = {name for source in sources for name in source.packages()}
        raise UnknownPackageError(reference.package, nearest(reference.package, known))
    if len(found) > 1:
        names = [source.name for source, _ in found]
        raise AmbiguousReferenceError(
            str(reference),
            names,
            hint=f"the package is in {' and in '.join(names)}; choose with --source",
        )
    return found[0]


def _of_channel(reference: Reference, name: str, source: WorkflowSource) -> ChosenRelease:
    channels = {channel.name: channel for channel in source.channels(reference.package)}
    if name not in channels:
        raise UnknownChannelError(reference.package, name, sorted(channels))
    channel = channels[name]
    usual = _released(reference, source, channel.digest, channel.version)
    require_startable(usual, f"move the channel: cloacina registry rollback {channel}")
    return ChosenRelease(source, usual, channel.resolution(ResolvedBy.CHANNEL), channel)


def _released(
    reference: Reference, source: WorkflowSource, digest: Digest, version: str
) -> Release:
    release = source.find(reference.package, digest)
    if release is None:
        available = [told(one) for one in source.releases(reference.package)]
        raise UnknownReleaseError(reference.package, f"=={version}", available)
    return release


def _tried_out(usual: Resolved, channel: Channel) -> tuple[Canary, Resolved] | None:
    """Return the canary of a channel; None if there is none that has the workflow and may run.

    What is only tried out must not refuse what the channel itself can do.
    """
    if channel.canary is None:
        return None
    release = usual.source.find(channel.package, channel.canary.digest)
    if release is None or release.withheld is not None or usual.workflow not in release.workflows:
        return None
    resolution = channel.resolution(ResolvedBy.CANARY)
    return channel.canary, Resolved(usual.source, release, usual.workflow, resolution)


def require_startable(release: Release, hint: str) -> None:
    """Refuse a release that was withdrawn.

    Raises:
        ReleaseWithheldError: no run of it may start.
    """
    if release.withheld is not None:
        raise ReleaseWithheldError(release.package, release.version, release.withheld, hint=hint)


def choose_release(reference: Reference, candidates: Sequence[Release]) -> Release:
    """Return the newest release that fits a reference, by the rules of PEP 440.

    A pre-release fits only when the specifier names one; a yanked or withheld release only an
    exact pin (PEP 592).

    Raises:
        UnknownReleaseError: none fits.
        ReferenceSyntaxError: the specifier isn't one, or has `===`, which compares no versions.
    """
    releases = candidates if isinstance(candidates, Releases) else Releases.of(candidates)
    chosen = releases.choose(_specifier_of(reference))
    if chosen is None:
        available = [told(release) for release in releases[-_MAX_TOLD:]]
        raise UnknownReleaseError(reference.package, reference.specifier, available)
    return chosen


def _specifier_of(reference: Reference) -> SpecifierSet:
    try:
        specifier = SpecifierSet(reference.specifier)
    except InvalidSpecifier as error:
        raise ReferenceSyntaxError(
            f"{reference.specifier!r} is not a version specifier",
            hint="write it as PEP 440 says, for example ==1.2, >=1.2,<2 or ~=1.4",
        ) from error
    if any(clause.operator == "===" for clause in specifier):
        raise ReferenceSyntaxError("'===' compares no versions", hint="use == for an exact version")
    return specifier


def told(release: Release) -> str:
    """Return a version as error messages name it."""
    if about := release.withheld or release.needs:
        return f"{release.version} ({about})"
    return f"{release.version} (yanked)" if release.yanked else release.version


def choose_workflow(reference: Reference, release: Release) -> str:
    """Return the workflow that a reference means in a release.

    Raises:
        UnknownWorkflowError: the release has none of this name.
        AmbiguousReferenceError: it has several, and the reference names none.
    """
    if reference.workflow is None:
        if len(release.workflows) != 1:
            raise AmbiguousReferenceError(str(reference), choices([release]))
        return release.workflows[0]
    if reference.workflow not in release.workflows:
        near = nearest(reference.workflow, release.workflows)
        raise UnknownWorkflowError(reference.workflow, str(release), release.workflows, near)
    return reference.workflow
