"""The workflow `quote` of release 2.0."""

import pytest
from cloacina_core.testing import run_workflow

from price_list.flows import quote
from price_list.tax import tax_cents


def test_the_tax_is_rounded_on_the_sum() -> None:
    result = run_workflow(quote, {"net_cents": [333, 333, 333], "tax_percent": 20})

    assert result.status == "succeeded"
    assert result.context["release"] == "2.0"
    assert result.context["rule"] == "on the sum"
    assert result.context["tax_cents"] == 200
    assert result.context["gross_cents"] == 1199


@pytest.mark.parametrize(("net", "tax"), [(10, 1), (9, 0), (0, 0)])
def test_half_a_cent_is_rounded_up(net: int, tax: int) -> None:
    assert tax_cents([net], 5) == tax
