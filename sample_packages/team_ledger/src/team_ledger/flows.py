"""The workflow `ledger`: add entries up, then sign the total with the team's token."""

import hashlib
import hmac
from dataclasses import dataclass, field

from cloacina_core import Context, Workflow


@dataclass(frozen=True, kw_only=True)
class Params:
    """What is to be booked."""

    entries: list[int] = field(default_factory=list)
    """Amounts, in cents; below zero what was paid out."""

    signed: bool = False
    """Whether the total is to be signed."""


ledger = Workflow(
    "ledger",
    description="Book entries, and sign their total",
    params=Params,
    secrets=("ledger-token",),
)


@ledger.task()
def add_up(context: Context) -> dict[str, object]:
    """Add the entries up."""
    return {"total": sum(context.params.entries)}


@ledger.task(after=[add_up])
def sign(context: Context) -> dict[str, object]:
    """Sign the total, so that the bank knows whose it is."""
    if not context.params.signed:
        return {"signature": None}
    token = context.secret("ledger-token")
    digest = hmac.new(token.encode(), str(context["total"]).encode(), hashlib.sha256)
    return {"signature": digest.hexdigest()}
