"""Polls triggers, and starts the runs that they ask for. Between two polls it sleeps.

A poll is a call like a task's attempt, in the same executor and the same place. One that takes too
long is given up like that, and so nothing waits for it; its trigger isn't polled here again before
it has come to its end, lest one that hangs takes one thread after the other.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cloacina_core.engine.call import AttemptKey, LogEntry, Outcome, TaskCall
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.errors import CloacinaError, StoreUnavailableError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, decode
from cloacina_core.model.polling.definition import TriggerDefinition
from cloacina_core.model.polling.enabled import GIVEN_UP, PollState
from cloacina_core.model.polling.result import checked
from cloacina_core.model.release import Release
from cloacina_core.model.spilled import Encoded
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.services.beginning import begin_run, reason_of
from cloacina_core.services.looking import LookingService, Pauses
from cloacina_core.store.poll_history import PollOutcome
from cloacina_core.store.triggers import OpenFired, PollClaim, TriggerStore

_log = logging.getLogger(__name__)

MOST_POLLS = 32
"""How many polls are under way in one engine at a time."""
MAX_OUTPUT = 10_000
"""How much of what a trigger printed is kept: the last characters."""

_PAUSES = Pauses(shortest=1.0, longest=60.0, after_failure=1.0)
"""Each write to SQLite looks like one who asks for a look."""
_CLAIMED_PAUSE = 1.0
"""Seconds between looks whether somebody who has claimed runs is gone."""


@dataclass(frozen=True, slots=True)
class PollCall:
    """How a poll is made."""

    call: TaskCall
    definition: TriggerDefinition
    """As the release declares it that is polled."""


@dataclass(frozen=True, slots=True)
class _Running:
    claim: PollClaim
    definition: TriggerDefinition
    release: Release | None
    deadline: float
    """On the monotonic clock."""


class PollService(LookingService):
    """Polls, and starts runs. Engines that do so together share the work."""

    def __init__(
        self,
        store: TriggerStore,
        executor: Executor,
        clock: Clock,
        *,
        new_id: Callable[[], str],
        call_of: Callable[[PollClaim], PollCall],
        start: Callable[[OpenFired], RunId],
    ) -> None:
        """Prepare.

        Args:
            store: of triggers.
            executor: runs polls, and nothing else.
            clock: measures how long they take.
            new_id: makes an id for each poll.
            call_of: returns how a poll is made; raises a `CloacinaError`.
            start: accepts a run, or finds that it was accepted.
        """
        super().__init__("triggers", "poll triggers", _PAUSES)
        self._store = store
        self._executor = executor
        self._clock = clock
        self._new_id = new_id
        self._call_of = call_of
        self._start = start
        self._lock = threading.Lock()
        self._running: dict[AttemptKey, _Running] = {}
        self._given_up: dict[AttemptKey, str] = {}
        """Polls that were given up and still run, and their triggers."""
        self._is_looking = False
        self._ending: set[AttemptKey] = set()
        """Polls that have ended, and what they came to is being written."""

    def start(self) -> None:
        """Begin to poll."""
        self._executor.start(self._report)
        super().start()

    def stop(self) -> None:
        """Stop polling. Polls that are under way are given up, and made by others."""
        super().stop()
        with self._lock:
            running, self._running = dict(self._running), {}
        for key, one in running.items():
            self._executor.abandon(key)
            with suppress(CloacinaError):  # they get it when the claim is over
                self._store.let_go(one.claim)
        self._executor.stop()

    def is_idle(self) -> bool:
        """Whether nothing is to be polled now, no poll runs, and no run is to be started."""
        due, waits = self._store.survey()
        if waits or (due is not None and due <= timedelta(0)):
            return False
        # In this order: what isn't due any more was claimed, and is one of the following by now.
        is_beginning = self._is_looking
        with self._lock:
            is_polling = bool(self._running or self._ending)
        return not (is_beginning or is_polling or self._store.waits())

    def look(self) -> float:
        """Do what is due; return in how many seconds something may be due again."""
        self._give_up_late()
        due, waits = self._store.survey()
        if not waits and (due is None or due > timedelta(0)):
            return self._pause(due, waits=waits)
        with self._lock:
            room = MOST_POLLS - len(self._running)
            without = set(self._given_up.values())
        self._is_looking = True
        try:
            for claim in self._store.claim(self._new_id, room, without=without):
                self._begin(claim)
        finally:
            self._is_looking = False
        self._start_fired()
        due, waits = self._store.survey()
        return self._pause(due, waits=waits)

    def _start_fired(self) -> None:
        """Start the runs that triggers ask for."""
        for fired in self._store.claim_fired():
            if self.is_stopping:
                return
            self._begin_run(fired)

    def _pause(self, due: timedelta | None, *, waits: bool) -> float:
        """Return in how many seconds something may be due again.

        What is due still is left to others, or to when there is room.
        """
        pauses = [_PAUSES.longest]
        if due is not None:
            pauses.append(due.total_seconds() if due > timedelta(0) else _CLAIMED_PAUSE)
        with self._lock:
            now = self._clock.monotonic()
            pauses += [one.deadline - now for one in self._running.values()]
        if waits:
            pauses.append(_CLAIMED_PAUSE)
        return min(pauses)

    def _begin(self, claim: PollClaim) -> None:
        """Begin a poll."""
        name = claim.trigger.name
        try:
            made = self._call_of(claim)
        except StoreUnavailableError as error:
            _log.warning("trigger %r can't be polled now: %s", name, error)
            self._store.let_go(claim)
            return
        except CloacinaError as error:
            _log.warning("trigger %r can't be polled: %s", name, error)
            reason = reason_of(error)
            self._store.finish(claim, PollOutcome(state=PollState.FAILED, reason=reason))
            return
        deadline = self._clock.monotonic() + claim.trigger.definition.timeout.total_seconds()
        with self._lock:
            self._running[made.call.key] = _Running(
                claim, made.definition, made.call.release, deadline
            )
        self._executor.submit(made.call)

    def _give_up_late(self) -> None:
        """Give up the polls that take too long."""
        with self._lock:
            now = self._clock.monotonic()
            late = {key: one for key, one in self._running.items() if one.deadline <= now}
            for key, one in late.items():
                del self._running[key]
                self._ending.add(key)
                self._given_up[key] = one.claim.trigger.name
        for key, one in late.items():
            self._executor.abandon(key)
            reason = f"{GIVEN_UP}it took longer than {one.claim.trigger.definition.timeout}"
            failed = PollOutcome(
                state=PollState.FAILED,
                reason=reason,
                definition=one.definition,
                release=one.release,
            )
            self._finish(key, one, failed)

    def _report(self, outcome: Outcome) -> None:
        """Take how a poll ended, from any thread."""
        with self._lock:
            running = self._running.pop(outcome.key, None)
            self._given_up.pop(outcome.key, None)
            if running is not None:
                self._ending.add(outcome.key)
        if running is not None:
            came_to = _came_to(outcome, running)
            self._finish(outcome.key, running, came_to)
            if came_to.fired:
                self._start_at_once()
        self.wake()

    def _start_at_once(self) -> None:
        """Start what was just asked for; what can't be now, a later look starts."""
        try:
            self._start_fired()
        except CloacinaError as error:
            _log.warning("can't start what a trigger asks for: %s", error)

    def _finish(self, key: AttemptKey, running: _Running, outcome: PollOutcome) -> None:
        name = running.claim.trigger.name
        try:
            if not self._store.finish(running.claim, outcome):
                _log.warning("a poll of trigger %r came to its end too late", name)
        except CloacinaError as error:  # it is polled again when the claim is over
            _log.warning("what a poll of trigger %r came to can't be stored: %s", name, error)
        finally:
            with self._lock:
                self._ending.discard(key)
        if outcome.state is PollState.FAILED:
            _log.warning("a poll of trigger %r failed: %s", name, outcome.reason)

    def _begin_run(self, fired: OpenFired) -> None:
        begin_run(
            fired,
            self._start,
            started=self._store.started,
            failed=self._store.failed,
            whose=f"trigger {fired.trigger.name!r}",
        )


def _came_to(outcome: Outcome, running: _Running) -> PollOutcome:
    """Return what a poll came to, whatever its process told."""
    declared: dict[str, Any] = {"definition": running.definition, "release": running.release}
    output = _output(outcome.logs)
    failure = outcome.failure
    if outcome.outcome is AttemptOutcome.SUCCEEDED:
        try:
            fired, reason, cursor = checked(_told(outcome.changes or {}, running.claim.cursor))
        except (ValueError, KeyError, TypeError) as error:
            reason = f"what it says can't be used: {error}"
        else:
            return PollOutcome(
                state=PollState.FIRED if fired else PollState.SKIPPED,
                reason=reason,
                fired=fired,
                cursor=cursor,
                output=output,
                **declared,
            )
    else:
        reason = "it waits" if failure is None else f"{failure.type}: {failure.message}"
    if failure is not None and failure.traceback:
        output = f"{output or ''}{failure.traceback}"[-MAX_OUTPUT:]
    return PollOutcome(state=PollState.FAILED, reason=reason, output=output, **declared)


def _told(changes: Mapping[str, Encoded | None], cursor: str | None) -> dict[str, JsonValue]:
    """Return what a trigger told. A cursor that it left as it was isn't told."""
    texts = {key: text for key, text in changes.items() if isinstance(text, str)}
    return {
        "fired": decode(texts["fired"]),
        "reason": decode(texts.get("reason", "null")),
        "cursor": decode(texts.get("cursor", cursor or "null")),
    }


def _output(logs: "tuple[LogEntry, ...]") -> str | None:
    text = "".join(f"{line}\n" for _, _, line in logs)
    return text[-MAX_OUTPUT:] or None
