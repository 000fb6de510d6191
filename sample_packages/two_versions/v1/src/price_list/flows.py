"""The workflow `quote`: net prices in, gross price out."""

from dataclasses import dataclass, field

from cloacina_core import Context, Workflow

from price_list import RELEASE
from price_list.tax import RULE, tax_cents


@dataclass(frozen=True, kw_only=True)
class Params:
    """An order."""

    net_cents: list[int] = field(default_factory=lambda: [333, 333, 333])
    """The net price of each line, in cents."""

    tax_percent: int = 20
    """The rate of value added tax."""


quote = Workflow("quote", description="The gross price of an order", params=Params)


@quote.task()
def add_tax(context: Context) -> dict[str, object]:
    """Reckon the tax, rounded on each line."""
    order = context.params
    return {
        "release": RELEASE,
        "rule": RULE,
        "tax_cents": tax_cents(order.net_cents, order.tax_percent),
    }


@quote.task(after=[add_tax])
def add_up(context: Context) -> dict[str, object]:
    """Add the tax to the net prices."""
    return {"gross_cents": sum(context.params.net_cents) + context["tax_cents"]}
