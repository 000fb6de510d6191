"""What a run under test is sent, each at its time on the frozen clock: signals and events."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from cloacina_core.errors import InputError
from cloacina_core.foundation.ids import EngineId, IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, encode
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.sending.sent_event import checked_event_name, encoded_data
from cloacina_core.model.wait import check_signal_name
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.database import Database
from cloacina_core.store.event_waits import EventWaits
from cloacina_core.store.sent_events import SentEventStore
from cloacina_core.testing.clock import FrozenClock


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal for `context.wait_for`."""

    name: str
    payload: JsonValue = None
    after: timedelta = timedelta(0)
    """How long after the beginning of the run it is sent."""

    def __post_init__(self) -> None:
        check_signal_name(self.name)
        try:
            encode(self.payload)
        except NotJsonError as error:
            raise InputError(f"signal {self.name!r} can't carry that: {error}") from error


@dataclass(frozen=True, slots=True)
class Sent:
    """An event that is sent, for `context.wait_for_event`."""

    name: str
    data: JsonValue = None
    after: timedelta = timedelta(0)
    """How long after the beginning of the run it is sent."""

    def __post_init__(self) -> None:
        checked_event_name(self.name)
        encoded_data(self.data, max_bytes=_MOST_BYTES)


_MOST_BYTES = 8 * 1024 * 1024


class Mailbox:
    """The signals and events that weren't sent yet."""

    def __init__(
        self,
        mail: Iterable[Signal | Sent],
        *,
        clock: FrozenClock,
        database: Database,
        ids: IdFactory,
    ) -> None:
        self._began = clock.now()
        self._clock = clock
        self._commands = CommandStore(database)
        self._events = SentEventStore(database)
        self._waits = EventWaits(database, clock)
        self._ids = ids
        self._waiting = sorted(mail, key=lambda one: one.after)

    def seconds_to_next(self) -> float | None:
        """Return after how long one is to be sent; None when there is none."""
        if not self._waiting:
            return None
        return max(0.0, (self._waiting[0].after - self._passed()).total_seconds())

    def send_due(self, run_id: RunId, engine: EngineId) -> bool:
        """Send those whose time has come; False when there is none, and nobody began to wait."""
        began = self._waits.look(engine)
        due = [one for one in self._waiting if one.after <= self._passed()]
        del self._waiting[: len(due)]
        for one in due:
            if isinstance(one, Signal):
                self._signal(run_id, one)
            else:
                self._events.send(
                    self._ids.command_id(),
                    one.name,
                    encode(one.data),
                    key=None,
                    sent_by="the test",
                )
        return bool(due or began)

    def _signal(self, run_id: RunId, signal: Signal) -> None:
        self._commands.ask(
            Command(
                id=self._ids.command_id(),
                run_id=run_id,
                kind=CommandKind.SIGNAL,
                name=signal.name,
                payload=encode(signal.payload),
                asked_by="the test",
            )
        )

    def _passed(self) -> timedelta:
        return self._clock.now() - self._began
