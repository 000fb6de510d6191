"""Shapes of JSON, as JSON Schema says them."""

from typing import Final

from cloacina_core.foundation.json_value import JsonValue

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
