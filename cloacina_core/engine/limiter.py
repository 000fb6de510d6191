"""Asks for room where tasks name limits, and sees to it that nobody waits for ever."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from cloacina_core.engine.flushing import SHORTEST_PAUSE
from cloacina_core.engine.queued import Queued
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.slots import Slots
from cloacina_core.engine.timers import Timer, TimerKind, Timers
from cloacina_core.errors import StoreError
from cloacina_core.foundation.ids import EngineId
from cloacina_core.store.permits import Permits, Wanted

_log = logging.getLogger(__name__)


class Limiter:
    """Lets tasks of one engine begin as far as limits have room. Used by its thread alone.

    One that isn't let in stands aside until an attempt ends somewhere, which the store tells, or
    until its rate allows another start, for which a timer is set.
    """

    def __init__(self, permits: Permits, engine: EngineId, slots: Slots, timers: Timers) -> None:
        self._permits = permits
        self._engine = engine
        self._slots = slots
        self._timers = timers

    def let_in(self, asked: Sequence[tuple[Queued, RunState]]) -> list[Queued]:
        """Return those of some tasks, each with its run, that may begin; put the others aside."""
        wanted = [_wanted(queued, run) for queued, run in asked]
        try:
            refusals = self._permits.take(wanted, self._engine)
        except StoreError as error:
            _log.warning("can't look whether limits have room: %s", error)
            self._slots.put_aside(queued for queued, _ in asked)
            self._look_again_in(SHORTEST_PAUSE)
            return []
        pairs = [(queued, no) for (queued, _), no in zip(asked, refusals, strict=True)]
        self._slots.put_aside(queued for queued, refusal in pairs if refusal is not None)
        pauses = [one.again_in for one in refusals if one is not None and one.again_in is not None]
        if pauses:
            self._look_again_in(min(pauses))
        return [queued for queued, refusal in pairs if refusal is None]

    def _look_again_in(self, pause: timedelta) -> None:
        self._timers.add(pause, Timer(TimerKind.ROOM))


def _wanted(queued: Queued, run: RunState) -> Wanted:
    task = run.tasks[queued.task]
    goes_on = task.has_open_attempt
    return Wanted(
        run_id=queued.run_id,
        task=run.name_of(queued.task),
        attempt=len(task.attempts) + (not goes_on),
        limits=queued.limits,
        is_start=not goes_on,
    )
