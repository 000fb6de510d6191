"""Workflows of a release that runs in workers. Copied to where workers look."""

import asyncio
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from cloacina_core import Context, Fire, Poll, RetryPolicy, Workflow, fire

SHORT = 0.005
SOON = RetryPolicy(max_attempts=3, first_delay=timedelta(milliseconds=10), jitter=0.0)
LARGE = 200_000

steps = Workflow("steps")


@steps.task
def numbers(context: Context) -> dict[str, object]:
    return {"numbers": [1, 2, 3], "large": "x" * LARGE, "pids": [os.getpid()]}


@steps.task(after=[numbers], map="numbers")
def double(context: Context) -> dict[str, object]:
    return {"doubled": 2 * context.item, "mapped_pids": os.getpid()}


@steps.task(after=[double], retry=SOON)
async def total(context: Context) -> dict[str, object]:
    await asyncio.sleep(0)
    if context.attempt == 1:
        raise ConnectionError("nobody answers")
    if context.attempt == 2:
        os._exit(1)
    return {"total": sum(context["doubled"]), "length": len(context["large"])}


asking = Workflow("asking")


@asking.task
def ask(context: Context) -> dict[str, object]:
    child = context.run_workflow("answering", context={"question": "how many?"})
    return {"answer": child.context["answer"]}


answering = Workflow("answering")


@answering.task
def answer(context: Context) -> dict[str, object]:
    return {"answer": f"{context['question']} 42"}


slow = Workflow("slow")


@slow.task(timeout=timedelta(seconds=0.5))
def sleep(context: Context) -> None:
    time.sleep(1000)


patient = Workflow("patient")


@patient.task
def wait_until_told(context: Context) -> None:
    Path(context["folder"], "began").touch()
    while not context.cancelled():
        time.sleep(SHORT)
    Path(context["folder"], "told").touch()


crashing = Workflow("crashing")


@crashing.task
def crash(context: Context) -> None:
    print("before")  # noqa: T201 - that is the point
    os.abort()


lone = Workflow("lone")


@lone.task
def nothing_else(context: Context) -> None:
    """Do nothing."""


timing = Workflow("timing")


@timing.task
def nothing(context: Context) -> dict[str, object]:
    return {"told": 1}


@timing.task
def read(context: Context) -> dict[str, object]:
    """Tell how many microseconds it takes to read a value that is kept apart."""
    began = time.perf_counter()
    for key in context:
        context[key]
    return {"told": (time.perf_counter() - began) / len(context) * 1e6}


@timing.task
def weigh(context: Context) -> dict[str, object]:
    """Tell how much memory only this process has."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    own = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return {"told": {"kilobytes": sum(own)}}


waiting = Workflow("waiting")


@waiting.task
def wait(context: Context) -> dict[str, object]:
    return {"paid": context.wait_for_event("orders.paid", where={"order": context["order"]})}


@answering.trigger(every="1s")
def asks(poll: Poll) -> Fire:
    sys.stdout.write("asked\n")
    poll.cursor = {"asked": True}
    return fire(key="once")


@answering.trigger(every="1s")
async def dies() -> Fire:
    await asyncio.sleep(0)
    os._exit(3)


@answering.trigger(every="1h", timeout=timedelta(seconds=0.5))
def hangs() -> Fire:
    time.sleep(1000)
    return fire()
