"""The registry as a source of workflows: how the engine gets at what was uploaded."""

import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from packaging.specifiers import SpecifierSet

from cloacina_core.errors import (
    DefinitionError,
    Problem,
    UnknownReleaseError,
    UnknownWorkflowError,
)
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.json_value import canonical, decode
from cloacina_core.foundation.names import nearest
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.release import Release
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin import LoadedWorkflow, RuntimeView
from cloacina_registry.errors import IncompatibleReleaseError, LoadError
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.loading.namespace import plain_name
from cloacina_registry.manifest import Manifest, ManifestWorkflow
from cloacina_registry.registry import Registry
from cloacina_registry.storage.catalog import ReleaseStatus, StoredRelease
from cloacina_registry.trust.verification import Signer, VerifiedWheel
from cloacina_registry.wheel.checked import CheckedWheel

SOURCE_NAME = "registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this process offers to releases."""

    python: str
    """Its version of Python."""
    core: str | None
    """Its version of Cloacina; None: it runs from sources, which have none, and any will do."""

    @classmethod
    def current(cls) -> Self:
        """Return this process."""
        try:
            core = importlib.metadata.version("cloacina")
        except importlib.metadata.PackageNotFoundError:
            core = None
        return cls(python=platform.python_version(), core=core)

    def problems(self, manifest: Manifest) -> Iterator[Problem]:
        """Yield what a release asks for and the host doesn't have."""
        for what, version, specifier in (
            ("Python", self.python, manifest.requires_python),
            ("Cloacina", self.core, manifest.requires_core),
        ):
            # Pre-releases count: a host that runs one was given it on purpose.
            wanted = SpecifierSet(specifier or "", prereleases=True)
            if version is not None and version not in wanted:
                message = f"it needs {what} {specifier}, this is {what} {version}"
                yield Problem("incompatible", message)


class RegistrySource:
    """A `WorkflowSource` (see `cloacina_core.plugin`) of what the registry holds.

    Each call that hands out a definition or code has the release verified at that moment, so that
    a revoked key stops the next run.
    """

    name = SOURCE_NAME

    def __init__(self, registry: Registry, loader: NamespaceLoader, host: Host) -> None:
        self._registry = registry
        self._loader = loader
        self._host = host
        # Found to be what their manifests say, which stays true: neither of the two changes.
        self._matched: dict[tuple[Digest, str], Workflow] = {}

    @classmethod
    def of(cls, view: RuntimeView) -> Self:
        """Return the source for a runtime, with namespaces of its own in this process."""
        return cls(Registry.of(view), NamespaceLoader(), Host.current())

    def close(self) -> None:
        """Unload everything."""
        self._loader.close()

    def packages(self) -> Sequence[str]:
        """Return the normalised names of all packages, sorted."""
        return self._registry.packages()

    def releases(self, package: str) -> Sequence[Release]:
        """Return all releases of a package; none for an unknown package."""
        return [_release(stored, stored.signers) for stored in self._registry.releases(package)]

    def find(self, package: str, digest: str) -> Release | None:
        """Return the release with this content, also when it is yanked; None if there is none."""
        stored = self._registry.find(package, digest)
        return None if stored is None else _release(stored, stored.signers)

    def definition(self, release: Release, workflow: str) -> WorkflowDefinition:
        """Return what a release's manifest says of a workflow. No package code is run.

        Raises:
            UnknownReleaseError: the release was deleted.
            UnknownWorkflowError: it has no such workflow.
            TrustError: it isn't trusted any more.
            TamperedError: what is stored was changed.
            IncompatibleReleaseError: it can't run on this host.
        """
        _, verified = self._verified(release)
        return _entry(verified.wheel, workflow).definition

    def load(self, release: Release, workflow: str) -> LoadedWorkflow:
        """Return a workflow with its code, in the namespace of its release.

        Loading a release twice gives the same objects.

        Raises:
            LoadError: its code can't be imported, or isn't what the manifest says.
            CloacinaError: the release is refused; see `definition`.
        """
        stored, verified = self._verified(release)
        key = (stored.digest, workflow)
        if key not in self._matched:
            self._matched[key] = self._import(verified.wheel, _entry(verified.wheel, workflow))
        found = _release(stored, verified.signers)
        return LoadedWorkflow(self._matched[key], found, plain=plain_name)

    def _import(self, wheel: CheckedWheel, entry: ManifestWorkflow) -> Workflow:
        namespace = self._loader.load(_contents(wheel))
        return _matching(namespace.resolve(entry.entry_point), entry, wheel)

    def _verified(self, release: Release) -> tuple[StoredRelease, VerifiedWheel]:
        stored = self._registry.find(release.package, release.digest)
        if stored is None:
            available = [other.version for other in self._registry.releases(release.package)]
            raise UnknownReleaseError(release.package, f"=={release.version}", available)
        verified = self._registry.verified(stored)
        problems = list(self._host.problems(verified.wheel.manifest))
        if problems:
            raise IncompatibleReleaseError(stored.package, stored.version, problems)
        return stored, verified


def _release(stored: StoredRelease, signers: Sequence[Signer]) -> Release:
    return Release(
        source=SOURCE_NAME,
        package=stored.package,
        version=stored.version,
        digest=stored.digest,
        workflows=stored.workflows,
        signed_by=tuple(signer.name for signer in signers),
        yanked=stored.status is ReleaseStatus.YANKED,
    )


def _entry(wheel: CheckedWheel, workflow: str) -> ManifestWorkflow:
    known = wheel.manifest.by_name
    if workflow not in known:
        raise UnknownWorkflowError(workflow, _told(wheel), sorted(known), nearest(workflow, known))
    return known[workflow]


def _contents(wheel: CheckedWheel) -> ReleaseContents:
    return ReleaseContents(
        package=wheel.name,
        version=wheel.version,
        digest=wheel.digest,
        files=wheel.files,
        top_levels=wheel.top_levels,
    )


def _matching(found: object, entry: ManifestWorkflow, wheel: CheckedWheel) -> Workflow:
    """Return what an entry point gave, if it is the workflow that the manifest describes.

    The manifest is what was shown to people and what runs are planned with: code that makes
    something else of itself here, by the environment or by chance, must not run in its name.
    """
    if not isinstance(found, Workflow):
        message = f"it is {type(found).__name__}, not a Workflow"
        raise _mismatch(wheel, [Problem("manifest-mismatch", message, entry.entry_point)])
    try:
        definition = found.definition()
    except DefinitionError as error:
        raise LoadError(f"{_told(wheel)}: {error.message}", problems=error.problems) from error
    if problems := list(_differences(definition, entry.definition)):
        raise _mismatch(wheel, problems)
    return found


def _differences(found: WorkflowDefinition, told: WorkflowDefinition) -> Iterator[Problem]:
    """Yield in what a workflow is another than the manifest tells.

    Fingerprints aren't compared. They may differ between versions of Python, and there is no need:
    the code is pinned by the digest of the wheel that it came in.
    """
    here, there = _parts(found), _parts(told)
    for part in sorted(here.keys() | there.keys()):
        if part not in there:
            yield Problem("manifest-mismatch", "the manifest doesn't have it", part)
        elif part not in here:
            yield Problem("manifest-mismatch", "the code doesn't have it", part)
        elif here[part] != there[part]:
            fields = [field for field in here[part] if here[part][field] != there[part][field]]
            yield Problem("manifest-mismatch", f"it differs in {', '.join(fields)}", part)


def _parts(definition: WorkflowDefinition) -> dict[str, dict[str, Any]]:
    """Return a workflow and each of its tasks, by what to call them, without what is for show."""
    workflow = decode(canonical(definition.to_json()))  # a tuple is told as a list
    tasks = workflow.pop("tasks")
    workflow["tasks"] = [task["name"] for task in tasks]
    parts = {
        f"workflow {definition.name}": workflow,
        **{f"task {task['name']}": task for task in tasks},
    }
    for part in parts.values():
        del part["fingerprint"], part["description"]
    return parts


def _told(wheel: CheckedWheel) -> str:
    return f"{wheel.name} {wheel.version}"


def _mismatch(wheel: CheckedWheel, problems: Sequence[Problem]) -> LoadError:
    return LoadError(
        f"{_told(wheel)} isn't what its manifest says",
        hint="build it again with: cloacina package build, under a new version",
        problems=problems,
    )
