"""Params are checked against the workflow's schema before a run is accepted."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from cloacina_core.errors import ParamsError, Problem
from cloacina_core.foundation.json_value import (
    JsonValue,
    NotJsonError,
    decode,
    decode_strict,
    encode,
)
from cloacina_core.foundation.names import nearest
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.typed import to_json

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_TOLD = 300
"""How much is told of a problem: a message of the validator quotes the whole value."""


_INDEPENDENT: Final = frozenset(
    [
        "$schema",
        "$id",
        "$defs",
        "title",
        "description",
        "default",
        "type",
        "properties",
        "required",
        "additionalProperties",
    ]
)
"""The keywords of a schema under which no param depends on another."""


def accept_params(
    definition: WorkflowDefinition, given: Mapping[str, Any] | None
) -> dict[str, JsonValue]:
    """Return params as they are stored: JSON values, with the defaults of those not given.

    Python values of the types that a schema can be made from (dates, enums, paths, dataclasses) are
    brought to their JSON form.

    Raises:
        ParamsError: they don't fit the workflow's schema; every problem is named with its path.
    """
    schema = definition.params_schema
    if schema is None and not given:
        return {}
    try:
        params: dict[str, JsonValue] = decode(encode(to_json(dict(given or {})), where="params"))
    except NotJsonError as error:
        problem = Problem("not-json", error.reason, error.path)
        raise ParamsError(definition.name, [problem]) from None
    if schema is None:
        return params
    _fill_defaults(params, schema)
    problems = _problems(params, schema)
    if problems:
        raise ParamsError(definition.name, problems)
    return params


def refuse_known_params(
    definition: WorkflowDefinition, given: Mapping[str, JsonValue], later: Collection[str]
) -> None:
    """Refuse params that don't fit, when some of their values are only known later.

    What those are called counts, and what others are. A schema that relates params to each other
    judges when all are known.

    Args:
        definition: of the workflow.
        given: the params; those that are known later have any value.
        later: the names of these.

    Raises:
        ParamsError: they don't fit, whatever the others are.
    """
    schema = definition.params_schema
    if schema is None or not set(schema) <= _INDEPENDENT:
        return
    properties = dict(schema.get("properties", {}))
    others: Any = schema.get("additionalProperties", True)
    properties |= {name: {} for name in later if name in properties or others is not False}
    params = dict(given)
    _fill_defaults(params, schema)
    if problems := _problems(params, {**schema, "properties": properties}):
        raise ParamsError(definition.name, problems)


def parse_param(definition: WorkflowDefinition, name: str, text: str) -> JsonValue:
    """Return the value of a param that was given as text, as the schema asks.

    Text stays text where a string is wanted; otherwise it is read as JSON where it is JSON.
    """
    wanted = (definition.params_schema or {}).get("properties", {}).get(name, {})
    kinds = _kinds(wanted)
    if kinds == {"string"}:
        return text
    try:
        value = decode_strict(text)
    except NotJsonError:
        return text
    if "string" in kinds and type(value) in (int, float) and "integer" not in kinds | {"number"}:
        return text
    return value


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    if "anyOf" in schema:
        return set().union(*map(_kinds, schema["anyOf"]))
    if "enum" in schema:
        return {"string" if isinstance(item, str) else "any" for item in schema["enum"]}
    kind = schema.get("type", "any")
    return set(kind) if isinstance(kind, list) else {kind}


def _fill_defaults(value: JsonValue, schema: Mapping[str, Any]) -> None:
    if not isinstance(value, dict):
        return
    for name, part in schema.get("properties", {}).items():
        if name not in value and isinstance(part, dict) and "default" in part:
            value[name] = decode(encode(part["default"]))
        if name in value and isinstance(part, dict):
            _fill_defaults(value[name], part)


def _problems(params: JsonValue, schema: Mapping[str, Any]) -> list[Problem]:
    # Slow, and most runs have no params.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    validator = Draft202012Validator(
        schema,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
        registry=Registry(),  # the default one fetches what a schema refers to from the network
    )
    try:
        found = sorted(validator.iter_errors(params), key=lambda error: error.json_path)
    except Exception as error:  # noqa: BLE001 - what a wrong schema raises isn't one family
        return [Problem("bad-schema", f"the workflow's schema can't be used: {error}", "params")]
    return [problem for error in found for problem in _told(error)]


def _told(error: "ValidationError") -> Iterator[Problem]:
    """Yield what an error of the validator says, in the words of someone who gives params."""
    where = "params" + error.json_path[1:]
    if error.validator == "additionalProperties" and error.validator_value is False:
        instance: Any = error.instance
        schema: Any = error.schema
        known = schema.get("properties", {})
        for name in sorted(set(instance) - set(known)):
            near = nearest(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"params: {', '.join(known)}"
            yield Problem("unknown-param", f"there is no param {name!r}; {hint}", where)
    elif error.validator == "required":
        name = error.message.removesuffix(" is a required property")
        yield Problem("missing-param", f"the param {name} is missing", where)
    else:
        message = error.message
        short = message if len(message) <= MAX_TOLD else message[:MAX_TOLD] + "..."
        yield Problem(str(error.validator), short, where)
