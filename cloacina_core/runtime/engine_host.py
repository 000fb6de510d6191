"""The engine of a process, with what runs its attempts and what brings it runs."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from importlib_metadata import version

from cloacina_core.engine.attempt import direct
from cloacina_core.engine.capture import Capture
from cloacina_core.engine.children import ChildStarter
from cloacina_core.engine.engine import Engine, EngineLimits
from cloacina_core.engine.executors.threads import ThreadExecutor
from cloacina_core.engine.late import LateResults
from cloacina_core.engine.library import MissingCodeError, WorkflowLibrary
from cloacina_core.engine.live_logs import LiveLogs
from cloacina_core.engine.notifier import Notifier
from cloacina_core.engine.requests import Completion, Resize
from cloacina_core.engine.spilling import Spill
from cloacina_core.engine.strays import KnownSecrets
from cloacina_core.errors import IllegalTransitionError, RunOwnedElsewhereError, StoreError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.model.command import CommandKind
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.run import RunSummary
from cloacina_core.model.status import RunStatus
from cloacina_core.model.stored import StoredRun
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.children import ChildResolver, read_child
from cloacina_core.runtime.executing import make_pool, make_runner
from cloacina_core.runtime.secrets import OpenedOnce
from cloacina_core.runtime.slot_sharing import SharedSlots
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.view import StoreView
from cloacina_core.services.incarnations import Incarnations
from cloacina_core.services.recovery import RecoveryService, RunTaker
from cloacina_core.store.admission import places_in
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.claiming import Claims, CodeHere
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.permits import Permits
from cloacina_core.store.reading import RunFilter, RunReader
from cloacina_core.store.tenancy import slots_of
from cloacina_core.store.writing import RunWriter

_PAGE = 100
"""How many of the runs that a run asked for are looked at at a time."""


class EngineHost:
    """Has one engine at work at a time: another one, when the first has lost its lease."""

    def __init__(  # noqa: PLR0913 - all that it works with, by name
        self,
        view: StoreView,
        plugins: Plugins,
        sources: Sources,
        *,
        reader: RunReader,
        clock: Clock,
        ids: IdFactory,
        recover: bool,
        pass_output_on: bool,
        on_taken: Callable[[], None],
        shared_slots: SharedSlots | None = None,
    ) -> None:
        """Prepare.

        Args:
            view: of the store, with the settings in force.
            plugins: wrap attempts, and observe.
            sources: where workflows come from.
            reader: of runs.
            clock: tells the time.
            ids: makes ids.
            recover: whether runs are taken up that nobody works on.
            pass_output_on: whether what tasks print is printed, too.
            on_taken: called when such runs were taken up.
            shared_slots: tells how many slots there are; None: as many as is set.
        """
        settings, database = view.settings, view.database
        self._view = view
        self._reader = reader
        self._clock = clock
        self._ids = ids
        self._recover = recover
        self._on_taken = on_taken
        self._shared_slots = shared_slots
        self._slots = 0 if shared_slots is not None else slots_of(database, settings.slots)
        self.ownership = Ownership(database, settings.lease)
        self.library = WorkflowLibrary(sources.all, max_loaded=settings.loaded_releases)
        """The code that is here."""
        self.notifier = Notifier()
        """Tells observers."""
        if (observer := plugins.observer()) is not None:
            self.notifier.add(observer)
        self.spill = Spill(
            DatabaseBlobStore(lambda: database),
            spill_bytes=settings.spill_bytes,
            max_spilled_bytes=settings.max_spilled_bytes,
        )
        """Where large values go."""
        known = KnownSecrets()
        self._capture = Capture(pass_on=pass_output_on, known=known)
        self._live = LiveLogs(clock, known=known)
        self._workers = make_pool(settings, clock, os.environ)
        self._executor = ThreadExecutor(
            make_runner(
                settings,
                library=self.library,
                pool=self._workers,
                clock=clock,
                wrap=plugins.wrapper() or direct,
                spill=self.spill,
                child=partial(read_child, reader),
                live=self._live,
                secrets=OpenedOnce(view).read,
            )
        )
        self._resolving = ThreadPoolExecutor(max_workers=2, thread_name_prefix="cloacina-children")
        reserve, give_back = places_in(database)
        self._children = ChildStarter(
            resolver=ChildResolver(sources, self.library),
            ids=ids,
            clock=clock,
            ended=reader.ended,
            max_depth=settings.max_run_depth,
            spill=self.spill,
            elsewhere=self._resolving.submit,
            on_queued=self.await_turn,
            reserve=reserve,
            give_back=give_back,
        )
        self._awaited: set[RunId] = set()
        self._late = LateResults()
        self._recovery = RecoveryService(self.look, settings.lease)
        self._engines = Incarnations(
            self._make_engine,
            ownership=self.ownership,
            version=version("cloacina"),
            lease=settings.lease,
            clock=clock,
            on_lost=database.interrupt,
            on_new=self._recovery.wake,
        )
        self._taker = RunTaker(
            self.ownership,
            Claims(database, CodeHere(self.library.sources, self._has_code)),
            reader,
            self._recovery.wake,
        )

    def _make_engine(self) -> Engine:
        """Return one more incarnation of the engine."""
        settings, database = self._view.settings, self._view.database
        return Engine(
            self._ids.engine_id(),
            writer=RunWriter(database),
            commands=CommandStore(database),
            ownership=self.ownership,
            permits=Permits(database),
            executor=self._executor,
            notifier=self.notifier,
            clock=self._clock,
            chance=random.Random().random,  # noqa: S311 - not the common one: tasks may seed it
            children=self._children,
            late=self._late,
            library=self.library,
            live=self._live,
            on_demand=None if self._shared_slots is None else self._shared_slots.need,
            limits=EngineLimits(
                self._slots,
                settings.max_value_bytes,
                settings.max_live_runs,
                settings.cancel_grace,
            ),
        )

    def poll_executor(self) -> ThreadExecutor:
        """Return an executor for the polls of triggers: slots, plugins and output are for runs."""
        return ThreadExecutor(
            make_runner(
                self._view.settings,
                library=self.library,
                pool=self._workers,
                clock=self._clock,
                wrap=direct,
                secrets=OpenedOnce(self._view).read,
            )
        )

    @property
    def engine(self) -> Engine:
        """The engine that is at work now."""
        return self._engines.engine

    def ready(self) -> Engine:
        """Return the engine, once it can be asked for something."""
        return self._engines.ready()

    def start(self) -> None:
        """Have an engine at work.

        Raises:
            StoreError: the store can't be written.
        """
        try:
            self._engines.start()
        except StoreError:
            self.notifier.stop()
            raise
        self._capture.start()
        self._live.start()
        self._recovery.start()
        if self._shared_slots is not None:
            self._shared_slots.start(self._resize)

    def _resize(self, slots: int) -> None:
        """Have another number of slots, and take runs up for them."""
        self._slots = slots
        self.engine.post(Resize(slots))
        self._recovery.wake()

    def take_no_more(self) -> None:
        """Take no more runs up."""
        self._recovery.stop()

    def drain(self, timeout: float) -> bool:
        """Start no more attempts, and wait for those that run; False when some still do."""
        return self.engine.drain(timeout)

    def stop(self) -> None:
        """Give live runs back. Attempts that run are given up."""
        self._engines.stop()
        if self._shared_slots is not None:
            self._shared_slots.close()
        self._executor.stop()
        self._live.stop()
        self._workers.close()
        self._resolving.shutdown(cancel_futures=True)
        self.notifier.stop()
        self._capture.stop()

    def go_on(self, found: RunId) -> Completion | None:
        """Go on here with a run that nobody works on.

        Raises:
            IllegalTransitionError: it has ended.
            RunOwnedElsewhereError: an engine that is alive works on it.
            MissingCodeError: its code isn't here.
        """
        engine = self.ready()
        if (completion := engine.completion(found)) is not None:
            return completion
        stored = self._reader.load(found)
        if not stored.summary.status.is_final and not self._is_to_end(stored):
            self.check_code(stored.summary, stored.definition)
        try:
            completion = self._taker.take(found, engine)
        except RunOwnedElsewhereError as error:
            if error.engine == engine.id:  # another thread of this process was faster
                return engine.completion(found)
            raise
        self._go_on_with_children(found)
        return completion

    def go_on_if_free(self, found: RunId) -> Completion | None:
        """Go on here with a run if nobody works on it, or when its turn comes.

        Raises:
            MissingCodeError: its code isn't here.
        """
        try:
            return self.go_on(found)
        except (IllegalTransitionError, RunOwnedElsewhereError):
            self.await_turn(found)
            return self.engine.completion(found)

    def _go_on_with_children(self, run_id: RunId) -> None:
        """Go on here with what a run waits for and nobody works on."""
        last: RunId | None = None
        while page := self._reader.summaries(RunFilter(parent=run_id), before=last, limit=_PAGE):
            last = page[-1].run_id
            for child in page:
                if not child.status.is_final:
                    with suppress(MissingCodeError):
                        self.go_on_if_free(child.run_id)

    def _is_to_end(self, stored: StoredRun) -> bool:
        """Whether a run ends as soon as it is taken up, for which its code isn't needed."""
        limit = stored.definition.queue_timeout
        waited = self._clock.now() - stored.queued_at
        is_overdue = stored.summary.status is RunStatus.QUEUED and limit and waited > limit
        asked = (command.kind for command in stored.commands)
        return bool(is_overdue) or CommandKind.CANCEL in asked

    def _has_code(self, fingerprint: str) -> bool:
        return self.library.has(fingerprint, None)

    def check_code(self, summary: RunSummary, definition: WorkflowDefinition) -> None:
        """Refuse a run whose code isn't here.

        Raises:
            MissingCodeError: it isn't.
        """
        source = summary.release.source if summary.release else None
        if not self.library.has(definition.fingerprint, source):
            raise MissingCodeError(
                f"the code of run {summary.run_id} ({summary.reference}) isn't here",
                hint="open the runtime with workflows=[...], with the code unchanged",
            )

    def await_turn(self, run_id: RunId) -> None:
        """Take a run up here when its turn comes, also when no others are taken up."""
        if not self._recover:
            self._awaited.add(run_id)

    def wake(self) -> None:
        """Look what other processes asked of runs here, ended, or left behind. Returns at once."""
        self.engine.look()
        self.engine.look_for_ends()
        self._recovery.wake()

    def look_for_commands(self) -> None:
        """Look what other processes asked of runs here. Returns at once."""
        self.engine.look()

    def look(self) -> None:
        """Take back what this engine lost, and take what nobody works on."""
        engine = self.engine
        self._taker.take_back(engine, self._engines.left_behind())
        if not self._recover:
            self._taker.look_for(self._awaited, engine)
        elif self._taker.look(engine):
            self._on_taken()

    def is_idle(self) -> bool:
        """Whether the engine has no runs, and finds none that it could take."""
        return not self._taker.look(self.engine) and not self.engine.live_runs()
