"""What senders and their callers share: a try, and what became of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A notification, as it goes to one destination."""

    id: str
    """The same at each try: who gets it twice knows it again."""
    body: str
    """JSON text, in ASCII and in one line."""


class SendError(Exception):
    """A try failed.

    Attributes:
        wait: how long the destination wants to be left alone; None when it didn't say.
        is_gone: whether it wants nothing any more.
    """

    def __init__(
        self, problem: str, *, wait: timedelta | None = None, is_gone: bool = False
    ) -> None:
        super().__init__(problem)
        self.wait = wait
        self.is_gone = is_gone


class Sender(Protocol):
    """Brings messages to one destination."""

    def send(self, message: Message, now: datetime) -> None:
        """Bring a message there, within the time limit of the destination.

        Args:
            message: to bring.
            now: the moment of this try; aware.

        Raises:
            Exception: it didn't arrive, or nobody knows; SendError when there is more to say.
        """
        ...


def delay(attempt: int, first: float, chance: float) -> timedelta:
    """Return how long after a failed try the next one follows.

    It grows fourfold with each try, up to six hours, and up to a quarter more by chance, so that
    what failed together isn't tried together. With the usual settings, twelve tries take a day and
    a half.

    Args:
        attempt: the number of the try that failed, from 1.
        first: seconds after the first one.
        chance: from 0 up to 1.
    """
    longest = 6 * 3600.0
    seconds = min(first * 4.0 ** min(attempt - 1, 20), longest)
    return timedelta(seconds=seconds * (1 + chance / 4))
