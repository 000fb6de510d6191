"""The plugin `cloacina-eventlog`, installed as a distribution and found by its entry point."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.plugins import install_plugin, run_python

LIST = """
import json
from cloacina_core.plugin.manager import Plugins
print(json.dumps([record.to_json() for record in Plugins.of_environment().records()]))
"""

RUN = """
import json
from datetime import timedelta
from cloacina_core import Context, RetryPolicy, Runtime, Workflow

nightly = Workflow("nightly")

@nightly.task(retry=RetryPolicy(max_attempts=2, first_delay=timedelta(milliseconds=1)))
def extract(context: Context) -> dict[str, object]:
    if context.attempt == 1:
        raise ConnectionError("not yet")
    return {"rows": [1, 2, 3]}

@nightly.task(after=[extract])
async def count(context: Context) -> dict[str, object]:
    return {"rows_read": len(context["rows"])}

with Runtime.open("sqlite:///runs.db") as runtime:
    result = runtime.run(nightly, timeout=60)
    events = runtime.events(result.run_id)
    print(json.dumps([result.to_json(), [event.to_json() for event in events]]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin in it, as `pip install` left it."""
    target = tmp_path_factory.mktemp("plugins")
    install_plugin("cloacina-eventlog", target)
    return target


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def run(
    installed: Path, folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    printed = run_python(RUN, path=installed, folder=folder, environment=environment)
    result, events = json.loads(printed)
    return result, events


def test_the_plugin_is_found_with_both_of_its_hooks(installed: Path, tmp_path: Path) -> None:
    records = json.loads(run_python(LIST, path=installed, folder=tmp_path))

    (record,) = [record for record in records if record["name"] == "eventlog"]
    assert record["status"] == "loaded"
    assert record["distribution"] == "cloacina-eventlog"
    assert record["hooks"] == ["cloacina_run_event", "cloacina_run_task"]


def test_cloacina_run_event_tells_every_event_of_a_run_in_order(
    installed: Path, tmp_path: Path
) -> None:
    _, events = run(installed, tmp_path)

    written = entries(tmp_path / "cloacina-events.jsonl")
    assert [entry for entry in written if entry["type"] != "attempt_timed"] == events


def test_cloacina_run_task_stands_around_every_attempt(installed: Path, tmp_path: Path) -> None:
    result, _ = run(installed, tmp_path)

    written = entries(tmp_path / "cloacina-events.jsonl")
    timed = [entry for entry in written if entry["type"] == "attempt_timed"]
    assert [(entry["task"], entry["attempt"], entry["raised"]) for entry in timed] == [
        ("extract", 1, True),
        ("extract", 2, False),
        ("count", 1, False),
    ]
    assert all(entry["seconds"] >= 0 for entry in timed)
    assert {entry["run_id"] for entry in timed} == {result["run_id"]}


def test_what_a_task_returns_passes_through_the_wrapper(installed: Path, tmp_path: Path) -> None:
    result, _ = run(installed, tmp_path)

    assert result["status"] == "succeeded"
    assert result["context"]["rows_read"] == 3


def test_the_environment_names_the_file(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.jsonl"

    run(installed, tmp_path, {"CLOACINA_EVENTLOG": str(file)})

    assert entries(file)
    assert not (tmp_path / "cloacina-events.jsonl").exists()


def test_a_file_that_cant_be_written_fails_no_run(installed: Path, tmp_path: Path) -> None:
    result, _ = run(installed, tmp_path, {"CLOACINA_EVENTLOG": str(tmp_path / "no" / "folder")})

    assert result["status"] == "succeeded"
