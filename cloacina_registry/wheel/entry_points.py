"""What entry_points.txt says, by a grammar stricter than that of any reader.

The PyPA specification says "INI, as configparser reads it"; configparser folds lines, knows a
section DEFAULT that every other one inherits from, and takes `:` for `=`, while importlib.metadata
does neither. So one line is one entry here, and what they would read differently is refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cloacina_core.errors import Problem
from cloacina_core.foundation.names import name_problem

GROUP = "cloacina.workflows"
NO_WORKFLOWS = f"the package has no workflows; name them in [project.entry-points.{GROUP!r}]"

_SECTION = re.compile(r"\[([^\[\]]+)\]")
_ENTRY = re.compile(r"([^=\s]+)\s*=\s*(\S+)")
_DOTTED = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_TARGET = re.compile(rf"({_DOTTED}):{_DOTTED}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EntryPoints:
    """The workflows of a wheel, and everything that is wrong with the file that names them."""

    workflows: Mapping[str, str] = field(default_factory=dict)
    """`module:attribute` by name."""
    problems: tuple[Problem, ...] = ()


def read_entry_points(text: str, where: str) -> EntryPoints:
    """Return the entry points in the text of entry_points.txt."""
    workflows: dict[str, str] = {}
    foreign: set[str] = set()
    problems: list[Problem] = []
    for group, name, target in _entries(text, where, problems):
        if group != GROUP:
            foreign.add(group)
        elif name in workflows:
            problems.append(Problem("entry-points", f"{name!r} stands twice", where))
        else:
            workflows[name] = target
            problems.extend(_entry_problems(name, target, where))
    for group in sorted(foreign):
        message = f"entry points of group {group[:80]!r} aren't accepted, only of {GROUP!r}"
        problems.append(Problem("entry-points", message, where))
    if not workflows:
        problems.append(Problem("entry-points", NO_WORKFLOWS, where))
    return EntryPoints(workflows, tuple(problems))


def _entries(text: str, where: str, problems: list[Problem]) -> Iterator[tuple[str, str, str]]:
    """Yield group, name and target of each entry; add lines that are none to `problems`.

    Sections of other groups without an entry pass: PDM writes them.
    """
    group: str | None = None
    groups: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")  # noqa: PLW2901 - the same line, whatever ends it
        if not line.strip(" \t") or line[0] in "#;":
            continue
        if section := _SECTION.fullmatch(line):
            if section[1] in groups:
                message = f"the section {section[1][:80]!r} stands twice"
                problems.append(_problem(message, where, number))
            group = section[1]
            groups.add(group)
        elif (entry := _ENTRY.fullmatch(line)) and group is not None:
            yield group, entry[1], entry[2]
        else:
            problems.append(_problem(f"not an entry: {line[:80]!r}", where, number))


def _problem(message: str, where: str, number: int) -> Problem:
    return Problem("entry-points", message, f"{where} line {number}")


def _entry_problems(name: str, target: str, where: str) -> Iterator[Problem]:
    if message := name_problem(name, "workflow"):
        yield Problem("entry-points", message, where)
    if not _TARGET.fullmatch(target):
        message = f"the target {target[:80]!r} of {name!r} isn't written 'module:attribute'"
        yield Problem("entry-points", message, where)


def target_problems(
    workflows: Mapping[str, str], files: Mapping[str, bytes], where: str
) -> Iterator[Problem]:
    """Yield entry points whose module isn't in the wheel."""
    for name, target in workflows.items():
        path = target.partition(":")[0].replace(".", "/")
        if f"{path}.py" not in files and f"{path}/__init__.py" not in files:
            message = f"the module of {name!r} isn't in the wheel: {target[:80]!r}"
            yield Problem("entry-points", message, where)
