"""The slope of a trend by least squares."""

import numpy as np
from numpy.typing import NDArray

RULE = "least squares"


def slope_of(values: NDArray[np.float64]) -> float:
    """Return the slope of the line that is nearest to a series, in values a step."""
    steps = np.arange(len(values))
    slope, _ = np.polyfit(steps, values, deg=1)
    return float(slope)
