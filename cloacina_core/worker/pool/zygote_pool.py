"""Workers forked from zygotes: made when they are needed, used again, ended when idle."""

import tempfile
import threading
import time
from collections.abc import Mapping
from typing import Any

from cloacina_core.engine.stop import Stop
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.digest import Digest
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_core.worker.failures import NOT_STARTED, WorkerFailedError
from cloacina_core.worker.pool.lending import Loan
from cloacina_core.worker.pool.supervision import Supervision
from cloacina_core.worker.pool.worker import KeptWorker, Worker
from cloacina_core.worker.pool.zygotes import Zygote, start_zygote
from cloacina_core.worker.processes import remove_folder

IMPORT_SECONDS = 60.0
"""How long importing the code of an environment may take."""
MOST_ZYGOTES = 16
"""More environments than these are kept ready only while attempts run in them."""
IDLE_SECONDS = 300.0
"""How long an environment is kept ready for the next attempt."""
IDLE_WORKER_SECONDS = 30.0
"""How long a process is that keeps no attempt."""


class _Slot:
    """An environment's place in the pool, from the beginning of its import."""

    def __init__(self, environment: WorkerEnvironment) -> None:
        self.environment = environment
        self.zygote: Zygote | None = None
        self.error: WorkerFailedError | None = None
        self.used_at = time.monotonic()
        self.wanted = 0
        """By how many attempts that don't have a worker yet."""

    @property
    def is_idle(self) -> bool:
        """Whether no attempt runs in it, or is about to."""
        return self.zygote is not None and self.zygote.is_idle and not self.wanted

    @property
    def is_settled(self) -> bool:
        """Whether the import has ended."""
        return self.zygote is not None or self.error is not None


class ZygotePool:
    """Workers that are forked from zygotes, one for each environment."""

    def __init__(
        self,
        clock: Clock,
        environ: Mapping[str, str],
        *,
        most_zygotes: int = MOST_ZYGOTES,
        idle_seconds: float = IDLE_SECONDS,
        import_seconds: float = IMPORT_SECONDS,
    ) -> None:
        """Prepare; nothing is started before it is needed.

        Args:
            clock: tells when lines were printed.
            environ: the variables of all processes.
            most_zygotes: how many environments are kept ready.
            idle_seconds: for how long one is.
            import_seconds: how long an import may take.
        """
        self._clock = clock
        self._environ = environ
        self._most_zygotes = most_zygotes
        self._idle_seconds = idle_seconds
        self._import_seconds = import_seconds
        self._changed = threading.Condition()
        self._slots: dict[Digest, _Slot] = {}
        self._supervision: Supervision | None = None
        self._closed = False
        self._tidier: threading.Thread | None = None
        self.folder = ""

    def lend(self, environment: WorkerEnvironment, stop: Stop) -> Loan:
        """Return a worker for one attempt; waits for the import of its code."""
        stop.listen(self._notify)
        try:
            with self._changed:
                slot = self._slot(environment)
                slot.wanted += 1
                try:
                    return self._lend(slot, stop)
                finally:
                    slot.wanted -= 1
        finally:
            stop.forget(self._notify)

    def _lend(self, slot: _Slot, stop: Stop) -> Loan:
        self._changed.wait_for(lambda: slot.is_settled or stop.cancelled() or self._closed)
        if slot.error is not None:
            raise slot.error
        if slot.zygote is None or self._closed:
            raise WorkerFailedError(NOT_STARTED, "asked to end before it began")
        slot.used_at = time.monotonic()
        return _Loan(self, slot.zygote)

    def give_back(self, zygote: Zygote, worker: KeptWorker, *, is_usable: bool) -> None:
        """Take a worker back when its attempt has ended."""
        with self._changed:
            zygote.give_back(worker, is_usable=is_usable and not self._closed)

    def close(self) -> None:
        """End all processes, those of attempts that still run included."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            supervision, self._supervision = self._supervision, None
            for slot in self._slots.values():
                if slot.zygote is not None:
                    slot.zygote.close()
            self._slots.clear()
        if supervision is not None:
            supervision.close()
            remove_folder(self.folder)  # when the supervisor itself was killed

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _slot(self, environment: WorkerEnvironment) -> _Slot:
        """Return the place of an environment, whose import may still have to end."""
        slot = self._slots.get(environment.digest)
        if slot is not None and slot.zygote is not None and not slot.zygote.is_alive:
            self._drop(slot)
            slot = None
        if slot is None:
            if self._closed:
                raise WorkerFailedError(NOT_STARTED, "this engine is being closed")
            slot = self._slots[environment.digest] = _Slot(environment)
            self._drop_idle()
            supervision = self._supervised()
            threading.Thread(
                target=self._start, args=(slot, supervision), name="cloacina-import", daemon=True
            ).start()
        return slot

    def _supervised(self) -> Supervision:
        """Return the supervisor, a new one when there is none any more."""
        if self._supervision is not None and not self._supervision.is_alive:
            self._supervision.close()
            remove_folder(self.folder)
            self._supervision = None
        if self._supervision is None:
            self.folder = tempfile.mkdtemp(prefix="cloacina-")
            self._supervision = Supervision(self._environ, self.folder)
        return self._supervision

    def _start(self, slot: _Slot, supervision: Supervision) -> None:
        """Import the code of an environment; in a thread of its own, so that nobody is held up."""
        try:
            zygote = start_zygote(
                slot.environment,
                supervision.family,
                clock=self._clock,
                temporary=self.folder,
                seconds=self._import_seconds,
            )
        except (WorkerFailedError, OSError) as error:
            self._failed(slot, error)
            return
        with self._changed:
            if self._closed:
                zygote.close()
            slot.zygote = zygote
            if self._tidier is None:
                self._tidier = threading.Thread(
                    target=self._tidy, name="cloacina-workers", daemon=True
                )
                self._tidier.start()
            self._changed.notify_all()

    def _failed(self, slot: _Slot, error: WorkerFailedError | OSError) -> None:
        """Tell all that wait for an environment; the next one that wants it tries again."""
        if isinstance(error, OSError):
            error = WorkerFailedError(NOT_STARTED, f"no process for attempts: {error}")
        with self._changed:
            slot.error = error
            if self._slots.get(slot.environment.digest) is slot:
                del self._slots[slot.environment.digest]
            self._changed.notify_all()

    def _tidy(self) -> None:
        """End what had nothing to do for long, until the pool is closed."""
        with self._changed:
            while not self._closed:
                self._changed.wait(min(self._idle_seconds, IDLE_WORKER_SECONDS))
                before = time.monotonic() - self._idle_seconds
                for slot in list(self._slots.values()):
                    if slot.zygote is None:
                        continue
                    slot.zygote.end_idle(IDLE_WORKER_SECONDS)
                    if slot.is_idle and slot.used_at <= before:
                        self._drop(slot)

    def _drop_idle(self) -> None:
        """Let environments go that weren't used for the longest, when there are too many."""
        idle = [slot for slot in self._slots.values() if slot.is_idle]
        idle.sort(key=lambda slot: slot.used_at)
        for slot in idle[: max(0, len(self._slots) - self._most_zygotes)]:
            self._drop(slot)

    def _drop(self, slot: _Slot) -> None:
        del self._slots[slot.environment.digest]
        if slot.zygote is not None:
            slot.zygote.close()


class _Loan:
    """A worker that was forked from a zygote."""

    def __init__(self, pool: ZygotePool, zygote: Zygote) -> None:
        self._pool = pool
        self._zygote = zygote
        self._worker = zygote.take()
        self.worker: Worker = self._worker
        self.told: Mapping[str, Any] | None = zygote.told
        self.logs = zygote.take_logs()

    def end(self, *, is_usable: bool) -> None:
        """Give the worker back."""
        self._pool.give_back(self._zygote, self._worker, is_usable=is_usable)
