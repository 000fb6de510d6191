"""Workflows drawn in plain characters, for terminals and logs of every kind."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from cloacina_core.foundation.json_value import JsonValue, canonical
from cloacina_core.foundation.names import every_instance
from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.graph import levels

_ALL_SUCCEEDED = "all_succeeded"
_OPERATORS = {"and": " & ", "or": " | "}


def draw_workflow(definition: WorkflowDefinition) -> str:
    """Return a workflow's params and its tasks in rows, each below all that come before it."""
    title = f"{definition.name}: {definition.description}".removesuffix(": ")
    lines = [title, *(f"  {line}" for line in _param_lines(definition.params_schema))]
    lines += [f"  secret {name}" for name in definition.secrets]
    rows = levels({task.name: task.after for task in definition.tasks})
    boxes = {task.name: _box(task) for task in definition.tasks}
    width = max(map(len, boxes.values()))
    for number, row in enumerate(rows):
        if number:
            lines.append("    |")
        for name in row:
            task = definition.by_name[name]
            lines.append(f"  {boxes[name]}".ljust(width + 4) + f"{_facts(task)}")
    return "\n".join(line.rstrip() for line in lines)


def _box(task: TaskDefinition) -> str:
    return f"[{every_instance(task.name) if task.mapped else task.name}]"


def _param_lines(schema: Mapping[str, Any] | None) -> Iterator[str]:
    if schema is None:
        yield "params: any"
        return
    properties = schema.get("properties") or {}
    required = schema.get("required", ())
    if not isinstance(properties, Mapping) or not properties:
        yield "params: none"
        return
    for name, about in properties.items():
        default = f" = {canonical(about['default'])}" if _has_default(about) else ""
        need = ", required" if name in required else ""
        yield f"param {name}: {type_text(about)}{default}{need}"


def _has_default(about: JsonValue) -> bool:
    return isinstance(about, Mapping) and "default" in about


def type_text(schema: JsonValue) -> str:
    """Return the type that a JSON Schema describes, in a few words."""
    if not isinstance(schema, Mapping):
        return "any"
    if isinstance(schema.get("enum"), list):
        return " | ".join(map(canonical, schema["enum"]))
    if isinstance(schema.get("anyOf"), list):
        return " | ".join(map(type_text, schema["anyOf"]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " | ".join(map(str, kind))
    return str(schema.get("format") or kind) if kind == "string" else str(kind)


def _facts(task: TaskDefinition) -> str:
    return ", ".join(_fact_texts(task))


def _fact_texts(task: TaskDefinition) -> Iterator[str]:
    if task.after:
        yield f"after {' and '.join(task.after)}"
    if task.mapped:
        yield f"for each of {task.mapped.key!r}"
        if task.mapped.max_parallel is not None:
            yield f"at most {task.mapped.max_parallel} at a time"
        if task.mapped.failures == "continue":
            yield "going on when some fail"
        elif task.mapped.tolerated:
            yield f"of which {task.mapped.tolerated} may fail"
    rule = task.rule.to_json()
    if rule != _ALL_SUCCEEDED:
        yield f"when {rule_text(rule)}"
    if task.retry.max_attempts > 1:
        yield f"up to {task.retry.max_attempts} attempts"
    if task.timeout is not None:
        yield f"timeout {_length(task.timeout)}"
    if task.resources:
        yield f"needs {' and '.join(task.resources)}"
    if task.limits:
        yield f"limited by {' and '.join(task.limits)}"


def _length(time: timedelta) -> str:
    seconds = time.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def rule_text(rule: JsonValue) -> str:
    """Return a trigger rule, as `to_json` gives it, in the way that authors write it."""
    if not isinstance(rule, Mapping):
        return str(rule)
    if "value" in rule:
        key = f"value({rule['value']!r})"
        exists = rule["is"] == "exists"
        return f"{key} exists" if exists else f"{key} {rule['is']} {canonical(rule['than'])}"
    ((word, inner),) = rule.items()
    if word in _OPERATORS:
        return f"({_OPERATORS[word].join(map(rule_text, inner))})"
    return f"~{rule_text(inner)}" if word == "not" else f"{word}({inner!r})"
