"""Brings notifications to destinations, beside an engine.

Each destination has a thread of its own, so one that hangs holds up nobody: no other destination,
and no engine, whose events are only put into a short list here. Three things happen in turn:

- What happened is noted as a message in the store. Observers tell of it at once; what nobody told,
  because the engine was killed, is found again in the store, now and then and at each start.
- Outbox that are due are claimed and tried.
- Old ones are given up, and after a month forgotten.
"""

import logging
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from cloacina_core.errors import CloacinaError
from cloacina_core.plugin import EventType, RunEvent, RuntimeView
from cloacina_notify.configuration import CommandKind, Destination, HttpKind, LogKind
from cloacina_notify.finder import Finder
from cloacina_notify.notification import Occasion
from cloacina_notify.outbox import Claim, Outbox, Result
from cloacina_notify.sending import Sender, SendError, delay

_log = logging.getLogger(__name__)

GRACE = 3.0
"""Seconds that an engine which stops waits for what it can still tell."""
_LOOK_SECONDS = 30.0
"""How often the store is asked for what nobody told."""
_SHORTEST_PAUSE, _ERROR_PAUSE = 0.05, 5.0
"""Seconds between two rounds, and after one that failed."""
_MOST_HEARD = 1000
"""Of what observers tell; what is more is found again in the store."""
_BATCH = 20
_BATCH_SECONDS = 10.0
_MARGIN_SECONDS = 5.0
_LONGEST_PAUSE = timedelta(minutes=1)
"""How long a destination is left alone after a failure, unless it asks for more."""
_KEPT = timedelta(days=30)

_OCCASIONS = {
    EventType.RUN_SUCCEEDED: Occasion.SUCCEEDED,
    EventType.RUN_FAILED: Occasion.FAILED,
    EventType.RUN_CANCELLED: Occasion.CANCELLED,
    EventType.TASK_DEFERRED: Occasion.WAITING,
}


class Courier:
    """The service: hands what it hears to all destinations."""

    name = "notify"

    def __init__(
        self,
        view: RuntimeView,
        destinations: Sequence[Destination],
        chance: Callable[[], float],
    ) -> None:
        """Prepare.

        Args:
            view: of the runtime.
            destinations: where notifications go.
            chance: gives numbers from 0 up to 1.
        """
        self._clock = view.clock
        self._lanes = [
            Lane(view, one, sender_for(one, os.environ, view.clock.monotonic), chance)
            for one in destinations
        ]

    def start(self) -> None:
        """Begin to look and to send."""
        for lane in self._lanes:
            lane.start()

    def observe(self, event: RunEvent) -> None:
        """Have an event told by those destinations that want it."""
        occasion = _OCCASIONS.get(event.type)
        if occasion is not None:
            for lane in self._lanes:
                lane.hear(occasion, event)

    def stop(self) -> None:
        """Note what was heard, try what there is time for, and end."""
        deadline = self._clock.monotonic() + GRACE
        for lane in self._lanes:
            lane.finish(deadline)
        for lane in self._lanes:
            lane.join(deadline)


def sender_for(
    destination: Destination, environment: Mapping[str, str], monotonic: Callable[[], float]
) -> Sender:
    """Return what brings messages to a destination."""
    kind = destination.kind
    match kind:
        case LogKind():
            from cloacina_notify.log import LogSender  # noqa: PLC0415 - each only where it is used

            return LogSender(kind.file)
        case CommandKind():
            from cloacina_notify.command import CommandSender  # noqa: PLC0415

            return CommandSender(kind.argv, kind.environment, destination.timeout, environment)
        case HttpKind():
            from cloacina_notify.webhook import WebhookSender  # noqa: PLC0415

            return WebhookSender(kind, destination.timeout, environment, monotonic)


class Lane:
    """The way to one destination."""

    def __init__(
        self,
        view: RuntimeView,
        destination: Destination,
        sender: Sender,
        chance: Callable[[], float],
    ) -> None:
        self._destination = destination
        self._name = destination.name
        self._sender = sender
        self._chance = chance
        self._clock = view.clock
        self._outbox = Outbox(view)
        self._finder = Finder(view, destination, self._outbox)
        self._token = secrets.token_hex(16)
        # The last try of a batch may begin at the end of its time.
        self._hold = timedelta(seconds=_BATCH_SECONDS + destination.timeout + _MARGIN_SECONDS)
        self._heard: deque[RunEvent] = deque(maxlen=_MOST_HEARD)
        self._woken = threading.Event()
        self._deadline: float | None = None
        """When to end; None: not yet."""
        self._look_at = self._clock.monotonic()
        self._thread = threading.Thread(
            target=self._run, name=f"cloacina-notify-{self._name}", daemon=True
        )

    def start(self) -> None:
        """Begin to look and to send."""
        self._thread.start()

    def hear(self, occasion: Occasion, event: RunEvent) -> None:
        """Keep an event in mind, if the destination may want it. Returns at once."""
        if occasion in self._destination.on:
            self._heard.append(event)
            self._woken.set()

    def finish(self, deadline: float) -> None:
        """End soon, with what can be done before a moment of the monotonic clock."""
        self._deadline = deadline
        self._woken.set()

    def join(self, deadline: float) -> None:
        """Wait for the end, until a moment; what hangs is left to hang."""
        self._thread.join(max(0.0, deadline - self._clock.monotonic()))

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._deadline is not None
            self._woken.clear()
            pause = _ERROR_PAUSE
            try:
                pause = self._round(is_last=is_last)
            except Exception as error:  # noqa: BLE001 - the next round may do better than none
                self._look_at = self._clock.monotonic()  # what was heard, and lost, is there
                self._tell(error)
            if not is_last:
                self._woken.wait(max(pause, _SHORTEST_PAUSE))

    def _tell(self, error: Exception) -> None:
        if self._deadline is not None:  # the store is closed by now; the next engine goes on
            return
        if isinstance(error, CloacinaError):
            _log.warning("destination %r: trying again: %s", self._name, error)
        else:
            _log.error("destination %r: trying again", self._name, exc_info=error)

    def _round(self, *, is_last: bool) -> float:
        """Do what is to be done; return in how many seconds there may be more."""
        if heard := [self._heard.popleft() for _ in range(len(self._heard))]:
            self._finder.note_heard(heard)
        if not is_last and self._clock.monotonic() >= self._look_at:
            self._finder.look()
            self._tidy()
            self._look_at = self._clock.monotonic() + _LOOK_SECONDS
        return min(self._send(), self._look_at - self._clock.monotonic())

    def _tidy(self) -> None:
        self._outbox.give_up_old(self._name, self._destination.give_up_after)
        while self._outbox.forget(_KEPT) and self._deadline is None:
            pass

    def _send(self) -> float:
        """Send what is due; return in how many seconds something may be due again."""
        while True:
            due_in = self._outbox.due_in(self._name)
            if due_in is None or due_in > timedelta(0) or self._is_over():
                return _LOOK_SECONDS if due_in is None else due_in.total_seconds()
            claims = self._outbox.claim(self._name, self._token, _BATCH, self._hold)
            if not claims:  # another engine was faster
                return 1.0
            self._try(claims)

    def _try(self, claims: Sequence[Claim]) -> None:
        """Try messages one after the other; the first that fails ends it."""
        results: list[Result] = []
        failure: SendError | None = None
        end = self._clock.monotonic() + _BATCH_SECONDS
        for claim in claims:
            if failure is not None or self._clock.monotonic() >= end or self._is_over():
                results.append(Result(claim, is_released=True))
                continue
            failure = self._failure_of(claim)
            results.append(self._result(claim, failure))
        self._outbox.record(
            self._name,
            self._token,
            results,
            pause=None if failure is None else self._pause(results, failure),
            disabled_because=str(failure) if failure is not None and failure.is_gone else None,
        )

    def _failure_of(self, claim: Claim) -> SendError | None:
        try:
            self._sender.send(claim.message, self._clock.now())
        except SendError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try may do better
            return SendError(f"{type(error).__name__}: {error}")
        return None

    def _result(self, claim: Claim, failure: SendError | None) -> Result:
        if failure is None:
            return Result(claim)
        if failure.is_gone or claim.attempt >= self._destination.attempts:
            _log.warning("destination %r: gave up %s: %s", self._name, claim.message.id, failure)
            return Result(claim, str(failure))
        wait = delay(claim.attempt, self._destination.first_delay, self._chance())
        return Result(claim, str(failure), again_in=max(wait, failure.wait or timedelta(0)))

    def _pause(self, results: Sequence[Result], failure: SendError) -> timedelta:
        """Return how long to leave the destination alone: others would fail like this one."""
        if failure.wait is not None:
            return failure.wait
        waits = [result.again_in for result in results if result.again_in is not None]
        return min([*waits, _LONGEST_PAUSE])

    def _is_over(self) -> bool:
        return self._deadline is not None and self._clock.monotonic() >= self._deadline
