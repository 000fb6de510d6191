"""Homes for the acceptance tests: one is prepared once, each test works on a copy of its own."""

import shutil
from pathlib import Path

import pytest
from support.once import made_once
from support.shell import Shell

SLOW_FLOW = """
import time
from pathlib import Path
from cloacina_core import Workflow

flow = Workflow("flow")

def note(context, text):
    with open(context.params["ledger"], "a") as ledger:
        ledger.write(f"{context.task} {text} {context.attempt}\\n")

def step(context):
    note(context, "begin")
    time.sleep(context.params.get("pause", 0))
    context[context.task] = context.attempt
    note(context, "end")

previous = ()
for number in range(5):
    @flow.task(name=f"step_{number}", after=previous)
    def run_step(context):
        step(context)
    previous = [f"step_{number}"]
"""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with `hello-workflow`, `slow` and both releases of `price-list` published."""

    def make(folder: Path) -> None:
        shell = Shell(folder, folder / "home")
        shell.ok("init")
        shell.publish(shell.copy_sample("hello_workflow"))
        shell.publish(shell.copy_sample("two_versions/v1"))
        shell.publish(shell.copy_sample("two_versions/v2"))
        shell.publish(shell.project("slow", SLOW_FLOW))

    return made_once(tmp_path_factory, "prepared", make) / "home"


@pytest.fixture
def shell(tmp_path: Path, prepared: Path) -> Shell:
    """A shell whose home has the published packages."""
    home = tmp_path / "home"
    shutil.copytree(prepared, home)
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(folder, home)


@pytest.fixture
def fresh(tmp_path: Path) -> Shell:
    """A shell without a home."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(folder, tmp_path / "home")
