"""The `cloacina` command as users run it: a process, with a home of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.commands import command_server

SAMPLES = Path(__file__).parents[2] / "sample_packages"
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error that `--json` tells on stderr, whatever was said before it."""
        return json.loads(self.err.strip().splitlines()[-1])["error"]


@dataclass(slots=True)
class Shell:
    """A folder to work in, and a home."""

    folder: Path
    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CLOACINA_")}
        return {**kept, "CLOACINA_HOME": str(self.home), **self.variables}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "cloacina_core", *map(str, arguments)]

    def run(self, *arguments: str, stdin: str | None = None) -> Done:
        """Run a command to its end, in a fork of a process that has imported it already.

        With variables that count when Python starts, it is started anew.
        """
        if any(name.startswith("PYTHON") for name in self.variables):
            return self._run_anew(arguments, stdin)
        return Done(
            *command_server().run(
                [str(argument) for argument in arguments],
                folder=self.folder,
                environment=self.environment,
                stdin=stdin,
                seconds=SECONDS,
            )
        )

    def _run_anew(self, arguments: tuple[str, ...], stdin: str | None) -> Done:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str) -> Done:
        """Run a command that must succeed."""
        done = self.run(*arguments)
        assert done.status == 0, f"{arguments} ended with {done.status}: {done.err or done.out}"
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def publish(self, project: Path) -> dict[str, Any]:
        """Build, sign and upload a project; return what `package build --json` told."""
        built = self.ok("package", "build", str(project), "--json").json
        self.ok("registry", "upload", built["file"])
        return built

    def copy_sample(self, name: str) -> Path:
        target = self.folder / Path(name).name
        ignored = shutil.ignore_patterns("__pycache__", "dist")
        shutil.copytree(SAMPLES / name, target, ignore=ignored)
        return target

    def project(self, name: str, flows: str, *, version: str = "1.0", target: str = "flow") -> Path:
        """Write a project with one module `flows`, whose workflow is in the variable `target`."""
        folder = self.folder / f"{name}-{version}"
        module = name.replace("-", "_")
        source = folder / "src" / module
        source.mkdir(parents=True)
        (source / "__init__.py").write_text('"""A project of a test."""\n')
        (source / "flows.py").write_text(flows)
        (folder / "pyproject.toml").write_text(
            "[build-system]\n"
            'requires = ["flit_core>=3.11,<5"]\n'
            'build-backend = "flit_core.buildapi"\n'
            "[project]\n"
            f'name = "{name}"\nversion = "{version}"\ndescription = "Of a test."\n'
            '[project.entry-points."cloacina.workflows"]\n'
            f'{target} = "{module}.flows:{target}"\n'
        )
        return folder
