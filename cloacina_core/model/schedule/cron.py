"""Cron expressions, read strictly.

Five fields mean what cronie says they mean (crontab(5)); a sixth before them is the second. `L`,
`#` and `W` are understood where they are written. What is ambiguous, what programs understand
differently, and what can never fire is refused, with the field that is to blame.

1. A number is one or two ASCII digits within the bounds of its field. Months and days of the week
   have English names of three letters, in any case. Sunday is 0, and 7.
2. `A-B` goes upwards: `22-2` would never fire in cronie, and wraps round elsewhere.
3. A step stands behind `*` or a range, and fits into it: `5/15` isn't cron, `*/70` is a mistake.
4. The day of the month and the day of the week must both fit when one of them begins with `*`;
   otherwise one of them is enough. So it is in cronie, whatever comes behind the `*`.
5. `L` is the last day of the month, `15W` the weekday nearest to the 15th, `5L` the last Friday and
   `5#2` the second. They stand alone, or in a list of their kind.
6. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` stand for what
   crontab(5) says. `@reboot` is no moment, and refused; so are `?`, `R`, `H` and years.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from croniter import CroniterBadDateError, croniter

from cloacina_core.errors import InputError

MAX_LENGTH = 256
"""In characters."""
WEEK_SECONDS = 7 * 24 * 3600

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SUNDAY_AGAIN = 7
_MOST_WEEKS = 5

_NICKNAMES: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_EITHER = (
    "day of the month and day of the week are both restricted: a day that fits one of them is"
    " enough, as in cronie"
)
_START_OF_ALL_CALENDARS = datetime(2000, 1, 1)  # noqa: DTZ001 - of a wall clock
_YEARS_OF_ALL_CALENDARS = 41
"""In so many years each date falls on each day of the week, also where 2100 is among them."""


class CronExpressionError(InputError):
    """A cron expression can't be used."""

    code = "bad-cron-expression"

    def __init__(self, kind: str, field: str, message: str, *, hint: str | None = None) -> None:
        """Refuse an expression.

        Args:
            kind: what sort of fault: `syntax`, `range`, `step`, `unsupported`, `ambiguous` or
                `never`.
            field: the field that is to blame: `minute`, `day-of-week`; `expression` for all of it.
            message: what is wrong.
            hint: what to write instead.
        """
        where = "" if field == "expression" else f", {field}"
        super().__init__(f"cron expression{where}: {message}", hint=hint)
        self.kind = kind
        self.field = field

    def facts(self) -> Mapping[str, str]:
        """Return the kind of the fault and the field."""
        return {"kind": self.kind, "field": self.field}


@dataclass(frozen=True, slots=True)
class _Field:
    """The bounds and names of one field."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    """Of the values from `low` on."""

    def refuse(self, kind: str, message: str, *, hint: str | None = None) -> NoReturn:
        raise CronExpressionError(kind, self.name, message, hint=hint)

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.low
        if not re.fullmatch(r"[0-9]{1,2}", text):
            self.refuse("syntax", f"{text[:20]!r} isn't a {self._kind_of_value}")
        value = int(text)
        if not self.low <= value <= self.high:
            self.refuse("range", f"{value} isn't between {self.low} and {self.high}")
        return value

    @property
    def _kind_of_value(self) -> str:
        return f"number or a name such as {self.names[0].upper()}" if self.names else "number"

    def values(self, text: str) -> frozenset[int]:
        """Return the values that a list of numbers, ranges and steps stands for."""
        found: set[int] = set()
        for part in text.split(","):
            found |= self._values_of_part(part)
        return frozenset(found)

    def _values_of_part(self, part: str) -> set[int]:
        span, slash, step_text = part.partition("/")
        if span == "*":
            low, high = self.low, self.high
        elif "-" in span:
            low, high = map(self.number, self._ends(span))
            if self.name == "day-of-week" and high == 0 and span.rpartition("-")[2].isalpha():
                high = _SUNDAY_AGAIN  # fri-sun
            if low > high:
                hint = f"write {low}-{self.high},{self.low}-{high}" if self.low <= high else None
                self.refuse("range", f"{span[:20]!r} goes downwards", hint=hint)
        elif slash:
            hint = f"write {span}-{self.high}/{step_text}"
            self.refuse("ambiguous", f"{part[:20]!r} has a step and no range", hint=hint)
        else:
            return {self.number(span)}
        return set(range(low, high + 1, self._step(step_text, high - low + 1) if slash else 1))

    def _ends(self, span: str) -> tuple[str, str]:
        low, _, high = span.partition("-")
        if "-" in high:
            self.refuse("syntax", f"{span[:20]!r} isn't a range")
        return low, high

    def _step(self, text: str, room: int) -> int:
        if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) == 0:
            self.refuse("step", f"{text[:20]!r} isn't a step, a number from 1 on")
        if int(text) > room:
            self.refuse("step", f"a step of {text} is wider than the range that it is in")
        return int(text)


_SECOND = _Field("second", 0, 59)
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY_OF_MONTH = _Field("day-of-month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_DAY_OF_WEEK = _Field("day-of-week", 0, _SUNDAY_AGAIN, _WEEKDAYS)
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY_OF_MONTH, _MONTH, _DAY_OF_WEEK)
_MINUTES_ON = len(_FIELDS) - 1


@dataclass(frozen=True)
class CronExpression:
    """A cron expression that was read. `parse` makes it."""

    text: str
    """As it was written, without space around it."""
    parts: tuple[str, ...]
    """Of the six fields, in the words of the library that iterates."""
    is_fixed: bool
    """Whether it names hours and minutes, as jobs do that are to run so and so often a day; one
    with a `*` there follows the clock on the wall instead."""
    either_day: bool
    """Whether the day of the month or that of the week is enough."""

    @classmethod
    def parse(cls, text: str) -> "CronExpression":
        """Return the expression that a text is.

        Raises:
            CronExpressionError: it isn't one, is ambiguous, or can never fire.
        """
        stripped = text.strip(" \t")
        if len(text) > MAX_LENGTH:
            _refuse("syntax", f"{len(text)} characters are too many; {MAX_LENGTH} are allowed")
        fields = _split(stripped)
        texts = dict(zip(_FIELDS, fields, strict=True))
        for field, value in texts.items():
            if not re.fullmatch(r"[0-9A-Za-z*/,#-]+", value):
                hint = "write *" if value == "?" else None
                kind = "unsupported" if value == "?" else "syntax"
                field.refuse(kind, f"{value[:20]!r} has characters that aren't cron's", hint=hint)
        either = "*" not in {texts[_DAY_OF_MONTH][0], texts[_DAY_OF_WEEK][0]}
        days, weekdays = _day_of_month(texts[_DAY_OF_MONTH]), _day_of_week(texts[_DAY_OF_WEEK])
        if either and "*" in {days, weekdays}:  # one of them is always enough
            days = weekdays = "*"
        clock = tuple(_plain(field, texts[field]) for field in (_SECOND, _MINUTE, _HOUR))
        expression = cls(
            text=stripped,
            parts=(*clock, days, _plain(_MONTH, texts[_MONTH]), weekdays),
            is_fixed=not any(texts[field].startswith("*") for field in (_SECOND, _MINUTE, _HOUR)),
            either_day=either,
        )
        expression._check_fires()
        return expression

    def __str__(self) -> str:
        return self.text

    @property
    def notes(self) -> tuple[str, ...]:
        """What surprises in it."""
        return (_EITHER,) if self.either_day else ()

    def wall_times(self, start: datetime) -> Iterator[datetime]:
        """Yield the moments of a wall clock that fit, from a moment on, in order.

        Args:
            start: naive; it is yielded when it fits.
        """
        steps = croniter(
            " ".join(self.parts),
            start.replace(microsecond=0) - timedelta(seconds=1),
            ret_type=datetime,
            day_or=self.either_day,
            second_at_beginning=True,
            max_years_between_matches=_YEARS_OF_ALL_CALENDARS,
        )
        with suppress(CroniterBadDateError, ValueError, OverflowError):  # no such date, or year
            while True:
                moment: datetime = steps.get_next(datetime)
                if moment >= start:
                    yield moment

    def seconds_of_week(self) -> tuple[Sequence[int], bool]:
        """Return the seconds of a week, counted from Sunday at midnight, that may fit.

        Returns:
            The seconds, in order, and whether they fit in each week, whatever the date.
        """
        clock, (days, month, weekdays) = self.parts[:3], self.parts[3:]
        is_each_week = (days, month) == ("*", "*") and re.fullmatch(r"[*0-9,]+", weekdays)
        on = "*" if self.either_day or not is_each_week else weekdays
        second, minute, hour = map(_numbers, clock, (60, 60, 24))
        seconds = [
            ((day * 24 + h) * 60 + m) * 60 + s
            for day in _numbers(on, 7)
            for h in hour
            for m in minute
            for s in second
        ]
        return seconds, bool(is_each_week)

    def _check_fires(self) -> None:
        """Refuse an expression that no date fits."""
        if next(self.wall_times(_START_OF_ALL_CALENDARS), None) is None:
            days, month = self.parts[3], self.parts[4]
            message = f"month {month} never has a day {days} that fits"
            raise CronExpressionError("never", _DAY_OF_MONTH.name, message)


def _numbers(part: str, count: int) -> Sequence[int]:
    """Return the numbers that a part in the words of the library stands for."""
    return range(count) if part == "*" else [int(number) for number in part.split(",")]


def _refuse(kind: str, message: str, *, hint: str | None = None) -> NoReturn:
    raise CronExpressionError(kind, "expression", message, hint=hint)


def _split(text: str) -> list[str]:
    if text.startswith("@"):
        if text not in _NICKNAMES:
            kind = "unsupported" if text.lower() == "@reboot" else "syntax"
            _refuse(kind, f"there is no {text[:20]!r}", hint=f"there are: {', '.join(_NICKNAMES)}")
        text = _NICKNAMES[text]
    fields = re.split(r"[ \t]+", text) if text else []
    if len(fields) == _MINUTES_ON:
        return ["0", *fields]
    if len(fields) != len(_FIELDS):
        hint = "write minute, hour, day of the month, month, day of the week"
        _refuse("syntax", f"it has {len(fields)} fields, not 5, or 6 with seconds first", hint=hint)
    return fields


def _plain(field: _Field, text: str) -> str:
    """Return the values of a field as a list, or `*` for all of them."""
    values = field.values(text)
    everything = len(values) == field.high - field.low + 1
    return "*" if everything else ",".join(map(str, sorted(values)))


def _day_of_month(text: str) -> str:
    if text.upper() == "L":
        return "L"
    if nearest := re.fullmatch(r"([0-9]{1,2})[Ww]", text):
        return f"{_DAY_OF_MONTH.number(nearest[1])}W"
    if re.search(r"[LlWw#]", text):
        message = f"{text[:20]!r}: L and 15W stand alone, and # belongs to the day of the week"
        _DAY_OF_MONTH.refuse("unsupported", message)
    return _plain(_DAY_OF_MONTH, text)


def _day_of_week(text: str) -> str:
    parts = text.split(",")
    special = [_special_weekday(part) for part in parts]
    if all(special):
        return ",".join(filter(None, special))
    if any(special):
        message = f"{text[:20]!r} mixes days of each week with days of some weeks"
        _DAY_OF_WEEK.refuse("unsupported", message, hint="make two schedules of it")
    days = {day % _SUNDAY_AGAIN for day in _DAY_OF_WEEK.values(text)}
    return "*" if len(days) == _SUNDAY_AGAIN else ",".join(map(str, sorted(days)))


def _special_weekday(part: str) -> str | None:
    """Return `5#2` or `5L` in the words of the library; None for other parts."""
    if last := re.fullmatch(r"([0-9]|[A-Za-z]{3})[Ll]", part):
        return f"L{_DAY_OF_WEEK.number(last[1]) % _SUNDAY_AGAIN}"
    if nth := re.fullmatch(r"([0-9]|[A-Za-z]{3})#([0-9])", part):
        if not 1 <= int(nth[2]) <= _MOST_WEEKS:
            _DAY_OF_WEEK.refuse("range", f"{part!r}: a month has no such week")
        return f"{_DAY_OF_WEEK.number(nth[1]) % _SUNDAY_AGAIN}#{nth[2]}"
    return None
