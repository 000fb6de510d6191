"""Signals that a run under test is sent, each at its time on the frozen clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from cloacina_core.errors import InputError
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, encode
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.wait import check_signal_name
from cloacina_core.store.commands import CommandStore
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


class Mailbox:
    """The signals of one run that weren't sent yet."""

    def __init__(
        self,
        signals: Iterable[Signal],
        *,
        clock: FrozenClock,
        commands: CommandStore,
        ids: IdFactory,
    ) -> None:
        self._began = clock.now()
        self._clock = clock
        self._commands = commands
        self._ids = ids
        self._waiting = sorted(signals, key=lambda signal: signal.after)

    def seconds_to_next(self) -> float | None:
        """Return after how long one is to be sent; None when there is none."""
        if not self._waiting:
            return None
        return max(0.0, (self._waiting[0].after - self._passed()).total_seconds())

    def send_due(self, run_id: RunId) -> bool:
        """Send those whose time has come; False when there is none."""
        due = [signal for signal in self._waiting if signal.after <= self._passed()]
        del self._waiting[: len(due)]
        for signal in due:
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
        return bool(due)

    def _passed(self) -> timedelta:
        return self._clock.now() - self._began
