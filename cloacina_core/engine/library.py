"""The code of workflows: found by release in the sources, or among those handed in."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from cloacina_core.engine.call import TaskCall
from cloacina_core.errors import NotFoundError
from cloacina_core.model.isolation import Isolation, WorkerEnvironment
from cloacina_core.model.release import Release
from cloacina_core.model.task import Task
from cloacina_core.model.workflow import Workflow

if TYPE_CHECKING:  # a worker imports this module, and has no pluggy
    from cloacina_core.plugin.interfaces import LoadedWorkflow, WorkflowSource


class MissingCodeError(NotFoundError):
    """No source here has the code of a run's workflow."""

    code = "missing-code"


class WorkflowLibrary:
    """Finds the code for task calls. Used by the executors' threads."""

    def __init__(self, sources: "Iterable[WorkflowSource]") -> None:
        self.sources: Mapping[str, WorkflowSource] = {source.name: source for source in sources}
        self._by_fingerprint: dict[str, Workflow] = {}
        self._loaded: dict[tuple[str, str, str], LoadedWorkflow] = {}
        """By source, digest and workflow: a release is verified when it is loaded, once."""
        self._isolations: dict[tuple[str, str, str], Isolation] = {}

    def register(self, workflow: Workflow) -> None:
        """Make a workflow that isn't packaged known, so that its runs can go on here."""
        self._by_fingerprint[workflow.definition().fingerprint] = workflow

    def registered(self, name: str, fingerprint: str | None = None) -> Workflow:
        """Return the workflow that isn't packaged and has this name, and fingerprint if it is told.

        Raises:
            MissingCodeError: there is none, or there are several.
        """
        found = [
            workflow
            for print_, workflow in self._by_fingerprint.items()
            if workflow.name == name and fingerprint in (None, print_)
        ]
        if len(found) != 1:
            many = "several workflows are" if found else "no workflow is"
            raise MissingCodeError(
                f"{many} known here as {name!r}",
                hint="open the runtime with workflows=[...], or name a package: PACKAGE/WORKFLOW",
            )
        return found[0]

    def knows(self, name: str) -> bool:
        """Whether a workflow that isn't packaged has this name."""
        return any(workflow.name == name for workflow in self._by_fingerprint.values())

    def has(self, fingerprint: str, source: str | None) -> bool:
        """Whether runs of a definition can go on here."""
        return fingerprint in self._by_fingerprint if source is None else source in self.sources

    def find(self, call: TaskCall) -> "TaskCode":
        """Return the code of a call's task. May import it, which may take its time.

        Raises:
            MissingCodeError: it isn't here.
            CloacinaError: its release is refused, or can't be imported.
        """
        if call.release is None:
            workflow = self._by_fingerprint.get(call.fingerprint)
            if workflow is None:
                raise MissingCodeError(
                    f"workflow {call.workflow!r} isn't packaged, and its code isn't here",
                    hint="open the runtime with workflows=[...], with the code unchanged",
                )
            return TaskCode(workflow, call.task, str)
        loaded = self._load(call.release, call.workflow)
        if call.task not in loaded.workflow.tasks:
            raise MissingCodeError(
                f"{call.release}/{call.workflow} has no task {call.task!r} any more",
                hint="its code was changed since the run began; start a new run",
            )
        return TaskCode(loaded.workflow, call.task, loaded.plain)

    def _load(self, release: Release, workflow: str) -> "LoadedWorkflow":
        """Return a release's code. Runs under way go on with it, whatever becomes of its source."""
        key = (release.source, release.digest, workflow)
        if key in self._loaded:
            return self._loaded[key]
        loaded = self._loaded[key] = self._source(release).load(release, workflow)
        return loaded

    def isolation(self, call: TaskCall) -> Isolation:
        """Return what a call is isolated by. Asked of its source once.

        Raises:
            MissingCodeError: its source isn't here.
            CloacinaError: its release is refused.
        """
        release = call.release
        if release is None:
            return Isolation.HOST
        key = (release.source, release.digest, call.workflow)
        if key not in self._isolations:
            placement = self._source(release).placement(release, call.workflow)
            self._isolations[key] = placement.isolation
        return self._isolations[key]

    def environment(self, call: TaskCall) -> WorkerEnvironment:
        """Return what a worker needs to run a call, verified again.

        Raises:
            MissingCodeError: its source isn't here.
            CloacinaError: its release is refused, or something that it needs is missing.
        """
        if call.release is None:
            raise AssertionError("what isn't packaged runs in this process")
        return self._source(call.release).environment(call.release)

    def _source(self, release: Release) -> "WorkflowSource":
        source = self.sources.get(release.source)
        if source is None:
            raise MissingCodeError(
                f"release {release} came from source {release.source!r}, which isn't here",
                hint="see which plugins are loaded with: cloacina plugins list",
            )
        return source


class TaskCode:
    """A task with its code."""

    def __init__(self, workflow: Workflow, task: str, plain: Callable[[str], str]) -> None:
        self.workflow = workflow
        self.task: Task[..., object] = workflow.tasks[task]
        self.plain = plain
        """Makes names in tracebacks those that the author wrote."""
