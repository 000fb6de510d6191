"""The workflow `customers`: fetch them, then count them by country."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from cloacina_core import Context, RetryPolicy, Workflow

from customer_list.service import Session


@dataclass(frozen=True, kw_only=True)
class Params:
    """What a run is told."""

    service: str
    """Where the service is, as `https://crm.example.org`."""
    user: str
    """Who signs in."""


customers = Workflow(
    "customers",
    description="Customers of the CRM, by country",
    params=Params,
    secrets=["crm-password"],
)


@customers.task(
    timeout=timedelta(minutes=5),
    retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=5), retry_on=[OSError]),
)
def fetch(context: Context) -> dict[str, object]:
    """Sign in and read all customers."""
    params = context.params
    session = Session.begin(params.service, params.user, context.secret("crm-password"))
    return {"customers": list(session.customers())}


@customers.task(after=[fetch])
def count(context: Context) -> dict[str, object]:
    """Count them in each country."""
    countries = Counter(customer["country"] for customer in context["customers"])
    return {"by_country": dict(sorted(countries.items()))}
