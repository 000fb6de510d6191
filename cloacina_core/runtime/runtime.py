"""The runtime: an engine on a store, with plugins and sources of workflows. It only delegates."""

import copy
import os
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.engine.engine import Engine
from cloacina_core.engine.notifier import Observer
from cloacina_core.engine.requests import Completion, Submission
from cloacina_core.errors import (
    IllegalTransitionError,
    InputError,
    RunOwnedElsewhereError,
    StoreError,
)
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import EngineId, IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.access import Principal
from cloacina_core.model.command import CommandKind
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.event import RunEvent
from cloacina_core.model.explanation import Explanation
from cloacina_core.model.limit import Limit, LimitUse
from cloacina_core.model.run import LogLine, RunResult, RunSummary
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import RunStatus
from cloacina_core.model.stored import StoredRun
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.control import RunControl, repeated, take_outcomes
from cloacina_core.runtime.engine_host import EngineHost
from cloacina_core.runtime.explainer import Explainer
from cloacina_core.runtime.following import RunFollower
from cloacina_core.runtime.guarded import act_as
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.runtime.history import read_result
from cloacina_core.runtime.plugin_services import PluginServices
from cloacina_core.runtime.schedules import Schedules, start_scheduled
from cloacina_core.runtime.secrets import Secrets
from cloacina_core.runtime.sent_events import SentEvents, open_events
from cloacina_core.runtime.slot_sharing import SharedSlots
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.runtime.triggers import Triggers, open_triggers
from cloacina_core.runtime.view import StoreView
from cloacina_core.runtime.wanted import What, definition_of, find_wanted
from cloacina_core.services.following import Follower, all_followers
from cloacina_core.services.looking import LookingService
from cloacina_core.services.retention import RetentionService, expiries
from cloacina_core.services.scheduling import ScheduleService
from cloacina_core.settings import Settings, read_settings
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.audit import Audit
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.opening import StoreOpener
from cloacina_core.store.permits import Permits
from cloacina_core.store.reading import RunFilter, RunReader
from cloacina_core.store.retention import Retention
from cloacina_core.store.schedules import OpenFiring, ScheduleStore
from cloacina_core.store.watching import StoreWatcher


class Runtime:
    """Runs workflows durably. Use it as a context manager: leaving it gives live runs back.

    Methods may be called from any thread.
    """

    api_keys: ApiKeyStore
    """Who may come in from outside."""
    audit: Audit
    """Who asked for which change."""
    secrets: Secrets
    """What tasks ask for by name."""
    sent_events: SentEvents
    """What happened elsewhere."""
    subscriptions: Subscriptions
    """What is to be started for that."""
    triggers: Triggers
    """What is polled, to see what is to be started."""

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        *,
        workflows: Iterable[Workflow] = (),
        recover: bool = True,
        pass_output_on: bool = True,
        shared_slots: SharedSlots | None = None,
        user: str | None = None,
        store: StoreOpener | None = None,
    ) -> None:
        """Start an engine; see `open` for the usual way.

        Histories name `user`, if it is given. A `store` is lent by who closes it.
        """
        clock = SystemClock()
        self.settings = settings
        self.plugins = plugins
        self._clock = clock
        self._ids = IdFactory(clock)
        self._view = StoreView(settings, clock, plugins, store=store)
        database = self._view.database
        self._reader = RunReader(database)
        self._permits = Permits(database)
        self._explainer = Explainer(database)
        self._follower = RunFollower(database, self._reader)
        self._sources = Sources(self._view, plugins)
        self._host = EngineHost(
            self._view,
            plugins,
            self._sources,
            reader=self._reader,
            clock=clock,
            ids=self._ids,
            recover=recover,
            pass_output_on=pass_output_on,
            on_taken=self._on_taken,
            shared_slots=shared_slots,
        )
        for workflow in workflows:
            self._host.library.register(workflow)
        self._asked_by = who_asks if user is None else lambda: user
        self._control = RunControl(
            look=self._host.look_for_commands,
            reader=self._reader,
            commands=CommandStore(database),
            ids=self._ids,
            go_on=self._host.go_on,
            by=self._asked_by,
        )
        self.api_keys = ApiKeyStore(database)
        self.audit = Audit(database, self._ids)
        self._retention = self._make_retention() if recover else None
        follower = Follower(all_followers(database), self._sources.choose)
        self._scheduling = (
            ScheduleService(ScheduleStore(database), self._start_scheduled, follower.look)
            if recover
            else None
        )
        self.schedules = Schedules(lambda: database, self._sources, clock)
        """What is to be started when."""
        self.sent_events, self.subscriptions, self._delivering = open_events(
            database,
            clock,
            self._sources,
            max_bytes=settings.max_value_bytes,
            engine=lambda: self._host.engine.id,
            submit=self._begin if recover else None,
        )
        self.triggers, self._polling = open_triggers(
            database,
            clock,
            self._sources,
            self._host.poll_executor(),
            max_bytes=settings.max_value_bytes,
            submit=self._begin if recover else None,
        )
        self.secrets = Secrets.of(self._view)
        self._watcher = StoreWatcher(database, self._on_change, on_poll=self._on_poll)
        self._plugin_services = PluginServices(plugins.services(self._view), self._host.notifier)
        self._closing = threading.Lock()
        self._closed = False
        self._start()

    @classmethod
    def open(
        cls,
        url: str | None = None,
        home: str | Path | None = None,
        *,
        workflows: Iterable[Workflow] = (),
        recover: bool = True,
    ) -> "Runtime":
        """Open a store and start an engine on it in this process.

        Args:
            url: `sqlite:///PATH`, `sqlite://` (in memory) or `postgresql+psycopg://...`. None: as
                configured, by default a file in the home.
            home: the folder of keys, trust and packages. None: as configured.
            workflows: workflows that aren't packaged and whose unfinished runs should go on.
            recover: whether to go on with runs whose engine is gone, and to delete finished runs
                that were kept long enough.

        Raises:
            ConfigurationError: a setting is wrong.
            StoreError: the store can't be opened.
        """
        flags = {"database_url": url, "home": home}
        settings = read_settings(os.environ, Path.cwd(), flags).settings
        plugins = Plugins.of_environment(settings.blocked_plugins)
        return cls(settings, plugins, workflows=workflows, recover=recover)

    def _make_retention(self) -> RetentionService:
        settings = self.settings
        return RetentionService(
            Retention(self._view.database),
            expiries(settings.retention, settings.retention_failed),
            self._clock,
            forget=partial(self.audit.forget, settings.retention_audit.length),
        )

    def _start(self) -> None:
        try:
            self._host.start()
        except StoreError:
            self._view.close()
            raise
        self._watcher.start()
        for service in self._services():
            service.start()
        self._plugin_services.start()

    def _services(self) -> Sequence[LookingService]:
        found = (self._retention, self._scheduling, self._delivering, self._polling)
        return [service for service in found if service is not None]

    def drain(self, timeout: float) -> bool:
        """Take no more runs and start no more attempts, and wait for those that run.

        Args:
            timeout: how many seconds to wait.

        Returns:
            False when some attempts still run; `close` gives them up.
        """
        self._host.take_no_more()
        for service in (self._scheduling, self._delivering, self._polling):
            if service is not None:
                service.stop()
        return self._host.drain(timeout)

    def close(self) -> None:
        """Give live runs back and stop. Attempts that run are given up and will be repeated.

        Whoever still waits for a run that hasn't ended is told with a StoreUnavailableError.
        """
        with self._closing:  # who comes second returns when all is done
            if not self._closed:
                self._closed = True
                self._stop()

    def _stop(self) -> None:
        for service in self._services():  # all may finish what they look at meanwhile
            service.request_stop()
        self._host.take_no_more()
        self._watcher.stop()
        for service in self._services():
            service.stop()
        self._host.stop()
        self._sources.close()
        self._plugin_services.stop()
        self._view.close()
        self._follower.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()

    def submit(
        self,
        what: What,
        params: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, JsonValue] | None = None,
        idempotency_key: str | None = None,
        priority: int = 0,
        concurrency_key: str | None = None,
        source: str | None = None,
        detach: bool = False,
    ) -> RunHandle:
        """Accept a run; it is durable when this returns.

        Args:
            what: a reference, or a workflow object.
            params: the run's params; checked against the workflow's schema, defaults filled.
            context: values that the first tasks see.
            idempotency_key: submitting again with the same key attaches to the run it made.
            priority: runs with a higher one get free slots first; a whole number of 32 bits.
            concurrency_key: runs that share it aren't live together; in place of the one that the
                workflow makes of the params.
            source: the workflow source to look in, when several have the package.
            detach: only record the run, for whichever engine comes first.

        Raises:
            InputError: the reference, params, context or key can't be used.
            NotFoundError: there is no such package, release or workflow.
            IdempotencyConflictError: the key stands for another request.
            OverQuotaError: the tenant may not have it now.
            TenantSuspendedError: the tenant may have none.
            StoreError: the run couldn't be stored, and wasn't.
        """
        return self._begin(
            self._asker(),
            what,
            params,
            context=context,
            idempotency_key=idempotency_key,
            priority=priority,
            concurrency_key=concurrency_key,
            source=source,
            detach=detach,
        )

    def _begin(
        self,
        started_by: StartedBy,
        what: What,
        params: Mapping[str, Any] | None = None,
        *,
        source: str | None = None,
        detach: bool = False,
        **options: Any,
    ) -> RunHandle:
        """Accept a run, as `submit` does, of which is told what started it."""
        run_id = self._ids.run_id()
        wanted = self._find(what, source)(options.get("idempotency_key") or run_id)
        request = RunRequest.checked(wanted, params, **options)
        engine = self._host.ready()
        submission = self._hand_in(engine, run_id, request, started_by, detach=detach)
        return self._accepted(engine, submission)

    def _asker(self) -> StartedBy:
        return StartedBy(kind=StarterKind.PRINCIPAL, name=self._asked_by())

    def submit_many(
        self,
        what: What,
        params: Iterable[Mapping[str, Any] | None],
        *,
        context: Mapping[str, JsonValue] | None = None,
        idempotency_keys: Iterable[str | None] | None = None,
        priority: int = 0,
        concurrency_key: str | None = None,
        source: str | None = None,
        detach: bool = False,
    ) -> Sequence[RunHandle]:
        """Accept a run for each of several params; all are durable when this returns.

        They share one resolution, and as few commits as they fit in: much faster than one by one.
        All are checked before the first is accepted. When the store fails between them, some may
        have been accepted: with idempotency keys, submitting all again attaches to those.

        Args:
            what: a reference, or a workflow object.
            params: those of each run.
            context: values that the first tasks of each run see.
            idempotency_keys: that of each run.
            priority: of each run.
            concurrency_key: of all the runs.
            source: the workflow source to look in, when several have the package.
            detach: only record the runs, for whichever engine comes first.

        Raises:
            CloacinaError: as `submit`; the number of the params at fault is told.
        """
        find = self._find(what, source)
        given = list(params)
        keys = [None] * len(given) if idempotency_keys is None else list(idempotency_keys)
        if len(keys) != len(given):
            raise InputError(f"{len(given)} runs and {len(keys)} idempotency keys were given")
        requests = []
        for number, (one, key) in enumerate(zip(given, keys, strict=True)):
            run_id = self._ids.run_id()
            wanted = find(key or run_id)
            try:
                request = RunRequest.checked(
                    wanted,
                    one,
                    context,
                    idempotency_key=key,
                    priority=priority,
                    concurrency_key=concurrency_key,
                )
            except InputError as error:
                error.add_note(f"these are the params of run {number}, counted from 0")
                raise
            requests.append((run_id, request))
        engine = self._host.ready()
        asker = self._asker()
        submissions = [
            self._hand_in(engine, run_id, request, asker, detach=detach)
            for run_id, request in requests
        ]
        return [self._accepted(engine, submission) for submission in submissions]

    def _hand_in(
        self,
        engine: Engine,
        run_id: RunId,
        request: RunRequest,
        started_by: StartedBy,
        *,
        detach: bool,
        origin: StoredRun | None = None,
    ) -> Submission:
        """Hand a request to the engine; with an origin, some outcomes of that run go with it."""
        run = request.spilled(self._host.spill).begin(
            engine.plan_of(request.definition),
            run_id,
            now=self._clock.now(),
            engine=None if detach or request.is_limited else engine.id,
            started_by=started_by,
        )
        if request.is_limited and not detach:
            self._host.await_turn(run_id)
        if origin is not None and request.repeats_from is not None:
            take_outcomes(run, origin, request.repeats_from)
        submission = Submission(run, request.digest)
        engine.post(submission)
        return submission

    def _accepted(self, engine: Engine, submission: Submission) -> RunHandle:
        completion = engine.accepted(submission)
        if submission.run.status is RunStatus.QUEUED:
            completion = None  # whoever has it when its turn comes, the store tells how it ends
        if submission.reply.existing is not None:
            return self.attach(submission.reply.existing)
        return self._handle(submission.run.run_id, completion)

    def run(
        self,
        what: What,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        **options: Any,
    ) -> RunResult:
        """Submit a run and wait for its end. Options are those of `submit`.

        Raises:
            ResultTimeoutError: it hasn't ended after `timeout` seconds; it goes on.
        """
        return self.submit(what, params, **options).result(timeout)

    def attach(self, run_id: str) -> RunHandle:
        """Return a handle on a run, and go on with it here if nobody works on it.

        Args:
            run_id: the id, or the unique beginning of one.
        """
        found = self._reader.find(run_id)
        return self._handle(found, self._host.go_on_if_free(found))

    def resume(self, run_id: str) -> RunHandle:
        """Let a paused run go on, or go on here with a run that nobody works on.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it has ended.
            RunOwnedElsewhereError: an engine that is alive works on it, and it isn't paused.
            MissingCodeError: its code isn't here; one that was paused waits for another engine.
        """
        found = self._reader.find(run_id)
        was_paused = self._reader.summary(found).status is RunStatus.PAUSED
        if was_paused:
            self._control.ask(found, CommandKind.RESUME)
        try:
            return self._handle(found, self._host.go_on(found))
        except (IllegalTransitionError, RunOwnedElsewhereError):
            if not was_paused:
                raise
            return self._followed(found)  # its engine has it still, or another did it already

    def unpause(self, run_id: str, *, reason: str | None = None) -> None:
        """Let a paused run go on, in whichever engine comes first.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it has ended.
        """
        self._control.ask(self._reader.find(run_id), CommandKind.RESUME, reason=reason)

    def cancel(self, run_id: str, *, reason: str | None = None) -> None:
        """Ask for the end of a run, whoever works on it; the request is durable.

        Nothing more of it starts. What runs is told by `context.cancelled()`, a coroutine by
        `CancelledError`; what hasn't ended after the setting `cancel_grace` is given up.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it has ended.
        """
        self._control.cancel(self._reader.find(run_id), reason)

    def pause(self, run_id: str, *, reason: str | None = None) -> None:
        """Ask for nothing more of a run to start, until it is resumed; what runs goes on.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it has ended.
        """
        self._control.ask(self._reader.find(run_id), CommandKind.PAUSE, reason=reason)

    def signal(self, run_id: str, name: str, payload: JsonValue = None) -> None:
        """Send a signal to a run: a task that waits for it, now or later, takes it.

        Args:
            run_id: the id, or the unique beginning of one.
            name: what `context.wait_for` waits for.
            payload: what it returns.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it has ended.
            InputError: the name or the payload can't be used.
        """
        self._control.signal(self._reader.find(run_id), name, payload)

    def retry(self, run_id: str, *, reason: str | None = None, detach: bool = False) -> RunHandle:
        """Go on with a run that failed or was cancelled, with the tasks that didn't succeed.

        Args:
            run_id: the id, or the unique beginning of one.
            reason: why, for its history.
            detach: leave it to whichever engine comes first.

        Raises:
            UnknownRunError: there is none with this id.
            IllegalTransitionError: it hasn't failed, and wasn't cancelled.
            MissingCodeError: its code isn't here.
            OverQuotaError: a quota of the tenant has no room for one more run.
            TenantSuspendedError: nothing new of the tenant may start.
        """
        stored = self._reader.load(self._reader.find(run_id))
        if not detach:
            self._host.check_code(stored.summary, stored.definition)
        self._control.retry(stored, reason)
        found = stored.summary.run_id
        return self._followed(found) if detach else self.attach(found)

    def rerun(
        self, run_id: str, *, idempotency_key: str | None = None, detach: bool = False
    ) -> RunHandle:
        """Start a new run of the same release, with the same params and context.

        Raises:
            UnknownRunError: there is no run with this id.
            MissingCodeError: its code isn't here.
            CloacinaError: its release can't be started any more.
        """
        return self._repeat(run_id, detach=detach, idempotency_key=idempotency_key)

    def fork(
        self,
        run_id: str,
        task: str,
        *,
        context: Mapping[str, JsonValue] | None = None,
        idempotency_key: str | None = None,
        detach: bool = False,
    ) -> RunHandle:
        """Start a new run that takes over the outcomes of an earlier one, up to a task.

        That task and everything behind it is run again, and so is what didn't succeed.

        Args:
            run_id: the id of the earlier run, or the unique beginning of one.
            task: where to begin.
            context: values that are laid over what that task sees; None deletes a key.
            idempotency_key: forking again with the same key attaches to the run it made.
            detach: only record the run, for whichever engine comes first.

        Raises:
            UnknownRunError: there is no run with this id.
            InputError: it has no such task, or a value can't be stored.
            MissingCodeError: its code isn't here.
            CloacinaError: its release can't be started any more.
        """
        return self._repeat(
            run_id, detach=detach, from_task=task, edits=context, idempotency_key=idempotency_key
        )

    def _repeat(self, run_id: str, *, detach: bool, **how: Any) -> RunHandle:
        stored = self._reader.load(self._reader.find(run_id))
        request = repeated(stored, **how)
        release = stored.summary.release
        if release is None:
            self._host.check_code(stored.summary, stored.definition)
        else:
            self._sources.check(release, stored.summary.workflow)
        engine = self._host.ready()
        run_id, asker = self._ids.run_id(), self._asker()
        submission = self._hand_in(engine, run_id, request, asker, detach=detach, origin=stored)
        return self._accepted(engine, submission)

    def get(self, run_id: str) -> RunResult:
        """Return a run as it stands.

        Raises:
            UnknownRunError: there is none with this id.
        """
        return read_result(self._reader, run_id)

    def list(
        self, wanted: RunFilter | None = None, *, before: RunId | None = None, limit: int = 50
    ) -> Sequence[RunSummary]:
        """Return runs, newest first; `before` is the last id of the page before."""
        return self._reader.summaries(wanted or RunFilter(), before=before, limit=limit)

    def events(
        self, run_id: str, *, task: str | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[RunEvent]:
        """Return the history of a run, or of one task and its instances, oldest first."""
        return self._reader.events(self._reader.find(run_id), task=task, after=after, limit=limit)

    def explain(self, run_id: str) -> Explanation:
        """Return why a run, and each of its tasks that hasn't ended, isn't further.

        Raises:
            UnknownRunError: there is none with this id.
        """
        return self._explainer.explain(run_id)

    def set_limit(self, name: str, size: int | None = None, *, rate: str | None = None) -> None:
        """Limit the tasks that name it, over all engines; replaces what was said before.

        Args:
            name: as tasks name it: `limits=["crm-api"]`.
            size: how many of their attempts may be at work at a time; None: as many as like.
            rate: how many of them may start in a while, as `"10/1m"`; None: as many as like.

        Raises:
            InputError: the name, size or rate can't be used, or there is neither.
        """
        self._permits.set(Limit.checked(name, size, rate))

    def remove_limit(self, name: str) -> None:
        """Let all tasks through that name a limit.

        Raises:
            UnknownLimitError: it isn't set.
        """
        self._permits.remove(name)

    def limits(self) -> Sequence[LimitUse]:
        """Return the limits that are set, by name, and how they are used."""
        return self._permits.uses()

    def logs(self, run_id: str, *, task: str | None = None) -> Sequence[LogLine]:
        """Return what the tasks of a run, or one task and its instances, printed and logged."""
        return list(self._reader.logs(self._reader.find(run_id), task=task))

    def follow_logs(
        self, run_id: str, *, task: str | None = None
    ) -> Generator[LogLine, None, None]:
        """Yield what the tasks of a run printed and logged, and will, until the run has ended.

        Lines are told when they are about a second old, whoever works on the run.
        """
        return self._follower.logs(self._reader.find(run_id), task=task)

    @property
    def sources(self) -> Sources:
        """Where workflows come from."""
        return self._sources

    def definition(self, reference: str, source: str | None = None) -> WorkflowDefinition:
        """Return what the workflow looks like that a reference means now."""
        return definition_of(self._sources.resolve(reference, source).usual)

    def definition_of(self, run_id: str) -> WorkflowDefinition:
        """Return what the workflow of a run looked like when the run began."""
        return self._reader.load(self._reader.find(run_id)).definition

    @property
    def engine_id(self) -> EngineId:
        """The id of this runtime's engine."""
        return self._host.engine.id

    def acting_as(self, who: Principal | str) -> "Runtime":
        """Return this runtime as somebody sees it whose acts are checked, and told in the audit.

        Args:
            who: an API key, which is looked up anew for each verb, or a principal that was made out
                elsewhere.

        Raises:
            ApiKeyRefusedError: it is neither.
        """
        return act_as(self._asking_as, who, keys=self.api_keys, audit=self.audit)

    def _asking_as(self, by: Callable[[], str]) -> "Runtime":
        """Return this runtime, in whose histories somebody else asks."""
        seen = copy.copy(self)
        vars(seen).update(
            _asked_by=by,
            _control=self._control.asking_as(by),
            sent_events=self.sent_events.asking_as(by),
            secrets=self.secrets.asking_as(by),
        )
        return seen

    def observe(self, observer: Observer) -> None:
        """Tell a function of each event of this engine's runs, after it was committed."""
        self._host.notifier.add(observer)

    def _start_scheduled(self, firing: OpenFiring) -> RunId:
        return start_scheduled(self._begin, self.cancel, firing)

    def _find(self, what: What, source: str | None) -> Callable[[str], Wanted]:
        return find_wanted(what, source, sources=self._sources, library=self._host.library)

    def _handle(self, run_id: RunId, completion: Completion | None) -> RunHandle:
        return RunHandle(
            run_id, read=self.get, follower=self._follower, completion=completion, controls=self
        )

    def _followed(self, run_id: RunId) -> RunHandle:
        """Return a handle on a run, whoever works on it."""
        return self._handle(run_id, self._host.engine.completion(run_id))

    def _on_taken(self) -> None:
        """Look for what came meanwhile for tasks whose runs were taken up."""
        self._delivering.wake()

    def _on_change(self) -> None:
        """Follow what another process changed: it asked something of a run, left or ended one."""
        self._on_poll()
        if self._scheduling is not None:  # which knows when it is due, and needs no poll
            self._scheduling.wake()

    def _on_poll(self) -> None:
        """Look all the same: it may be that nobody was heard."""
        self._host.wake()
        for service in (self._delivering, self._polling):
            if service is not None:
                service.wake()

    def is_idle(self) -> bool:
        """Whether nothing is due, and the engine has no runs, and finds none that it could take."""
        starting = (self._scheduling, self._delivering, self._polling)
        if not all(service.is_idle() for service in starting if service is not None):
            return False
        return self._host.is_idle()
