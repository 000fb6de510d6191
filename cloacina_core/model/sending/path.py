"""Places in JSON data, as people write them."""

import re
from typing import Final

from cloacina_core.foundation.json_value import JsonValue

MAX_PATH_LENGTH: Final = 500

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_ESCAPE = re.compile(r"~([^01]|$)")

ABSENT: Final = object()
"""What is at a place that isn't there. A null is there."""


def path_problem(text: object) -> str | None:
    """Return what is wrong with a path, or None.

    A path is `order.lines.0.sku`, or a JSON Pointer (RFC 6901) for keys that have a dot or are
    empty: `/order/lines/0/sku`.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_PATH_LENGTH:
        return f"a path is a text of 1 to {MAX_PATH_LENGTH} characters, not {text!r:.80}"
    if text.startswith("/"):
        wrong = _ESCAPE.search(text)
        return f"in a JSON Pointer, ~ stands before 0 or 1 alone: {text!r:.80}" if wrong else None
    if "" in text.split("."):
        return f"path {text!r:.80} has a part without a name"
    return None


def at_path(data: JsonValue, text: str) -> JsonValue:
    """Return what is at a path, `ABSENT` when nothing is there."""
    for part in _parts(text):
        if isinstance(data, dict):
            data = data.get(part, ABSENT)
        elif isinstance(data, list) and _INDEX.fullmatch(part) and int(part) < len(data):
            data = data[int(part)]
        else:
            return ABSENT
    return data


def _parts(text: str) -> list[str]:
    if text.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]
    return text.split(".")
