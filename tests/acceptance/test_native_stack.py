"""Releases that need different versions of native code, as a user has them: real ones, of numpy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.once import made_once
from support.shell import Shell

from cloacina_core import Runtime

pytestmark = pytest.mark.slow

VERSIONS = {"1.0": "2.1.3", "2.0": "2.3.5"}
"""Of the sample package, and of numpy in it."""


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, fresh: Shell) -> Shell:
    """Return a home that has both releases, built, locked, signed and uploaded."""

    def make(folder: Path) -> None:
        shell = Shell(folder, folder / "home")
        shell.ok("init")
        for name in ("v1", "v2"):
            shell.publish(shell.copy_sample(f"native_stack/{name}"))

    shutil.copytree(made_once(tmp_path_factory, "native_stack", make) / "home", fresh.home)
    return fresh


def test_two_versions_of_numpy_are_at_work_under_one_engine(stack: Shell) -> None:
    runs = {
        version: stack.ok("run", f"trend-line/fit=={version}", "--detach", "--json").json["run_id"]
        for version in VERSIONS
    }

    stack.ok("engine", "run", "--until-idle")

    results = {
        version: stack.ok("runs", "show", run_id, "--json").json for version, run_id in runs.items()
    }
    found = {version: result["context"]["numpy"] for version, result in results.items()}
    sys.stdout.write(f"{found}\n")  # both versions, from both runs
    assert found == VERSIONS
    attempts = [
        attempt
        for result in results.values()
        for task in result["tasks"]
        for attempt in task["attempts"]
    ]
    assert {attempt["isolation"] for attempt in attempts} == {"worker"}
    assert all("no-new-privileges" in attempt["enforced"] for attempt in attempts)
    assert len({attempt["engine"] for attempt in attempts}) == 1
    first = [result["tasks"][0]["attempts"][0] for result in results.values()]
    assert max(one["started_at"] for one in first) < min(one["finished_at"] for one in first)


def test_the_registry_says_where_they_run_and_why(stack: Shell) -> None:
    shown = stack.ok("registry", "show", "trend-line==1.0", "--json").json

    assert shown["placement"] == {
        "isolation": "worker",
        "reason": "its dependency numpy 2.1.3 has native code",
    }
    (numpy,) = shown["dependencies"]
    assert (numpy["name"], numpy["version"], numpy["pure"]) == ("numpy", "2.1.3", False)
    assert "numpy 2.1.3" in stack.ok("registry", "show", "trend-line==1.0").out


def test_the_host_needs_no_numpy_and_no_index(stack: Shell, tmp_path: Path) -> None:
    """Whatever numpy is installed beside the engine, a worker has that of its release's lock."""
    done = subprocess.run(
        stack.command("run", "trend-line/fit==1.0", "--json"),
        cwd=tmp_path,
        env={**stack.environment, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    result = json.loads(done.stdout)
    assert result["context"]["numpy"] == "2.1.3"
    with Runtime.open(f"sqlite:///{stack.home / 'cloacina.db'}", home=stack.home) as runtime:
        again = runtime.run("trend-line/fit==2.0", {"series": [1.0, 3.0, 5.0]}, timeout=60)
    assert again.context["slope"] == 2.0
    assert os.listdir(stack.home / "environments" / "wheels")  # noqa: PTH208 - that there are any
