"""Whether those who call one release's workflow can call another's with the same params. Pure.

A comparison of two JSON Schemas can't be complete. This one knows what breaks callers in practice,
and says of the rest only that it changed (see `package.diff`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cloacina_core.errors import Problem
from cloacina_core.model.definition import WorkflowDefinition


def params_problems(old: WorkflowDefinition, new: WorkflowDefinition) -> Iterator[Problem]:
    """Yield what params the old release took and the new one refuses, of kind `params`."""
    if new.params_schema is None:
        return
    before, after = old.params_schema or {}, new.params_schema
    old_params, new_params = _properties(before), _properties(after)
    needed_before = set(before.get("required", ()))
    for name in after.get("required", ()):
        if name not in needed_before and "default" not in _about(new_params, name):
            yield _problem(new, name, "must be given now")
    if after.get("additionalProperties") is False:
        for name in old_params:
            if name not in new_params:
                yield _problem(new, name, "isn't known any more")
        if before.get("additionalProperties", True) is not False and old.params_schema is None:
            yield _problem(new, "*", "any params were taken, now only those that are named")
    for name, about in new_params.items():
        if name in old_params:
            yield from _narrowed(new, name, old_params[name], about)


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _about(properties: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    about = properties.get(name)
    return about if isinstance(about, Mapping) else {}


def _narrowed(
    workflow: WorkflowDefinition, name: str, old: object, new: object
) -> Iterator[Problem]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return
    before, after = _types(old), _types(new)
    if after and (not before or not before <= after):
        was, is_now = " or ".join(sorted(before)) or "anything", " or ".join(sorted(after))
        yield _problem(workflow, name, f"was {was}, is {is_now}")
    gone = [value for value in old.get("enum", ()) if value not in new.get("enum", (value,))]
    if gone:
        yield _problem(workflow, name, f"doesn't take {', '.join(map(repr, gone))} any more")
    elif "enum" in new and "enum" not in old:
        yield _problem(workflow, name, "takes only some values now")


def _types(about: Mapping[str, Any]) -> set[str]:
    """Return the types that a param may have; none: any. What takes numbers takes whole ones."""
    told = about.get("type", ())
    types = {told} if isinstance(told, str) else set(told)
    if not types and isinstance(about.get("anyOf"), list):
        types = {kind for one in about["anyOf"] if isinstance(one, Mapping) for kind in _types(one)}
    return types | {"integer"} if "number" in types else types


def _problem(workflow: WorkflowDefinition, param: str, message: str) -> Problem:
    return Problem("params", message, f"{workflow.name}.{param}")
