"""Whether it is known beforehand how long it takes to judge params by a JSON Schema."""

from collections.abc import Mapping
from typing import Final

from cloacina_core.foundation.json_value import JsonValue

MAX_COMPARISONS = 1_000_000
"""Lists of a thousand schemas, or many shorter ones."""
_PLAIN_KEYWORDS: Final = frozenset((
    "additionalProperties", "const", "default", "description", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength",
    "minimum", "properties", "required", "title", "type",
))  # fmt: skip
"""Of JSON Schema: those that can be judged in a time that is known beforehand."""


def comparisons(value: JsonValue) -> int:
    """Return how many comparisons it takes to find equal items in the lists of a value.

    The validator sorts lists of one simple kind; in any other it compares each item with each.
    """
    if isinstance(value, Mapping):
        return sum(map(comparisons, value.values()))
    if not isinstance(value, list):
        return 0
    is_sortable = len(set(map(type, value))) == 1 and isinstance(value[0], str | int | float)
    return sum(map(comparisons, value)) + (0 if is_sortable else len(value) ** 2)


def is_quickly_judged(params: JsonValue, schema: JsonValue) -> bool:
    """Whether it is known to take no time to judge params by a schema, whoever made both.

    Regular expressions, references and much else can take for ever. What isn't judged here was
    when the package was built, and is when it is switched on: by those who trust it.
    """
    size, compared = _size(params), comparisons(params)
    return _is_plain(schema) and size * _size(schema) + compared <= MAX_COMPARISONS


def _is_plain(schema: JsonValue) -> bool:
    if not isinstance(schema, Mapping):
        return schema is None or isinstance(schema, bool)
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping) or not _PLAIN_KEYWORDS.issuperset(schema):
        return False
    parts = [schema[key] for key in ("additionalProperties", "items") if key in schema]
    return all(map(_is_plain, [*parts, *properties.values()]))


def _size(value: JsonValue) -> int:
    """Return how many values there are in a value, itself included."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1
