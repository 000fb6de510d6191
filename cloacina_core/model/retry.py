"""How often a failed task is tried again, for which failures, and how long we wait in between.

Pure: the caller brings the random number, so a test can bring its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from cloacina_core.foundation.names import plain_module

LONGEST = timedelta(days=3650)
"""No pause or time limit is longer: further ahead, dates come to an end."""

TRANSIENT = "transient"
"""In `retry_on`: failures that time may mend, see `is_transient`."""

_TRANSIENT_TYPES = (ConnectionError, TimeoutError, InterruptedError, BlockingIOError)


class TransientError(Exception):
    """Raise it (or a subclass) in a task to say: trying again later may help."""


def is_transient(error: BaseException) -> bool:
    """Whether time may mend a failure.

    True for `TransientError`, for the standard library's connection and time-out errors, and for
    an error whose attribute `transient` is true.
    """
    if isinstance(error, (TransientError, *_TRANSIENT_TYPES)):
        return True
    try:
        return getattr(error, "transient", None) is True
    except Exception:  # noqa: BLE001 - a user's property may raise anything
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to try a task again. The default is never."""

    max_attempts: int = 1
    """Attempts in all, the first included; 1 means never again."""

    first_delay: timedelta = timedelta(seconds=1)
    """Pause before the second attempt."""

    longest_delay: timedelta = timedelta(minutes=5)
    """No pause is longer than this, jitter included."""

    backoff: Literal["exponential", "linear", "constant"] = "exponential"
    """How pauses grow: by `factor` each time, by `first_delay` each time, or not at all."""

    factor: float = 2.0
    """What an exponential pause is multiplied by each time."""

    jitter: float = 0.25
    """Each pause is lengthened by a random share of itself between 0 and this, so that tasks that
    failed together don't come back together."""

    retry_on: tuple[type[BaseException] | str, ...] = ()
    """Failures worth another attempt: exception classes, their names (`"TimeoutError"`,
    `"requests.exceptions.Timeout"`), patterns of names (`"requests.exceptions.*"`), or
    `"transient"`; subclasses count. Empty means all."""

    retry_on_message: tuple[str, ...] = ()
    """Texts of which one must stand in the message, in upper or lower case. Empty means any."""

    def __post_init__(self) -> None:
        for name in ("retry_on", "retry_on_message"):
            given = getattr(self, name)
            several = isinstance(given, Iterable) and not isinstance(given, str | type)
            object.__setattr__(self, name, tuple(given) if several else (given,))

    def problems(self) -> Iterable[str]:
        """Yield what is wrong with the policy."""
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            yield f"max_attempts must be a whole number, 1 or more, not {self.max_attempts!r}"
        for name in ("first_delay", "longest_delay"):
            delay = getattr(self, name)
            if not isinstance(delay, timedelta):
                yield f"{name} must be a timedelta, not {delay!r}"
            elif not timedelta(0) <= delay <= LONGEST:
                yield f"{name} must be between nothing and {LONGEST.days} days"
        if self.backoff not in ("exponential", "linear", "constant"):
            yield f"backoff must be 'exponential', 'linear' or 'constant', not {self.backoff!r}"
        if not _is_between(1, self.factor, 1000):
            yield f"factor must be between 1 and 1000, not {self.factor!r}"
        if not _is_between(0, self.jitter, 1):
            yield f"jitter must be between 0 and 1, not {self.jitter!r}"
        for condition in self.retry_on:
            if not isinstance(condition, str) and not (
                isinstance(condition, type) and issubclass(condition, BaseException)
            ):
                yield f"retry_on takes exception classes and names, not {condition!r}"
        for text in self.retry_on_message:
            if not isinstance(text, str):
                yield f"retry_on_message takes texts, not {text!r}"

    def delay_after(self, attempt: int, *, chance: float) -> timedelta | None:
        """Return the pause after a failed attempt, or None to give up.

        Args:
            attempt: how many attempts have failed so far, 1 or more.
            chance: a random number in [0, 1), which the jitter uses.
        """
        if attempt >= self.max_attempts:
            return None
        seconds = self.first_delay.total_seconds()
        if self.backoff == "exponential":
            seconds *= min(self.factor ** min(attempt - 1, 100), 1e12)  # no float overflow
        elif self.backoff == "linear":
            seconds *= attempt
        seconds *= 1 + self.jitter * chance
        return timedelta(seconds=min(seconds, self.longest_delay.total_seconds()))

    def wants(self, error: BaseException) -> bool:
        """Whether a failure is one of those worth another attempt."""
        if self.retry_on and not any(_matches(error, condition) for condition in self.retry_on):
            return False
        return not self.retry_on_message or self._wants_message(_message(error))

    def wants_kind(self, kind: str, message: str) -> bool:
        """Whether a failure that is no exception is one of those worth another attempt.

        Args:
            kind: what sort of failure it is, as `worker-crashed`.
            message: why it failed.
        """
        conditions = [condition for condition in self.retry_on if isinstance(condition, str)]
        if self.retry_on and not any(fnmatchcase(kind, pattern) for pattern in conditions):
            return False
        return not self.retry_on_message or self._wants_message(message)

    def _wants_message(self, message: str) -> bool:
        told = message.casefold()
        return any(text.casefold() in told for text in self.retry_on_message)

    def to_json(self) -> dict[str, Any]:
        """Return the policy as a JSON object; lengths of time are in seconds."""
        return {
            "max_attempts": self.max_attempts,
            "first_delay": self.first_delay.total_seconds(),
            "longest_delay": self.longest_delay.total_seconds(),
            "backoff": self.backoff,
            "factor": self.factor,
            "jitter": self.jitter,
            "retry_on": [_condition_name(condition) for condition in self.retry_on],
            "retry_on_message": list(self.retry_on_message),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RetryPolicy":
        """Return the policy that `to_json` described; classes stay names."""
        return cls(
            max_attempts=data["max_attempts"],
            first_delay=timedelta(seconds=data["first_delay"]),
            longest_delay=timedelta(seconds=data["longest_delay"]),
            backoff=data["backoff"],
            factor=data["factor"],
            jitter=data["jitter"],
            retry_on=tuple(data["retry_on"]),
            retry_on_message=tuple(data["retry_on_message"]),
        )


def _is_between(least: float, number: object, most: float) -> bool:
    return (
        isinstance(number, int | float) and not isinstance(number, bool) and least <= number <= most
    )


def _condition_name(condition: type[BaseException] | str) -> str:
    if isinstance(condition, str):
        return condition
    return qualified_name(condition)


def qualified_name(kind: type) -> str:
    """Return a class's name with its module as its author knows it, but without `builtins`."""
    module = plain_module(kind.__module__)
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _matches(error: BaseException, condition: type[BaseException] | str) -> bool:
    if not isinstance(condition, str):
        return isinstance(error, condition)
    if condition == TRANSIENT:
        return is_transient(error)
    return any(
        fnmatchcase(kind.__name__, condition) or fnmatchcase(qualified_name(kind), condition)
        for kind in type(error).__mro__
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return ""
