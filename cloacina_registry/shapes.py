"""Shapes of JSON, as JSON Schema says them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from cloacina_core.foundation.json_value import JsonValue

if TYPE_CHECKING:
    from jsonschema import ValidationError

TEXT: Final = {"type": "string"}
TEXT_OR_NULL: Final = {"type": ["string", "null"]}


def object_of(**properties: JsonValue) -> dict[str, JsonValue]:
    """Return the schema of an object that has exactly these keys."""
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


def list_of(items: JsonValue) -> dict[str, JsonValue]:
    """Return the schema of a list of such items."""
    return {"type": "array", "items": items}


def misfits(value: JsonValue, shape: Mapping[str, JsonValue]) -> "Iterator[ValidationError]":
    """Yield where a value isn't of a shape."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow; not for who only lists

    yield from Draft202012Validator(shape).iter_errors(value)
