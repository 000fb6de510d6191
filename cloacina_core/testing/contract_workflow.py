"""The workflow that executors are tried with.

An executor that doesn't use the runner it is given, because its workers find code by themselves,
lets them find this one: the module needs `cloacina_core` and the standard library only, and may be
copied to where they look.
"""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

from cloacina_core import Context, RetryPolicy, Workflow
from cloacina_core.foundation.json_value import JsonValue

_SHORT = 0.001
TOO_LARGE = 2_000_000
"""More bytes than a call of the contract may change."""

contract_workflow = Workflow("executor_contract")


@contract_workflow.task
def double(context: Context) -> dict[str, int]:
    """Change one key."""
    return {"number": 2 * context["number"]}


@contract_workflow.task
async def double_later(context: Context) -> dict[str, int]:
    """Change one key, after others had their turn."""
    await asyncio.sleep(0)
    return {"number": 2 * context["number"]}


@contract_workflow.task
def tell(context: Context) -> dict[str, JsonValue]:
    """Tell what an attempt can know of itself."""
    return {
        "run": context.run_id,
        "task": context.task,
        "attempt": context.attempt,
        "deadline": context.deadline and context.deadline.isoformat(),
        "day": context.params["day"],
    }


@contract_workflow.task(map="numbers")
def double_item(context: Context) -> dict[str, int]:
    """Change one key, by what this instance is for."""
    return {"number": 2 * context.item, "index": context.index}


@contract_workflow.task
def fail(_context: Context) -> None:
    """Fail."""
    raise ConnectionError("nobody answers")


@contract_workflow.task
def leave(_context: Context) -> None:
    """Try to end the process."""
    raise SystemExit(3)


@contract_workflow.task
def return_a_list(_context: Context) -> list[int]:
    """Return what no task may return."""
    return [1, 2]


@contract_workflow.task
def work_until_given_up(context: Context) -> None:
    """Go on until nobody waits for the outcome any more."""
    _say(context, "began")
    while not context.cancelled():
        time.sleep(_SHORT)
    _say(context, "was told")


@contract_workflow.task
def work_until_allowed_to_end(context: Context) -> None:
    """Go on whether anybody waits for the outcome or not."""
    _say(context, "began")
    while not Path(context["folder"], "end").exists():
        time.sleep(_SHORT)


@contract_workflow.task
async def wait_for_ever(context: Context) -> None:
    """Wait for what never happens."""
    _say(context, "began")
    await asyncio.Event().wait()


@contract_workflow.task
async def hold_the_loop_until_given_up(context: Context) -> None:
    """Do in a coroutine what no coroutine should: let no other have its turn."""
    _say(context, "began")
    while not context.cancelled():
        time.sleep(_SHORT)  # noqa: ASYNC251 - that is the point


def _say(context: Context, word: str) -> None:
    """Tell the test something while the task runs, wherever that is: by a file."""
    Path(context["folder"], word).touch()


@contract_workflow.task(retry=RetryPolicy(retry_on=("TimeoutError",)))
def fail_for_good(_context: Context) -> None:
    """Fail in a way that the task's retry policy doesn't speak of."""
    raise LookupError("no such customer")


@contract_workflow.task
def return_too_much(_context: Context) -> dict[str, str]:
    """Change more than a call may change."""
    return {"text": "x" * TOO_LARGE}


@contract_workflow.task
def return_a_set(_context: Context) -> dict[str, object]:
    """Change a key to what no context can hold."""
    return {"members": {1, 2}}


@contract_workflow.task
def talk(_context: Context) -> None:
    """Print and log."""
    print("printed")  # noqa: T201 - that is the point
    print("complained", file=sys.stderr)  # noqa: T201
    logging.getLogger("contract").warning("logged")


@contract_workflow.task
def wait_for_approval(context: Context) -> dict[str, JsonValue]:
    """Wait for a signal, and hand on what came with it."""
    return {"approval": context.wait_for("approval")}


def _tell_that_it_is_late(context: Context, error: BaseException) -> None:
    _say(context, f"late: {type(error).__name__}")


@contract_workflow.task(on_failure=_tell_that_it_is_late)
def call_back(context: Context) -> None:
    """Have something to be called for a failure."""
    _say(context, "called")


@contract_workflow.task
def meet(context: Context) -> None:
    """Go on when so many calls of this task run at a time."""
    _say(context, f"came: {context.attempt}")
    while len(list(Path(context["folder"]).glob("came: *"))) < context["number"]:
        time.sleep(_SHORT)


@contract_workflow.task
def end_the_process(_context: Context) -> None:
    """End the process, without a word."""
    os._exit(0)
