"""Maintenance windows: times that come again, in which schedules start nothing. Pure."""

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue, canonical, decode
from cloacina_core.foundation.names import name_problem
from cloacina_core.foundation.period import Period
from cloacina_core.model.schedule.cron import CronExpression
from cloacina_core.model.schedule.firing import Timing
from cloacina_core.model.schedule.zone import find_zone

LONGEST: Final = timedelta(days=31)
_MOST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Window:
    """When a window opens, and how long it stays open; written `0 22 * * SAT for 6h`."""

    timing: Timing
    length: timedelta
    name: str | None = None
    """Of one that holds for all schedules."""

    @classmethod
    def parse(cls, text: str, zone: tzinfo, name: str | None = None) -> "Window":
        """Return the window that a text spells.

        Args:
            text: a cron expression that says when it opens, `for`, and a length.
            zone: on whose clock it opens.
            name: of a window that holds for all.

        Raises:
            InputError: it spells none.
        """
        if not isinstance(text, str) or len(text) > _MOST_TEXT:
            raise InputError(f"a maintenance window is a text of up to {_MOST_TEXT} characters")
        cron, found, length = text.rpartition(" for ")
        try:
            period = Period.parse(length).length if found else None
        except ValueError:
            period = None
        if period is None or period > LONGEST:
            raise InputError(
                f"{text!r} isn't a maintenance window",
                hint=f"write when it opens and for how long, up to {Period(LONGEST)}: "
                "'0 22 * * SAT for 6h'",
            )
        return cls(Timing(CronExpression.parse(cron), zone), period, name)

    def __str__(self) -> str:
        return f"{self.timing.expression} for {Period(self.length)}"

    def is_open_at(self, moment: datetime) -> bool:
        """Whether it is open at a moment."""
        opening = next(self.timing.firings(moment - self.length), None)
        return opening is not None and opening.utc <= moment

    def spans(self, since: datetime, until: datetime) -> "Iterable[Span]":
        """Yield the times in which it is open that begin up to a moment and end behind another."""
        what = f"maintenance window {self.name or self}"
        openings = self.timing.firings(since - self.length)
        for opening in itertools.takewhile(lambda one: one.utc <= until, openings):
            yield Span(opening.utc, opening.utc + self.length, what)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A time in which nothing is started: its first moment belongs to it, its end doesn't."""

    begins: datetime
    ends: datetime
    what: str
    """Which window that is."""


def spans_of(windows: Iterable[Window], since: datetime, until: datetime) -> Sequence[Span]:
    """Return the times in which any of some windows is open, in order and apart from each other.

    Args:
        windows: the windows.
        since: all end behind this moment.
        until: all begin up to this moment.
    """
    apart: list[Span] = []
    for span in sorted(span for window in windows for span in window.spans(since, until)):
        if apart and span.begins <= apart[-1].ends:
            last = apart[-1]
            apart[-1] = Span(last.begins, max(last.ends, span.ends), last.what)
        else:
            apart.append(span)
    return apart


def span_at(spans: Sequence[Span], moment: datetime) -> Span | None:
    """Return the one of some spans, which are in order and apart, that a moment is in."""
    place = bisect.bisect_right(spans, moment, key=lambda span: span.begins) - 1
    return spans[place] if place >= 0 and moment < spans[place].ends else None


def open_until(windows: Iterable[Window], moment: datetime) -> datetime | None:
    """Return when the windows that are open at a moment are closed again; None: none is open."""
    spans = spans_of(windows, moment, moment)
    return spans[-1].ends if spans else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonWindow:
    """A window that holds for all schedules of a store."""

    name: str
    when: str
    timezone: str

    @classmethod
    def checked(cls, name: str, when: str, timezone: str = "UTC") -> "CommonWindow":
        """Return a window whose every part can be used.

        Raises:
            InputError: a part can't be used.
        """
        if wrong := name_problem(name, "window"):
            raise InputError(wrong)
        window = Window.parse(when, find_zone(timezone))
        return cls(name=name, when=str(window), timezone=timezone)

    @property
    def window(self) -> Window:
        """When it is open."""
        return Window.parse(self.when, find_zone(self.timezone), self.name)

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {"name": self.name, "when": self.when, "timezone": self.timezone}

    def to_text(self) -> str:
        """Return it as the JSON text that `from_text` reads."""
        return canonical(self.to_json())

    @classmethod
    def from_text(cls, text: str) -> "CommonWindow":
        """Return what `to_text` told of."""
        data: Any = decode(text)
        return cls(**data)
