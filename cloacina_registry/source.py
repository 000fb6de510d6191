"""The registry as a source of workflows: how the engine gets at what was uploaded."""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag, sys_tags

from cloacina_core.errors import (
    Problem,
    ReleaseWithheldError,
    UnknownReleaseError,
    UnknownWorkflowError,
)
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.names import nearest, plain_text
from cloacina_core.model.channel import Channel
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.isolation import Isolation, Placement, WorkerEnvironment
from cloacina_core.model.release import Release
from cloacina_core.model.starts import Starts
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin import LoadedWorkflow, RuntimeView
from cloacina_core.plugin.releases import Releases
from cloacina_registry.environments.environments import Environments
from cloacina_registry.errors import (
    IncompatibleReleaseError,
    ManifestMismatchError,
    TamperedError,
)
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.loading.matching import load_workflow
from cloacina_registry.manifest import ManifestWorkflow
from cloacina_registry.placement import MinimumIsolation, at_least, contradicts
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.storage.catalog import (
    ReleaseChange,
    ReleaseStatus,
    StoredRelease,
    withdrawn,
)
from cloacina_registry.trust.verification import VerifiedWheel
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

    def problems(
        self, requires_python: str | None, requires_core: str, platform: str | None = None
    ) -> Iterator[Problem]:
        """Yield what a release asks for and the host doesn't have."""
        for what, version, specifier in (
            ("Python", self.python, requires_python),
            ("Cloacina", self.core, requires_core),
        ):
            # Pre-releases count: a host that runs one was given it on purpose.
            wanted = SpecifierSet(specifier or "", prereleases=True)
            if version is not None and version not in wanted:
                message = f"it needs {what} {specifier}, this is {what} {version}"
                yield Problem("incompatible", message)
        if platform is not None and not _supports(platform):
            yield Problem("incompatible", f"it is built for {platform}, which isn't this host")

    def needs(
        self, requires_python: str | None, requires_core: str, platform: str | None
    ) -> str | None:
        """Return what a release asks for and the host doesn't have; None: nothing."""
        problems = self.problems(requires_python, requires_core, platform)
        return ", ".join(problem.message for problem in problems) or None


def _supports(platform: str) -> bool:
    """Whether this interpreter runs native code that was built for some tags (PEP 425)."""
    return not parse_tag(platform).isdisjoint(sys_tags())


class _Known(NamedTuple):
    """What is known of the releases of a package."""

    revision: int
    """Of the package: what came later isn't known."""
    releases: Releases


_NOTHING = _Known(0, Releases({}))


class RegistrySource:
    """A `WorkflowSource` (see `cloacina_core.plugin`) of what the registry holds.

    Each call that hands out a definition or code has the release verified at that moment, so that
    a revoked key stops the next run.
    """

    name = SOURCE_NAME

    def __init__(
        self,
        registry: Registry,
        channels: Channels,
        loader: NamespaceLoader,
        host: Host,
        environments: Environments,
        *,
        minimum: MinimumIsolation = "auto",
    ) -> None:
        """Prepare; see `of` for the usual way.

        Args:
            registry: the releases.
            channels: their channels.
            loader: where code is loaded that runs in this process.
            host: what this process offers.
            environments: what workers need that run code in processes of their own.
            minimum: how much isolation the operator asks for at least.
        """
        self._registry = registry
        self._channels = channels
        self._loader = loader
        self._host = host
        self._environments = environments
        self._minimum = minimum
        self._known: dict[str, _Known] = {}
        # Few different texts stand in very many releases.
        self._needs = lru_cache(1000)(host.needs)
        # Found to be what their manifests say, which stays true: neither of the two changes.
        self._matched: dict[tuple[Digest, str], Workflow] = {}
        # Decided of some bytes for good; the minimum is read once, when a process starts.
        self._placed: dict[str, Placement] = {}

    @classmethod
    def of(cls, view: RuntimeView) -> Self:
        """Return the source for a runtime, with namespaces of its own in this process."""
        registry = Registry.of(view)
        return cls(
            registry,
            Channels.of(view, registry),
            NamespaceLoader(),
            Host.current(),
            Environments.of(view, registry),
            minimum=view.settings.isolation,
        )

    def unload(self, release: Release) -> None:
        """Forget a release's modules; objects of them that are still in use live on."""
        for key in [key for key in self._matched if key[0] == release.digest]:
            self._matched.pop(key, None)
        self._loader.unload(release.digest)

    def close(self) -> None:
        """Unload everything."""
        self._loader.close()

    def packages(self) -> Sequence[str]:
        """Return the normalised names of all packages, sorted."""
        return self._registry.packages()

    def releases(self, package: str) -> Releases:
        """Return all releases of a package; none for an unknown package.

        Only what changed since the last time is read: a package may have very many.
        """
        known = self._known.get(package, _NOTHING)
        changes = self._registry.changes(package, known.revision)
        if changes:
            there = [one for one in changes if one.status.is_there]
            gone = [one.version for one in changes if not one.status.is_there]
            releases = known.releases.changed((self._release(package, one) for one in there), gone)
            known = _Known(max(one.revision for one in changes), releases)
            self._known[package] = known  # of two threads that were here, one was here in vain
        return known.releases

    def channels(self, package: str) -> Sequence[Channel]:
        """Return the channels of a package, after their canaries were judged."""
        return self._channels.resolvable(package)

    def find(self, package: str, digest: str) -> Release | None:
        """Return the release with this content, also when it is yanked; None if there is none."""
        stored = self._registry.find(package, digest)
        return None if stored is None else self._release(stored.package, stored)

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

    def starts(self, release: Release) -> Starts:
        """Return what a release's manifest declares that starts its workflows.

        Raises:
            CloacinaError: the release is refused; see `definition`.
        """
        _, verified = self._verified(release)
        return verified.wheel.manifest.starts

    def load(self, release: Release, workflow: str) -> LoadedWorkflow:
        """Return a workflow with its code, in the namespace of its release.

        Loading a release twice gives the same objects.

        Raises:
            LoadError: its code can't be imported, or isn't what the manifest says.
            CloacinaError: the release is refused; see `definition`.
        """
        stored, verified = self._runnable(release)
        key = (stored.digest, workflow)
        if key not in self._matched:
            self._matched[key] = self._load(stored, verified.wheel, workflow)
        signed_by = tuple(signer.name for signer in verified.signers)
        found = dataclasses.replace(self._release(stored.package, stored), signed_by=signed_by)
        return LoadedWorkflow(
            self._matched[key], found, plain=plain_text, isolation=Isolation.NAMESPACE
        )

    def placement(self, release: Release, workflow: str) -> Placement:  # noqa: ARG002 - all alike
        """Return where a release's tasks run, as it was decided when it was uploaded.

        The release is verified when it is asked for first. That it may run at this moment is for
        `load` and `environment` to say, one of which comes next.

        Raises:
            TamperedError: what the catalog says can't be, for what the manifest says.
            CloacinaError: the release is refused; see `definition`.
        """
        if release.digest not in self._placed:
            stored, verified = self._verified(release)
            placement = stored.placement
            if contradicts(verified.wheel.manifest, placement.isolation):
                raise TamperedError(
                    "an entry of the catalog", f"{stored} in a worker", placement.isolation
                )
            self._placed[release.digest] = at_least(placement, self._minimum)
        return self._placed[release.digest]

    def environment(self, release: Release) -> WorkerEnvironment:
        """Return what a worker needs to run a release's code.

        The release is verified at this moment, as `load` does it. Its folders are compared with its
        wheels once in the life of this object.

        Raises:
            CloacinaError: the release is refused, see `definition`; or something that it needs is
                missing, damaged, or can't be unpacked.
        """
        stored, verified = self._runnable(release)
        return self._environments.environment(stored, verified.wheel)

    def _runnable(self, release: Release) -> tuple[StoredRelease, VerifiedWheel]:
        """Return a release whose runs may go on, verified at this moment."""
        stored, verified = self._verified(release)
        if stored.status is ReleaseStatus.KILLED:
            hint = "start a new run of another release with: cloacina run"
            raise ReleaseWithheldError(stored.package, stored.version, withdrawn(stored), hint=hint)
        return stored, verified

    def _load(self, stored: StoredRelease, wheel: CheckedWheel, workflow: str) -> Workflow:
        try:
            contents = self._registry.contents(stored, wheel)
            return load_workflow(self._loader, contents, _entry(wheel, workflow))
        except ManifestMismatchError as error:
            self._registry.mark_broken(stored, str(error.problems[0]))
            raise

    def _release(self, package: str, stored: ReleaseChange | StoredRelease) -> Release:
        needs = self._needs(stored.requires_python, stored.requires_core, stored.platform)
        return Release(
            source=SOURCE_NAME,
            package=package,
            version=stored.version,
            digest=stored.digest,
            workflows=stored.workflows,
            signed_by=stored.signed_by,
            yanked=stored.status is ReleaseStatus.YANKED,
            withheld=None if stored.status.starts else withdrawn(stored),
            needs=needs,
        )

    def _verified(self, release: Release) -> tuple[StoredRelease, VerifiedWheel]:
        stored = self._registry.find(release.package, release.digest)
        if stored is None:
            available = [other.version for other in self._registry.releases(release.package)]
            raise UnknownReleaseError(release.package, f"=={release.version}", available)
        verified = self._registry.verified(stored)
        manifest = verified.wheel.manifest
        wanted = manifest.requires_python, manifest.requires_core, verified.wheel.platform
        if self._needs(*wanted) is not None:
            problems = list(self._host.problems(*wanted))
            raise IncompatibleReleaseError(stored.package, stored.version, problems)
        return stored, verified


def _entry(wheel: CheckedWheel, workflow: str) -> ManifestWorkflow:
    known = wheel.manifest.by_name
    if workflow not in known:
        raise UnknownWorkflowError(
            workflow, f"{wheel.name} {wheel.version}", sorted(known), nearest(workflow, known)
        )
    return known[workflow]
