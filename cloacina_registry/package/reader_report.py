"""What went wrong when a package was imported, in the words of its author.

Findings are what `reader_child` told of one entry point: `entry_point`, and `definition` or a list
of `problems`, each with its `kind` and the facts of that kind.
"""

import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from textwrap import indent
from typing import Any, TypeAlias

from cloacina_core.errors import Problem
from cloacina_core.foundation.names import nearest
from cloacina_registry.package.source_map import SourceMap
from cloacina_registry.subprocesses import last_lines
from cloacina_registry.wheel.checked import UnsealedWheel

_FRAME = re.compile(r'File "([^"]+)"(?:, line (\d+))?')

Fact: TypeAlias = Mapping[str, Any]


class FindingsReport:
    """Puts what was found into the author's words."""

    def __init__(
        self, wheel: UnsealedWheel, sources: SourceMap, limit: timedelta, output: str
    ) -> None:
        self._wheel = wheel
        self._sources = sources
        self._limit = limit
        self._output = output
        self._sentences: Mapping[str, Callable[[Fact], str]] = {
            "missing-attribute": _missing_attribute,
            "not-a-workflow": _not_a_workflow,
            "name-mismatch": _name_mismatch,
            "import-failed": self._import_failed,
            "import-exit": self._import_exit,
        }

    def problems(self, finding: Fact) -> Iterator[Problem]:
        """Yield the problems of one entry point."""
        workflow = f"workflow {finding['entry_point']}"
        for fact in finding.get("problems", ()):
            if fact["kind"] == "import-ended":
                yield self._import_ended(fact, workflow)
            elif fact["kind"] in self._sentences:
                yield Problem(fact["kind"], self._sentences[fact["kind"]](fact), workflow)
            else:
                yield Problem(fact["kind"], fact["message"], self._place(workflow, fact))

    def _place(self, workflow: str, fact: Fact) -> str:
        if not fact["where"]:
            return workflow
        if fact["line"] is None:
            return f"{workflow}, {fact['where']}"
        member, line = fact["line"]
        return f"{workflow}, {fact['where']} ({self._sources.path_of(member)}:{line})"

    def _import_failed(self, fact: Fact) -> str:
        return f"it can't be imported: {fact['error']}{self._traceback(fact)}"

    def _import_exit(self, fact: Fact) -> str:
        exits = f"importing it exits, with status {fact['status']}"
        return exits + self._traceback(fact) + self._wrote()

    def _import_ended(self, fact: Fact, workflow: str) -> Problem:
        frame = next(self._own_frames(fact["stack"]), None)
        at = f", at {frame}" if frame else ""
        if fact["status"] is None or fact["stack"].startswith("Timeout"):
            seconds = f"{self._limit.total_seconds():g} s"
            message = f"importing it takes longer than {seconds}{at}{self._wrote()}"
            return Problem("import-timeout", message, workflow)
        message = f"the process {_ending(fact['status'])} while importing it{at}{self._wrote()}"
        return Problem("import-crash", message, workflow)

    def _wrote(self) -> str:
        """Return what the package printed: it may have said why it ended."""
        wrote = last_lines(self._output)
        return f"\n    it wrote:\n{indent(wrote, '    ')}" if wrote else ""

    def _own_frames(self, stack: str) -> Iterator[str]:
        """Yield the package's places in a stack that faulthandler wrote, innermost first."""
        for path, line in _FRAME.findall(stack):
            member = path.partition(f"{os.sep}package{os.sep}")[2].replace(os.sep, "/")
            if member in self._wheel.files:
                yield f"{self._sources.path_of(member)}:{line}"

    def _traceback(self, fact: Fact) -> str:
        def own_name(match: re.Match[str]) -> str:
            member = match[1].replace(os.sep, "/")
            return match[0].replace(match[1], self._sources.path_of(member))

        text = _FRAME.sub(own_name, fact["traceback"].rstrip())
        return "\n" + indent(text, "    ")


def _ending(status: int) -> str:
    if status < 0:
        return f"is killed by signal {-status} ({signal.strsignal(-status) or 'unknown'})"
    return f"ends with status {status}"


def _missing_attribute(fact: Fact) -> str:
    module = fact["target"].partition(":")[0]
    message = f"{module} has no {fact['missing']!r}"
    meant = nearest(fact["missing"], fact["known"]) or fact["known"]
    return f"{message}; did you mean {' or '.join(meant)}?" if meant else message


def _not_a_workflow(fact: Fact) -> str:
    return f"{fact['target']} is of type {fact['found']}, not a Workflow"


def _name_mismatch(fact: Fact) -> str:
    return (
        f"the entry point and the workflow must have one name; the workflow's is {fact['found']!r}"
    )


def hint_about(findings: Iterable[Fact], wheel: UnsealedWheel) -> str | None:
    """Return what to do about modules of other distributions that aren't installed."""
    missing = {
        fact["missing_module"].partition(".")[0]
        for finding in findings
        for fact in finding.get("problems", ())
        if fact.get("missing_module")
    }
    foreign = sorted(missing.difference(wheel.top_levels))
    if not foreign:
        return None
    return (
        f"install what the package needs beside Cloacina ({', '.join(foreign)}), then build again"
    )
