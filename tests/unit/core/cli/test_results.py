"""How runs with mapped tasks are told to a person."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rich.live import Live

from cloacina_core import Context, Workflow
from cloacina_core.cli.console import Console
from cloacina_core.cli.progress import LiveTable
from cloacina_core.cli.results import MAX_FAILED_SHOWN, told
from cloacina_core.model.isolation import Isolation
from cloacina_core.model.run import RunResult
from cloacina_core.model.task import Task
from cloacina_core.testing import HarnessResult, run_workflow


@pytest.fixture
def console() -> Console:
    return Console()


def counting(parts: list[str], **options: Any) -> HarnessResult:
    return run_workflow(
        counting_flow(**options), context={"parts": parts}, slow={"count": timedelta(seconds=1)}
    )


def counting_flow(**options: Any) -> Workflow:
    flow = Workflow("shop")

    @flow.task(map="parts", **options)
    def count(context: Context) -> dict[str, int]:
        if context.item == "bad":
            raise ValueError("no such part")
        return {"sizes": len(context.item)}

    return flow


def test_instances_are_told_by_counts_and_failures(console: Console):
    result = counting(["a", "bad", "abc"], map_failures=1)

    lines = told(console, result.run).splitlines()

    assert lines[3].split()[:5] == ["✓", "count[*]", "succeeded", "1.00", "s"]
    assert lines[3].endswith("2 succeeded, 1 failed")
    assert lines[4].split()[:4] == ["✗", "count[1]", "failed", "1"]
    assert lines[4].endswith("ValueError: no such part")
    assert "count[0]" not in "".join(lines)


def test_all_instances_are_told_when_they_are_asked_for(console: Console):
    result = counting(["a", "bad"], map_failures=1)

    text = told(console, result.run, all_instances=True)

    assert "✓ count[0]" in text
    assert "✗ count[1]" in text


def test_of_many_failures_the_first_are_shown(console: Console):
    result = counting(["bad"] * (MAX_FAILED_SHOWN + 2), map_failures="continue")

    text = told(console, result.run)

    assert f"count[{MAX_FAILED_SHOWN - 1}]" in text
    assert f"count[{MAX_FAILED_SHOWN}]" not in text
    assert "and 2 more" in text


def test_the_live_table_has_one_row_for_all_instances():
    result = counting(["a", "bad", "abc"], map_failures=1)
    table = LiveTable(counting_flow(map_failures=1).definition(), Live(auto_refresh=False))

    notes = []
    for event in result.events:
        table(event)
        drawn = table.table()
        notes.append(" ".join(str(next(iter(column.cells))) for column in drawn.columns))
        assert drawn.row_count == 2

    assert "▸ count[*] running  3 instances" in notes
    assert "▸ count[*] running  3 instances: 2 running, 1 succeeded" in notes
    assert notes[-1] == "✓ count[*] succeeded  3 instances: 2 succeeded, 1 failed"


def with_attempts(result: RunResult, **attempts: tuple[Isolation, tuple[str, ...]]) -> RunResult:
    """Return a run whose tasks had this around them."""
    tasks = {}
    for name, (isolation, enforced) in attempts.items():
        task = result.tasks[name]
        last = replace(task.attempts[-1], isolation=isolation, enforced=enforced)
        tasks[name] = replace(task, attempts=(last,))
    return replace(result, tasks={**result.tasks, **tasks})


def test_tasks_in_workers_are_told_with_what_they_were_kept_from(console: Console):
    flow = Workflow("three", tasks=[Task(lambda _: None, name=name) for name in "abc"])
    kept = (Isolation.WORKER, ("no-new-privileges", "seccomp-network"))
    result = run_workflow(flow).run

    told_of_workers = told(console, with_attempts(result, a=kept, b=kept))
    told_of_namespaces = told(console, with_attempts(result, a=(Isolation.NAMESPACE, ())))

    assert "\nin a worker: a, b (no-new-privileges, seccomp-network)\n" in f"{told_of_workers}\n"
    assert "\nin the engine's process: c\n" in f"{told_of_workers}\n"
    assert "in a" not in told_of_namespaces
