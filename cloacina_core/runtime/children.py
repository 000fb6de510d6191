"""What tasks mean when they ask for other runs."""

from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.engine.library import MissingCodeError, WorkflowLibrary
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import decode
from cloacina_core.model.child import Child, ChildResult
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.release import Release, Resolution, ResolvedBy
from cloacina_core.model.run import RunSummary
from cloacina_core.runtime.history import read_result
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.wanted import find_wanted
from cloacina_core.store.reading import RunReader


class ChildResolver:
    """Finds workflows by reference, and by name in the release of the run that asks.

    A run is pinned to what its reference means when it begins; a workflow of the same release is
    pinned to that release, however old it is by now.
    """

    def __init__(self, sources: Sources, library: WorkflowLibrary) -> None:
        self._sources = sources
        self._library = library

    def request(self, parent: RunSummary, child: Child, run_id: RunId) -> RunRequest:
        """Return what a task asks for, with the priority of its own run.

        Raises:
            CloacinaError: it can't be run, as `Runtime.submit` tells.
        """
        return RunRequest.checked(
            self._find(parent, child, run_id),
            None if child.params is None else decode(child.params),
            None if child.context is None else decode(child.context),
            priority=parent.priority,
        )

    def _find(self, parent: RunSummary, child: Child, run_id: RunId) -> Wanted:
        own = None if parent.release is None else self._own_release(parent.release)
        if own is not None and child.reference in own.workflows:
            resolution = Resolution(ResolvedBy.SAME_RELEASE)
            return Wanted(self._sibling(own, child), child.reference, own, resolution)
        if own is None and (child.fingerprint or self._library.knows(child.reference)):
            workflow = self._library.registered(child.reference, child.fingerprint)
            return Wanted(workflow.definition(), child.reference)
        if child.fingerprint is not None:
            raise MissingCodeError(
                f"release {own} has no workflow {child.reference!r}",
                hint="give the reference of another package as a text: 'PACKAGE/WORKFLOW'",
            )
        find = find_wanted(child.reference, None, sources=self._sources, library=self._library)
        return find(run_id)

    def _own_release(self, release: Release) -> Release | None:
        """Return the release of the run that asks, with all its workflows."""
        source = self._library.sources.get(release.source)
        return None if source is None else source.find(release.package, release.digest)

    def _sibling(self, release: Release, child: Child) -> WorkflowDefinition:
        definition = self._library.sources[release.source].definition(release, child.reference)
        if child.fingerprint not in (None, definition.fingerprint):
            raise MissingCodeError(
                f"the workflow {child.reference!r} that was given isn't that of {release}",
                hint="give its name as a text",
            )
        return definition


def read_child(reader: RunReader, run_id: RunId) -> ChildResult:
    """Return a run that a task asked for and that has ended."""
    result = read_result(reader, run_id)
    return ChildResult(
        run_id=result.run_id,
        status=result.status,
        context=result.context,
        release=result.release,
        error=result.error,
    )
