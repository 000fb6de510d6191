"""Limits that tasks name: how many attempts are at work, and how many start in a period."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import name_problem
from cloacina_core.foundation.period import Period
from cloacina_core.model.concurrency import MAX_LIVE

_RATE = re.compile(r"(?P<starts>[0-9]{1,9})\s*/\s*(?P<period>.+)")
_LONGEST_RATE = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many starts in any period of a length."""

    starts: int
    period: timedelta

    def __post_init__(self) -> None:
        if not 0 < self.starts <= MAX_LIVE or not timedelta(0) < self.period <= _LONGEST_RATE:
            raise ValueError(_RATE_HELP)

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Return the rate that a text such as `10/1m` spells.

        Raises:
            ValueError: it spells none.
        """
        match = _RATE.fullmatch(text.strip())
        period = Period.parse(match["period"]).length if match else None
        if match is None or period is None:
            raise ValueError(_RATE_HELP)
        return cls(int(match["starts"]), period)

    def __str__(self) -> str:
        return f"{self.starts}/{Period(self.period)}"


_RATE_HELP = "a rate is a number of starts and a length of up to 31 days, such as 10/1m or 100/1h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What an operator allows the tasks that name it, over all engines."""

    name: str
    size: int | None = None
    """How many of their attempts may be at work at a time; None: as many as like."""
    rate: Rate | None = None
    """How many of their attempts may start in a while; None: as many as like."""

    @classmethod
    def checked(cls, name: str, size: int | None = None, rate: str | None = None) -> "Limit":
        """Return a limit.

        Raises:
            InputError: the name, size or rate can't be used, or there is neither.
        """
        wrong_name = name_problem(name, "limit")
        if wrong_name:
            raise InputError(wrong_name)
        if size is None and rate is None:
            raise InputError(
                f"limit {name!r} has neither a size nor a rate",
                hint=f"let it through again with: cloacina limits remove {name}",
            )
        if size is not None and (type(size) is not int or not 0 <= size <= MAX_LIVE):
            raise InputError(f"the size of a limit is a whole number from 0, not {size!r}")
        try:
            return cls(name=name, size=size, rate=None if rate is None else Rate.parse(rate))
        except ValueError as error:
            raise InputError(f"rate {rate!r} can't be used: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """A limit as listings show it."""

    limit: Limit
    at_work: int
    """How many attempts are at work."""
    started: int
    """How many started in the last period of its rate; 0 without one."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the limit as a JSON object, as `limits list --json` prints it."""
        return {
            "name": self.limit.name,
            "size": self.limit.size,
            "rate": None if self.limit.rate is None else str(self.limit.rate),
            "at_work": self.at_work,
            "started": self.started,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an attempt isn't let in now."""

    limit: str
    again_in: timedelta | None = None
    """When the rate allows another start; None: once an attempt ends."""


class Room:
    """How much room limits have at one moment. Letting one in takes some of it."""

    def __init__(
        self,
        limits: Mapping[str, Limit],
        at_work: Mapping[str, int],
        starts: Mapping[str, list[int]],
        now: int,
    ) -> None:
        """Take stock.

        Args:
            limits: by name.
            at_work: how many attempts are at work for each of them, where there are any.
            starts: when attempts started for those with a rate, the earliest first.
            now: the moment, as the starts in microseconds.
        """
        self._limits = limits
        self._at_work = dict(at_work)
        self._starts = {name: list(moments) for name, moments in starts.items()}
        self._now = now

    def let_in(self, names: Collection[str], *, is_start: bool) -> Refusal | None:
        """Let an attempt in, or tell why it can't be; one that goes on after a wait is no start."""
        limits = [self._limits[name] for name in names if name in self._limits]
        for limit in limits:
            refusal = self._refusal(limit, is_start=is_start)
            if refusal is not None:
                return refusal
        for limit in limits:
            self._at_work[limit.name] = self._at_work.get(limit.name, 0) + 1
            if is_start:
                self._starts.setdefault(limit.name, []).append(self._now)
        return None

    def _refusal(self, limit: Limit, *, is_start: bool) -> Refusal | None:
        if limit.size is not None and self._at_work.get(limit.name, 0) >= limit.size:
            return Refusal(limit.name)
        if limit.rate is None or not is_start:
            return None
        period = limit.rate.period // timedelta(microseconds=1)
        recent = [at for at in self._starts.get(limit.name, ()) if at > self._now - period]
        if len(recent) < limit.rate.starts:
            return None
        again = recent[-limit.rate.starts] + period - self._now
        return Refusal(limit.name, timedelta(microseconds=again))
