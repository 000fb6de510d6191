"""Workflows of installed distributions, found by entry point; no registry is needed for them."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from importlib_metadata import Distribution, EntryPoint, entry_points
from packaging.version import InvalidVersion, Version

from cloacina_core.errors import UnknownWorkflowError, WorkflowLoadError
from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.names import nearest
from cloacina_core.model.channel import Channel
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.isolation import Isolation, Placement, WorkerEnvironment
from cloacina_core.model.polling.definition import DeclaredTrigger
from cloacina_core.model.release import Release, normalized_package
from cloacina_core.model.starts import Starts
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin.interfaces import LoadedWorkflow

GROUP = "cloacina.workflows"

_log = logging.getLogger(__name__)


class InstalledSource:
    """A source of the workflows in this Python environment.

    The environment vouches for them: there is no signature, and one version at a time. A run's
    digest is that of the distribution's list of files, so that a changed installation is noticed.
    """

    name = "installed"

    def __init__(self) -> None:
        self._found: dict[str, list[EntryPoint]] | None = None
        self._loaded: dict[tuple[str, str], Workflow] = {}

    def packages(self) -> Sequence[str]:
        """Return the names of all distributions with workflows, sorted."""
        return sorted(self._packages())

    def releases(self, package: str) -> Sequence[Release]:
        """Return the installed version of a distribution, if it has workflows."""
        found = self._packages().get(package)
        if not found:
            return ()
        distribution = _distribution(found[0])
        return (
            Release(
                source=self.name,
                package=package,
                version=distribution.version,
                digest=_digest(distribution),
                workflows=tuple(sorted(point.name for point in found)),
            ),
        )

    def channels(self, package: str) -> Sequence[Channel]:  # noqa: ARG002 - there are none
        """Return nothing: what is installed has no channels."""
        return ()

    def find(self, package: str, digest: str) -> Release | None:
        """Return the installed release if it still is what it was."""
        return next((r for r in self.releases(package) if r.digest == digest), None)

    def definition(self, release: Release, workflow: str) -> WorkflowDefinition:
        """Return what a workflow looks like; imports it."""
        return self._workflow(release, workflow).definition()

    def starts(self, release: Release) -> Starts:
        """Return the triggers of its workflows; what else is declared, only packages have."""
        found = [
            DeclaredTrigger(name, trigger.definition())
            for name in release.workflows
            for trigger in self._workflow(release, name).triggers.values()
        ]
        return Starts(triggers=tuple(sorted(found, key=lambda one: one.name)))

    def load(self, release: Release, workflow: str) -> LoadedWorkflow:
        """Return a workflow with its code; imports it.

        Raises:
            WorkflowLoadError: another version of the distribution is installed by now, or its code
                can't be imported.
        """
        if self.find(release.package, release.digest) is None:
            raise WorkflowLoadError(
                f"{release} isn't installed any more as it was when the run began",
                hint="install that version again, or start a new run",
            )
        return LoadedWorkflow(self._workflow(release, workflow), release)

    def placement(self, release: Release, workflow: str) -> Placement:  # noqa: ARG002 - all alike
        """Return that what is installed is the process's own."""
        return Placement(isolation=Isolation.HOST, reason="it is installed with the engine")

    def environment(self, release: Release) -> WorkerEnvironment:
        """Refuse: what is installed runs where it is installed.

        Raises:
            WorkflowLoadError: always.
        """
        raise WorkflowLoadError(
            f"{release} is installed with the engine, and isn't run in a worker",
            hint="upload it to the registry, which can be told to run releases in workers",
        )

    def _packages(self) -> dict[str, list[EntryPoint]]:
        if self._found is None:
            found = defaultdict(list)
            for point in entry_points(group=GROUP):
                if (name := _usable_name(_distribution(point))) is not None:
                    found[normalized_package(name)].append(point)
            self._found = dict(found)
        return self._found

    def unload(self, release: Release) -> None:
        """Do nothing: what is installed is the process's, not this source's."""

    def close(self) -> None:
        """Do nothing: what is installed is the process's, not this source's."""

    def _workflow(self, release: Release, name: str) -> Workflow:
        key = (release.package, name)
        if key not in self._loaded:
            self._loaded[key] = self._import(release, name)
        return self._loaded[key]

    def _import(self, release: Release, name: str) -> Workflow:
        points = {point.name: point for point in self._packages().get(release.package, ())}
        if name not in points:
            near = nearest(name, points)
            raise UnknownWorkflowError(name, str(release), sorted(points), near)
        point = points[name]
        try:
            loaded = point.load()
        except (Exception, SystemExit) as error:
            raise WorkflowLoadError(
                f"{release.package}/{name} ({point.value}) can't be imported: "
                f"{type(error).__name__}: {error}",
                hint=f"mend distribution {release.package!r}, or install it again",
            ) from error
        if not isinstance(loaded, Workflow):
            raise WorkflowLoadError(
                f"{release.package}/{name}: {point.value} is a {type(loaded).__name__}, "
                "not a Workflow",
                hint="let the entry point name a cloacina_core.Workflow object",
            )
        return loaded


def _distribution(point: EntryPoint) -> Distribution:
    if point.dist is None:
        raise AssertionError("entry points of an environment belong to distributions")
    return cast("Distribution", point.dist)  # the declared type is a private protocol


def _usable_name(distribution: Distribution) -> str | None:
    """Return the name of a distribution, or None when its metadata is damaged."""
    try:
        name, _ = distribution.name, Version(distribution.version)
    except (OSError, KeyError, InvalidVersion) as error:
        _log.warning("a distribution with workflows is left out: %s", error)
        return None
    return name


def _digest(distribution: Distribution) -> Digest:
    identity = [distribution.name, distribution.version, distribution.read_text("RECORD") or ""]
    return digest_of_text("\n".join(identity))
