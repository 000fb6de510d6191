"""`kill -9` while a task waits for a run that it asked for: there is one, and its result comes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.faults.ledger import Ledger
from support.runs import PATIENCE, open_runtime

from cloacina_core.model.status import RunStatus
from cloacina_core.store.checking import check
from cloacina_core.store.reading import RunFilter

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
DEATHS = (("submit", "begin"), ("resume", "end"), ("resume", "again"))
"""What each engine is told to do, and when it dies."""


def test_a_task_that_waits_for_a_run_outlives_its_engines(tmp_path: Path, store_url: str):
    ledger = tmp_path / "ledger"
    ledger.touch()

    for order, moment in DEATHS:
        assert run_engine(tmp_path, store_url, ledger, order, moment) == -signal.SIGKILL
    assert run_engine(tmp_path, store_url, ledger, "resume", "never") == 0

    with open_runtime(tmp_path, store_url, recover=False) as runtime:
        parent = next(run for run in runtime.list() if run.parent is None)
        (child,) = runtime.list(RunFilter(parent=parent.run_id))
        result = runtime.get(parent.run_id)
        events = [event.type.value for event in runtime.events(parent.run_id)]
        assert not list(check(runtime._view.database))
    assert result.status is RunStatus.SUCCEEDED
    assert result.context == {"rows": 3}
    assert events.count("child_started") == events.count("child_ended") == 1
    begun = {run_id for run_id, _ in Ledger(ledger).lines("child")}
    assert begun == {child.run_id}, "no other run was begun"


def run_engine(folder: Path, url: str, ledger: Path, order: str, moment: str) -> int:
    """Run an engine in a process of its own to its end, and return how that was."""
    search = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    words = [str(folder), url, str(ledger), order]
    return subprocess.run(
        [sys.executable, "-m", "support.killed_parent", *words],
        env={**os.environ, "PYTHONPATH": search, "CLOACINA_TEST_MOMENT": moment},
        timeout=PATIENCE,
        check=False,
    ).returncode
