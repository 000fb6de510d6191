"""Two packages side by side, for people."""

from collections.abc import Iterator, Sequence
from typing import Any

from cloacina_registry.package.comparison import Comparison


def told_comparison(found: Comparison) -> str:
    """Return what differs between two packages, a line each."""
    return "\n".join(_comparison_lines(found)) or "nothing changed"


def _comparison_lines(found: Comparison) -> Iterator[str]:
    yield from _change_lines("", found.manifest.changes)
    yield from _name_lines("workflow", found.manifest.workflows.to_json())
    for workflow in found.manifest.changed_workflows:
        yield f"workflow {workflow.name}"
        yield from _change_lines("  ", workflow.changes)
        yield from _change_lines("  param ", workflow.params)
        yield from _name_lines("  task", workflow.tasks.to_json())
        for name, what in workflow.changed_tasks.items():
            yield f"  task {name}: {', '.join(what)} changed"
    yield from _change_lines("schedule ", found.manifest.schedules)
    yield from _change_lines("subscription ", found.manifest.subscriptions)
    yield from _change_lines("trigger ", found.manifest.triggers)
    yield from _change_lines("dependency ", found.dependencies)
    yield from _change_lines("", found.signers)
    yield from _name_lines("file", found.files)


def _change_lines(prefix: str, changes: Sequence[Any]) -> Iterator[str]:
    for change in changes:
        yield f"{prefix}{change.what}: {_value_text(change.old)} -> {_value_text(change.new)}"


def _value_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value_text(part)}" for key, part in value.items())
    return "none" if value is None else str(value)


def _name_lines(kind: str, names: dict[str, list[str]]) -> Iterator[str]:
    for word, found in names.items():
        for name in found:
            yield f"{kind} {name}: {word}"
