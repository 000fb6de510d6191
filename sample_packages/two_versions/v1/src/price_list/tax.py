"""Value added tax, rounded on each line. Amounts are whole cents."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

RULE = "on each line"


def tax_cents(net_cents: Sequence[int], percent: int) -> int:
    """Return the tax on an order: each line's tax is rounded, half a cent up, then added up."""
    return sum(_rounded(Decimal(net) * percent / 100) for net in net_cents)


def _rounded(cents: Decimal) -> int:
    return int(cents.quantize(Decimal(1), rounding=ROUND_HALF_UP))
