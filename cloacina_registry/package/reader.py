"""Which workflows a package has: read by importing it, in a process of its own.

Importing runs the package's code, on its author's machine and on no other: what is found goes into
the manifest, and everybody else reads that.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cloacina_core.errors import Problem
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.polling.definition import TriggerDefinition
from cloacina_registry.errors import PackageBuildError
from cloacina_registry.manifest import ManifestWorkflow
from cloacina_registry.package import reader_child
from cloacina_registry.package.reader_report import Fact, FindingsReport, hint_about
from cloacina_registry.package.source_map import SourceMap
from cloacina_registry.subprocesses import end_group, environment
from cloacina_registry.wheel.checked import UnsealedWheel

IMPORT_LIMIT = timedelta(seconds=60)
"""How long the import of one entry point may take. Slower modules would slow every worker down."""

_GRACE_SECONDS = 10.0  # for a child that can't end itself
_OUTPUT_LIMIT = 20_000  # characters; the end of it tells what went wrong


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from a package."""

    workflows: tuple[ManifestWorkflow, ...]
    """Sorted by name."""
    output: str
    """What the package printed while it was imported."""


def read_workflows(
    wheel: UnsealedWheel, sources: SourceMap, *, limit: timedelta = IMPORT_LIMIT
) -> Reading:
    """Import a package's entry points and return the workflows that they are.

    Args:
        wheel: the package.
        sources: where its files came from, to name the author's own.
        limit: how long each entry point may take to import.

    Raises:
        PackageBuildError: `problems` names every fault of every entry point.
    """
    with tempfile.TemporaryDirectory(prefix="cloacina-read-") as folder:
        session = _Session(Path(folder).resolve(), wheel, limit)
        findings = session.findings()
        output = session.output()
    report = FindingsReport(wheel, sources, limit, output)
    problems = [problem for finding in findings for problem in report.problems(finding)]
    if problems:
        raise PackageBuildError(
            f"the workflows of {wheel.name} {wheel.version} can't be read",
            problems=problems,
            hint=hint_about(findings, wheel),
        )
    return Reading(
        workflows=tuple(
            ManifestWorkflow(
                entry_point=wheel.entry_points[finding["entry_point"]],
                definition=WorkflowDefinition.from_json(finding["definition"]),
                triggers=tuple(map(TriggerDefinition.from_json, finding["triggers"])),
            )
            for finding in sorted(findings, key=lambda finding: finding["entry_point"])
        ),
        output=output,
    )


class _Session:
    """Reads one package, with as many processes as it takes."""

    def __init__(self, folder: Path, wheel: UnsealedWheel, limit: timedelta) -> None:
        self._folder = folder
        self._root = folder / "package"
        self._entry_points = dict(wheel.entry_points)
        self._limit = limit
        for member, data in wheel.files.items():
            path = self._root / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def findings(self) -> list[dict[str, Any]]:
        """Return what became of each entry point.

        When one ends the process, another is started for those after it. Entry points of the same
        module aren't tried: they would end it, too, and take as long.
        """
        pending = dict(self._entry_points)
        findings: list[dict[str, Any]] = []
        while pending:
            told = [*self._read(pending)]
            if not told:
                raise PackageBuildError(
                    "the process that reads the workflows didn't start",
                    problems=[Problem("reader", self.output() or "it wrote nothing")],
                )
            findings += told
            for finding in told:
                del pending[finding["entry_point"]]
            if _ended_its_process(told[-1]):
                ended = self._module(told[-1]["entry_point"])
                pending = {
                    name: target for name, target in pending.items() if self._module(name) != ended
                }
        return findings

    def _module(self, name: str) -> str:
        return self._entry_points[name].partition(":")[0]

    def output(self) -> str:
        """Return the end of what the package printed."""
        path = self._folder / "output"
        return path.read_text("utf-8", "replace")[-_OUTPUT_LIMIT:] if path.exists() else ""

    def _read(self, pending: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield what one process told of the entry points; the last one may have ended it."""
        answers, stacks = self._folder / "answers", self._folder / "stacks"
        answers.unlink(missing_ok=True)
        stacks.unlink(missing_ok=True)
        request = self._folder / "request"
        request.write_text(
            json.dumps(
                {
                    "root": str(self._root),
                    "paths": [str(Path(path).absolute()) for path in sys.path if path],
                    "entry_points": pending,
                    "seconds": self._limit.total_seconds(),
                    "answers": str(answers),
                    "stacks": str(stacks),
                }
            ),
            encoding="utf-8",
        )
        status = self._run(request, timeout=self._limit.total_seconds() * len(pending))
        begun = None
        for line in answers.read_bytes().splitlines() if answers.exists() else []:
            answer = json.loads(line)
            begun = answer.get("begin")
            if begun is None:
                yield answer
        if begun is not None:
            yield {
                "entry_point": begun,
                "problems": [{"kind": "import-ended", "status": status, "stack": _text(stacks)}],
            }

    def _run(self, request: Path, *, timeout: float) -> int | None:
        """Return how the process ended; None if it had to be ended."""
        with (self._folder / "output").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                # -I: neither PYTHONPATH nor the working folder; -B: no bytecode beside the sources
                [sys.executable, "-I", "-B", reader_child.__file__, str(request)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=environment(),
                start_new_session=True,  # so that what it started can be ended with it
            )
        try:
            return process.wait(timeout + _GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            end_group(process)


def _ended_its_process(finding: Fact) -> bool:
    return any(fact["kind"] == "import-ended" for fact in finding.get("problems", ()))


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
