"""The code of workflows: found by release in the sources, or among those handed in.

Of the releases in the sources, only so many are loaded at a time. The one whose code was asked for
longest ago is unloaded first, and one that another release of its package has taken over from is
when its last run here has ended. What a call uses stays, and what is needed again is loaded anew.

The source is asked for a release again when a run begins, also when it is loaded: one that was
killed, or isn't trusted any more, begins no run here. One answer holds for all runs that were
stored by then: whoever kills the release later finds them in the store, and cancels them.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakSet

from cloacina_core.engine.call import TaskCall
from cloacina_core.errors import NotFoundError
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.isolation import Isolation, WorkerEnvironment
from cloacina_core.model.release import Release
from cloacina_core.model.task import Task
from cloacina_core.model.workflow import Workflow

if TYPE_CHECKING:  # a worker imports this module, and has no pluggy
    from cloacina_core.plugin.interfaces import LoadedWorkflow, WorkflowSource

_log = logging.getLogger(__name__)

MAX_LOADED = 100
"""How many releases are loaded at a time, unless it is said otherwise."""

_Key: TypeAlias = tuple[str, str]
"""Source and digest."""


class MissingCodeError(NotFoundError):
    """No source here has the code of a run's workflow."""

    code = "missing-code"


class _Hold:
    """Whoever has one uses a release's code."""


class _Shelf:
    """What is known of one release here."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.workflows: dict[str, LoadedWorkflow] = {}
        """Those that are loaded, by name."""
        self.holds: WeakSet[_Hold] = WeakSet()
        """Of the calls that use its code, and of those who load it."""
        self.runs: set[RunId] = set()
        """Those that the engine here has."""
        self.stored: set[RunId] = set()
        """Those of them that are in the store for certain."""
        self.admitted: set[RunId] = set()
        """Those of them that the source was asked for."""
        self.last_begun = 0
        """The higher, the later a run of it began here."""

    def is_superseded_by(self, other: "_Shelf") -> bool:
        """Whether runs of another release of the package began here after the last of this one."""
        return (
            other.release.source == self.release.source
            and other.release.package == self.release.package
            and other.last_begun > self.last_begun
        )


class WorkflowLibrary:
    """Finds the code for task calls. Safe to use from any thread."""

    def __init__(
        self, sources: "Iterable[WorkflowSource]", *, max_loaded: int = MAX_LOADED
    ) -> None:
        """Prepare.

        Args:
            sources: where packaged workflows come from.
            max_loaded: how many releases are loaded at a time; more while more are in use.
        """
        self.sources: Mapping[str, WorkflowSource] = {source.name: source for source in sources}
        self._by_fingerprint: dict[str, Workflow] = {}
        self._max_loaded = max_loaded
        self._shelves: dict[_Key, _Shelf] = {}
        """The one that was asked for longest ago first."""
        self._isolations: dict[tuple[str, str, str], Isolation] = {}
        self._drained: set[_Key] = set()
        """Releases that were unloaded when they had drained. One that comes back all the same is in
        use beside the newer one: it stays, or each of its runs would load it anew."""
        self._beginnings = itertools.count(1)
        # Held while a release is unloaded, so that nobody is given what is about to go; never
        # while one is loaded, which may take long.
        self._lock = threading.Lock()

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
            return TaskCode(_holding(workflow, call), call.task)
        source = self._source(call.release)
        shelf, hold = self._take(call.release)
        loaded = shelf.workflows.get(call.workflow)
        if loaded is None or call.run_id not in shelf.admitted:
            loaded = self._load(source, shelf, hold, call)
        workflow = _holding(loaded.workflow, call)
        return TaskCode(workflow, call.task, loaded.plain, loaded.isolation, hold=hold)

    def run_began(self, run_id: RunId, release: Release | None) -> None:
        """Take note that the engine here has a run."""
        if release is None:
            return
        with self._lock:
            shelf = self._shelves.setdefault(_key(release), _Shelf(release))
            shelf.runs.add(run_id)
            shelf.last_begun = next(self._beginnings)

    def run_stored(self, run_id: RunId, release: Release | None) -> None:
        """Take note that a run is in the store, and the engine here has it there."""
        if release is None:
            return
        with self._lock:
            shelf = self._shelves.get(_key(release))
            if shelf is not None and run_id in shelf.runs:
                shelf.stored.add(run_id)

    def run_ended(self, run_id: RunId, release: Release | None) -> None:
        """Take note that it hasn't any more, and unload a release that has drained."""
        if release is None:
            return
        with self._lock:
            shelf = self._shelves.get(_key(release))
            if shelf is None:
                return
            shelf.runs.discard(run_id)
            shelf.stored.discard(run_id)
            shelf.admitted.discard(run_id)
            has_drained = not shelf.runs and not shelf.holds and _key(release) not in self._drained
            if has_drained and any(map(shelf.is_superseded_by, self._shelves.values())):
                self._drained.add(_key(release))
                self._unload(shelf)
            self._forget_if_empty(shelf)

    def loaded(self) -> list[Release]:
        """Return the releases that are loaded, the one asked for longest ago first."""
        with self._lock:
            return [shelf.release for shelf in self._shelves.values() if shelf.workflows]

    def isolation(self, call: TaskCall) -> Isolation:
        """Return what a call is isolated by. Asked of its source once.

        Raises:
            MissingCodeError: its source isn't here.
            CloacinaError: its release is refused.
        """
        release = call.release
        if release is None:
            return Isolation.HOST
        key = (*_key(release), call.workflow)
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

    def _take(self, release: Release) -> tuple[_Shelf, _Hold]:
        """Return a release's shelf, now the last one, and what keeps the release from going."""
        with self._lock:
            shelf = self._shelves.pop(_key(release), None) or _Shelf(release)
            self._shelves[_key(release)] = shelf
            hold = _Hold()
            shelf.holds.add(hold)
            return shelf, hold

    def _load(
        self, source: "WorkflowSource", shelf: _Shelf, hold: _Hold, call: TaskCall
    ) -> "LoadedWorkflow":
        """Load the workflow of a call, or have the source say that it may still be used."""
        with self._lock:
            stored = shelf.stored | {call.run_id}
        try:
            loaded = source.load(shelf.release, call.workflow)
        except BaseException:
            with self._lock:
                shelf.holds.discard(hold)
                if not (shelf.workflows or shelf.holds):  # what it imported before it failed
                    self._unload(shelf)
                self._forget_if_empty(shelf)
            raise
        with self._lock:
            shelf.workflows[call.workflow] = loaded
            shelf.admitted |= stored & shelf.runs  # those that ended meanwhile would stay for ever
            self._make_room()
        return loaded

    def _make_room(self) -> None:
        filled = [shelf for shelf in self._shelves.values() if shelf.workflows]
        idle = [shelf for shelf in filled if not shelf.holds]
        for shelf in idle[: max(len(filled) - self._max_loaded, 0)]:
            self._unload(shelf)
            self._forget_if_empty(shelf)

    def _unload(self, shelf: _Shelf) -> None:
        shelf.workflows.clear()
        try:
            self.sources[shelf.release.source].unload(shelf.release)
        except Exception:  # noqa: BLE001 - a plugin's; it costs memory, and nothing else
            _log.exception("release %s can't be unloaded", shelf.release)

    def _forget_if_empty(self, shelf: _Shelf) -> None:
        if not (shelf.workflows or shelf.holds or shelf.runs):
            self._shelves.pop(_key(shelf.release), None)


def _holding(workflow: Workflow, call: TaskCall) -> Workflow:
    """Return the workflow that has a call's task."""
    found = workflow.holding(call.task)
    if found is None:
        raise MissingCodeError(
            f"{call.release or 'workflow'}/{call.workflow} has no task {call.task!r} any more",
            hint="its code was changed since the run began; start a new run",
        )
    return found


def _key(release: Release) -> _Key:
    return (release.source, release.digest)


class TaskCode:
    """A task with its code."""

    def __init__(
        self,
        workflow: Workflow,
        task: str,
        plain: Callable[[str], str] = str,
        isolation: Isolation = Isolation.HOST,
        *,
        hold: object = None,
    ) -> None:
        """Prepare.

        Args:
            workflow: with its code.
            task: its name.
            plain: makes names in texts those that the author wrote.
            isolation: what is between the task and others.
            hold: what keeps the code from being unloaded, until `let_go` or as long as this lives.
        """
        self._hold = hold
        self.workflow = workflow
        self.task: Task[..., object] = workflow.tasks[task]
        self.plain = plain
        """Makes names in tracebacks those that the author wrote."""
        self.isolation = isolation

    def let_go(self) -> None:
        """Allow the code to be unloaded: the call that it was for has ended."""
        self._hold = None
