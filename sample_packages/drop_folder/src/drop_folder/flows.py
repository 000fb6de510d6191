"""The workflows `intake`, started for each file of a folder, and `receipt`, for each payment."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from cloacina_core import Context, Fire, Poll, Skip, Workflow, fire, skip

from drop_folder.watching import FOLDER, folder_of, seen_in, settled


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What a run of `intake` is told."""

    path: str
    """Of a CSV file with the columns `order` and `amount`."""


intake = Workflow("intake", description="Sum up a file of orders", params=Intake)


@intake.task
def read(context: Context) -> dict[str, object]:
    """Read the orders."""
    with Path(context.params.path).open(newline="", encoding="utf-8") as file:
        rows = [
            {"order": row["order"], "cents": _cents(row["amount"])} for row in csv.DictReader(file)
        ]
    return {"rows": rows}


@intake.task(after=[read])
def total(context: Context) -> dict[str, object]:
    """Sum them up."""
    return {"orders": len(context["rows"]), "cents": sum(row["cents"] for row in context["rows"])}


@intake.trigger(every="1s", timeout="10s", overlap="allow")
def new_files(poll: Poll) -> list[Fire] | Skip:
    """Start a run for each file that came, once it isn't written any more."""
    folder = folder_of(os.environ)
    if folder is None:
        return skip(f"{FOLDER} names no folder")
    before, now = poll.cursor or {}, seen_in(folder)
    poll.cursor = now
    whole = settled(before, now)
    if not whole:
        return skip("no new file")
    return [fire({"path": str(folder / name)}, key=f"{name} {now[name][1]}") for name in whole]


receipt = Workflow("receipt", description="Write a receipt for a payment")


@receipt.task
def write(context: Context) -> dict[str, object]:
    """Say what was paid, from the event that started the run."""
    paid = context["event"]["data"]
    return {"receipt": f"order {paid['order']}: {paid['cents'] / 100:.2f}"}


def _cents(amount: str) -> int:
    euros, _, cents = amount.partition(".")
    return int(euros) * 100 + int(cents.ljust(2, "0")[:2] or 0)
