"""Waits that give the task's slot back: for a moment, a signal, an event, a condition, or runs.

A wait ends the call of the function. Once it is over, the function is called again from its
beginning, in the same attempt, and the waits that it asked for before are found to be over: the
n-th wait of one call is the n-th of the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import from_micros, iso, to_micros
from cloacina_core.foundation.json_value import JsonValue, decode
from cloacina_core.model.child import Child, told
from cloacina_core.model.retry import LONGEST
from cloacina_core.model.sending.conditions import Condition
from cloacina_core.model.sending.sent_event import AwaitedEvent, checked_event_name

MAX_SIGNAL_NAME_LENGTH = 100


class WaitKind(StrEnum):
    """What a task waits for."""

    MOMENT = "moment"
    CONDITION = "condition"
    SIGNAL = "signal"
    EVENT = "event"
    CHILDREN = "children"


class WaitState(StrEnum):
    """Whether a wait is over, and how."""

    OPEN = "open"
    DONE = "done"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One wait of a task."""

    kind: WaitKind
    state: WaitState = WaitState.OPEN
    until: datetime | None = None
    """When the task is called again at the latest; None: only what it waits for wakes it."""
    deadline: datetime | None = None
    """When the wait has taken too long."""
    signal: str | None = None
    """The name of the signal."""
    payload: str | None = None
    """What came with the signal, or the event, encoded."""
    event: AwaitedEvent | None = None
    """Which sent event."""
    children: tuple[Child, ...] = ()
    """The runs that are waited for; those that are only begun end the wait at once."""
    is_detached: bool = False
    """Whether the runs are only begun."""

    @property
    def what(self) -> str:
        """What is waited for, in a word: the same in each call of the task."""
        if self.event is not None:
            return str(self.event)
        return self.signal or ", ".join(str(one) for one in self.children) or self.kind.value

    def __str__(self) -> str:
        if self.state is not WaitState.OPEN:
            return "for its turn"
        parts = []
        if self.signal is not None:
            parts.append(f"for signal {self.signal!r}")
        elif self.event is not None:
            parts.append(f"for {self.event}")
        elif self.kind is WaitKind.CONDITION:
            parts.append("for its condition, asked again")
        elif self.children:
            parts.append(f"for {told(self.children)}")
        if self.until is not None:
            word = "until" if self.kind is not WaitKind.CONDITION else "at"
            parts.append(f"{word} {iso(self.until)}")
        return " ".join(parts)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wait as a JSON object; moments are microseconds since 1970."""
        return {
            "kind": self.kind.value,
            "state": self.state.value,
            "until": _micros(self.until),
            "deadline": _micros(self.deadline),
            "signal": self.signal,
            "payload": self.payload,
            "event": self.event and self.event.to_json(),
            "children": [child.to_json() for child in self.children],
            "is_detached": self.is_detached,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Wait":
        """Return the wait that `to_json` described."""
        return cls(
            kind=WaitKind(data["kind"]),
            state=WaitState(data["state"]),
            until=_moment(data["until"]),
            deadline=_moment(data["deadline"]),
            signal=data["signal"],
            payload=data["payload"],
            event=data["event"] and AwaitedEvent.from_json(data["event"]),
            children=tuple(Child.from_json(child) for child in data["children"]),
            is_detached=data["is_detached"],
        )


class WaitTimeoutError(TimeoutError):
    """A wait took longer than its `timeout`. A task may catch it, and go on without."""


class WaitOrderError(RuntimeError):
    """A task that was called again asked for other waits than before."""


class Deferral(BaseException):
    """Ends a call that has to wait. No failure: `except Exception` lets it pass, and so should you.

    Attributes:
        waits: all waits of the task, the open one last.
    """

    def __init__(self, waits: Sequence[Wait]) -> None:
        super().__init__(f"waits {waits[-1]}")
        self.waits = tuple(waits)


def check_signal_name(name: object) -> str:
    """Return the name of a signal.

    Raises:
        InputError: it isn't one.
    """
    is_name = isinstance(name, str) and 0 < len(name) <= MAX_SIGNAL_NAME_LENGTH
    if not isinstance(name, str) or not is_name or not name.isprintable():
        raise InputError(
            f"{name!r:.120} can't be a signal's name",
            hint=f"a name has 1 to {MAX_SIGNAL_NAME_LENGTH} printable characters",
        )
    return name


class Waits:
    """The waits of one call of a task."""

    def __init__(self, now: Callable[[], datetime], before: Sequence[Wait] = ()) -> None:
        """Begin a call.

        Args:
            now: tells the current moment.
            before: the waits that the calls before this one asked for.
        """
        self._now = now
        self._waits = list(before)
        self._next = 0
        self.deferral: Deferral | None = None
        """Raised in this call already, whatever became of it."""

    def sleep_until(self, moment: datetime) -> None:
        """See `Context.sleep_until`."""
        if moment.tzinfo is None:
            raise ValueError(f"a moment needs a time zone, and {moment} has none")
        wait = self._take(Wait(kind=WaitKind.MOMENT))
        if wait is None:
            state = WaitState.DONE if moment <= self._now() else WaitState.OPEN
            wait = self._record(Wait(kind=WaitKind.MOMENT, state=state, until=moment))
        if wait.state is WaitState.OPEN:
            self._defer()

    def sleep(self, duration: timedelta) -> None:
        """See `Context.sleep`."""
        self.sleep_until(self._now() + _checked(duration, "a sleep"))

    def wait_until(
        self, condition: Callable[[], object], every: timedelta, timeout: timedelta | None
    ) -> None:
        """See `Context.wait_until`."""
        if _checked(every, "every") <= timedelta(0):
            raise ValueError("every must be longer than nothing")
        now = self._now()
        wait = self._take(Wait(kind=WaitKind.CONDITION))
        if wait is None:
            deadline = None if timeout is None else now + _checked(timeout, "timeout")
            wait = self._record(Wait(kind=WaitKind.CONDITION, deadline=deadline))
        if wait.state is WaitState.OPEN:
            if condition():
                wait = self._record(replace(wait, state=WaitState.DONE, until=None))
            elif wait.deadline is not None and wait.deadline <= now:
                wait = self._record(replace(wait, state=WaitState.TIMED_OUT, until=None))
            else:
                until = min(now + every, wait.deadline or now + every)
                self._record(replace(wait, until=until))
                self._defer()
        if wait.state is WaitState.TIMED_OUT:
            raise WaitTimeoutError(f"the condition didn't hold until {wait.deadline}")

    def wait_for(self, signal: str, timeout: timedelta | None) -> JsonValue:
        """See `Context.wait_for`."""
        name = check_signal_name(signal)
        wait = self._take(Wait(kind=WaitKind.SIGNAL, signal=name))
        if wait is None:
            until = None if timeout is None else self._now() + _checked(timeout, "timeout")
            wait = self._record(Wait(kind=WaitKind.SIGNAL, signal=name, until=until))
        if wait.state is WaitState.OPEN:
            self._defer()
        if wait.state is WaitState.TIMED_OUT:
            raise WaitTimeoutError(f"signal {name!r} didn't come until {wait.until}")
        return None if wait.payload is None else decode(wait.payload)

    def wait_for_event(self, name: str, where: object, timeout: timedelta | None) -> JsonValue:
        """See `Context.wait_for_event`."""
        now = self._now()
        had = [decode(wait.payload or "")["number"] for wait in self._events_of(name)]
        event = AwaitedEvent(
            name=checked_event_name(name),
            where=Condition.checked(where).text,
            since=now,
            after=max(had, default=0),
        )
        wait = self._take(Wait(kind=WaitKind.EVENT, event=event))
        if wait is None:
            until = None if timeout is None else now + _checked(timeout, "timeout")
            wait = self._record(Wait(kind=WaitKind.EVENT, event=event, until=until))
        if wait.state is WaitState.OPEN:
            self._defer()
        if wait.state is WaitState.TIMED_OUT:
            raise WaitTimeoutError(f"{event} didn't come until {wait.until}")
        return decode(wait.payload or "")["data"]

    def _events_of(self, name: str) -> list[Wait]:
        """Return the waits before this one that had an event of a name."""
        return [
            wait
            for wait in self._waits[: self._next]
            if wait.event is not None and wait.event.name == name and wait.payload is not None
        ]

    def run(self, children: Sequence[Child], *, is_detached: bool) -> tuple[Child, ...]:
        """Return runs once they have ended, or once they have begun when they are detached."""
        asked = Wait(kind=WaitKind.CHILDREN, children=tuple(children), is_detached=is_detached)
        wait = self._take(asked)
        if wait is None:
            wait = self._record(asked)
        if wait.state is WaitState.OPEN:
            self._defer()
        return wait.children

    def _take(self, asked: Wait) -> Wait | None:
        """Return the next wait of the calls before; None when they got no further.

        Raises:
            WaitOrderError: it was for something else.
        """
        self._next += 1
        if self._next > len(self._waits):
            return None
        known = self._waits[self._next - 1]
        if (known.kind, known.what) != (asked.kind, asked.what):
            raise WaitOrderError(
                f"wait {self._next} of this task was for {known.what} before, and is for "
                f"{asked.what} now; a task that is called again must ask for the same waits in the "
                "same order"
            )
        return known

    def _record(self, wait: Wait) -> Wait:
        """Put the current wait in its place."""
        self._waits[self._next - 1 :] = [wait]
        return wait

    def _defer(self) -> None:
        self.deferral = Deferral(self._waits)
        raise self.deferral


def awaited(waits: Sequence[Wait]) -> tuple[Child, ...]:
    """Return the runs that a task with these waits waits for now."""
    if not waits or waits[-1].state is not WaitState.OPEN:
        return ()
    return waits[-1].children


def _checked(duration: object, what: str) -> timedelta:
    if not isinstance(duration, timedelta) or abs(duration) > LONGEST:
        raise ValueError(f"{what} takes a timedelta of at most {LONGEST.days} days")
    return duration


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
