"""Gathers what one step decides about runs, writes it in one transaction, and then acts on it.

Nothing is acted on before it is durable. A write that is refused costs the run that it is about,
and no other; a store that can't be written costs those who are submitting now, and nothing else.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import TypeAlias

from cloacina_core.engine.journal import Journal
from cloacina_core.engine.notifier import Notifier
from cloacina_core.engine.requests import EngineStoppedError, Submission, TakeUp
from cloacina_core.engine.run_state import RunState
from cloacina_core.errors import (
    CloacinaError,
    IdempotencyConflictError,
    OutcomeUnknownError,
    OverQuotaError,
    StoreError,
    StoreUnavailableError,
    TenantSuspendedError,
)
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.store.batch import Batch, GuardError, KnownKey, StaleEngineError
from cloacina_core.store.reading import event_of
from cloacina_core.store.writing import KeyTakenError, RunWriter

_log = logging.getLogger(__name__)

SHORTEST_PAUSE = timedelta(seconds=0.1)
LONGEST_PAUSE = timedelta(seconds=5)
"""How long to wait before trying again to write to a store that can't be written."""

_REFUSALS = (OverQuotaError, TenantSuspendedError)
"""What a tenant's store says of a run that it doesn't take."""

Act: TypeAlias = Callable[[], object]


class Flushed(Enum):
    """How a flush ended."""

    DONE = auto()
    STALE = auto()
    """The lease is lost, and maybe the runs: nothing of ours counts."""
    STOPPED = auto()
    """The engine must stop, and the store still can't be written."""


class Flusher:
    """What one engine decided and didn't write yet. Used by its thread alone."""

    def __init__(
        self,
        engine: EngineId,
        *,
        writer: RunWriter,
        journal: Journal,
        notifier: Notifier,
        forget: Callable[[Collection[RunId]], None],
        free: Callable[[RunId], None],
        stopping: threading.Event,
        fenced: threading.Event,
    ) -> None:
        """Prepare.

        Args:
            engine: whose decisions these are.
            writer: writes batches.
            journal: gathers them.
            notifier: tells observers what was written.
            forget: drops runs, whose writes aren't accepted, from the engine's memory.
            free: gives up a run, for the next engine.
            stopping: set once the engine must stop.
            fenced: set once nothing may be written any more.
        """
        self._engine = engine
        self._writer = writer
        self._journal = journal
        self._notifier = notifier
        self._forget = forget
        self._free = free
        self._stopping = stopping
        self._fenced = fenced
        self._acts: list[tuple[RunId | None, Act]] = []
        """What to do once the batch is written, and for which run."""
        self._requests: dict[RunId, list[Submission | TakeUp]] = {}
        """Those of the batch, by run: who asked for it, and who submitted its key after that."""
        self._first_of_key: dict[str, Submission] = {}
        """The submission of the batch that an idempotency key begins a run for."""
        self._keys: frozenset[str] = frozenset()
        self._stored_keys: Mapping[str, KnownKey] | None = None
        """The runs that those keys belong to already; None until somebody asks."""

    def then(self, act: Act, run: RunState | None = None) -> None:
        """Do something once the batch is written; not when the writes of its run are refused."""
        self._acts.append((None if run is None else run.run_id, act))

    def expect(self, request: Submission | TakeUp) -> None:
        """Answer a request when the writes of its run are refused."""
        self._requests[request.run.run_id] = [request]
        key = request.run.summary.idempotency_key
        if key is not None and isinstance(request, Submission):
            self._first_of_key[key] = request

    def expect_keys(self, keys: Iterable[str]) -> None:
        """Look for these keys together, when the first of them is asked for."""
        self._keys, self._stored_keys = frozenset(keys), None

    def expects(self, run_id: RunId) -> bool:
        """Whether a run came, or was taken up, with the batch that isn't written yet."""
        return run_id in self._requests

    def flush(self) -> Flushed:
        """Write what was gathered, then act on it."""
        flushed = self._make_durable()
        if flushed is not Flushed.DONE:
            return flushed
        batch = self._journal.take()
        acts, self._acts = self._acts, []
        self._requests.clear()
        self._first_of_key.clear()
        for _, act in acts:
            act()
        self._notifier.tell(map(event_of, batch.events))
        return flushed

    def give_up(self, run_id: RunId, error: Exception) -> None:
        """Let go of a run that can't go on here; the store tells the next engine where it was."""
        _log.error("run %s can't go on in this engine: %s", run_id, error, exc_info=error)
        run_id = self._journal.batch.head_of(run_id)
        requests = self._requests.pop(run_id, [])
        self._drop({run_id, *(request.run.run_id for request in requests)})
        for request in requests:
            request.reply.refuse(error)
        self.then(lambda: self._free(run_id))

    def is_known(self, submission: Submission, key: str) -> bool:
        """Answer a submission whose idempotency key belongs to a run already."""
        first = self._first_of_key.get(key)
        if first is not None and first.run.run_id in self._requests:
            self._requests[first.run.run_id].append(submission)
            self._answer_known(submission, key, first.run.run_id, first.request_digest)
            return True
        if self._stored_keys is None:
            self._stored_keys = self._writer.keys_in_use([*self._keys, key])
        found = self._stored_keys.get(key)
        if found is None:
            return False
        self._answer_known(submission, key, found.run_id, found.request_digest)
        return True

    def refuse_all(self) -> None:
        """Forget all that was gathered: the engine was declared dead."""
        self._journal.take()
        self._acts = []
        for request in [one for several in self._requests.values() for one in several]:
            request.reply.refuse(EngineStoppedError("the engine lost its lease"))
        self._requests.clear()

    def _answer_known(
        self, submission: Submission, key: str, run_id: RunId, digest: str | None
    ) -> None:
        run = submission.run
        if digest != submission.request_digest:
            error = IdempotencyConflictError(key, run_id)
            self.then(lambda: submission.reply.refuse(error), run)
            return

        def attach() -> None:
            submission.reply.existing = run_id
            submission.reply.accept()

        self.then(attach, run)

    def _make_durable(self) -> Flushed:
        """Write the batch, however long it takes, unless the engine must stop first."""
        pause, in_doubt = SHORTEST_PAUSE, False
        pending = deque([self._journal.batch] if self._journal.batch else [])
        while pending:
            if self._fenced.is_set():
                return Flushed.STALE
            try:
                self._writer.write(pending[0], self._engine)
            except StaleEngineError:
                return Flushed.STALE
            except StoreUnavailableError as error:
                _log.warning("the store can't be written; trying again: %s", error)
                # Written again, it is found to be done already, if it is. Until then, nobody is
                # told anything.
                in_doubt = in_doubt or isinstance(error, OutcomeUnknownError)
                if not in_doubt:
                    refused = self._refuse_submissions(error)
                    pending = deque(rest for part in pending if (rest := part.without(refused)))
                if self._stopping.wait(pause.total_seconds()):
                    return Flushed.STALE if self._fenced.is_set() else Flushed.STOPPED
                pause = min(pause * 2, LONGEST_PAUSE)
            except (GuardError, KeyTakenError, StoreError, *_REFUSALS) as error:
                in_doubt = False
                self._divide(pending, error)
            else:
                in_doubt = False
                written = pending.popleft()
                for run_id in written.runs() if pending else ():
                    self._requests.pop(run_id, None)  # from now on, they can't be refused
        return Flushed.DONE

    def _divide(self, pending: deque[Batch], error: Exception) -> None:
        """Put the batch of each run in place of one that is refused; give up that of one run."""
        parts = pending.popleft().by_run()
        if len(parts) > 1:
            for part in parts.values():
                part.number = self._journal.next_number()
            pending.extend(parts.values())
            return
        (run_id,) = parts
        if isinstance(error, KeyTakenError):
            self._reconsider(run_id)
        elif isinstance(error, _REFUSALS):
            self._refuse({run_id}, error)
        else:
            self.give_up(run_id, error)

    def _reconsider(self, run_id: RunId) -> None:
        """Answer those whose key another engine used meanwhile."""
        requests = self._requests.pop(run_id)
        self._stored_keys = None
        self._drop({request.run.run_id for request in requests})
        for request in requests:
            if isinstance(request, Submission):
                self.is_known(request, str(request.run.summary.idempotency_key))

    def _refuse_submissions(self, error: StoreError) -> set[RunId]:
        """Answer those who submit that nothing was stored; what runs already is kept for later."""
        refused = {
            run_id
            for run_id, (first, *_) in self._requests.items()
            if isinstance(first, Submission)
        }
        self._refuse(refused, error)
        return refused

    def _refuse(self, runs: Collection[RunId], error: CloacinaError) -> None:
        """Answer those who submitted runs, and forget the runs."""
        requests = [one for run_id in runs for one in self._requests.pop(run_id, ())]
        self._drop({*runs, *(request.run.run_id for request in requests)})
        for request in requests:
            request.reply.refuse(error)

    def _drop(self, runs: Collection[RunId]) -> None:
        """Forget runs whose writes aren't accepted."""
        runs = self._journal.batch.together_with(runs)
        self._journal.batch = self._journal.batch.without(runs)
        self._acts = [(run_id, act) for run_id, act in self._acts if run_id not in runs]
        self._forget(runs)
