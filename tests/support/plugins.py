"""Plugins of this repository, installed where a child process finds them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.pages import ROOT

PLUGINS = ROOT / "plugins"


def install_plugin(name: str, target: Path) -> None:
    """Build a plugin as its own distribution, and install it into a folder of its own."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet"),
            *("--no-deps", "--no-build-isolation", "--target", str(target), str(PLUGINS / name)),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def run_python(
    code: str, *, path: Path, folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run code in a process that has a folder of installed plugins; return what it prints."""
    search = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": search,
            "CLOACINA_HOME": str(folder / "home"),
            **(environment or {}),
        },
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"the process ended with {done.returncode}")
    return done.stdout
