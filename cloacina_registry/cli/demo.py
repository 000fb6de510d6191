"""`cloacina demo`: the main job on real data, each step the command that a user would type."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_registry.errors import RegistryError
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX

SAMPLE = "weather_report"
YEAR = 2015
DEFAULT_FOLDER = "cloacina-demo"
STEP_SECONDS = 300
"""No step takes so long; one that hangs must not hang the demo."""


class DemoError(RegistryError):
    """A step of the demo didn't go as it should."""

    code = "demo-failed"


@dataclass(slots=True)
class Step:
    """One step that was done."""

    title: str
    command: str
    exit_status: int
    seconds: float
    output: str
    error: str

    def to_json(self) -> dict[str, Any]:
        """Return the step as a JSON object."""
        return {
            "title": self.title,
            "command": self.command,
            "exit_status": self.exit_status,
            "seconds": round(self.seconds, 3),
        }


@click.command("demo")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help=f"A new folder to work in.  [default: ./{DEFAULT_FOLDER}]",
)
@command_options
@pass_console
def demo(console: Console, *, directory: Path | None) -> None:
    """See it all at work, in a minute, in a new folder and nowhere else.

    Builds a package, signs it, uploads it, runs it on real weather data, and shows what happens to
    a wheel of which one byte was changed.
    """
    folder = _new_folder(directory)
    show = _Show(console, folder)
    show.step("Make a home: a signing key, trust in it, and a store on SQLite", ["init"])
    _copy_sample(folder / SAMPLE)
    built = show.step(
        f"Build the project {SAMPLE}/ into a wheel, add its manifest and lock, and sign it",
        ["package", "build", SAMPLE],
        as_json=True,
    )
    wheel = Path(built["file"])
    name = f"{SAMPLE}/dist/{wheel.name}"
    show.step(
        "Look into the wheel: its workflow, without running its code", ["package", "inspect", name]
    )
    show.step("Upload it: verified, then stored by digest", ["registry", "upload", name])
    reference = f"{built['package']}/{built['workflows'][0]}==1.*"
    params = ["-p", f"year={YEAR}", "-p", "output=report"]
    result = show.step(
        "Run it by name and version: resolved, verified again, loaded, run durably",
        ["run", reference, *params],
        as_json=True,
    )
    run_id = result["run_id"]
    show.step("Look at the run: its tasks, its context", ["runs", "show", run_id])
    show.step("Read everything that happened", ["runs", "events", run_id])
    changed = _change_one_byte(folder, wheel)
    refusal = show.step(
        f"Change one byte of the wheel ({changed}), and try to upload that",
        ["registry", "upload", changed],
        as_json=True,
        expected=2,
    )
    report = (folder / result["context"]["report"]).resolve()
    show.end(report, result, refusal)


def _new_folder(wanted: Path | None) -> Path:
    folder = wanted or Path(DEFAULT_FOLDER)
    if wanted is None:
        number = 1
        while folder.exists():
            number += 1
            folder = Path(f"{DEFAULT_FOLDER}-{number}")
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(
            f"{folder} is there already", hint="name a folder that isn't, with --directory"
        ) from error
    except OSError as error:
        raise InputError(
            f"{folder} can't be made: {error.strerror}", hint="name another with --directory"
        ) from error
    return folder.absolute()


def _copy_sample(target: Path) -> None:
    sample = files("cloacina_registry") / "samples" / SAMPLE
    if not sample.is_dir():
        raise DemoError(
            "the sample package isn't part of this installation",
            hint="install Cloacina from its wheel; an editable installation has no samples",
        )
    with as_file(sample) as source:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=ignored)


def _change_one_byte(folder: Path, wheel: Path) -> str:
    """Write a copy of a wheel with one bit changed, and its signature, beside it."""
    data = bytearray((folder / wheel).read_bytes())
    data[len(data) // 2] ^= 1
    changed = folder / "changed" / wheel.name
    changed.parent.mkdir()
    changed.write_bytes(data)
    attestation = wheel.name + ENVELOPE_SUFFIX
    shutil.copyfile((folder / wheel).with_name(attestation), changed.with_name(attestation))
    return str(changed.relative_to(folder))


@dataclass(slots=True)
class _Show:
    """Does the steps and tells them."""

    console: Console
    folder: Path
    steps: list[Step] = field(default_factory=list)

    def step(
        self, title: str, arguments: Sequence[str], *, as_json: bool = False, expected: int = 0
    ) -> dict[str, Any]:
        """Do one step as its own process; return what it printed with `--json`."""
        command = shlex.join(["cloacina", *arguments])
        self.console.say(f"\n{len(self.steps) + 1}. {title}\n   $ {command}")
        began = self.console.clock.monotonic()
        done = subprocess.run(  # noqa: S603 - our own commands
            [sys.executable, "-P", "-m", "cloacina_core", *arguments, *(["--json"] * as_json)],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        seconds = self.console.clock.monotonic() - began
        step = Step(title, command, done.returncode, seconds, done.stdout, done.stderr)
        self.steps.append(step)
        if done.returncode != expected:
            raise DemoError(
                f"step {len(self.steps)} ({command}) ended with {done.returncode}: "
                f"{(done.stderr or done.stdout).strip()}",
                hint=f"what was done is in {self.folder}",
            )
        if not as_json:
            self._quote(done.stdout)
            return {}
        if done.returncode:
            return _document(done.stderr)
        self._quote(done.stderr)
        return _document(done.stdout)

    def end(self, report: Path, result: Mapping[str, Any], refusal: Mapping[str, Any]) -> None:
        """Tell where the report is and why the changed wheel was refused."""
        reasons = _reasons(refusal)
        self._quote("refused:\n" + "\n".join(f"  {reason}" for reason in reasons))
        self.console.say(
            f"\nThe run {result['status']}. Its report: {report}\n"
            f"All of it is in {self.folder}; remove that folder, and nothing is left.\n"
            f"To go on there: export CLOACINA_HOME={shlex.quote(str(self.folder / 'home'))}"
        )
        self.console.emit(
            {
                "directory": str(self.folder),
                "report": str(report),
                "run_id": result["run_id"],
                "status": result["status"],
                "release": result["release"],
                "refused": reasons,
                "steps": [step.to_json() for step in self.steps],
            },
            str(report),
        )

    def _quote(self, text: str) -> None:
        if text.strip():
            self.console.say("\n".join(f"   | {line}" for line in text.rstrip().splitlines()))

    def _environment(self) -> dict[str, str]:
        """Return an environment in which nothing outside the demo's folder is used."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CLOACINA_")}
        home = self.folder / "home"
        return {
            **kept,
            "CLOACINA_HOME": str(home),
            "CLOACINA_DATABASE_URL": f"sqlite:///{home / 'cloacina.db'}",
        }


def _document(text: str) -> dict[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {"items": value}


def _reasons(refusal: Mapping[str, Any]) -> list[str]:
    error = refusal.get("error", {})
    problems = [f"{each['kind']}: {each['message']}" for each in error.get("problems", ())]
    return [str(error.get("message", "")), *problems]
