"""Lengths of time as people write them in settings: `30d`, `12h`, `forever`."""

import re
from dataclasses import dataclass
from datetime import timedelta

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_TEXT = re.compile(r"(?P<count>[0-9]{1,9})\s*(?P<unit>[dhms])")
_FOREVER = "forever"


@dataclass(frozen=True, slots=True)
class Period:
    """A length of time that may have no end."""

    length: timedelta | None
    """None: for ever."""

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Return the period that a text spells.

        Raises:
            ValueError: it spells none.
        """
        text = text.strip().lower()
        if text in ("0", _FOREVER):
            return cls(None)
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("it takes a length such as 30d, 12h or 90m, or forever")
        seconds = int(match["count"]) * _UNITS[match["unit"]]
        if not seconds:
            return cls(None)
        return cls(timedelta(seconds=seconds))

    def __str__(self) -> str:
        if self.length is None:
            return _FOREVER
        seconds = int(self.length.total_seconds())
        unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0)
        return f"{seconds // _UNITS[unit]}{unit}"
