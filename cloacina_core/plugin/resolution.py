"""Which release a reference means. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from cloacina_core.errors import (
    AmbiguousReferenceError,
    ReferenceSyntaxError,
    UnknownPackageError,
    UnknownReleaseError,
    UnknownWorkflowError,
)
from cloacina_core.foundation.names import nearest
from cloacina_core.model.release import Reference, Release, choices
from cloacina_core.plugin.interfaces import WorkflowSource


class Resolved(NamedTuple):
    """What a reference was resolved to."""

    source: WorkflowSource
    release: Release
    workflow: str


def resolve(reference: Reference, sources: Iterable[WorkflowSource]) -> Resolved:
    """Return the release and workflow that a reference means.

    Raises:
        UnknownPackageError: no source has the package.
        UnknownReleaseError: no release of it fits the specifier.
        UnknownWorkflowError: the release has no such workflow.
        AmbiguousReferenceError: the package is in several sources, or has several workflows and
            the reference names none.
        ReferenceSyntaxError: the specifier isn't one.
    """
    sources = list(sources)
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
    source, releases = found[0]
    release = choose_release(reference, releases)
    return Resolved(source, release, choose_workflow(reference, release))


def choose_release(reference: Reference, candidates: Sequence[Release]) -> Release:
    """Return the newest release that fits a reference, by the rules of PEP 440.

    A pre-release fits only when the specifier names one; a yanked release only an exact pin
    (PEP 592).

    Raises:
        UnknownReleaseError: none fits.
        ReferenceSyntaxError: the specifier isn't one, or has `===`, which compares no versions.
    """
    try:
        specifier = SpecifierSet(reference.specifier)
    except InvalidSpecifier as error:
        raise ReferenceSyntaxError(
            f"{reference.specifier!r} is not a version specifier",
            hint="write it as PEP 440 says, for example ==1.2, >=1.2,<2 or ~=1.4",
        ) from error
    if any(clause.operator == "===" for clause in specifier):
        raise ReferenceSyntaxError("'===' compares no versions", hint="use == for an exact version")
    fitting = [
        (Version(release.version), release)
        for release in candidates
        if specifier.contains(release.version, prereleases=bool(specifier.prereleases))
        and (not release.yanked or _is_pin(specifier))
    ]
    if not fitting:
        available = sorted(candidates, key=lambda release: Version(release.version))
        raise UnknownReleaseError(
            reference.package, reference.specifier, [told(release) for release in available]
        )
    return max(fitting, key=lambda pair: pair[0])[1]


def told(release: Release) -> str:
    """Return a version as error messages name it."""
    return f"{release.version} (yanked)" if release.yanked else release.version


def _is_pin(specifier: SpecifierSet) -> bool:
    return any(
        clause.operator == "==" and not clause.version.endswith(".*") for clause in specifier
    )


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
