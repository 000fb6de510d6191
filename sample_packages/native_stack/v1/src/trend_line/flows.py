"""The workflow `fit`: a series of numbers in, the slope of its trend out."""

from dataclasses import dataclass, field

import numpy as np
from cloacina_core import Context, Workflow

from trend_line import RELEASE
from trend_line.slope import RULE, slope_of


@dataclass(frozen=True, kw_only=True)
class Params:
    """Numbers at equal distances."""

    series: list[float] = field(default_factory=lambda: [1.0, 2.0, 3.0, 4.0, 100.0])


fit = Workflow("fit", description="The slope of a trend", params=Params)


@fit.task()
def lay_line(context: Context) -> dict[str, object]:
    """Lay a line through the series."""
    slope = slope_of(np.asarray(context.params.series))
    return {"release": RELEASE, "numpy": np.__version__, "rule": RULE, "slope": round(slope, 2)}


@fit.task(after=[lay_line])
def describe(context: Context) -> dict[str, object]:
    """Say it in a line."""
    return {"report": f"{context['slope']:+.2f} a step, by {context['rule']}"}
