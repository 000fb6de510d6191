"""Value added tax, rounded once on the sum. Amounts are whole cents."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

RULE = "on the sum"


def tax_cents(net_cents: Sequence[int], percent: int) -> int:
    """Return the tax on an order: the tax on the sum of its lines, rounded, half a cent up."""
    tax = Decimal(sum(net_cents)) * percent / 100
    return int(tax.quantize(Decimal(1), rounding=ROUND_HALF_UP))
