"""Kills that are aimed: at a transition, before its transaction, in the middle of it, or after."""

import os
import signal
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from support.faults.ledger import Ledger

from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.model.event import EventType
from cloacina_core.store.batch import Batch
from cloacina_core.store.claiming import Claims
from cloacina_core.store.writing import RunWriter

CLAIM = "claim"
"""A run that was only recorded is taken: the one transition that has no event of its own."""

EVENTS: Mapping[str, EventType] = {
    "submit": EventType.SUBMITTED,
    "take-up": EventType.ATTEMPT_LOST,
    "start": EventType.TASK_STARTED,
    "commit": EventType.TASK_SUCCEEDED,
    "retry": EventType.ATTEMPT_FAILED,
    "expand": EventType.TASK_EXPANDED,
    "defer": EventType.TASK_DEFERRED,
    "wake": EventType.TASK_RESUMED,
    "signal": EventType.SIGNAL_RECEIVED,
    "finish": EventType.RUN_SUCCEEDED,
}
TRANSITIONS = (CLAIM, *EVENTS)
SIDES = ("before", "amid", "after")

LONGEST_COMMIT = 0.003
"""Seconds: a kill amid a transaction comes so long after its beginning, at most."""


@dataclass(frozen=True)
class Aim:
    """When an engine dies."""

    transition: str
    side: str
    """`before`: nothing of the transaction is written. `after`: nobody acts on it any more."""
    turn: int
    """At the how manieth such transition."""
    delay: float
    """Seconds into the transaction at which a kill amid it comes."""


def aims(random: Random) -> list[Aim]:
    """Return one aim at each transition, in an order and with sides that chance decides."""
    return [
        Aim(
            transition,
            side=random.choice(SIDES),
            turn=random.randint(1, 2),
            delay=random.random() * LONGEST_COMMIT,
        )
        for transition in random.sample(TRANSITIONS, len(TRANSITIONS))
    ]


class Killer:
    """Waits in an engine's process for its transition."""

    def __init__(self, aim: Aim, ledger: Ledger) -> None:
        self._aim = aim
        self._ledger = ledger
        self._turns = 0

    def writer(self) -> type[RunWriter]:
        """Return the writer of an engine that is to die at what it writes."""
        killer = self

        class KilledWriter(RunWriter):
            def write(self, batch: Batch, engine: EngineId) -> None:
                is_it = killer.is_in(batch)
                killer.strike("before", now=is_it)
                super().write(batch, engine)
                killer.strike("after", now=is_it)

        return KilledWriter

    def claims(self) -> type[Claims]:
        """Return the claims of an engine that is to die as it takes runs."""
        killer = self

        class KilledClaims(Claims):
            def claim(
                self, engine: EngineId, room: int, *, only: Collection[RunId] | None = None
            ) -> list[RunId]:
                is_it = killer.is_claim() and room > 0 and self._waiting(only) is not None
                killer.strike("before", now=is_it)
                claimed = super().claim(engine, room, only=only)
                killer.strike("after", now=is_it)
                return claimed

        return KilledClaims

    def is_in(self, batch: Batch) -> bool:
        """Whether a transaction has the transition whose turn it is."""
        if self.is_claim():
            return False
        wanted = EVENTS[self._aim.transition].value
        return self._is_turn(any(row["type"] == wanted for row in batch.events))

    def is_claim(self) -> bool:
        """Whether the engine is to die at a claim."""
        return self._aim.transition == CLAIM

    def _is_turn(self, happens: Any) -> bool:
        self._turns += bool(happens)
        return bool(happens) and self._turns >= self._aim.turn

    def strike(self, side: str, *, now: bool) -> None:
        """Die, if it is time."""
        if not now:
            return
        if side == "before" and self._aim.side == "amid":
            threading.Timer(self._aim.delay, self._die).start()
        elif self._aim.side == side:
            self._die()

    def _die(self) -> None:
        self._ledger.write("struck", os.getpid(), self._aim.transition, self._aim.side)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # the signal is on its way
