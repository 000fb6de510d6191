"""From values to places on a page, and the round values worth a label."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values evenly between two places: `Scale(0, 30, 200, 0)(15)` is 100."""

    lowest: float
    highest: float
    start: float
    """Where the lowest value is."""
    end: float
    """Where the highest value is."""

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        share = (value - self.lowest) / (self.highest - self.lowest)
        return self.start + share * (self.end - self.start)


def round_ticks(lowest: float, highest: float, *, about: int = 6) -> list[float]:
    """Return evenly spaced round values that enclose a range.

    The steps between them are 1, 2 or 5 times a power of 10.

    Args:
        lowest: the lowest value that must fit between the first tick and the last.
        highest: the highest one; when it is the same, there are still two ticks.
        about: how many ticks would be nice.
    """
    span = max(highest - lowest, 1e-9)
    raw = span / max(about - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(lowest / step), math.ceil(highest / step)
    last = max(last, first + 1)
    return [number * step for number in range(first, last + 1)]
