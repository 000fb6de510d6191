"""What commands cost before they do anything: the processor's time, beside what nobody can save.

    python tests/benchmarks/bench_start.py [--json] [--rounds N]

In each round, every command is started once, in a process of its own. The least of its times
counts. Only the ratios mean something on another machine.
"""

# ruff: noqa: T201 - printing is what it is for

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

PLAIN = "python -c pass"
WORKFLOW = """
from cloacina_core import Workflow

lone = Workflow("lone")

@lone.task
def only(context):
    return {"done": True}
"""
CLOACINA = (sys.executable, "-m", "cloacina_core")
COMMANDS = {
    PLAIN: (sys.executable, "-c", "pass"),
    "python -c 'import sqlalchemy'": (sys.executable, "-c", "import sqlalchemy"),
    "cloacina --help": (*CLOACINA, "--help"),
    "cloacina runs list": (*CLOACINA, "runs", "list"),
    "cloacina schedule list": (*CLOACINA, "schedule", "list"),
    "cloacina workflow list": (*CLOACINA, "workflow", "list"),
    "cloacina registry list": (*CLOACINA, "registry", "list"),
    "cloacina run, of what is installed": (*CLOACINA, "run", "bench-start/lone", "--quiet"),
}


def install(folder: Path) -> None:
    """Put a distribution with one workflow into a folder."""
    (folder / "bench_start_flows.py").write_text(WORKFLOW)
    about = folder / "bench_start-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-start\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[cloacina.workflows]\nlone = bench_start_flows:lone\n")


def milliseconds(command: tuple[str, ...], environment: Mapping[str, str], folder: str) -> float:
    """Return how much of a processor's time a command takes, in the system's hands included."""
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=silent, stderr=silent, env=environment, cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return (used.ru_utime + used.ru_stime) * 1000


def measure(rounds: int) -> dict[str, float]:
    """Return the milliseconds of each command."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        install(place)
        paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **{name: value for name, value in os.environ.items() if name[:9] != "CLOACINA_"},
            "CLOACINA_HOME": str(place / "home"),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each start would compile everything
        milliseconds((*CLOACINA, "init", "--quiet"), environment, folder)
        taken = [
            {name: milliseconds(command, environment, folder) for name, command in COMMANDS.items()}
            for _ in range(rounds)
        ]
    return {name: min(one[name] for one in taken) for name in COMMANDS}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    taken = measure(options.rounds)
    if options.json:
        print(json.dumps(taken, indent=2))
        return
    print(f"{'command':<38}{'ms':>8}{'ratio':>8}")
    for name, cost in taken.items():
        print(f"{name:<38}{cost:>8.0f}{cost / taken[PLAIN]:>8.1f}")


if __name__ == "__main__":
    main()
