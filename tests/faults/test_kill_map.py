"""`kill -9` in the middle of a mapped task: what instances did is kept, in the right place."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.killed_map import AT_A_TIME, ITEMS
from support.runs import PATIENCE, open_runtime

from cloacina_core.model.status import AttemptOutcome, RunStatus

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
LIVES = (8, 20)
"""After how many attempts at instances the engines are killed."""


def test_a_killed_map_goes_on_where_it_was(tmp_path: Path, store_url: str):
    ledger = tmp_path / "ledger"
    ledger.touch()

    for order, life in zip(("submit", "resume"), LIVES, strict=True):
        assert run_engine(tmp_path, store_url, ledger, order, life) == -signal.SIGKILL
    assert run_engine(tmp_path, store_url, ledger, "resume") == 0

    with open_runtime(tmp_path, store_url, recover=False) as runtime:
        (summary,) = runtime.list()
        result = runtime.get(summary.run_id)
        events = runtime.events(summary.run_id, limit=10_000)
    assert result.status is RunStatus.SUCCEEDED
    assert result.context["sizes"] == list(range(ITEMS))
    assert result.context["total"] == sum(range(ITEMS))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    instances = result.tasks["measure"].instances
    assert instances is not None
    attempts = [attempt for instance in instances for attempt in instance.attempts]
    lost = [attempt for attempt in attempts if attempt.outcome is AttemptOutcome.LOST]
    assert 1 <= len(lost) <= len(LIVES) * AT_A_TIME
    assert len(attempts) == ITEMS + len(lost), "no instance ran again that had ended"
    begun = ledger.read_text().splitlines()
    assert len(begun) == len(set(begun)), "each attempt ran once"


def run_engine(folder: Path, url: str, ledger: Path, order: str, life: int = 0) -> int:
    """Run an engine in a process of its own to its end, and return how that was."""
    search = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    words = [str(folder), url, str(ledger), order]
    return subprocess.run(
        [sys.executable, "-m", "support.killed_map", *words],
        env={**os.environ, "PYTHONPATH": search, "CLOACINA_TEST_LIFE": str(life)},
        timeout=PATIENCE,
        check=False,
    ).returncode
