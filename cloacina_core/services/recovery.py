"""Goes on with runs whose engine is gone, and with those that were only recorded."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

from cloacina_core.engine.engine import Engine
from cloacina_core.engine.requests import Completion, EngineStoppedError, TakeUp
from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.ids import RunId
from cloacina_core.services.looking import LookingService, Pauses
from cloacina_core.store.claiming import Claims
from cloacina_core.store.ownership import Ownership
from cloacina_core.store.reading import RunReader

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 5.0
"""Seconds between looks that nobody asked for, and between looks for strays."""

_SHORTEST_PAUSE = 0.02
"""Seconds between looks that somebody asked for: what is asked for meanwhile is looked at once."""


class RecoveryService(LookingService):
    """Looks for such runs at once, when it is woken, and twice in each lease."""

    def __init__(self, look: Callable[[], None], lease: timedelta) -> None:
        usual = min(lease.total_seconds() / 2, _LONGEST_PAUSE)
        pauses = Pauses(shortest=min(_SHORTEST_PAUSE, usual), longest=usual, after_failure=usual)
        super().__init__("recovery", "look for runs to take up", pauses)
        self._take = look
        self._usual = usual

    def look(self) -> float:
        """Take up what is found."""
        self._take()
        return self._usual


class RunTaker:
    """Claims runs for an engine, as many as it has room for, and has it go on with them."""

    def __init__(
        self,
        ownership: Ownership,
        claims: Claims,
        reader: RunReader,
        on_room: Callable[[], object],
    ) -> None:
        """Prepare.

        Args:
            ownership: tells which engines are dead.
            claims: takes runs.
            reader: loads them.
            on_room: called when an engine that had no room for more runs may have some.
        """
        self._ownership = ownership
        self._claims = claims
        self._reader = reader
        self._on_room = on_room
        self._turn = threading.Lock()
        """One look at a time: what is claimed is taken up when the next look begins."""
        self._former: set[RunId] = set()
        """Runs of former incarnations that weren't looked for yet."""
        self._looked_for_strays = -math.inf
        self._unreadable: set[RunId] = set()
        """Runs that can't be taken up by this process, whatever the store does; told once."""

    def look(self, engine: Engine) -> int:
        """Free the runs of the dead, and take what there is room for; return how many."""
        with self._turn:
            self._take_strays(engine)
            for dead in self._ownership.dead(engine.id):
                self._ownership.bury(dead)
            room = engine.room()
            claimed = self._claims.claim(engine.id, room)
            taken = self._take_up(engine, claimed)
        if len(claimed) == room:  # there may be more
            for request in taken[len(taken) // 2 :]:
                request.completion.on_complete(self._on_room)
        return len(claimed)

    def look_for(self, awaited: set[RunId], engine: Engine) -> None:
        """Take those of some runs whose turn it is, and await them no longer."""
        with self._turn:
            self._take_strays(engine)
            if awaited:
                claimed = self._claims.claim(engine.id, engine.room(), only=frozenset(awaited))
                awaited.difference_update(claimed)
                self._take_up(engine, claimed)

    def take_back(self, engine: Engine, runs: Iterable[RunId]) -> None:
        """Go on with the runs of a former incarnation, but for those that others took."""
        with self._turn:
            self._former.update(runs)
            if self._former:
                claimed = self._ownership.claim_all(self._former, engine.id)
                self._former.clear()
                self._take_up(engine, claimed)

    def take(self, run_id: RunId, engine: Engine) -> Completion:
        """Claim one run and go on with it.

        Raises:
            RunOwnedElsewhereError: an engine that lives has it.
            IllegalTransitionError: it waits for its turn.
            UnknownRunError: there is no such run.
            StoreError: the store failed, or the engine did.
        """
        with self._turn:
            self._ownership.claim(run_id, engine.id)
            return engine.take_up(self._reader.load(run_id))

    def _take_strays(self, engine: Engine) -> None:
        """Take up runs that are the engine's in the store, and which it doesn't have.

        The store failed after they were claimed, or the answer to the claim was lost.
        """
        if time.monotonic() < self._looked_for_strays + _LONGEST_PAUSE:
            return
        had = set(engine.live_runs())
        strays = self._ownership.owned(engine.id) - had - self._unreadable
        # What was submitted since, it has now. What it had only since, has ended or was freed.
        self._take_up(engine, sorted(strays.difference(engine.live_runs())))
        self._looked_for_strays = time.monotonic()

    def _take_up(self, engine: Engine, claimed: Iterable[RunId]) -> list[TakeUp]:
        requests = []
        for run_id in claimed:
            try:
                stored = self._reader.load(run_id)
                if stored.summary.engine == engine.id and not stored.summary.status.is_final:
                    requests.append(engine.begin_to_take_up(stored))
            except StoreUnavailableError:
                raise
            except Exception:  # noqa: BLE001 - a damaged run must not keep the others waiting
                _log.exception("run %s can't be taken up", run_id)
                self._unreadable.add(run_id)
        for request in requests:
            try:
                request.reply.wait(engine.is_alive)
            except EngineStoppedError:
                return requests
            except Exception:  # noqa: BLE001 - see above
                _log.exception("run %s can't be taken up", request.run.run_id)
        return requests
