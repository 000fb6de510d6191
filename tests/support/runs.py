"""Runs for tests of the engine: in memory, by hand, or in a real runtime."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.engine.call import AttemptKey, Outcome, TaskCall
from cloacina_core.engine.children import ChildStarter
from cloacina_core.engine.engine import Engine, EngineLimits
from cloacina_core.engine.executors.interface import Report
from cloacina_core.engine.notifier import Notifier
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.requests import Submission
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.spilling import Spill
from cloacina_core.errors import UnknownPackageError
from cloacina_core.foundation.clock import Clock, SystemClock
from cloacina_core.foundation.ids import EngineId, IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue, decode, encode
from cloacina_core.model.child import Child
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.context import Context
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import Rule, all_succeeded
from cloacina_core.model.run import Failure, RunResult, RunSummary
from cloacina_core.model.slot_ledger import Demand
from cloacina_core.model.spilled import Spilled
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import AttemptOutcome, RunStatus
from cloacina_core.model.task import Task
from cloacina_core.model.wait import Wait
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime
from cloacina_core.settings import Settings
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.database import Database
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.permits import Permits
from cloacina_core.store.reading import RunReader
from cloacina_core.store.writing import RunWriter

PATIENCE = 60.0
"""Seconds after which a test gives a wait up."""

LEASE = timedelta(seconds=15)


def nothing(context: Context) -> None:
    """Do nothing, as a task."""


def workflow_of(
    after: Mapping[str, Sequence[str]],
    *,
    rules: Mapping[str, Rule] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    functions: Mapping[str, Callable[[Context], object]] | None = None,
    name: str = "flow",
    **of_workflow: Any,
) -> Workflow:
    """Return a workflow with these tasks, each with the tasks before it."""
    rules, options, functions = rules or {}, options or {}, functions or {}
    tasks: list[Task[..., Any]] = [
        Task(
            functions.get(task, nothing),
            name=task,
            after=list(before),
            when=rules.get(task, all_succeeded),
            **options.get(task, {}),
        )
        for task, before in after.items()
    ]
    return Workflow(name, tasks=tasks, **of_workflow)


def chain_of(length: int) -> dict[str, list[str]]:
    """Return tasks that come one after the other."""
    return {f"t{n}": [f"t{n - 1}"] if n else [] for n in range(length)}


def fan_of(width: int) -> dict[str, list[str]]:
    """Return one task, then many, then one."""
    middle = [f"m{n}" for n in range(width)]
    return {"first": [], **{name: ["first"] for name in middle}, "last": middle}


def run_of(
    workflow: Workflow,
    *,
    params: Mapping[str, JsonValue] | None = None,
    context: Mapping[str, JsonValue] | None = None,
    clock: Clock | None = None,
    ids: IdFactory | None = None,
    engine: EngineId | None = None,
    idempotency_key: str | None = None,
    concurrency_key: str | None = None,
    priority: int = 0,
    status: RunStatus = RunStatus.RUNNING,
    started_by: StartedBy | None = None,
) -> RunState:
    """Return a run that was just made."""
    clock = clock or SystemClock()
    ids = ids or IdFactory(clock)
    now = clock.now()
    queued = status is RunStatus.QUEUED
    summary = RunSummary(
        run_id=ids.run_id(),
        status=status,
        workflow=workflow.name,
        reference=workflow.name,
        release=None,
        started_by=started_by or StartedBy(kind=StarterKind.PRINCIPAL, name="ann"),
        priority=priority,
        idempotency_key=idempotency_key,
        concurrency_key=concurrency_key,
        engine=None if queued else engine or ids.engine_id(),
        created_at=now,
        started_at=None if queued else now,
        finished_at=None,
        error=None,
    )
    texts = {key: encode(value) for key, value in (context or {}).items()}
    return RunState(Plan(workflow.definition()), summary, params=dict(params or {}), context=texts)


class HandExecutor:
    """Takes calls, and reports what the test says: the test is the worker."""

    def __init__(self) -> None:
        self.calls: dict[AttemptKey, TaskCall] = {}
        self.cancelled: list[AttemptKey] = []
        self.abandoned: list[AttemptKey] = []
        self.lost = 0
        self._report: Report | None = None

    def start(self, report: Report) -> None:
        """Begin to accept calls."""
        self._report = report

    def submit(self, call: TaskCall) -> None:
        """Keep a call until the test ends it."""
        self.calls[call.key] = call

    def cancel(self, key: AttemptKey) -> None:
        """Remember who was asked to end."""
        self.cancelled.append(key)

    def abandon(self, key: AttemptKey) -> None:
        """Remember who was given up."""
        self.abandoned.append(key)

    def stop(self) -> None:
        """Nothing runs here."""

    def names(self) -> list[str]:
        """Return the tasks whose calls weren't ended yet."""
        return [call.name for call in self.calls.values()]

    def succeed(self, task: str, **changes: JsonValue) -> TaskCall:
        """End the call of a task well."""
        call = self._take(task)
        texts = {
            key: value if isinstance(value, Spilled) else encode(value)
            for key, value in changes.items()
        }
        self.report(Outcome(key=call.key, outcome=AttemptOutcome.SUCCEEDED, changes=texts))
        return call

    def fail(self, task: str, *, may_retry: bool = False) -> TaskCall:
        """End the call of a task badly."""
        call = self._take(task)
        failure = Failure(type="OSError", message="broken")
        self.report(
            Outcome(
                key=call.key,
                outcome=AttemptOutcome.FAILED,
                failure=failure,
                may_retry=may_retry,
            )
        )
        return call

    def defer(self, task: str, *waits: Wait) -> TaskCall:
        """End the call of a task with a wait, the last of these."""
        call = self._take(task)
        self.report(Outcome(key=call.key, outcome=AttemptOutcome.DEFERRED, waits=waits))
        return call

    def report(self, outcome: Outcome) -> None:
        """Report any outcome."""
        assert self._report is not None
        self._report(outcome)

    def _take(self, task: str) -> TaskCall:
        key = next(key for key, call in self.calls.items() if call.name == task)
        return self.calls.pop(key)


class Offers:
    """Finds workflows among those that a test offers, by name."""

    def __init__(self, workflows: Iterable[Workflow] = ()) -> None:
        self.workflows = {workflow.name: workflow for workflow in workflows}

    def request(self, parent: RunSummary, child: Child, _run_id: RunId) -> RunRequest:
        """Return what a task asks for."""
        workflow = self.workflows.get(child.reference)
        if workflow is None:
            raise UnknownPackageError(child.reference, [])
        params = None if child.params is None else decode(child.params)
        return RunRequest.checked(Wanted(workflow.definition()), params, priority=parent.priority)


class EngineBench:
    """A real engine on a real store, stepped by the test, which does the tasks' work itself."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        slots: int = 16,
        max_live_runs: int = 1000,
        writer: RunWriter | None = None,
        children: Iterable[Workflow] = (),
        max_run_depth: int = 20,
        lease: timedelta = LEASE,
        on_demand: Callable[[Demand], object] | None = None,
    ) -> None:
        self.clock = clock
        self.database = database
        self.ids = IdFactory(clock)
        self.reader = RunReader(database)
        self.ownership = Ownership(database, lease)
        self.commands = CommandStore(database)
        self.permits = Permits(database)
        self.executor = HandExecutor()
        self.offers = Offers(children)
        self.engine = Engine(
            self.ids.engine_id(),
            writer=writer or RunWriter(database),
            commands=self.commands,
            ownership=self.ownership,
            permits=self.permits,
            executor=self.executor,
            notifier=Notifier(),
            clock=clock,
            chance=lambda: 0.0,
            children=ChildStarter(
                resolver=self.offers,
                ids=self.ids,
                clock=clock,
                ended=self.reader.ended,
                max_depth=max_run_depth,
                spill=Spill(
                    DatabaseBlobStore(lambda: database), spill_bytes=1000, max_spilled_bytes=100_000
                ),
            ),
            limits=EngineLimits(
                slots=slots, max_value_bytes=1_000_000, max_live_runs=max_live_runs
            ),
            on_demand=on_demand,
        )
        self.ownership.register(self.engine.id, "test")
        self.executor.start(self.engine.report)

    def ask(self, run_id: RunId, kind: str, **facts: Any) -> Command:
        """Ask something of a run, and let the engine look at it with its next step."""
        command = Command(id=self.ids.command_id(), run_id=run_id, kind=CommandKind(kind), **facts)
        self.commands.ask(command)
        self.engine.look()
        return command

    def post(self, workflow: Workflow, **options: Any) -> Submission:
        """Hand in a run; the next step handles it."""
        digest = options.pop("request_digest", None)
        run = run_of(workflow, clock=self.clock, ids=self.ids, engine=self.engine.id, **options)
        submission = Submission(run, digest)
        self.engine.post(submission)
        return submission

    def start(self, workflow: Workflow, **options: Any) -> RunState:
        """Hand in a run, and let it begin."""
        submission = self.post(workflow, **options)
        self.step()
        return submission.run

    def step(self) -> None:
        """Let the engine do all that it can do now."""
        while self.engine.step(patience=0):
            pass

    def result(self, run_id: RunId) -> RunResult:
        """Return a run as the store knows it."""
        stored = self.reader.load(run_id)
        return RunState.restore(Plan(stored.definition), stored).result()

    def history(self, run_id: RunId) -> list[str]:
        """Return what happened, as `task_started a#1`."""
        told = []
        for event in self.reader.events(run_id):
            task = f" {event.task}" if event.task else ""
            attempt = f"#{event.attempt}" if event.attempt else ""
            told.append(f"{event.type.value}{task}{attempt}")
        return told


def settings_of(home: Path, url: str, **changes: Any) -> Settings:
    """Return settings for a test's runtime."""
    return Settings(home=home, database_url=url, **changes)


def open_runtime(
    home: Path,
    url: str,
    *,
    workflows: Iterable[Workflow] = (),
    recover: bool = True,
    plugins: Plugins | None = None,
    **changes: Any,
) -> Runtime:
    """Open a runtime without the plugins of this environment."""
    return Runtime(
        settings_of(home, url, **changes),
        plugins or Plugins(),
        workflows=workflows,
        recover=recover,
        pass_output_on=False,
    )


def soon(**changes: Any) -> RetryPolicy:
    """Return a retry policy that doesn't let a test wait."""
    given = {"max_attempts": 3, "first_delay": timedelta(milliseconds=10), "jitter": 0.0, **changes}
    return RetryPolicy(**given)
