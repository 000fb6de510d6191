"""Writes those parts of the reference that the code says of itself.

    python docs/generate_reference.py

A part stands on its page between `<!-- generated: NAME -->` and `<!-- end -->`; what is around it
is written by hand. A test holds the pages to what this module returns.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

import cloacina_core
import cloacina_registry
from cloacina_core.cli import main
from cloacina_core.cli.acts import ACTS
from cloacina_core.cli.console import command_options
from cloacina_core.errors import CloacinaError
from cloacina_core.model.access import COMMAND_VERBS, VERBS, Rule
from cloacina_core.settings import ENVIRONMENT_PREFIX, UNLIMITED, Settings
from cloacina_registry.access import ACTS as REGISTRY_ACTS
from cloacina_registry.access import VERBS as REGISTRY_VERBS

PAGES = Path(__file__).parent / "reference"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def generated(page: str) -> str:
    """Return a page with its generated parts made anew."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}", page)


def part_names(page: str) -> list[str]:
    """Return the names of a page's generated parts."""
    return [match[2] for match in _PART.finditer(page)]


def commands() -> str:
    """Return every command with its arguments and options."""
    context = click.Context(main, info_name="cloacina")
    return "\n\n".join(_commands(main, context))


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(f"{context.command_path} lists {name!r}, and doesn't have it")
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield f"## {inner.command_path}\n\n{_help(command)}"
            yield from _commands(command, inner)
        else:
            depth = "##" if context.parent is None else "###"
            yield "\n\n".join(filter(None, [f"{depth} {inner.command_path}", *_command(inner)]))


def _command(context: click.Context) -> Iterator[str]:
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"`{context.command_path} {usage}`"
    yield _help(command)
    yield _options(command, context, leave_out={option.name for option in _bare_command().params})


def common_options() -> str:
    """Return the options that every command has."""
    command = _bare_command()
    return _options(command, click.Context(command))


def _bare_command() -> click.Command:
    def nothing() -> None:
        pass

    return click.command(command_options(nothing))


def _help(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\f", "")


def _options(
    command: click.Command, context: click.Context, leave_out: Container[str | None] = ()
) -> str:
    rows = [
        (f"`{record[0]}`", record[1])
        for option in command.params
        if isinstance(option, click.Option)
        and option.name not in leave_out
        and (record := option.get_help_record(context))
    ]
    return table(("Option", "Meaning"), rows) if rows else ""


def table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines
    )


def errors() -> str:
    """Return every error with its code and exit status."""
    return table(
        ("Code", "Exit status", "Class", "Meaning"),
        sorted(
            (
                f"`{error.code}`",
                str(error.exit_status),
                f"`{error.__module__}.{error.__qualname__}`",
                _first_paragraph(error),
            )
            for error in error_classes()
        ),
    )


def error_classes() -> list[type[CloacinaError]]:
    """Return all error classes of both distributions."""
    for package in (cloacina_core, cloacina_registry):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: list[type[CloacinaError]] = []
    pending: list[type[CloacinaError]] = [CloacinaError]
    while pending:
        error = pending.pop()
        if error not in found:
            found.append(error)
            pending += error.__subclasses__()
    return found


def _first_paragraph(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def settings() -> str:
    """Return every setting with its variable and default."""
    docs = attribute_docs(Settings)
    defaults: Mapping[str, str] = {
        "home": "`.cloacina` in your home folder",
        "database_url": "`sqlite:///HOME/cloacina.db`",
        "blob_store": "`file`; `database` when the store is PostgreSQL",
    }
    return table(
        ("Setting", "Environment", "Default", "Meaning"),
        [
            (
                f"`{field.name}`",
                f"`{ENVIRONMENT_PREFIX}{field.name.upper()}`",
                defaults.get(field.name) or _default(field.default),
                docs[field.name],
            )
            for field in fields(Settings)
        ],
    )


def _default(value: Any) -> str:
    if value is MISSING:
        raise LookupError("a setting without a default has to be told here by hand")
    if isinstance(value, timedelta):
        return f"`{value.total_seconds():g}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None:
        return f"`{UNLIMITED}`"
    return "none" if value == () else f"`{value}`"


def verbs() -> str:
    """Return every verb with its role, and whether it is a change."""
    rows = [
        (f"`{verb}`", "withheld" if rule.role is None else f"`{rule.role.value}`", _told(rule))
        for verb, rule in sorted({**VERBS, **COMMAND_VERBS, **REGISTRY_VERBS}.items())
    ]
    return table(("Verb", "Role", "Audit"), rows)


def _told(rule: Rule) -> str:
    return "told" if rule.changes else ""


def acts() -> str:
    """Return every command that needs a role."""
    rows = [
        (f"`{words}`", f"`{act.verb}`", f"`{act.rule.role}`", _told(act.rule))
        for words, act in sorted({**ACTS, **REGISTRY_ACTS}.items())
        if act is not None
    ]
    return table(("Command", "Verb", "Role", "Audit"), rows)


def attribute_docs(cls: type) -> dict[str, str]:
    """Return the strings that stand under the attributes of a class."""
    body = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{cls!r} isn't a class")
    docs = {}
    for above, below in zip(body.body, body.body[1:], strict=False):
        match above, below:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
    return docs


PARTS: Mapping[str, Callable[[], str]] = {
    "acts": acts,
    "verbs": verbs,
    "commands": commands,
    "common_options": common_options,
    "errors": errors,
    "settings": settings,
}


def write() -> list[Path]:
    """Make the pages anew; return those that changed."""
    changed = []
    for path in sorted(PAGES.glob("*.md")):
        before = path.read_text("utf-8")
        after = generated(before)
        if after != before:
            path.write_text(after, "utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write())
