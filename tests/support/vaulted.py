"""Workflows that ask for a secret, and one that doesn't. Copied to where workers look."""

from datetime import timedelta

from cloacina_core import Context, RetryPolicy, Workflow

asking = Workflow("asking", secrets=("crm",))
hasty = Workflow("hasty", secrets=("crm",))
patient = Workflow("patient", secrets=("crm",))
unconcerned = Workflow("unconcerned")


@asking.task(retry=RetryPolicy(max_attempts=3, first_delay=timedelta(milliseconds=1), jitter=0.0))
def sign_in(context: Context) -> dict[str, object]:
    return {"length": len(context.secret("crm"))}


@hasty.task(timeout=timedelta(milliseconds=300))
def sign_in_quickly(context: Context) -> None:
    context.secret("crm")


@patient.task
async def sign_in_on_a_loop(context: Context) -> dict[str, object]:
    return {"length": len(context.secret("crm"))}


@unconcerned.task
async def do_without(context: Context) -> dict[str, object]:
    return {"done": True}
