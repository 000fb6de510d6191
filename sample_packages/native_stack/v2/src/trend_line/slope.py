"""The slope of a trend by the estimator of Theil (1950) and Sen (1968)."""

import numpy as np
from numpy.typing import NDArray

RULE = "the median of slopes"


def slope_of(values: NDArray[np.float64]) -> float:
    """Return the median of the slopes between each two points of a series, in values a step."""
    first, second = np.triu_indices(len(values), k=1)
    return float(np.median((values[second] - values[first]) / (second - first)))
