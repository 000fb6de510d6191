"""Channels: names for the release that is to run now, and the release that is tried out beside it.

A channel moves when people say so, never by an upload. While a canary is tried out, a share of the
runs that ask for the channel gets it: which ones follows from their ids alone, so that nothing has
to be counted or remembered, and asking twice for one run gives one answer.
"""

import hashlib
import re
from dataclasses import dataclass

from cloacina_core.foundation.digest import Digest
from cloacina_core.model.release import Resolution, ResolvedBy

MAX_CHANNEL_NAME = 50
_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{MAX_CHANNEL_NAME - 1}}}")

HUNDREDTHS = 10_000
"""How many hundredths of a percent are all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A release that is tried out in a channel."""

    version: str
    digest: Digest
    share: int
    """How many of 10,000 runs get it: a percentage in hundredths."""

    def takes(self, key: str) -> bool:
        """Whether a run gets it. A run that gets it at some share gets it at every larger one.

        Args:
            key: the run's idempotency key, or else its id.
        """
        drawn = hashlib.sha256(f"{self.digest}\n{key}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") % HUNDREDTHS < self.share


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where a channel points."""

    package: str
    name: str
    revision: int
    """Counts the changes of the channel, from 1."""
    version: str
    digest: Digest
    canary: Canary | None = None

    def resolution(self, by: ResolvedBy) -> Resolution:
        """Return what a run keeps of how it came to its release through this channel."""
        return Resolution(by, self.name, self.revision)

    def __str__(self) -> str:
        return f"{self.package}@{self.name}"


def is_channel_name(text: str) -> bool:
    """Whether a text can be the name of a channel."""
    return _NAME.fullmatch(text) is not None
