"""Releases whose tasks run in workers: a folder of modules, and a source that offers it."""

import gc
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any

from support import crasher
from support.runs import PATIENCE

from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.executors.threads import ThreadExecutor
from cloacina_core.engine.secrets import ReadSecret, no_secrets
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import ConfigurationError, WorkflowLoadError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.environ import scrubbed
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode, encode
from cloacina_core.model.channel import Channel
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.isolation import Isolation, Placement, WorkerEnvironment
from cloacina_core.model.polling.definition import DeclaredTrigger
from cloacina_core.model.release import Release
from cloacina_core.model.starts import Starts
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin import hookimpl
from cloacina_core.plugin.interfaces import LoadedWorkflow
from cloacina_core.plugin.manager import Plugins
from cloacina_core.worker.confinement import Limits
from cloacina_core.worker.pool.lending import Pool
from cloacina_core.worker.pool.pools import StartMethod, make_pool
from cloacina_core.worker.runner import WorkerRunner


def make_worker_pool(method: StartMethod = StartMethod.FORK) -> Pool:
    """Return a pool whose processes see the variables of this one that any may see."""
    return make_pool(SystemClock(), scrubbed(os.environ), method)


def environment_of(
    folder: Path, entry_points: Mapping[str, str], name: str = ""
) -> WorkerEnvironment:
    """Return what a worker needs to run the modules of a folder."""
    return WorkerEnvironment(
        digest=digest_of_text(f"{folder}{name}"),
        folders=(folder,),
        entry_points=dict(entry_points),
        capabilities=None,
        verify=lambda _name, _definition: None,
    )


class Descendants:
    """The processes below this one, but for those that were there before.

    Other tests of the same process leave some: servers, trackers of `multiprocessing`.
    """

    def __init__(self) -> None:
        gc.collect()  # what is garbage may have processes and descriptors, until somebody looks
        self._others = all_descendants()

    def __call__(self) -> set[int]:
        """Return their ids, ended ones included."""
        return all_descendants() - self._others


def all_descendants() -> set[int]:
    """Return the ids of all processes below this one, ended ones included."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            _, _, facts = (folder / "stat").read_bytes().rpartition(b")")
            parents[int(folder.name)] = int(facts.split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def environ_with_tests() -> dict[str, str]:
    """Return the variables of a process that imports what tests share."""
    tests = str(Path(__file__).parent.parent)
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


class Bench:
    """An executor with workers that runs tasks of `support.crasher`, and what it reported."""

    def __init__(self, code: Path, pool: Pool) -> None:
        shutil.copy(crasher.__file__, code)
        self.environment = environment_of(code, {"crasher": "crasher:crasher"})
        self.pool = pool
        self.folder = code
        self._code = code
        self._limits = Limits()
        self.not_confined = False
        self.secrets: ReadSecret = no_secrets
        self.executor = ThreadExecutor(self)
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._attempts = itertools.count(1)
        self.executor.start(self._outcomes.put)

    @classmethod
    @contextmanager
    def opened(cls, code: Path, pool: Pool | None = None) -> Iterator["Bench"]:
        """Yield a bench; its pool is closed with it."""
        bench = cls(code, pool or make_worker_pool())
        try:
            yield bench
        finally:
            bench.executor.stop()
            bench.pool.close()

    def run(self, call: TaskCall, stop: Stop) -> Outcome:
        """Run a call, as the executor's runner."""

        def accept(_enforced: object, _environment: object) -> None:
            if self.not_confined:
                raise ConfigurationError("not confined")

        runner = WorkerRunner(
            lambda _call: self.environment,
            self.pool,
            SystemClock(),
            limits=self._limits,
            accept=accept,
            secrets=self.secrets,
        )
        return runner.run(call, stop)

    async def run_async(self, call: TaskCall, stop: Stop) -> Outcome:
        """Never called."""
        raise NotImplementedError

    def wants_loop(self, call: TaskCall) -> bool:
        """Return False: attempts run in processes."""
        return False

    def use(self, entry_points: Mapping[str, str], *, refusing: str | None = None) -> None:
        """Run the code of other entry points from now on.

        Args:
            entry_points: by workflow.
            refusing: why what they make of themselves is refused; None: it isn't.
        """

        def verify(_name: str, _definition: Mapping[str, Any]) -> None:
            if refusing is not None:
                raise WorkflowLoadError(refusing)

        environment = environment_of(self._code, entry_points, f"{entry_points}{refusing}")
        self.environment = replace(environment, verify=verify)

    @contextmanager
    def limits(self, limits: Limits) -> Iterator[None]:
        """Give the processes of calls that begin in this block other limits."""
        before, self._limits = self._limits, limits
        yield
        self._limits = before

    def number_of(self, task: str) -> int:
        """Return the number of a task."""
        return list(crasher.crasher.tasks).index(task)

    def submit(self, task: str, **context: JsonValue) -> AttemptKey:
        """Submit a call, and return its key."""
        key = (RunId("crash"), self.number_of(task), next(self._attempts))
        seen = {"folder": str(self.folder), **context}
        call = TaskCall(
            key=key,
            workflow="crasher",
            fingerprint="",
            task=task,
            release=None,
            params={},
            context={name: encode(value) for name, value in seen.items()},
            deadline=None,
            is_last=True,
            max_value_bytes=1_000_000,
            secrets=("crm",),
        )
        self.executor.submit(call)
        return key

    def outcome(self) -> Outcome:
        """Return the next outcome."""
        return self._outcomes.get(timeout=PATIENCE)

    def result(self, task: str, **context: JsonValue) -> Outcome:
        """Submit a call, and return its outcome."""
        key = self.submit(task, **context)
        outcome = self.outcome()
        assert outcome.key == key
        return outcome

    def warm_up(self, folder: Path) -> None:
        """Have as many processes ready as a test needs."""
        folder.mkdir()
        self.folder = folder
        self.submit("neighbour")
        self.wait_for("neighbour")
        self.result("ok")
        (folder / "end").touch()
        self.outcome()

    def wait_for(self, word: str) -> str:
        """Wait until a task says a word, and return what else it says."""
        self.until(lambda: (self.folder / word).exists() and (self.folder / word).read_text())
        return (self.folder / word).read_text()

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        """Wait until something holds."""
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, "it never came"
            time.sleep(0.002)

    @staticmethod
    def decoded(outcome: Outcome) -> dict[str, Any]:
        """Return what a task changed."""
        assert outcome.changes is not None
        return {key: decode(text) for key, text in outcome.changes.items() if isinstance(text, str)}


class FolderSource:
    """A source with one release, whose code is in a folder and whose tasks run in workers."""

    name = "folder"

    def __init__(self, folder: Path, module: ModuleType) -> None:
        """Copy a module to the folder, and offer its workflows."""
        shutil.copy(str(module.__file__), folder)
        short = module.__name__.rpartition(".")[2]
        self._workflows = {
            found.name: found for found in vars(module).values() if isinstance(found, Workflow)
        }
        entry_points = {
            found.name: f"{short}:{name}"
            for name, found in vars(module).items()
            if isinstance(found, Workflow)
        }
        self._environment = replace(environment_of(folder, entry_points), verify=self._verify)
        self._release = Release(
            source=self.name,
            package=short,
            version="1.0",
            digest=self._environment.digest,
            workflows=tuple(self._workflows),
        )

    def _verify(self, name: str, definition: Mapping[str, Any]) -> None:
        if definition != self._workflows[name].definition().to_json():
            raise WorkflowLoadError(f"workflow {name!r} isn't what its release says")

    def packages(self) -> Sequence[str]:
        return [self._release.package]

    def releases(self, package: str) -> Sequence[Release]:
        return [self._release] if package == self._release.package else []

    def channels(self, package: str) -> Sequence[Channel]:
        return ()

    def definition(self, release: Release, workflow: str) -> WorkflowDefinition:
        return self._workflows[workflow].definition()

    def starts(self, release: Release) -> Starts:
        return Starts(
            triggers=tuple(
                DeclaredTrigger(name, trigger.definition())
                for name, workflow in self._workflows.items()
                for trigger in workflow.triggers.values()
            )
        )

    def load(self, release: Release, workflow: str) -> LoadedWorkflow:
        raise AssertionError("the code of this release is for workers alone")

    def placement(self, release: Release, workflow: str) -> Placement:
        return Placement(isolation=Isolation.WORKER, reason="the test says so")

    def environment(self, release: Release) -> WorkerEnvironment:
        return self._environment

    def find(self, package: str, digest: str) -> Release | None:
        return next((r for r in self.releases(package) if r.digest == digest), None)

    def close(self) -> None:
        """Do nothing."""


def plugins_with(source: FolderSource) -> Plugins:
    """Return plugins of which one contributes a source."""

    class Contribution:
        @hookimpl
        def cloacina_workflow_sources(self, view: object) -> list[FolderSource]:
            return [source]

    plugins = Plugins()
    plugins.add(Contribution(), "folder", "tests", "1.0")
    return plugins
