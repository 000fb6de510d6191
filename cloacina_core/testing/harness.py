"""Runs a workflow to its end in memory, on the real engine, journal and store."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from importlib_metadata import version

from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.engine.attempt import AttemptRunner
from cloacina_core.engine.capture import Capture
from cloacina_core.engine.children import ChildStarter
from cloacina_core.engine.engine import Engine, EngineLimits
from cloacina_core.engine.executors.inline import InlineExecutor
from cloacina_core.engine.library import WorkflowLibrary
from cloacina_core.engine.notifier import Notifier
from cloacina_core.engine.plan import Plan
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.spilling import Spill
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import CloacinaError, InputError, SecretMissingError, UnknownRunError
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.secret import SecretValue, check_secret_name
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import TaskStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime.children import read_child
from cloacina_core.runtime.history import read_result
from cloacina_core.settings import Settings
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.database import IN_MEMORY
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.permits import Permits
from cloacina_core.store.reading import RunFilter, RunReader
from cloacina_core.testing.children import ChildRun, ChildRuns
from cloacina_core.testing.clock import FrozenClock
from cloacina_core.testing.crash_point import Crashes, CrashingWriter, EngineKilledError
from cloacina_core.testing.disturbances import Crash, Disturbances, Fail, Slow
from cloacina_core.testing.memory_store import close_store, open_store
from cloacina_core.testing.result import HarnessResult
from cloacina_core.testing.signals import Mailbox, Sent, Signal
from cloacina_core.testing.stepped_engine import SteppedEngine

_A_MOMENT = timedelta(microseconds=1)
_DEFAULTS = Settings(home=Path(), database_url=IN_MEMORY)


class RunStalledError(CloacinaError):
    """A run hasn't ended, and nothing is left that could make it go on."""

    code = "run-stalled"


class WorkflowHarness:
    """Runs one workflow as often as a test likes. Use it as a context manager.

    Everything but time is real: the engine plans, retries and recovers as in production, and writes
    to an SQLite database in memory. It works in the test's own thread and never sleeps: when a run
    can only wait (for a retry, a timeout, a slow attempt, the lease of a dead engine), the frozen
    clock jumps to the end of the wait. The same test takes the same course every time.

    Attempts run one after the other, in the order in which they became ready, and take no time
    unless `slow` says so. They can't be interrupted: `context.cancelled()` is never true.

    Attributes:
        workflow: the workflow under test.
        clock: the frozen clock. A test may move it between runs.
    """

    def __init__(
        self, workflow: Workflow, *, clock: FrozenClock | None = None, chance: float = 0.0
    ) -> None:
        """Prepare an empty store.

        Args:
            workflow: what to run.
            clock: the clock to use; None: one that starts at New Year 2026, UTC.
            chance: the share, 0 to just under 1, of its jitter that each pause before a retry gets.

        Raises:
            DefinitionError: the workflow's definition is wrong; `problems` names every fault.
        """
        self.workflow = workflow
        self.clock = clock or FrozenClock()
        self._definition = workflow.definition()
        self._chance = chance
        self._ids = IdFactory(self.clock, entropy=bytes)  # zeros: ids, too, are always the same
        self._library = WorkflowLibrary(())
        self._library.register(workflow)
        self._database = open_store(self.clock)
        self._reader = RunReader(self._database)
        self._ownership = Ownership(self._database, _DEFAULTS.lease)
        self._commands = CommandStore(self._database)
        self._spill = Spill(
            DatabaseBlobStore(lambda: self._database),
            spill_bytes=_DEFAULTS.spill_bytes,
            max_spilled_bytes=_DEFAULTS.max_spilled_bytes,
        )
        self._is_closed = False
        self._children = ChildRuns({}, self._library)
        self._secrets: Mapping[str, SecretValue] = {}

    def close(self) -> None:
        """Let go of the store. Again changes nothing."""
        if not self._is_closed:
            self._is_closed = True
            close_store(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()

    def run(  # noqa: PLR0913 - what a test can say of a run; all but one by name
        self,
        params: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, JsonValue] | None = None,
        fail: Fail | None = None,
        slow: Slow | None = None,
        crash: Crash = (),
        signals: Iterable[Signal] = (),
        sent_events: Iterable[Sent] = (),
        children: Mapping[str, ChildRun] | None = None,
        secrets: Mapping[str, str | Mapping[str, str] | SecretValue] | None = None,
    ) -> HarnessResult:
        """Run the workflow until it has ended. A failed run is a result, not an exception.

        Args:
            params: the run's params; checked against the workflow's schema, defaults filled.
            context: values that the first tasks see.
            fail: what attempts raise instead of calling the task's function, by task.
                `{"load": OSError("full")}`: every attempt; `{"load": [OSError("full"), None]}`:
                the first one, while the second calls the function.
            slow: how long each attempt takes on the frozen clock, by task, for testing timeouts:
                `{"load": timedelta(minutes=10)}`. The function is called when the attempt begins;
                its outcome counts when the time is over.
            crash: where engines die, see `CrashPoint`: `"before commit:load"`, or several. After
                each crash another engine waits for the lease of the dead one to pass and takes the
                run up. Three deaths in a row fail the run, as they do in production.
            signals: what the run is sent, and when: `[Signal("approval", {"by": "ann"})]`. One is
                sent once its time has come and the run can only wait.
            sent_events: what is sent to all who wait for it, and when, likewise:
                `[Sent("orders.paid", {"order": 17})]`.
            children: what the runs are that tasks ask for, by reference, or by the name of the
                workflow: `{"acme-etl/clean==1.*": clean}` runs a workflow, `{"rows": 3}` in its
                place is the context that such a run leaves, and an exception what it fails with.
            secrets: the values of secrets, by name. As in production, a task is given those that
                its workflow declares, and they are taken out of what it says. What couldn't be set
                can't be given: a value has 8 characters or more. A secret with fields is a mapping,
                or a `SecretValue` when some of them are public.

        Raises:
            ParamsError: the params don't fit.
            ContextValueError: a value of the context can't be stored.
            InputError: an unknown task, a crash point that isn't one, or that the run never
                reached: a test that crashes nothing tests nothing. Or the harness was closed.
            RunStalledError: the run can't go on: it waits for a signal or an event that isn't sent,
                or something else changed the store.
        """
        if self._is_closed:
            raise InputError(
                "this harness was closed", hint="run workflows within its `with` block"
            )
        request = RunRequest.checked(Wanted(self._definition), params, context)
        request = request.spilled(self._spill)
        disturbances = Disturbances.checked(self._definition, fail, slow, crash)
        crashes = Crashes(disturbances.crash)
        self._children = ChildRuns(children or {}, self._library)
        mail: list[Signal | Sent] = [*signals, *sent_events]
        mailbox = Mailbox(mail, clock=self.clock, database=self._database, ids=self._ids)
        given = (secrets or {}).items()
        self._secrets = {check_secret_name(name): _checked(one) for name, one in given}
        began = self.clock.now()
        capture = Capture(pass_on=True)
        capture.start()
        try:
            run_id = self._run_through_crashes(request, disturbances, crashes, mailbox)
        finally:
            capture.stop()
        _refuse_unreached(crashes)
        return self._result(run_id, crashes, self.clock.now() - began)

    def _run_through_crashes(
        self, request: RunRequest, disturbances: Disturbances, crashes: Crashes, mailbox: Mailbox
    ) -> RunId:
        """Run with one engine after the other until the run has ended."""
        engine = self._start_engine(disturbances, crashes, mailbox)
        run = self._submit(engine, request)
        while True:
            try:
                engine.work_on(run)
            except EngineKilledError:
                self.clock.advance(_DEFAULTS.lease + _A_MOMENT)
                engine = self._start_engine(disturbances, crashes, mailbox)
                run = self._recover(engine, run.run_id) or self._submit(engine, request)
            else:
                self._ownership.stop(engine.id)
                return run.run_id

    def _start_engine(
        self, disturbances: Disturbances, crashes: Crashes, mailbox: Mailbox
    ) -> SteppedEngine:
        """Start one more engine, which knows of the others only what the store tells."""
        executor = InlineExecutor(
            AttemptRunner(
                self._library.find,
                self.clock,
                disturbances.around,
                spill=self._spill,
                child=lambda run_id: read_child(self._reader, run_id),
                secrets=self._secret,
            )
        )
        engine = Engine(
            self._ids.engine_id(),
            writer=CrashingWriter(self._database, crashes),
            commands=self._commands,
            ownership=self._ownership,
            permits=Permits(self._database),
            executor=executor,
            notifier=Notifier(),
            clock=self.clock,
            chance=lambda: self._chance,
            children=ChildStarter(
                resolver=self._children,
                ids=self._ids,
                clock=self.clock,
                ended=self._reader.ended,
                max_depth=_DEFAULTS.max_run_depth,
                spill=self._spill,
                is_alone=True,
            ),
            limits=EngineLimits(_DEFAULTS.slots, _DEFAULTS.max_value_bytes),
        )
        self._ownership.register(engine.id, version("cloacina"))
        return SteppedEngine(engine, executor, self.clock, disturbances, mailbox)

    def _secret(self, name: str, _stop: Stop) -> SecretValue:
        """Return the value of a secret, as the test gave it."""
        if name not in self._secrets:
            raise SecretMissingError(f"there is no secret {name!r}: give secrets={{{name!r}: ...}}")
        return self._secrets[name]

    def _submit(self, engine: SteppedEngine, request: RunRequest) -> RunState:
        plan, run_id = Plan(self._definition), self._ids.run_id()
        now, tester = self.clock.now(), StartedBy(kind=StarterKind.PRINCIPAL, name="the test")
        run = request.begin(plan, run_id, now=now, engine=engine.id, started_by=tester)
        engine.submit(run)
        return run

    def _recover(self, engine: SteppedEngine, run_id: RunId) -> RunState | None:
        """Take what a dead engine had, as recovery does; None when the run was never stored."""
        taken = {}
        for free in self._ownership.claimable(engine.id):
            self._ownership.claim(free, engine.id)
            taken[free] = engine.take_up(self._reader.load(free))
        if run_id in taken:
            return taken[run_id]
        try:
            stored = self._reader.load(run_id)
        except UnknownRunError:
            return None
        return RunState.restore(Plan(self._definition), stored)  # it ended before the crash

    def _result(self, run_id: RunId, crashes: Crashes, elapsed: timedelta) -> HarnessResult:
        stored = self._reader.load(run_id)
        if not stored.summary.status.is_final:
            waits = [
                f"task {task.name!r} waits {task.waits[-1]}"
                for task in stored.tasks.values()
                if task.status is TaskStatus.SLEEPING and task.waits
            ]
            if waits:
                raise RunStalledError(
                    f"run {run_id} can only wait: {', '.join(waits)}",
                    hint="send what it waits for: signals=[Signal(...)], sent_events=[Sent(...)]",
                )
            raise RunStalledError(
                f"run {run_id} is {stored.summary.status}, and nothing can make it go on",
                hint="something else than its engine changed the store, or the engine is at fault",
            )
        return HarnessResult(
            run=RunState.restore(Plan(stored.definition), stored).result(),
            events=tuple(self._reader.events(run_id, limit=stored.last_seq)),
            logs=tuple(self._reader.logs(run_id)),
            crashes=tuple(crashes.happened),
            elapsed=elapsed,
            children=tuple(
                read_result(self._reader, child.run_id)
                for child in self._reader.summaries(
                    RunFilter(parent=run_id), limit=stored.last_seq
                )[::-1]
            ),
        )


def run_workflow(  # noqa: PLR0913 - those of a harness and its run; all but two by name
    workflow: Workflow,
    params: Mapping[str, Any] | None = None,
    *,
    context: Mapping[str, JsonValue] | None = None,
    fail: Fail | None = None,
    slow: Slow | None = None,
    crash: Crash = (),
    signals: Iterable[Signal] = (),
    sent_events: Iterable[Sent] = (),
    children: Mapping[str, ChildRun] | None = None,
    secrets: Mapping[str, str | Mapping[str, str] | SecretValue] | None = None,
    clock: FrozenClock | None = None,
) -> HarnessResult:
    """Run a workflow once, in memory, and return how it ended.

    Arguments are those of `WorkflowHarness` and its `run`, and so are the errors.
    """
    with WorkflowHarness(workflow, clock=clock) as harness:
        return harness.run(
            params,
            context=context,
            fail=fail,
            slow=slow,
            crash=crash,
            signals=signals,
            sent_events=sent_events,
            children=children,
            secrets=secrets,
        )


def _checked(value: str | Mapping[str, str] | SecretValue) -> SecretValue:
    return value if isinstance(value, SecretValue) else SecretValue.checked(value)


def _refuse_unreached(crashes: Crashes) -> None:
    if crashes.pending:
        points = ", ".join(f"'{point}'" for point in crashes.pending)
        happened = ", ".join(f"'{point}'" for point in crashes.happened) or "none"
        raise InputError(
            f"the run never reached crash point {points}",
            hint=f"crashes that happened: {happened}; each needs its own moment of the run",
        )
