"""The workflow `fit` of release 1.0."""

import numpy as np
import pytest
from cloacina_core.testing import run_workflow

from trend_line.flows import fit
from trend_line.slope import slope_of


def test_one_wild_value() -> None:
    result = run_workflow(fit, {"series": [1, 2, 3, 4, 100]})

    assert result.status == "succeeded"
    assert result.context["release"] == "1.0"
    assert result.context["slope"] == 20.0
    assert result.context["report"] == "+20.00 a step, by least squares"


def test_a_straight_line_has_its_own_slope() -> None:
    assert slope_of(np.arange(10) * -0.5) == pytest.approx(-0.5)
